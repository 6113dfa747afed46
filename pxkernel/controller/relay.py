"""Results and output on their way to the clients.

What one turn of the main loop produces for a client goes out as at most three messages: output, then results, then what
has settled. News that only say what has settled wait a moment for others: every message wakes the client.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..kernels.channels import KernelMessage
from ..protocol.messages import Message, Outputs, Results, Settled

#: The iopub messages that are somebody's output.
OUTPUT_TYPES = frozenset(
    {"stream", "display_data", "update_display_data", "execute_result", "error", "clear_output"}
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
    #: When what has settled goes out at the latest.
    due: float = 0.0
    #: Bytes of submissions that have been passed on and not been acknowledged.
    unacknowledged: int = 0
    #: Bytes of output, by task, that the client had no credit for.
    dropped: dict[str, int] = field(default_factory=dict)

    def add_output(self, task_id: str, message: KernelMessage) -> None:
        self.outputs.append([task_id, message.msg_type])
        self.output_payloads.append([message.content, *message.buffers])

    def drop_output(self, task_id: str, message: KernelMessage) -> None:
        self.dropped[task_id] = self.dropped.get(task_id, 0) + message.size

    def add_result(self, task_id: str, record: dict[str, Any], frames: Sequence[Any]) -> None:
        self.results.append([task_id, record])
        self.result_payloads.append(frames)

    def settle(self, task_id: str, now: float) -> None:
        if not self.settled:
            self.due = now + SETTLED_DELAY
        self.settled.append([task_id, self.dropped.pop(task_id, 0)])

    def wait(self, now: float) -> float | None:
        """How many seconds may pass before ``take``; None: there is nothing to take."""
        if self.outputs or self.results:
            return 0.0
        return max(0.0, self.due - now) if self.settled else None

    def take(self) -> list[Message]:
        """The messages of this turn."""
        messages: list[Message] = []
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


def cell_record(message: KernelMessage) -> dict[str, Any]:
    """The record of a cell, from its ``execute_reply``; kernels of other languages leave fields out."""
    content = json.loads(message.content)
    status = content.get("status", "error")
    record: dict[str, Any] = {"status": status, "execution_count": content.get("execution_count")}
    if status == "error":
        ename = content.get("ename", "Error")
        record["error"] = {
            "ename": ename,
            "evalue": content.get("evalue", ""),
            "traceback": content.get("traceback", []),
            # A stock kernel tells the class by name only; what it shares with every Python are the built-in ones.
            "mro": [["builtins", ename]],
        }
    elif status != "ok":
        record.update(status="aborted", reason="the kernel did not start it, because a cell of another front end failed")
    return record
