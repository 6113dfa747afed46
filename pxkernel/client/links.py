"""The two ways to a controller: a stream on its own machine, an encrypted zmq socket from another one."""

from __future__ import annotations

import select
from collections.abc import Sequence
from select import POLLIN, POLLOUT
from typing import Any, Protocol

import zmq

from ..protocol.clusterfile import ClusterFile
from ..protocol.mailbox import Mailbox
from ..protocol.sockets import COPIED, notice_the_end, receive, send
from ..protocol.stream import Stream, pieces
from .tracking import SendTracker


class Link(Protocol):
    """A connection to a controller. One thread waits, receives and sends."""

    def send(self, frames: Sequence[Any], trackers: Sequence[SendTracker] = ()) -> None:
        """Send a message; what does not go at once is left to ``flush``, what cannot be sent any more is dropped."""

    def flush(self) -> bool:
        """Send what has not gone; whether all has."""

    def wait(self, wake: int, timeout: float | None, mailbox: Mailbox | None = None) -> tuple[bool, bool, bool, bool]:
        """Wait until the descriptor ``wake``, ``mailbox`` or this can be read, or more can be sent, at most ``timeout`` seconds.

        Whether ``wake`` can be read, whether ``mailbox`` can, whether there is more to ``flush``, and whether this can be read.
        """

    def receive(self) -> list[list[Any]]:
        """The messages that have come.

        Raises
        ------
        EOFError
            The controller has gone.
        ProtocolError
            Whoever is there is no controller.
        """

    def close(self, linger: int) -> None:
        """Close it when what was sent has gone, ``linger`` milliseconds from now at the latest (negative: never)."""


class LocalLink:
    """To a controller on this machine; any thread may send, one at a time.

    Raises
    ------
    OSError
        Nobody listens at ``address``.
    """

    def __init__(self, address: str):
        self._stream = Stream.connect(address)
        #: Takes the ``pieces`` of a message over, as ``Stream.take``; ``flush`` sends them.
        self.take = self._stream.take
        self._descriptor = self._stream.fileno()
        self._poll = select.poll()
        #: What is waited for, by descriptor.
        self._waited_for: dict[int, int] = {}

    def send(self, frames: Sequence[Any], trackers: Sequence[SendTracker] = ()) -> None:
        def sent() -> None:
            for tracker in trackers:
                tracker.hand_over()

        self.take(pieces(frames, sent if trackers else None))
        self.flush()

    def flush(self) -> bool:
        try:
            return self._stream.flush()
        except OSError:
            # Who receives will see its end.
            self._stream.drop()
            return True

    def wait(self, wake: int, timeout: float | None, mailbox: Mailbox | None = None) -> tuple[bool, bool, bool, bool]:
        wanted = {wake: POLLIN, self._descriptor: POLLIN | POLLOUT if self._stream.unsent else POLLIN}
        mail = -1 if mailbox is None else mailbox.fileno()
        if mail >= 0:
            wanted[mail] = POLLIN
        if wanted != self._waited_for:
            for descriptor, events in wanted.items():
                self._poll.register(descriptor, events)
            self._waited_for = wanted
        ready = dict(self._poll.poll(None if timeout is None else timeout * 1000))
        events = ready.get(self._descriptor, 0)
        return wake in ready, mail in ready, bool(events & POLLOUT), bool(events & ~POLLOUT)

    def receive(self) -> list[list[Any]]:
        try:
            return self._stream.receive()
        except EOFError:
            raise EOFError("the controller has ended") from None

    def close(self, linger: int) -> None:
        try:
            self._stream.finish(None if linger < 0 else linger / 1000)
        except OSError:
            pass
        self._stream.drop()
        self._stream.close()


class RemoteLink:
    """To a controller on another machine, and only to the one that has the secret half of its key (design, decision 12)."""

    def __init__(self, cluster: ClusterFile):
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        self._socket.set_hwm(0)
        self._socket.curve_serverkey = (cluster.curve_serverkey or "").encode()
        self._socket.curve_publickey, self._socket.curve_secretkey = zmq.curve_keypair()
        notice_the_end(self._socket)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(cluster.endpoint)
        self._broken = False

    def send(self, frames: Sequence[Any], trackers: Sequence[SendTracker] = ()) -> None:
        tracker = None
        if trackers:
            # Of a message in several parts pyzmq itself would track the last part only.
            frames = [frame if len(frame) < COPIED else zmq.Frame(frame, track=True) for frame in frames]
            tracker = zmq.MessageTracker(*(frame for frame in frames if isinstance(frame, zmq.Frame)))
        send(self._socket, frames)
        for waiting in trackers:
            waiting.hand_over(tracker)

    def flush(self) -> bool:
        return True  # zmq sends

    def wait(self, wake: int, timeout: float | None, mailbox: Mailbox | None = None) -> tuple[bool, bool, bool, bool]:
        poller = zmq.Poller()
        for source in (self._socket, self._monitor, wake):
            poller.register(source, zmq.POLLIN)
        ready = dict(poller.poll(None if timeout is None else timeout * 1000))
        if self._monitor in ready:
            self._monitor.recv_multipart()
            self._broken = True
        return wake in ready, False, False, self._broken or self._socket in ready

    def receive(self) -> list[list[Any]]:
        messages: list[list[Any]] = []
        while True:
            try:
                messages.append(receive(self._socket))
            except zmq.Again:
                break
        if self._broken and not messages:
            # A new connection would be that of somebody whom the controller does not know.
            raise EOFError("the connection to the controller was lost")
        return messages

    def close(self, linger: int) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger)
        self._context.term()
