"""One question to a controller, by somebody who wants nothing else of it: ``Cluster``, while no Client is connected."""

from __future__ import annotations

import builtins
import contextlib
import uuid
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .. import errors
from ..protocol.clusterfile import ClusterFile
from ..protocol.messages import Answer, Message
from .connection import Connection
from .questions import Questions

if TYPE_CHECKING:
    from .client import Client

#: How long the controller may take to answer at all, in seconds.
CONNECT_TIMEOUT = 10.0


def inquire(cluster: ClusterFile, topic: str, timeout: float | None, **arguments: Any) -> Any:
    """Ask, and wait for the answer.

    Parameters
    ----------
    topic, arguments
        What a handler of the controller expects (``controller.questions``); JSON values.
    timeout
        Seconds; None: as long as it takes.

    Raises
    ------
    ClusterError
        There is no controller any more.
    EngineError
        It has ended before it answered.
    TimeoutError
        It did not answer within ``timeout`` seconds.
    Exception
        What the controller's handler has raised.
    """
    lost: list[str] = []

    def on_message(message: Message) -> None:
        if isinstance(message, Answer):
            questions.answered(message)

    def on_lost(reason: str) -> None:
        lost.append(reason)
        questions.lost(reason)

    connection = Connection(cluster, uuid.uuid4().hex[:12], on_message, on_lost)
    questions = Questions(connection.send, cluster.directory)
    connection.open(CONNECT_TIMEOUT)
    try:
        answer = questions.ask(topic, arguments)
        if lost:
            # Before the question was put.
            questions.lost(lost[0])
        if not wait([answer], timeout).done:
            raise TimeoutError(f"the controller did not answer {topic!r} in {timeout:g} seconds")
        return answer.result()[0]
    except errors.RemoteError as error:
        raise _own(error) from None
    finally:
        connection.close()


#: The clients of this process.
clients: WeakSet[Client] = WeakSet()


def catch_up(directory: str) -> None:
    """Return when the controller has what these clients have submitted so far, and they what it has told them.

    Each has a connection of its own: without that, what was submitted before a restart could come after it, and a view of all
    engines made after it could still lack the new one.
    """
    for client in list(clients):
        if client.directory == directory and not client.closed and not client.in_io_thread:
            # One that has just been closed, that a fork has copied, or whose controller has ended, has nothing to say.
            with contextlib.suppress(RuntimeError, errors.EngineError, TimeoutError):
                client.ask("acknowledge", CONNECT_TIMEOUT)


def _own(error: errors.RemoteError) -> Exception:
    """The exception itself: it is Python's or ours, and no code of the user's has raised it on an engine."""
    kind = getattr(builtins, error.ename, None) or getattr(errors, error.ename, errors.PxkernelError)
    return kind(error.evalue)  # type: ignore[no-any-return]
