"""Results that go straight from an engine to a client on the same machine, beside their connections to the controller.

A client has a mailbox, a datagram socket in the cluster's directory, and may say so in the options of a call. An engine that
has finished such a task sends its report to both: to the mailbox, and with the note ``mailed`` to the controller, which
passes it on to nobody. Whoever waits has it one hop earlier.

Rule 1. The controller knows everything all the same, and a report that the mailbox does not take at once (it is full, the
client has gone, the report is long) goes the usual way. Rule 2. Nothing is overtaken: a call may be answered so if it names
one engine (that of a balanced call may be news to its client) and nothing else of its client is under way when it is made. Many
calls travel faster together anyway. Rule 3. Only what the controller would pass on unchanged is mailed: results that are no
errors, of tasks without output and without a time limit. Rule 4. A client may have a result before the controller knows of it.
It names such tasks in its questions (``Ask.after``), which the controller answers when it does.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

from ..errors import ProtocolError
from .forks import close_in_children
from .stream import only_message

#: The option of a call that says that its client has a mailbox.
MAILBOX = "mailbox"
#: Longer messages are not mailed, in bytes: what is long gains nothing.
LONGEST = 32 * 1024
#: How many messages are received at a time; the system keeps some ten for a mailbox, some hundred at most.
MOST = 1000


class Mailbox:
    """Where a client gets results.

    Parameters
    ----------
    sockets
        The directory of the cluster's sockets.
    client
        The name of the client.

    Raises
    ------
    OSError
        The directory has just gone.
    """

    def __init__(self, sockets: str, client: str):
        self._path = _path(sockets, client)
        self._pid = os.getpid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(self._path)
            os.chmod(self._path, 0o600)
        except OSError:
            self._socket.close()
            raise
        close_in_children(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[list[Any]]:
        """The frames of the messages that are there; what is no message is dropped."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST):
                data = self._socket.recv(LONGEST)
                with contextlib.suppress(ProtocolError):
                    messages.append(only_message(data))
        return messages

    def close(self) -> None:
        self._socket.close()
        if os.getpid() == self._pid:
            Path(self._path).unlink(missing_ok=True)


class Mailer:
    """Puts messages into the mailboxes of a cluster's clients."""

    def __init__(self, sockets: str):
        self._sockets = sockets
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        close_in_children(self)

    def send(self, client: str, message: bytes) -> bool:
        """Put a message, in one piece, into the mailbox of a client; whether it is there."""
        if len(message) > LONGEST:
            return False
        try:
            self._socket.sendto(message, _path(self._sockets, client))
        except OSError:
            # It is full, or nobody reads it any more.
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def remove(sockets: str, client: str) -> None:
    """Remove what the mailbox of a client that was killed has left."""
    if client.isalnum():
        Path(_path(sockets, client)).unlink(missing_ok=True)


def remove_all(sockets: str) -> None:
    """Remove what the mailboxes of all clients have left."""
    for path in Path(sockets).glob(Path(_path("", "*")).name):
        path.unlink(missing_ok=True)


def _path(sockets: str, client: str) -> str:
    return f"{sockets}/mail-{client}"
