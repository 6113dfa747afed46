"""What clients ask of the controller beside work: one table of topics.

Whoever knows the answers adds them, ``questions.add("queue_status", handler)``. A handler takes the Question and its
arguments as keywords, which are JSON values. What it returns is the answer; what it raises is raised at the client, as an
exception of the same class. A handler that cannot answer yet returns LATER and calls ``question.answer`` or
``question.refuse`` when it can; it need not care whether the client is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from ..errors import class_names
from ..protocol.messages import Answer, Ask, Payload


class _Marker(Enum):
    LATER = "later"


#: What a handler returns that will answer later.
LATER = _Marker.LATER

#: ``handler(question, **arguments)``.
Handler = Callable[..., Any]


class Question:
    """One Ask of one client.

    Attributes
    ----------
    client
        The name of the client, None for somebody who has the cluster's key and has not said Hello.
    payloads
        The payloads that came with it.
    """

    __slots__ = ("_number", "_send", "client", "payloads")

    def __init__(self, ask: Ask, client: str | None, send: Callable[[Answer], object]):
        self.client = client
        self.payloads = ask.payloads
        self._number = ask.number
        self._send = send

    def answer(self, value: Any = None, payloads: Sequence[Payload] = ()) -> None:
        """Answer with JSON values, and with payloads that the controller does not read."""
        self._send(Answer(self._number, value, None, tuple(payloads)))

    def refuse(self, error: BaseException) -> None:
        """Have the client raise ``error``."""
        description = {"ename": type(error).__name__, "evalue": str(error), "mro": class_names(type(error))}
        self._send(Answer(self._number, None, description))


class Questions:
    """The table of topics."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add(self, topic: str, handler: Handler) -> None:
        """Answer the questions about ``topic`` with ``handler``; a topic has one."""
        if topic in self._handlers:
            raise ValueError(f"there is a handler of {topic!r} already")
        self._handlers[topic] = handler

    def ask(self, topic: str, arguments: dict[str, Any], question: Question) -> None:
        """Have a question answered, now or later."""
        try:
            if topic not in self._handlers:
                raise KeyError(f"there is no question {topic!r}")
            value = self._handlers[topic](question, **arguments)
        except Exception as error:  # of the question or of its handler: told, and not the end of the controller
            question.refuse(error)
            return
        if value is not LATER:
            question.answer(value)
