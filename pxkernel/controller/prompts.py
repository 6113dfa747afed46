"""Questions that running code asks its user: from an engine to the client that submitted the code, and back.

A cell asks over the kernel's stdin channel, a task over the task channel. What was printed before a question comes over
iopub, another socket: a question waits until the kernel's control channel, which works while a cell waits, has put its mark
behind that output, or for a moment where it does not. Nobody waits for a client that has gone: its questions meet the end of
the input.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernels.channels import Channels, KernelMessage
from ..protocol.content import content_of
from ..protocol.messages import InputReply, InputRequest, Message
from .front import Front, Peer

#: How long a question waits for the output before it, in seconds.
OUTPUT_DELAY = 0.25
#: The content of an input_reply that ends the input.
END_OF_INPUT = json.dumps({"value": "\x04"}).encode()


@dataclass(slots=True)
class Prompt:
    """One question, from its arrival to its answer."""

    task: str
    engine: int
    is_cell: bool
    content: Any
    #: When it is passed on at the latest; None: it has been.
    due: float | None = None


class Prompts:
    """The questions that have not been answered.

    Parameters
    ----------
    front, channels
        The ways to the engines.
    to_engine
        ``to_engine(engine, message)`` sends over the task channel.
    to_client
        ``to_client(client, message)`` sends after all output so far; False if there is no such client.
    """

    def __init__(
        self,
        front: Front,
        channels: Channels,
        to_engine: Callable[[int, Message], None],
        to_client: Callable[[str, Message], bool],
    ):
        self._front = front
        self._channels = channels
        self._to_engine = to_engine
        self._to_client = to_client
        self._prompts: dict[str, Prompt] = {}
        #: The ids of the requests that mark the end of the output before a question → its task.
        self._marks: dict[str, str] = {}

    def cell_asks(self, message: KernelMessage) -> None:
        """A kernel has sent an ``input_request``."""
        self._asked(Prompt(message.parent.get("msg_id", ""), message.engine, True, message.content))

    def task_asks(self, peer: Peer, message: InputRequest) -> None:
        """An extension has sent a question of the task that it runs."""
        if (engine := self._front.engine(peer)) is not None:
            self._asked(Prompt(message.task, engine, False, message.payloads[0][0]))

    def _asked(self, prompt: Prompt) -> None:
        prompt.due = time.monotonic() + OUTPUT_DELAY
        self._prompts[prompt.task] = prompt
        mark = f"prompt-{uuid.uuid4().hex}"
        self._marks[mark] = prompt.task
        self._channels.send(prompt.engine, "control", "kernel_info_request", {}, mark)

    def seen(self, message: KernelMessage) -> bool:
        """Called with every idle status; whether it is that of a mark."""
        task = self._marks.pop(message.parent.get("msg_id", ""), None)
        if task is None:
            return False
        self._pass_on(self._prompts.get(task))
        return True

    def flush(self, now: float) -> float | None:
        """Pass on what has waited long enough; returns when to call again, None: nothing waits."""
        if not self._prompts:
            return None
        for prompt in [p for p in self._prompts.values() if p.due is not None and p.due <= now]:
            self._pass_on(prompt)
        return min((p.due for p in self._prompts.values() if p.due is not None), default=None)

    def _pass_on(self, prompt: Prompt | None) -> None:
        if prompt is not None and prompt.due is not None:
            prompt.due = None
            client = prompt.task.partition(":")[0]
            if not self._to_client(client, InputRequest(prompt.task, ([prompt.content],))):
                self._answer(prompt, [END_OF_INPUT])

    def answered(self, peer: Peer, message: InputReply) -> None:
        """A client answers a question of its own tasks."""
        client, prompt = self._front.client(peer), self._prompts.get(message.task)
        if prompt is not None and message.task.startswith(f"{client}:"):
            self._answer(prompt, message.payloads[0])

    def _answer(self, prompt: Prompt, payload: Sequence[Any]) -> None:
        self.forget((prompt.task,))
        if prompt.is_cell:
            content = content_of(payload[0])
            self._channels.send(prompt.engine, "stdin", "input_reply", content, f"answer-{uuid.uuid4().hex}")
        else:
            self._to_engine(prompt.engine, InputReply(prompt.task, (payload,)))

    def client_gone(self, client: str) -> None:
        """Nobody will answer what its tasks have asked."""
        for prompt in [p for p in self._prompts.values() if p.task.startswith(client + ":")]:
            self._answer(prompt, [END_OF_INPUT])

    def forget(self, tasks: Iterable[str]) -> None:
        """Tasks have ended, or their questions were answered."""
        if not self._prompts:
            return
        for task in tasks:
            if self._prompts.pop(task, None) is not None:
                self._marks = {mark: other for mark, other in self._marks.items() if other != task}
