"""The front: where clients and engines dial in, and who is behind each connection.

From this machine they come through a Unix socket, one stream each; from others, if the user wants that, through one
ROUTER, encrypted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import selectors
import socket
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import zmq

from ..errors import ClusterError, ProtocolError
from ..protocol.messages import Answer, Finished, Hello, Message, Refused
from ..protocol.sharing import can_open, inlined
from ..protocol.sockets import notice_the_end, receive, send
from ..protocol.stream import Stream, pieces, wait
from ..protocol.wire import Codec
from .keys import Keys

#: How long another machine may take to prove that it has the key, in seconds.
HANDSHAKE = 5
#: How long what was sent last may take to leave at the end, in seconds.
LINGER = 1.0
#: How many may be dialling at once.
BACKLOG = 4096
#: How many messages of other machines are taken before somebody else gets a turn.
TURN = 200


class Peer(Protocol):
    """One connection of a client or an engine. It can be a key: it is equal to itself only."""

    def send(self, frames: Sequence[Any]) -> bool:
        """Send a message; whether there is still somebody."""


class LocalPeer:
    """Somebody of this machine."""

    def __init__(self, stream: Stream, selector: selectors.BaseSelector, read: Callable[[LocalPeer], None]):
        self.stream = stream
        self._selector = selector
        self._read = read
        self._gone = False
        #: Whether the selector is to tell when more can be sent.
        self._waits = False
        selector.register(stream, selectors.EVENT_READ, self._ready)

    def _ready(self, events: int) -> None:
        if self.stream.fileno() < 0:
            # It was closed after the selector saw this.
            return
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ:
            self._read(self)

    def send(self, frames: Sequence[Any]) -> bool:
        if not self._gone:
            self.stream.take(pieces(frames))
            self._flush()
        return not self._gone

    def _flush(self) -> None:
        try:
            done = self.stream.flush()
        except OSError:
            # What it has sent before it went is still to be read.
            self._gone = done = True
        if done is self._waits:
            self._waits = not done
            events = selectors.EVENT_READ if done else selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(self.stream, events, self._ready)

    def close(self) -> None:
        self._gone = True
        self._selector.unregister(self.stream)
        self.stream.close()


class RemotePeer:
    """Somebody of another machine."""

    def __init__(self, router: zmq.Socket[Any], identity: bytes):
        self._router = router
        self._identity = identity

    def send(self, frames: Sequence[Any]) -> bool:
        try:
            send(self._router, [self._identity, *frames])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True


class Front:
    """Where a controller listens.

    Parameters
    ----------
    path
        Of the Unix socket, which gets the mode 0600.
    key
        The secret of the cluster.
    selector
        Of the main loop, which calls the data of what is ready with the events.
    on_message, on_gone
        Called with a peer and what it says, and when a peer has gone.
    """

    def __init__(
        self,
        path: Path,
        key: bytes,
        selector: selectors.BaseSelector,
        on_message: Callable[[Peer, Message], None],
        on_gone: Callable[[Peer], None],
    ):
        self.address = f"ipc://{path}"
        #: Who is behind a connection: the name of a client or the id of an engine.
        self.who: dict[Peer, str | int] = {}
        #: Those that can open shared memory of this process.
        self._sharing: set[Peer] = set()
        self._codec = Codec(key)
        self._selector = selector
        self._on_message = on_message
        self._on_gone = on_gone
        self._local: set[LocalPeer] = set()
        #: By identity; nobody but ``who`` keeps them.
        self._remote: WeakValueDictionary[bytes, RemotePeer] = WeakValueDictionary()
        self._router: zmq.Socket[Any] | None = None
        #: Whether other machines may have sent something: the descriptor of the ROUTER tells edges, and sending takes them away.
        self.pending = False
        #: Closed to refuse who dials when there are no descriptors left.
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        os.chmod(path, 0o600)
        self._listener.listen(BACKLOG)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def listen(self, context: zmq.Context[Any], ip: str, port: int, keys: Keys) -> int:
        """Listen for other machines too, encrypted, for whoever has the public key (design, decision 12); the port.

        Parameters
        ----------
        context
            Of the socket.
        ip
            The address of an interface; "*": all of them.
        port
            0: any that is free.
        keys
            The CURVE keys among them.

        Raises
        ------
        ClusterError
            It is not possible.
        """
        router: zmq.Socket[Any] = context.socket(zmq.ROUTER)
        router.set_hwm(0)
        router.router_mandatory = True
        # What a stranger sends is kept until then.
        router.handshake_ivl = HANDSHAKE * 1000
        router.curve_server = True
        router.curve_secretkey = keys.secret.encode()
        router.curve_publickey = keys.public.encode()
        notice_the_end(router)
        try:
            router.bind(f"tcp://{ip}:{port or '*'}")
        except zmq.ZMQError as error:
            router.close(linger=0)
            raise ClusterError(f"the controller cannot listen on {ip}:{port}: {error}") from None
        self._router = router
        self._selector.register(router.getsockopt(zmq.FD), selectors.EVENT_READ, self._remote_ready)
        bound = router.getsockopt_string(zmq.LAST_ENDPOINT)
        return int(bound.rpartition(":")[2])

    # -- what comes ---------------------------------------------------------------------------------------------------

    def _accept(self, events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._refuse()
                raise
            # It has gone meanwhile.
            return
        self._local.add(LocalPeer(Stream(connection), self._selector, self._read))

    def _refuse(self) -> None:
        """Close the connection of whoever dials, for which there is no descriptor: it would be ready for ever."""
        spare, self._spare = self._spare, -1
        with contextlib.suppress(OSError):
            if spare >= 0:
                os.close(spare)
                self._listener.accept()[0].close()
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def drain(self, peer: Peer | None) -> None:
        """Take all that has come from a peer whose process has ended."""
        end = time.monotonic() + LINGER
        # What it has said last may end the connection here.
        while isinstance(peer, LocalPeer) and peer in self._local and time.monotonic() < end:
            if not wait(peer.stream, select.POLLIN, 0.0):
                break
            self._read(peer)

    def _read(self, peer: LocalPeer) -> None:
        """Take what has come from a peer that is connected. What is not signed is dropped."""
        try:
            arrived = peer.stream.receive()
        except (EOFError, ProtocolError) as reason:
            if isinstance(reason, ProtocolError):
                print(f"dropped: {reason}", file=sys.stderr, flush=True)
                self.send(peer, Refused(f"the controller cannot understand you: {reason}"))
            self._drop(peer)
            self._on_gone(peer)
            return
        messages = [message for frames in arrived if (message := self._decoded(peer, frames)) is not None]
        for message in together(messages):
            self._on_message(peer, message)

    def _drop(self, peer: LocalPeer) -> None:
        self._local.discard(peer)
        self._sharing.discard(peer)
        peer.close()

    def forget(self, peer: Peer | None) -> None:
        """Hear no more of a peer."""
        if peer is not None:
            self.who.pop(peer, None)
        if isinstance(peer, LocalPeer) and peer in self._local:
            self._drop(peer)

    def _remote_ready(self, events: int) -> None:
        self.pending = True

    def read_remote(self) -> None:
        """Take what has come from other machines; call it before waiting while something is ``pending``."""
        self.pending = False
        if self._router is None:
            return
        for _ in range(TURN):
            try:
                identity, *frames = receive(self._router)
            except zmq.Again:
                return
            peer = self._remote.get(identity) or RemotePeer(self._router, identity)
            self._remote[identity] = peer
            if (message := self._decoded(peer, frames)) is not None:
                self._on_message(peer, message)
        self.pending = True

    def _decoded(self, peer: Peer, frames: Sequence[Any]) -> Message | None:
        """What a peer says; None if it is not signed."""
        try:
            message = self._codec.decode(frames)
        except ProtocolError as error:
            print(f"dropped: {error}", file=sys.stderr, flush=True)
            return None
        if isinstance(message, Hello) and can_open(message.info.get("memory")):
            # Of the same user and of the same process namespace: then it can open ours as well.
            self._sharing.add(peer)
        return message

    # -- what goes ----------------------------------------------------------------------------------------------------

    def send(self, peer: Peer, message: Message) -> bool:
        """Send a message; whether there is still somebody."""
        # Nobody acknowledges an Answer, so that its shared memory might be gone before it is opened.
        if peer not in self._sharing or isinstance(message, Answer):
            message = inlined(message)
        self.pending = self.pending or self._router is not None
        return peer.send(self._codec.encode(message))

    def shares(self, peer: Peer) -> bool:
        """Whether the process behind a connection can open shared memory of this one, and the other way round."""
        return peer in self._sharing

    def client(self, peer: Peer) -> str | None:
        """The client behind a connection, if one is."""
        who = self.who.get(peer)
        return who if isinstance(who, str) else None

    def engine(self, peer: Peer) -> int | None:
        """The engine behind a connection, if one is."""
        who = self.who.get(peer)
        return who if isinstance(who, int) else None

    def close(self) -> None:
        """Stop listening. What was sent last is given a second to leave."""
        self._selector.unregister(self._listener)
        self._listener.close()
        if self._spare >= 0:
            os.close(self._spare)
        end = time.monotonic() + LINGER
        for peer in self._local:
            with contextlib.suppress(OSError):
                peer.stream.finish(end - time.monotonic())
            peer.close()
        if self._router is not None:
            self._router.close(int(LINGER * 1000))


def together(messages: Sequence[Message]) -> list[Message]:
    """The same messages of one peer, but reports of finished tasks that follow each other as one.

    An engine reports a task as soon as it has finished it. When several reports have come meanwhile they cost less together.
    """
    if len(messages) < 2:
        return list(messages)
    found: list[Message] = []
    for cls, group in groupby(messages, type):
        several = list(group)
        if cls is Finished and len(several) > 1:
            results, payloads = map(chain.from_iterable, zip(*several, strict=True))
            several = [Finished(list(results), tuple(payloads))]
        found += several
    return found
