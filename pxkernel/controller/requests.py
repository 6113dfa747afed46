"""Requests of clients that a kernel answers by itself, such as completion (issue: "use the real kernel").

They run no code of the user, so they go over the kernel's shell channel beside the queue. A kernel that is busy answers when
it is free again; who asks need not wait for that.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from ..kernels.channels import Channels, KernelMessage
from .questions import LATER, Question, Questions


class KernelRequests:
    """What kernels have been asked and have not answered; adds the topic "complete" to the table.

    Parameters
    ----------
    channels
        The kernels' own channels.
    questions
        The table of topics.
    """

    def __init__(self, channels: Channels, questions: Questions):
        self._channels = channels
        self._open: dict[str, tuple[int, Question]] = {}
        questions.add("complete", self._complete)

    def _complete(self, question: Question, engine: int, code: str, cursor: int) -> Any:
        """Answered with the content of a Jupyter ``complete_reply`` as a payload."""
        return self._request(question, engine, "complete_request", {"code": code, "cursor_pos": cursor})

    def _request(self, question: Question, engine: int, msg_type: str, content: dict[str, Any]) -> Any:
        msg_id = f"request-{uuid.uuid4().hex}"
        self._channels.send(engine, "shell", msg_type, content, msg_id)
        self._open[msg_id] = engine, question
        return LATER

    def replied(self, message: KernelMessage) -> None:
        """Called with every reply on the shell channel."""
        _, question = self._open.pop(message.parent.get("msg_id", ""), (0, None))
        if question is not None:
            question.answer(None, [[message.content]])

    def engines_left(self, engines: Iterable[int]) -> None:
        """These will not answer any more."""
        gone = set(engines)
        for msg_id, (engine, question) in list(self._open.items()):
            if engine in gone:
                del self._open[msg_id]
                question.refuse(LookupError(f"engine {engine} is gone"))
