"""What an engine says of a task that it has finished: to the controller, and to its client as well where that saves time.

On iopub it says that the output of its tasks is complete.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Sequence
from typing import Any

from ..protocol.mailbox import LONGEST, MAILBOX, Mailer
from ..protocol.messages import Finished
from ..protocol.sharing import Shared
from ..protocol.stream import Piece, pieces
from ..protocol.wire import Codec
from .parents import header_of


class Reporter:
    """Reports the ends of tasks (``protocol.mailbox``).

    Parameters
    ----------
    kernel
        The ipykernel kernel of this process.
    session
        The name of this engine in the headers of its tasks.
    codec
        Of the cluster.
    sockets
        The directory of the cluster's sockets.
    send
        Sends a message to the controller.
    """

    def __init__(
        self, kernel: Any, session: str, codec: Codec, sockets: str, send: Callable[[Sequence[Piece]], None]
    ):
        self._kernel = kernel
        self._session = session
        self._codec = codec
        self._send = send
        self._mailer = Mailer(sockets)

    def report(self, task: str, record: dict[str, Any], frames: Any, options: Container[str] = ()) -> None:
        """Report a task.

        Parameters
        ----------
        record, frames
            As in ``protocol.messages.Finished``.
        options
            Those of its call.
        """
        report = Finished([[task, record]], (frames,))
        if MAILBOX in options and _as_it_is(record, frames):
            record["mailed"] = True
            message = pieces(self._codec.encode(report))
            if len(message) == 1 and self._mailer.send(task.partition(":")[0], message[0][0]):
                self._send(message)
                return
            del record["mailed"]
        self._send(pieces(self._codec.encode(report)))

    def settle(self, last: str) -> None:
        """Flush the streams, and say that the output of the tasks up to ``last`` is complete."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent = {"header": header_of(last, self._session)}
        topic = f"kernel.{self._kernel.ident}.status".encode()
        self._kernel.session.send(
            self._kernel.iopub_socket, "status", {"execution_state": "idle"}, parent=parent, ident=topic
        )

    def close(self) -> None:
        self._mailer.close()


def _as_it_is(record: dict[str, Any], frames: Any) -> bool:
    """Whether the controller would only pass this on, and it is short."""
    passed_on = record["status"] == "ok" and "quiet" in record and "failures" not in record
    return passed_on and not isinstance(frames, Shared) and sum(map(len, frames)) < LONGEST
