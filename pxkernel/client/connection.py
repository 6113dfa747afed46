"""The connection to a controller: one socket in one background thread.

Calls are made in any thread: they put a message on a queue and wake the I/O thread. What arrives is given to the handler
in the I/O thread, which therefore must not block.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from ..errors import ClusterError, ProtocolError
from ..protocol.clusterfile import ClusterFile
from ..protocol.credit import LIMIT
from ..protocol.messages import (
    Abort,
    Ack,
    Hello,
    Interrupt,
    Leave,
    Message,
    Outputs,
    Payload,
    Refused,
    Results,
    Submit,
    Welcome,
)  # fmt: skip
from ..protocol.pack import detached
from ..protocol.sharing import is_shared, probe, share, size
from ..protocol.sockets import COPIED, receive, send
from ..protocol.wire import Codec
from .backlog import Backlog
from .tracking import SendTracker

#: After so many seconds without a sign of life the operating system asks whether the controller's machine is still there.
KEEPALIVE = 30


class Connection:
    """One client's connection.

    Parameters
    ----------
    cluster
        Where the controller listens.
    session
        The name of this client, the first part of its task ids.
    on_message
        Called in the I/O thread with every message that arrives.
    on_lost
        Called once, in the I/O thread, with the reason, when the controller is gone.
    """

    def __init__(
        self,
        cluster: ClusterFile,
        session: str,
        on_message: Callable[[Message], None],
        on_lost: Callable[[str], None],
    ):
        self._cluster = cluster
        self._session = session
        self._on_message = on_message
        self._on_lost = on_lost
        self._codec = Codec(bytes.fromhex(cluster.key))
        self._outgoing: deque[tuple[Message, SendTracker | None]] = deque()
        self._backlog = Backlog()
        #: Bytes of results (False) and of output (True) that were received and not yet acknowledged.
        self._unacknowledged = {False: 0, True: 0}
        self._woken = False
        self._pipe_lock = threading.Lock()
        self._closing = False
        self._linger = 1000
        self._lost = False
        #: Whether the connection has broken and it is not certain yet that the controller has ended.
        self._broken = False
        self._pid = os.getpid()
        #: Whether the controller opens shared memory of this process.
        self.shares = False

    def open(self, timeout: float) -> Welcome:
        """Connect and wait for the controller's answer.

        Raises
        ------
        TimeoutError
            It did not answer within ``timeout`` seconds.
        ClusterError
            It refused, or has just ended.
        """
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        self._socket.set_hwm(0)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        remote = self._cluster.endpoint == self._cluster.url
        if remote:
            self._encrypt()
        self._socket.connect(self._cluster.endpoint)
        proof = probe()
        info = {"memory": proof and proof[0].hex(), "remote": remote}
        send(self._socket, self._codec.encode(Hello("client", self._session, os.getpid(), None, info)))
        end = time.monotonic() + timeout
        # It may end just now: then nobody will answer.
        while not (came := self._socket.poll(100)) and time.monotonic() < end and self._cluster.alive():
            pass
        answer = self._codec.decode(receive(self._socket)) if came else None
        if not isinstance(answer, Welcome):
            self._destroy()
            if answer is None and not self._cluster.alive():
                raise ClusterError(f"the cluster of {self._cluster.path} has just ended")
            if answer is None:
                raise TimeoutError(f"the controller of {self._cluster.path} did not answer in {timeout:g} s")
            raise ClusterError(f"the controller refuses: {getattr(answer, 'reason', answer)}")
        self.shares = bool(answer.info.get("memory"))
        self._wake_read, self._wake_write = os.pipe()
        self._close_pipe = weakref.finalize(self, _close, self._wake_read, self._wake_write)
        # At exit the thread may still be running.
        self._close_pipe.atexit = False
        self._thread = threading.Thread(target=self._run, name="pxkernel-client", daemon=True)
        self._thread.start()
        return answer

    def _encrypt(self) -> None:
        """Only with the controller that has the secret half of its key (design, decision 12)."""
        self._socket.curve_serverkey = (self._cluster.curve_serverkey or "").encode()
        self._socket.curve_publickey, self._socket.curve_secretkey = zmq.curve_keypair()
        self._socket.tcp_keepalive = 1
        self._socket.tcp_keepalive_idle = self._socket.tcp_keepalive_intvl = KEEPALIVE
        # With data on its way nothing asks: it must not last longer than an idle connection, which has nine probes.
        self._socket.tcp_maxrt = 10 * KEEPALIVE * 1000

    def send(self, message: Message, tracker: SendTracker | None = None) -> None:
        """Send a message; submissions wait here while the controller has no room for them.

        With a ``tracker`` large frames are sent without a copy, and it tells when they have left.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("a Client cannot be used in a forked process: make a new one there")
        self._outgoing.append((message, tracker))
        # A Ctrl-C between the next two lines leaves it woken in name only, and is followed by an Interrupt.
        if not self._woken or isinstance(message, Interrupt):
            self._woken = True
            self._wake()

    def prepared(self, payload: Payload, copy: bool) -> Payload:
        """A payload for a Submit: its buffers in shared memory if that pays and the controller opens it.

        With ``copy`` it does not refer to the objects that it was made from in any case.
        """
        return (share(payload) if self.shares else None) or (detached(payload) if copy else payload)

    def _wake(self) -> None:
        # Under a lock with the closing: the number of a closed descriptor may mean another file by then.
        with self._pipe_lock:
            if self._close_pipe.alive:
                os.write(self._wake_write, b"\0")

    def is_current_thread(self) -> bool:
        """Whether this is the I/O thread."""
        return threading.current_thread() is self._thread

    def close(self, linger: int | None = None) -> None:
        """Leave the cluster; idempotent. Submissions that wait for room are given up.

        ``linger`` is in milliseconds, negative for ever; None means a second.
        """
        if self._closing or os.getpid() != self._pid:
            return
        if linger is not None:
            self._linger = linger
        self.send(Leave("closed"))
        self._closing = True
        self._wake()
        if not self.is_current_thread():
            self._thread.join(None if self._linger < 0 else 5 + self._linger / 1000)
            with self._pipe_lock:
                self._close_pipe()

    # -- in the I/O thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        poller = zmq.Poller()
        for source in (self._socket, self._monitor, self._wake_read):
            poller.register(source, zmq.POLLIN)
        while True:
            # A controller that has just died may still seem to listen when its connection breaks.
            ready = dict(poller.poll(50 if self._broken else None))
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                # Cleared before the queue is read: who appends after that wakes again.
                self._woken = False
            self._send_all()
            if self._socket in ready:
                self._receive_all()
            if self._monitor in ready:
                self._monitor.recv_multipart()
                self._broken = True
            if self._broken:
                self._check_controller()
            if self._closing and not self._outgoing:
                break
        self._destroy()

    def _send_all(self) -> None:
        while self._outgoing:
            message, tracker = self._outgoing.popleft()
            if isinstance(message, Submit):
                self._backlog.add(message, tracker)
                continue
            self._send_due()
            if isinstance(message, Abort | Interrupt):
                self._withdraw(message.tasks)
            self._send(message)
        self._send_due()

    def _send_due(self) -> None:
        for message, trackers in self._backlog.due():
            self._send(message, trackers)

    def _withdraw(self, tasks: Sequence[str]) -> None:
        """What is to be taken back and has not been sent ends here."""
        withdrawn = self._backlog.withdraw(frozenset(tasks))
        if withdrawn:
            record = {"status": "aborted", "reason": "it was aborted before it was sent", "quiet": True}
            self._on_message(Results([[task, record] for task in withdrawn], ((),) * len(withdrawn)))

    def _send(self, message: Message, trackers: Sequence[SendTracker] = ()) -> None:
        tracker = None
        if not self._lost:
            frames = self._codec.encode(message)
            if trackers:
                # Of a message in several parts pyzmq itself would track the last part only.
                frames = [frame if len(frame) < COPIED else zmq.Frame(frame, track=True) for frame in frames]
                tracker = zmq.MessageTracker(*(frame for frame in frames if isinstance(frame, zmq.Frame)))
            send(self._socket, frames)
        for waiting in trackers:
            waiting.hand_over(tracker)

    def _receive_all(self) -> None:
        while True:
            try:
                frames = receive(self._socket)
            except zmq.Again:
                return
            try:
                message = self._codec.decode(frames)
            except ProtocolError:
                continue
            if isinstance(message, Ack):
                self._backlog.credit.give(message.amount)
                self._send_due()
            elif isinstance(message, Refused):
                self._lose(message.reason)
            else:
                self._on_message(message)
                if isinstance(message, Results | Outputs):
                    self._acknowledge(isinstance(message, Outputs), message.payloads)

    def _acknowledge(self, outputs: bool, payloads: Sequence[Payload]) -> None:
        self._unacknowledged[outputs] += sum(map(size, payloads))
        # The controller keeps shared memory until it knows that it has been opened here.
        if self._unacknowledged[outputs] > LIMIT // 16 or any(map(is_shared, payloads)):
            self._send(Ack(self._unacknowledged[outputs], outputs))
            self._unacknowledged[outputs] = 0

    def _check_controller(self) -> None:
        if self._lost or self._closing:
            self._broken = False
        elif not self._cluster.alive():
            self._lose("the controller has ended")
        elif self._cluster.endpoint == self._cluster.url:
            # A new connection would be that of somebody whom the controller does not know.
            self._lose("the connection to the controller was lost")

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._give_up()
            self._on_lost(reason)

    def _destroy(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(self._linger)
        self._context.term()
        self._give_up()

    def _give_up(self) -> None:
        """What waits will not be sent."""
        self._backlog.clear()
        while self._outgoing:
            _, tracker = self._outgoing.popleft()
            if tracker is not None:
                tracker.hand_over()


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
