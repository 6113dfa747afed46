"""The front: the one socket that clients and engines dial, and who is behind each connection."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq

from ..errors import ClusterError, ProtocolError
from ..protocol.messages import Answer, Hello, Message
from ..protocol.sharing import can_open, inlined
from ..protocol.sockets import receive, send
from ..protocol.wire import Codec

#: After so many seconds without a sign of life the operating system asks whether a machine is still there.
KEEPALIVE = 30


class Front:
    """The ROUTER of a controller.

    Parameters
    ----------
    context
        The zmq context of the socket.
    path
        Where it listens, a Unix socket of mode 0600.
    key
        The secret of the cluster.
    """

    def __init__(self, context: zmq.Context[Any], path: Path, key: bytes):
        self.address = f"ipc://{path}"
        #: Who is behind an identity: the name of a client or the id of an engine.
        self.who: dict[bytes, str | int] = {}
        #: Those that can open shared memory of this process.
        self._sharing: set[bytes] = set()
        self._codec = Codec(key)
        self.socket: zmq.Socket[Any] = context.socket(zmq.ROUTER)
        self.socket.set_hwm(0)
        self.socket.linger = 1000
        self.socket.router_mandatory = True
        self.socket.bind(self.address)
        os.chmod(path, 0o600)

    def listen(self, ip: str, port: int) -> tuple[int, str]:
        """Listen for other machines too, encrypted, for whoever has the key that is returned (design, decision 12).

        Parameters
        ----------
        ip
            The address of an interface; "*": all of them.
        port
            0: any that is free.

        Returns
        -------
        tuple of int and str
            The port, and the public key of this controller.

        Raises
        ------
        ClusterError
            It is not possible.
        """
        public, secret = zmq.curve_keypair()
        # They hold for what is bound from here on: the Unix socket needs no encryption.
        self.socket.curve_server = True
        self.socket.curve_secretkey = secret
        self.socket.curve_publickey = public
        self.socket.tcp_keepalive = 1
        self.socket.tcp_keepalive_idle = KEEPALIVE
        self.socket.tcp_keepalive_intvl = KEEPALIVE
        # With data on its way nothing asks: it must not last longer than an idle connection, which has nine probes.
        self.socket.tcp_maxrt = 10 * KEEPALIVE * 1000
        try:
            self.socket.bind(f"tcp://{ip}:{port or '*'}")
        except zmq.ZMQError as error:
            raise ClusterError(f"the controller cannot listen on {ip}:{port}: {error}") from None
        bound = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        return int(bound.rpartition(":")[2]), public.decode()

    def receive(self, limit: int) -> Iterator[tuple[bytes, Message]]:
        """What has arrived, at most ``limit`` messages, with the identity of the sender. What is not signed is dropped."""
        for _ in range(limit):
            try:
                identity, *frames = receive(self.socket)
            except zmq.Again:
                return
            try:
                message = self._codec.decode(frames)
            except ProtocolError as error:
                print(f"dropped: {error}", file=sys.stderr, flush=True)
                continue
            if isinstance(message, Hello):
                self._sharing.intersection_update(self.who)
                if can_open(message.info.get("memory")):
                    # Of the same user and of the same process namespace: then it can open ours as well.
                    self._sharing.add(identity)
            yield identity, message

    def send(self, identity: bytes, message: Message) -> bool:
        """Send a message; whether there is still somebody behind ``identity``."""
        # Nobody acknowledges an Answer, so that its shared memory might be gone before it is opened.
        if identity not in self._sharing or isinstance(message, Answer):
            message = inlined(message)
        try:
            send(self.socket, [identity, *self._codec.encode(message)])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True

    def shares(self, identity: bytes) -> bool:
        """Whether the process behind an identity can open shared memory of this one, and the other way round."""
        return identity in self._sharing

    def client(self, identity: bytes) -> str | None:
        """The client behind an identity, if one is."""
        who = self.who.get(identity)
        return who if isinstance(who, str) else None

    def engine(self, identity: bytes) -> int | None:
        """The engine behind an identity, if one is."""
        who = self.who.get(identity)
        return who if isinstance(who, int) else None

    def close(self) -> None:
        self.socket.close()
