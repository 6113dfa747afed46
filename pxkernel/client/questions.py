"""The questions that a client has put to its controller and their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any

from ..errors import EngineError, remote_error
from ..protocol.messages import Answer, Ask, Message, Payload
from . import mailed

#: A value of JSON types and the payloads that came with it.
Answered = tuple[Any, Sequence[Payload]]


#: What becomes of an answer.
Use = Callable[[Answered], Any]


def as_it_is(answered: Answered) -> Answered:
    """The future of an answer is that of its value and payloads."""
    return answered


def value_of(answered: Answered) -> Any:
    """Its value only."""
    return answered[0]


class Questions:
    """What has been asked and is not answered. Asked in any thread, answered in the I/O thread.

    Parameters
    ----------
    send
        Sends a message to the controller.
    directory
        Of the cluster.
    """

    def __init__(self, send: Callable[[Message], None], directory: str):
        self._send = send
        self._directory = directory
        self._numbers = count()
        #: By number: the future of the answer, what becomes of it, and the tasks that were named.
        self._open: dict[int, tuple[Future[Any], Use, dict[mailed.Way, str]]] = {}

    def ask(
        self, topic: str, arguments: dict[str, Any], payloads: Sequence[Payload] = (), use: Use = as_it_is
    ) -> Future[Any]:
        """Ask; the future of ``use(answer)``, or of what the controller's handler has raised.

        ``use`` is called in the I/O thread, before any message that follows the answer is dealt with.

        Raises
        ------
        TypeError
            The arguments are no JSON values; nothing is asked.
        """
        try:
            json.dumps(arguments)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{topic} takes values that JSON has: {error}") from None
        number = next(self._numbers)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        after = mailed.unanswered(self._directory)
        self._open[number] = future, use, after
        self._send(Ask(number, topic, arguments, list(after.values()), tuple(payloads)))
        return future

    def answered(self, message: Answer) -> None:
        """An answer has come."""
        future, use, after = self._open.pop(message.number, (None, as_it_is, {}))
        if future is None:
            return
        mailed.answered(self._directory, after)
        if message.error is not None:
            error = message.error
            future.set_exception(remote_error(error["ename"], error["evalue"], mro=map(tuple, error["mro"])))
            return
        try:
            future.set_result(use((message.value, message.payloads)))
        except Exception as error:  # of whoever asked, who waits for it
            future.set_exception(error)

    def lost(self, reason: str) -> None:
        """There is nobody any more who could answer."""
        for number in list(self._open):
            future, *_ = self._open.pop(number, (None,))
            if future is not None:
                future.set_exception(EngineError(reason))
