"""Four sockets for all kernels: shell, control and stdin ROUTERs, and one SUB for every iopub (design, decision 5).

Kernels bind and we connect, giving each peer its routing id: engine id and incarnation, never used twice, because libzmq
ends the process on a known one. Everything but iopub belongs to the thread that makes a Channels; iopub is drained by a
thread that does nothing else, since engines wait for their readers (``XPUB_NODROP``).

Whose an iopub message is, its topic does not say. Its header's session does: it is learnt from the kernel's first
answer, and chooses the key that verifies.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import zmq
from jupyter_client.session import DELIM, Session

#: How often a kernel that has not answered is asked again, in seconds: an iopub subscription takes time to settle.
GREETING_INTERVAL = 0.05


@dataclass(slots=True)
class Peer:
    """One incarnation of one kernel."""

    engine: int
    routing_id: bytes
    addresses: dict[str, str]
    session: Session
    #: The message ids of the kernel_info requests that are to prove that shell and iopub work.
    greetings: set[str] = field(default_factory=set)
    next_greeting: float = 0.0
    #: The channel on which it is greeted.
    greet_on: str = "shell"
    #: A request has not been answered: a busy kernel must not find hundreds of them.
    asked: bool = False
    answered: bool = False
    ready: bool = False


@dataclass(frozen=True, slots=True)
class KernelMessage:
    """What a kernel has sent. ``content`` is JSON, unread; ``size`` counts it and the buffers behind it.

    ``header`` and ``metadata`` are those of the Jupyter message.
    """

    engine: int
    msg_type: str
    parent: dict[str, Any]
    content: bytes
    buffers: Sequence[Any]
    header: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.content) + sum(map(len, self.buffers))


def _addresses(info: Mapping[str, Any]) -> dict[str, str]:
    separator = "-" if info["transport"] == "ipc" else ":"
    return {
        channel: f"{info['transport']}://{info['ip']}{separator}{info[f'{channel}_port']}"
        for channel in ("shell", "control", "stdin", "iopub")
    }


class Channels:
    """The channels of many kernels.

    Parameters
    ----------
    context
        The zmq context of the sockets.
    """

    def __init__(self, context: zmq.Context[Any]):
        self._context = context
        self._peers: dict[int, Peer] = {}
        #: Those that have not proved yet that their channels work.
        self._unready: dict[int, Peer] = {}
        self._by_routing_id: dict[bytes, Peer] = {}
        self._by_session: dict[str, Peer] = {}
        self._by_greeting: dict[str, Peer] = {}
        #: The channels that may have something to ``receive`` although their descriptor does not tell: it tells edges, and
        #: sending takes them away.
        self.pending: set[str] = set()
        #: Messages that were taken from their socket early, by channel: ``receive`` gives them first.
        self._early: dict[str, deque[list[bytes]]] = defaultdict(deque)
        identity = b"px-" + uuid.uuid4().hex[:12].encode()
        self.shell = self._router(identity)
        self.control = self._router(identity)
        # The same identity as the shell socket's: a kernel sends an input request to whoever sent the cell.
        self.stdin = self._router(identity)
        self.iopub: zmq.Socket[Any] = context.socket(zmq.PULL)
        self.iopub.set_hwm(0)
        name = uuid.uuid4().hex
        self.iopub.bind(f"inproc://iopub-{name}")
        self._orders: zmq.Socket[Any] = context.socket(zmq.PAIR)
        self._orders.bind(f"inproc://iopub-orders-{name}")
        self._drain = threading.Thread(target=_drain_iopub, args=(context, name), name="iopub", daemon=True)
        self._drain.start()

    def _router(self, identity: bytes) -> zmq.Socket[Any]:
        socket: zmq.Socket[Any] = self._context.socket(zmq.ROUTER)
        socket.set_hwm(0)
        socket.linger = 0
        socket.routing_id = identity
        socket.router_mandatory = True
        socket.reconnect_ivl = 10
        return socket

    # -- kernels ------------------------------------------------------------------------------------------------------

    def connect(
        self, engine: int, incarnation: int, info: Mapping[str, Any], now: float, greet_on: str = "shell"
    ) -> None:
        """Connect to a kernel and start greeting it on one channel; ``greet`` and ``receive`` go on with that."""
        key = info["key"]
        session = Session(key=key.encode() if isinstance(key, str) else key, username="pxkernel")
        session.signature_scheme = info.get("signature_scheme", "hmac-sha256")
        peer = Peer(engine, f"{engine}.{incarnation}".encode(), _addresses(info), session, next_greeting=now, greet_on=greet_on)
        for channel in ("shell", "control", "stdin"):
            socket = getattr(self, channel)
            socket.setsockopt(zmq.CONNECT_ROUTING_ID, peer.routing_id)
            socket.connect(peer.addresses[channel])
            self.pending.add(channel)
        self._orders.send_multipart([b"connect", peer.addresses["iopub"].encode()])
        self._peers[engine] = self._by_routing_id[peer.routing_id] = self._by_session[session.session] = peer
        self._unready[engine] = peer
        self.greet(now)

    def disconnect(self, engine: int) -> None:
        peer = self._peers.pop(engine, None)
        if peer is None:
            return
        self._unready.pop(engine, None)
        for channel in ("shell", "control", "stdin"):
            socket = getattr(self, channel)
            self._early[channel].extend(_take_out(socket))
            socket.disconnect(peer.addresses[channel])
            self.pending.add(channel)
        self._orders.send_multipart([b"disconnect", peer.addresses["iopub"].encode()])
        del self._by_routing_id[peer.routing_id]
        for table in (self._by_session, self._by_greeting):
            for name in [name for name, other in table.items() if other is peer]:
                del table[name]

    def greet(self, now: float) -> float | None:
        """Ask the kernels that are not ready yet; returns when to call again, None: not needed."""
        if not self._unready:
            return None
        waiting = [peer for peer in self._unready.values() if not peer.asked]
        for peer in waiting:
            if now >= peer.next_greeting:
                msg_id = uuid.uuid4().hex
                peer.greetings.add(msg_id)
                self._by_greeting[msg_id] = peer
                peer.next_greeting = now + GREETING_INTERVAL
                peer.asked = True
                self.send(peer.engine, peer.greet_on, "kernel_info_request", {}, msg_id)
        return min((peer.next_greeting for peer in waiting if not peer.asked), default=None)

    def send(
        self,
        engine: int,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        msg_id: str,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[Any] = (),
    ) -> None:
        """Send a request to a kernel; ``msg_id`` comes back as the parent of everything that it causes."""
        peer = self._peers[engine]
        message = peer.session.msg(msg_type, content, metadata=metadata)
        message["header"]["msg_id"] = message["msg_id"] = msg_id
        frames = peer.session.serialize(message)
        self.pending.add(channel)
        try:
            getattr(self, channel).send_multipart([peer.routing_id, *frames, *buffers])
        except zmq.ZMQError as error:
            # The kernel is gone; whoever watches its process tells.
            if error.errno != zmq.EHOSTUNREACH:
                raise

    # -- what comes back ----------------------------------------------------------------------------------------------

    def descriptors(self) -> dict[str, int]:
        """By channel, what to wait for: when it is readable, ``receive``."""
        return {channel: getattr(self, channel).getsockopt(zmq.FD) for channel in ("shell", "control", "stdin", "iopub")}

    def receive(self, channel: str, limit: int = 200) -> Iterator[KernelMessage | int]:
        """What has arrived on ``channel``, at most ``limit`` messages: a message, or the id of an engine that is ready.

        Messages with a wrong signature, and those of kernels that are not connected any more, are dropped.
        """
        socket = getattr(self, channel)
        early = self._early[channel]
        self.pending.add(channel)
        for _ in range(limit):
            try:
                frames = early.popleft() if early else socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self.pending.discard(channel)
                return
            if channel == "iopub":
                yield from self._received(self._iopub_peer(frames), frames)
            else:
                yield from self._received(self._by_routing_id.get(frames[0]), frames)

    def _iopub_peer(self, frames: Sequence[bytes]) -> Peer | None:
        try:
            start = frames.index(DELIM)
            header, parent = json.loads(frames[start + 2]), json.loads(frames[start + 3])
        except (ValueError, IndexError):
            return None
        # What a request of ours has caused says so: our sessions differ. The kernel's own need not.
        asked = self._by_session.get(parent.get("session"))
        return asked or self._by_session.get(header.get("session")) or self._by_greeting.get(parent.get("msg_id"))

    def _received(self, peer: Peer | None, frames: Sequence[bytes]) -> Iterator[KernelMessage | int]:
        if peer is None or DELIM not in frames:
            return
        try:
            message = peer.session.deserialize(list(frames[frames.index(DELIM) + 1 :]), content=False)
        except ValueError:
            return
        self._by_session[message["header"]["session"]] = peer
        parent = message["parent_header"]
        if parent.get("msg_id") in peer.greetings:
            yield from self._greeted(peer, message)
            return
        yield KernelMessage(
            peer.engine,
            message["msg_type"],
            parent,
            message["content"],
            message["buffers"],
            message["header"],
            message["metadata"],
        )

    def _greeted(self, peer: Peer, message: dict[str, Any]) -> Iterator[int]:
        if message["msg_type"] == "kernel_info_reply":
            peer.answered = True
            peer.asked = False
            return
        is_idle = message["msg_type"] == "status" and b'"idle"' in message["content"]
        if is_idle and peer.answered and not peer.ready:
            peer.ready = True
            self._unready.pop(peer.engine, None)
            for msg_id in peer.greetings:
                del self._by_greeting[msg_id]
            yield peer.engine

    def close(self) -> None:
        """Close the sockets and end the thread."""
        if self._drain.is_alive():
            self._orders.send_multipart([b"stop"])
            self._drain.join(5)
        for socket in (self.shell, self.control, self.stdin, self.iopub, self._orders):
            socket.close(linger=0)


def _take_out(socket: zmq.Socket[Any], **options: Any) -> list[list[Any]]:
    """What must be received before ``socket`` is disconnected: a message or none.

    Asked whether something has come, a ROUTER and a SUB take the first frame of a message out of its pipe. When the pipe
    goes, libzmq misses the others and ends the process (its issues 2163 and 3485). After a message has been received
    there is no such frame.
    """
    try:
        return [socket.recv_multipart(zmq.NOBLOCK, **options)]
    except zmq.Again:
        return []


def _drain_iopub(context: zmq.Context[Any], name: str) -> None:
    """The body of the thread that reads every iopub."""
    subscriber: zmq.Socket[Any] = context.socket(zmq.SUB)
    subscriber.set_hwm(0)
    subscriber.linger = 0
    subscriber.reconnect_ivl = 10
    subscriber.subscribe(b"")
    out: zmq.Socket[Any] = context.socket(zmq.PUSH)
    out.set_hwm(0)
    out.linger = 0
    out.connect(f"inproc://iopub-{name}")
    orders: zmq.Socket[Any] = context.socket(zmq.PAIR)
    orders.connect(f"inproc://iopub-orders-{name}")
    poller = zmq.Poller()
    poller.register(subscriber, zmq.POLLIN)
    poller.register(orders, zmq.POLLIN)
    while True:
        ready = dict(poller.poll())
        if orders in ready:
            order, *address = orders.recv_multipart()
            if order == b"stop":
                break
            for message in _take_out(subscriber, copy=False):
                out.send_multipart(message, copy=False)
            getattr(subscriber, order.decode())(address[0].decode())
            continue
        if subscriber in ready:
            out.send_multipart(subscriber.recv_multipart(copy=False), copy=False)
    for socket in (subscriber, out, orders):
        socket.close(linger=0)
