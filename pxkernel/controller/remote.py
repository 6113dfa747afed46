"""Clients on other machines: where they find the controller, and how it is known that they are gone.

Nobody here sees the end of their process. Its machine closes the connection, or the operating system finds out that the
machine is gone; but a ROUTER tells only whoever sends. So something small is sent now and then.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..protocol.messages import Ack, Message
from .keys import Keys
from .settings import Settings

#: How often something is sent, in seconds.
INTERVAL = 5.0


def listen_for_others(listen: Callable[[str, int, Keys], int], settings: Settings, keys: Keys) -> dict[str, str]:
    """Listen for other machines, with ``Front.listen``, if the user wants that; what the cluster file says about it.

    The keys and the port are kept for the next time if the user wants that, too (features CTL-08).

    Raises
    ------
    ClusterError
        It is not possible.
    """
    port = 0 if settings.ip is None else listen(settings.ip, settings.port or keys.port, keys)
    if settings.keys is not None:
        keys.keep(settings.keys, port)
    if settings.ip is None:
        return {}
    location = settings.location or (socket.gethostname() if _is_interface(settings.ip) else settings.ip)
    return {"url": f"tcp://{location}:{port}", "curve_serverkey": keys.public}


def _is_interface(ip: str) -> bool:
    """Whether it stands for one interface or all of them, which tells others nothing."""
    return ip in ("*", "0.0.0.0") or ip in {name for _, name in socket.if_nameindex()}


class RemoteClients:
    """The clients on other machines.

    Parameters
    ----------
    send
        ``send(client, message)`` notices when there is nobody any more.
    """

    def __init__(self, send: Callable[[str, Message], None]):
        self._send = send
        self._clients: set[str] = set()
        self._next = 0.0

    def add(self, client: str) -> None:
        self._clients.add(client)

    def remove(self, client: str) -> None:
        self._clients.discard(client)

    def check(self, now: float) -> float | None:
        """Send to each of them, if it is time; returns when to call again, None: there is nobody."""
        if not self._clients:
            return None
        if now >= self._next:
            self._next = now + INTERVAL
            for client in list(self._clients):
                self._send(client, Ack(0))
        return self._next if self._clients else None
