"""The questions that a client has put to its controller and their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any

from ..errors import EngineError, remote_error
from ..protocol.messages import Answer, Ask, Message, Payload

#: A value of JSON types and the payloads that came with it.
Answered = tuple[Any, Sequence[Payload]]


class Questions:
    """What has been asked and is not answered. Asked in any thread, answered in the I/O thread.

    Parameters
    ----------
    send
        Sends a message to the controller.
    """

    def __init__(self, send: Callable[[Message], None]):
        self._send = send
        self._numbers = count()
        self._open: dict[int, Future[Answered]] = {}

    def ask(self, topic: str, arguments: dict[str, Any], payloads: Sequence[Payload] = ()) -> Future[Answered]:
        """Ask; the future is that of the answer, or raises what the controller's handler has raised."""
        number = next(self._numbers)
        answer: Future[Answered] = Future()
        answer.set_running_or_notify_cancel()
        self._open[number] = answer
        self._send(Ask(number, topic, arguments, tuple(payloads)))
        return answer

    def answered(self, message: Answer) -> None:
        """An answer has come."""
        answer = self._open.pop(message.number, None)
        if answer is None:
            return
        if message.error is None:
            answer.set_result((message.value, message.payloads))
        else:
            error = message.error
            answer.set_exception(remote_error(error["ename"], error["evalue"], mro=map(tuple, error["mro"])))

    def lost(self, reason: str) -> None:
        """There is nobody any more who could answer."""
        for number in list(self._open):
            answer = self._open.pop(number, None)
            if answer is not None:
                answer.set_exception(EngineError(reason))


def then(answer: Future[Answered], function: Callable[[Answered], Any]) -> Future[Any]:
    """A future of ``function(answer)``, which is called in the I/O thread."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    answer.add_done_callback(partial(_pass_on, future, function))
    return future


def _pass_on(future: Future[Any], function: Callable[[Answered], Any], answer: Future[Answered]) -> None:
    error = answer.exception()
    if error is None:
        try:
            future.set_result(function(answer.result()))
            return
        except Exception as raised:
            error = raised
    future.set_exception(error)
