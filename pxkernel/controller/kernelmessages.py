"""What kernels say on their own channels, for the book, the relay and the core."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..core.events import CellReplied, Event, KernelIdle, OutputsSettled
from ..kernels.channels import Channels, KernelMessage
from ..protocol.content import content_of
from ..protocol.messages import COMM_TYPES
from ..protocol.times import stamp
from .book import Book
from .comms import Comms
from .prompts import Prompts
from .relay import OUTPUT_TYPES, Relay
from .requests import KernelRequests
from .roster import Roster

#: How many messages of one channel are taken before the others get their turn.
TURN = 200


class KernelMessages:
    """Reads the channels of the kernels; each of the others gets what concerns it."""

    def __init__(
        self,
        channels: Channels,
        roster: Roster,
        book: Book,
        relay: Relay,
        prompts: Prompts,
        requests: KernelRequests,
        comms: Comms,
        handle: Callable[[Event], None],
    ):
        self._channels = channels
        self._roster = roster
        self._book = book
        self._relay = relay
        self._prompts = prompts
        self._requests = requests
        self._comms = comms
        self._handle = handle

    def read(self, channel: str) -> None:
        """Take what has come on a channel, as much as its turn allows."""
        for message in self._channels.receive(channel, TURN):
            if isinstance(message, int):
                self._roster.answered(message)
            elif channel == "iopub":
                self._iopub(message)
            elif message.msg_type == "execute_reply":
                self._cell_replied(message)
            elif message.msg_type == "input_request":
                self._prompts.cell_asks(message)
            elif channel == "shell":
                self._requests.replied(message)

    def _cell_replied(self, message: KernelMessage) -> None:
        task = message.parent.get("msg_id", "")
        if (entry := self._book.open.get(task)) is not None and entry.record is None:
            record = cell_record(message)
            self._book.finished(task, message.engine, record, [message.content])
            self._handle(CellReplied(message.engine, task, message.size, record["status"] == "ok"))

    def _iopub(self, message: KernelMessage) -> None:
        task = message.parent.get("msg_id", "")
        client = task.partition(":")[0]
        if message.msg_type in OUTPUT_TYPES:
            self._book.add_output(task, message)
            self._relay.output(client, task, message)
        elif message.msg_type in COMM_TYPES:
            self._comms.from_kernel(message)
        elif message.msg_type != "status" or b'"idle"' not in message.content or self._prompts.seen(message):
            return
        elif ":" in task:
            if message.parent.get("msg_type") == "execute_request":
                self._handle(KernelIdle(message.engine, task))
            else:
                self._handle(OutputsSettled(message.engine, task))


def cell_record(message: KernelMessage) -> dict[str, Any]:
    """The record of a cell, from its ``execute_reply``; kernels of other languages leave fields out."""
    content = content_of(message.content)
    status = content.get("status", "error")
    record: dict[str, Any] = {"status": status, "execution_count": content.get("execution_count")}
    started, completed = _seconds(message.metadata.get("started")), _seconds(message.header.get("date"))
    if started is not None and completed is not None:
        record.update(started=stamp(started), completed=stamp(completed))
    if status == "error":
        ename = content.get("ename", "Error")
        record["error"] = {
            "ename": ename,
            "evalue": content.get("evalue", ""),
            "traceback": content.get("traceback", []),
            # A stock kernel tells the class by name only; what it shares with every Python are the built-in ones.
            "mro": [["builtins", ename]],
        }
    elif status == "abort":
        # What wrappers of other languages say after an interrupt.
        error = {"ename": "KeyboardInterrupt", "evalue": "", "traceback": [], "mro": [["builtins", "KeyboardInterrupt"]]}
        record.update(status="error", error=error)
    elif status != "ok":
        record.update(status="aborted", reason="the kernel did not start it, because a cell of another front end failed")
    return record


def _seconds(moment: Any) -> float | None:
    """A time of a Jupyter message, in seconds since the epoch; None if it is none."""
    try:
        return (moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)).timestamp()
    except (TypeError, ValueError):
        return None
