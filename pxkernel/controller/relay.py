"""Results and output on their way to the clients.

What one turn of the main loop produces for a client goes out as at most three messages: output, then results, then what
has settled. News that only say what has settled wait a moment for others: every message wakes the client.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.commands import Fail
from ..core.core import Core
from ..core.events import Acked, Event
from ..kernels.channels import KernelMessage
from ..protocol.credit import ACKNOWLEDGED
from ..protocol.messages import DATA, Ack, Message, Outputs, Results, Settled
from ..protocol.sharing import Lent
from .book import Book
from .questions import Question

#: The iopub messages that are somebody's output.
OUTPUT_TYPES = frozenset(
    {"stream", "display_data", "update_display_data", "execute_result", "error", "clear_output", DATA}
)


#: How long they wait, in seconds.
SETTLED_DELAY = 0.002


@dataclass(slots=True)
class Outbox:
    """What waits for the end of the turn, for one client."""

    outputs: list[list[Any]] = field(default_factory=list)
    output_payloads: list[Sequence[Any]] = field(default_factory=list)
    results: list[list[Any]] = field(default_factory=list)
    result_payloads: list[Sequence[Any]] = field(default_factory=list)
    settled: list[list[Any]] = field(default_factory=list)
    #: When what there is goes out at the latest; None: there is nothing.
    due: float | None = None
    #: Bytes of submissions that have been passed on and not been acknowledged.
    unacknowledged: int = 0
    #: Bytes of output, by task, that the client had no credit for.
    dropped: dict[str, int] = field(default_factory=dict)
    #: Tasks whose results are among what waits.
    delivered: deque[str] = field(default_factory=deque)
    #: Results that it may still have to open.
    lent: Lent = field(default_factory=Lent)

    def add_output(self, task_id: str, message: KernelMessage) -> None:
        self.due = 0.0
        self.outputs.append([task_id, message.msg_type, message.engine])
        self.output_payloads.append([message.content, *message.buffers])

    def add_dropped(self, task_id: str, amount: int) -> None:
        if amount:
            self.dropped[task_id] = self.dropped.get(task_id, 0) + amount

    def add_result(self, task_id: str, record: dict[str, Any], frames: Sequence[Any], size: int) -> None:
        self.due = 0.0
        self.results.append([task_id, record])
        self.result_payloads.append(frames)
        self.lent.add(frames, size)

    def settle(self, task_id: str, now: float) -> None:
        if self.due is None:
            self.due = now + SETTLED_DELAY
        self.settled.append([task_id, self.dropped.pop(task_id, 0)])

    def take(self) -> list[Message]:
        """The messages of this turn."""
        messages: list[Message] = []
        self.due = None
        if self.outputs:
            messages.append(Outputs(self.outputs, tuple(self.output_payloads)))
            self.outputs, self.output_payloads = [], []
        if self.results:
            messages.append(Results(self.results, tuple(self.result_payloads)))
            self.results, self.result_payloads = [], []
        if self.settled:
            messages.append(Settled(self.settled))
            self.settled = []
        return messages


class Relay:
    """What is on its way to the clients.

    Parameters
    ----------
    book
        The tasks that results are of.
    core
        Has the credit of the clients.
    handle
        Gives an event to the core.
    send
        Sends a message to a client.
    """

    def __init__(
        self, book: Book, core: Core, handle: Callable[[Event], None], send: Callable[[str, Message], None]
    ):
        self._book = book
        self._core = core
        self._handle = handle
        self._send = send
        self._outboxes: dict[str, Outbox] = {}
        #: Those that have got something since they were flushed.
        self._filled: dict[str, Outbox] = {}
        #: The clients that get a copy of every output.
        self._watchers: set[str] = set()

    def watch(self, question: Question, on: bool) -> None:
        """Answers "watch": the client follows the output of all engines, or no longer (features JUP-09)."""
        if question.client is None:
            raise LookupError("only a client can follow the output of engines")
        (self._watchers.add if on else self._watchers.discard)(question.client)

    def open(self, client: str) -> None:
        self._outboxes[client] = Outbox()

    def close(self, client: str) -> None:
        outbox = self._outboxes.pop(client)
        self._filled.pop(client, None)
        self._watchers.discard(client)
        self._tell_delivered(outbox)

    def _filling(self, client: str) -> Outbox | None:
        """The outbox of a client, which gets something; None: the client has left."""
        outbox = self._outboxes.get(client)
        if outbox is not None:
            self._filled[client] = outbox
        return outbox

    def output(self, client: str, task: str, message: KernelMessage) -> None:
        """Pass an output on, or count it as dropped if the client has no credit."""
        if message.msg_type in OUTPUT_TYPES:
            for watcher in self._watchers - {client}:
                if self._core.spend(watcher, message.size) and (outbox := self._filling(watcher)) is not None:
                    outbox.add_output(task, message)
        outbox = self._filling(client)
        if outbox is None:
            return
        if self._core.spend(client, message.size):
            outbox.add_output(task, message)
        else:
            outbox.add_dropped(task, message.size)

    def deliver(self, client: str, tasks: Sequence[str]) -> None:
        """Pass on the results of tasks, and what was asked for again."""
        outbox, known = self._filling(client), self._book.open
        for task in tasks:
            entry = known.get(task)
            if entry is None:
                self._deliver_read(client, task)
                # The client may be found to have gone.
                outbox = self._filling(client)
            elif outbox is None:
                self._book.delivered(task)
            else:
                outbox.delivered.append(task)
                if not entry.mailed:
                    outbox.add_result(task, entry.record or {}, entry.result or (), entry.result_size)

    def _deliver_read(self, client: str, read: str) -> None:
        entry, announced = self._book.take(read)
        outbox = self._filling(client)
        if outbox is None:
            return
        if entry is None or entry.record is None or entry.result is None:
            outbox.add_result(read, {"status": "died", "reason": "its result is not kept any more"}, (), 0)
            # The client will not acknowledge what it does not get.
            self._handle(Acked(client, announced))
        else:
            for message in entry.outputs:
                self.output(client, read, message)
            outbox.add_dropped(read, entry.dropped)
            outbox.add_result(read, entry.record, entry.result, entry.result_size)
        outbox.settle(read, time.monotonic())

    def settle(self, client: str, task: str) -> None:
        """All output of a task has been passed on."""
        self._book.settled(task)
        if (outbox := self._filling(client)) is not None:
            outbox.settle(task, time.monotonic())

    def acked(self, client: str, message: Ack) -> None:
        """A client has received results or output."""
        outbox = self._outboxes.get(client)
        if outbox is not None and not message.outputs:
            outbox.lent.acknowledged(message.amount)

    def acknowledge(self, client: str, amount: int) -> None:
        """Give a client back its submission credit, some of it at a time."""
        outbox = self._outboxes.get(client)
        if outbox is None:
            return
        outbox.unacknowledged += amount
        if outbox.unacknowledged > ACKNOWLEDGED:
            self._send(client, Ack(outbox.unacknowledged))
            outbox.unacknowledged = 0

    def flush_due(self, now: float) -> float | None:
        """Send what is not to wait any longer; returns when to call again, None: there is nothing."""
        if not self._filled:
            return None
        for client, outbox in list(self._filled.items()):
            if outbox.due is None or outbox.due <= now:
                self.flush(client)
        return min((outbox.due for outbox in self._filled.values() if outbox.due is not None), default=None)

    def flush(self, client: str) -> None:
        """Send what there is for a client."""
        if (outbox := self._filled.pop(client, None)) is not None:
            for message in outbox.take():
                self._send(client, message)
            # When they are on their way: nobody waits for the store.
            self._tell_delivered(outbox)

    def _tell_delivered(self, outbox: Outbox) -> None:
        while outbox.delivered:
            self._book.delivered(outbox.delivered.popleft())


def outcome_of(record: dict[str, Any]) -> str:
    """What the core is told of a task that an engine has run; a map with failing items has failed."""
    if record.get("unmet"):
        return "unmet"
    return "ok" if record["status"] == "ok" and not record.get("failures") else "failed"


def failure_record(command: Fail, before: dict[str, Any] | None) -> dict[str, Any]:
    """The record of a task that no engine reports; ``before`` is that of its last try, if there was one."""
    if command.status == "interrupted":
        error = {"ename": "KeyboardInterrupt", "evalue": command.reason, "traceback": [], "mro": []}
        return {"status": "error", "error": error, "engine": command.engine}
    reason = command.reason
    if command.status == "impossible" and before and "error" in before:
        reason += f": {before['error']['ename']}: {before['error']['evalue']}"
    record = {"status": command.status, "reason": reason, "engine": command.engine}
    if command.status == "overtime" and before:
        record.update({key: before[key] for key in ("started", "completed") if key in before})
    return record
