"""Comms between engines and the notebooks of clients, which widgets are made of (features JUP-04).

A comm belongs to the client whose code has opened it, and what the engine sends on it goes to that client, whatever causes
it. What the notebook sends goes over the kernel's shell channel, as from any front end.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..kernels.channels import Channels, KernelMessage
from ..protocol.content import content_of
from ..protocol.messages import COMM_TYPES
from .questions import Question, Questions

#: What a front end may send on a comm of an engine.
REPLY_TYPES = COMM_TYPES - {"comm_open"}


class Comms:
    """The open comms; adds the topic "comm" to the table.

    Parameters
    ----------
    channels
        The kernels' own channels.
    output
        ``output(client, task, message)`` passes a message on to a client.
    questions
        The table of topics.
    """

    def __init__(
        self, channels: Channels, output: Callable[[str, str, KernelMessage], None], questions: Questions
    ):
        self._channels = channels
        self._output = output
        #: The client and the engine of each comm.
        self._owners: dict[str, tuple[str, int]] = {}
        questions.add("comm", self._from_client)

    def from_kernel(self, message: KernelMessage) -> None:
        """A kernel has sent one of `COMM_TYPES`; its client gets content and metadata in one JSON object."""
        content = content_of(message.content)
        comm, task = content["comm_id"], message.parent.get("msg_id", "")
        if message.msg_type == "comm_open":
            self._owners[comm] = task.partition(":")[0], message.engine
        client, engine = self._owners.get(comm, (None, None))
        if client is None or engine != message.engine:
            return
        if message.msg_type == "comm_close":
            del self._owners[comm]
        both = json.dumps({"content": content, "metadata": message.metadata}).encode()
        self._output(client, task, replace(message, content=both))

    def _from_client(self, question: Question, engine: int, msg_type: str) -> None:
        """The payload is content and metadata in one JSON object, and buffers."""
        head, *buffers = question.payloads[0]
        both: dict[str, Any] = content_of(head)
        comm = both["content"]["comm_id"]
        if msg_type not in REPLY_TYPES or self._owners.get(comm) != (question.client, engine):
            raise LookupError(f"engine {engine} has no comm {comm} of this client")
        if msg_type == "comm_close":
            del self._owners[comm]
        # Named like a task of the client, so that what it causes goes there.
        msg_id = f"{question.client}:comm-{uuid.uuid4().hex}"
        self._channels.send(
            engine, "shell", msg_type, both["content"], msg_id, metadata=both["metadata"], buffers=list(buffers)
        )

    def engines_left(self, engines: Iterable[int]) -> None:
        """Nothing can be sent to their comms any more."""
        gone = set(engines)
        self._owners = {comm: owner for comm, owner in self._owners.items() if owner[1] not in gone}

    def client_gone(self, client: str) -> None:
        """Nobody listens to its comms any more."""
        self._owners = {comm: owner for comm, owner in self._owners.items() if owner[0] != client}
