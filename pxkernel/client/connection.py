"""The connection to a controller: one link, and one background thread that reads it.

Calls are made in any thread: they send a message themselves, or put it on a queue and wake the I/O thread. What arrives is
given to the handler in the I/O thread, which therefore must not block.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import ClusterError, ProtocolError, class_names
from ..protocol.clusterfile import ClusterFile
from ..protocol.credit import ACKNOWLEDGED
from ..protocol.mailbox import Mailbox
from ..protocol.messages import (
    Abort,
    Ack,
    Finished,
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
from ..protocol.stream import pieces
from ..protocol.wire import Codec
from .backlog import Backlog
from .links import Link, LocalLink, RemoteLink
from .tracking import SendTracker

#: For so many seconds the I/O thread looks for the answer to a single call again and again before it sleeps: to wake up a
#: processor that sleeps takes longer than most of the call (0.46 instead of 0.54 ms for a no-op, measured).
LOOK = 0.0006


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
        #: Held by the thread that sends, which alone uses the backlog.
        self._sending = threading.Lock()
        self._backlog = Backlog()
        #: The tasks that were not sent and what has become of them, to be told in the I/O thread.
        self._unsent: list[tuple[Sequence[str], dict[str, Any]]] = []
        #: Whether a submission was sent by its caller's thread, and no result has come since.
        self._awaiting = False
        #: Whether it was not looked for yet: who asks time and again whether a long call is done keeps no processor busy.
        self._may_look = False
        #: Until when the I/O thread does not sleep.
        self._look_until = 0.0
        #: Bytes of results (False) and of output (True) that were received and not yet acknowledged.
        self._unacknowledged = {False: 0, True: 0}
        #: What came together with the controller's answer.
        self._early: list[list[Any]] = []
        #: Whether the I/O thread has been woken up and has not looked at the queue since.
        self._woken = False
        self._pipe_lock = threading.Lock()
        self._closing = False
        self._linger = 1000
        self._lost = False
        #: Whether the I/O thread sends nothing any more, nor does any other.
        self._ended = False
        self._pid = os.getpid()
        #: Whether the controller opens shared memory of this process.
        self.shares = False
        #: Where engines of this machine put results.
        self.mailbox: Mailbox | None = None

    def open(self, timeout: float) -> Welcome:
        """Connect and wait for the controller's answer.

        Raises
        ------
        TimeoutError
            It did not answer within ``timeout`` seconds.
        ClusterError
            It refused, or has just ended.
        """
        remote = self._cluster.endpoint == self._cluster.url
        try:
            #: The link if any thread may send through it.
            self._direct = None if remote else LocalLink(self._cluster.address)
            self._link: Link = self._direct or RemoteLink(self._cluster)
        except OSError:
            raise ClusterError(f"the cluster of {self._cluster.path} has just ended") from None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._close_pipe = weakref.finalize(self, _close, self._wake_read, self._wake_write)
        # At exit the thread may still be running.
        self._close_pipe.atexit = False
        try:
            if not remote:
                with contextlib.suppress(OSError):
                    self.mailbox = Mailbox(self._cluster.sockets, self._session)
            proof = probe()
            info = {"memory": proof and proof[0].hex(), "remote": remote}
            self._link.send(self._codec.encode(Hello("client", self._session, os.getpid(), None, info)))
            answer = self._first_answer(timeout)
        except BaseException:
            self._link.close(0)
            self._close_mailbox()
            self._close_pipe()
            raise
        self.shares = bool(answer.info.get("memory"))
        self._thread = threading.Thread(target=self._run, name="pxkernel-client", daemon=True)
        self._thread.start()
        return answer

    def _first_answer(self, timeout: float) -> Welcome:
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            *_, readable = self._link.wait(self._wake_read, left)
            try:
                frames = self._link.receive() if readable else []
            except EOFError:
                ended = f"the cluster of {self._cluster.path} has just ended"
                here = self._cluster.endpoint != self._cluster.url
                raise ClusterError(ended if here else f"{ended}, or its controller has another key than this file") from None
            if frames:
                answer, self._early = self._codec.decode(frames[0]), frames[1:]
                if isinstance(answer, Welcome):
                    return answer
                raise ClusterError(f"the controller refuses: {getattr(answer, 'reason', answer)}")
        raise TimeoutError(f"the controller of {self._cluster.path} did not answer in {timeout:g} s")

    def send(self, message: Message, tracker: SendTracker | None = None) -> None:
        """Send a message; submissions wait here while the controller has no room for them.

        With a ``tracker`` large frames are sent without a copy, and it tells when they have left.
        """
        #: Has something in it when the message has been handed over: no bytecode, so no Ctrl-C, comes between.
        handed: list[None] = []
        try:
            if os.getpid() != self._pid:
                raise RuntimeError("a Client cannot be used in a forked process: make a new one there")
            if not isinstance(message, Submit) or tracker is not None or not self._sent_at_once(message, handed):
                handed.extend(map(self._outgoing.append, ((message, tracker),)))
                if not self._woken:
                    self._woken = True
                    self._wake()
        except BaseException:
            if os.getpid() != self._pid:
                raise
            # What a KeyboardInterrupt has left undone is done in the I/O thread.
            if not handed:
                self._outgoing.append((message, tracker))
            self._wake()
            raise
        if self._ended:
            self._give_up()

    def _sent_at_once(self, message: Submit, handed: list[None]) -> bool:
        """Send a submission from the caller's thread if nothing is before it, which saves a change of threads.

        Not while another one is on its way: then this thread goes on, and many calls travel in one message.
        """
        if self._awaiting or self._outgoing or self._direct is None:
            return False
        with self._sending:
            if self._outgoing or self._ended or not self._backlog.passes:
                return False
            try:
                parts = pieces(self._codec.encode(message))
            except Exception:
                # The I/O thread finds out which of its calls cannot be sent.
                return False
            self._awaiting = self._may_look = True
            handed.extend(map(self._direct.take, (parts,)))
            if not self._direct.flush():
                self._wake()
            self._backlog.passed(message)
        return True

    def prepared(self, payload: Payload, copy: bool) -> Payload:
        """A payload for a Submit: its buffers in shared memory if that pays and the controller opens it.

        With ``copy`` it does not refer to the objects that it was made from in any case.
        """
        return (share(payload) if self.shares else None) or (detached(payload) if copy else payload)

    def _wake(self) -> None:
        # Under a lock with the closing: the number of a closed descriptor may mean another file by then.
        # Full: it will look anyway.
        with self._pipe_lock, contextlib.suppress(BlockingIOError):
            if self._close_pipe.alive:
                os.write(self._wake_write, b"\0")

    def look_out(self) -> None:
        """Somebody is about to wait for the answer to a call: it comes sooner if the I/O thread does not sleep."""
        if self._awaiting and self._may_look and os.getpid() == self._pid:
            self._may_look = False
            self._look_until = time.monotonic() + LOOK
            self._wake()

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
        # First: the controller answers a Leave by closing the connection.
        self._closing = True
        self.send(Leave("closed"))
        if not self.is_current_thread():
            self._thread.join(None if self._linger < 0 else 5 + self._linger / 1000)
            with self._pipe_lock:
                self._close_pipe()

    # -- in the I/O thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._take(self._early)
        while not self._lost and (self._outgoing or not self._closing):
            woken, mailed, writable, readable = self._link.wait(self._wake_read, self._patience(), self.mailbox)
            if woken:
                os.read(self._wake_read, 4096)
            # Cleared before the queue is read: who appends after that wakes again.
            self._woken = False
            if woken or writable or self._outgoing:
                self._send_all()
            if self._unsent:
                self._tell_unsent()
            if mailed or readable:
                self._receive_all(readable)
        with self._sending:
            self._ended = True
        self._link.close(0 if self._lost else self._linger)
        self._close_mailbox()
        self._give_up()

    def _patience(self) -> float | None:
        """How many seconds to wait for something to happen; None: as long as it takes."""
        return 0.0 if self._awaiting and time.monotonic() < self._look_until else None

    def _send_all(self) -> None:
        """Send what is queued."""
        with self._sending:
            self._link.flush()
            while self._outgoing:
                message, tracker = self._outgoing.popleft()
                if isinstance(message, Submit):
                    self._backlog.add(message, tracker)
                    continue
                self._send_due()
                if isinstance(message, Abort | Interrupt):
                    # What is to be taken back and has not been sent ends here.
                    withdrawn = self._backlog.withdraw(frozenset(message.tasks))
                    self._unsent.append((withdrawn, {"status": "aborted", "reason": "it was aborted before it was sent"}))
                self._link.send(self._codec.encode(message))
            self._send_due()

    def _send_due(self) -> None:
        for message, trackers in self._backlog.due():
            try:
                frames = self._codec.encode(message)
            except Exception:
                frames = self._codec.encode(self._sendable(message))
            self._link.send(frames, trackers)

    def _sendable(self, message: Submit) -> Submit:
        """Those of its calls that can be sent; the others have failed."""
        calls, payloads = [], []
        for call, payload in zip(message.calls, message.payloads, strict=True):
            try:
                self._codec.encode(Submit([call], (payload,)))
                calls.append(call)
                payloads.append(payload)
            except Exception as error:
                self._backlog.credit.give(size(payload))
                self._unsent.append(([task for task, _ in call[2]], {"status": "error", "error": _described(error)}))
        return Submit(calls, tuple(payloads))

    def _tell_unsent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for tasks, record in unsent:
            if tasks:
                self._on_message(Results([[task, {**record, "quiet": True}] for task in tasks], ((),) * len(tasks)))

    def _receive_all(self, readable: bool) -> None:
        """Give what has come to the handler; ``readable``: something may have come from the controller."""
        arrived, lost = self._read() if readable else ([], "")
        # Read after that and handled before: what the controller has said since it has heard of the same comes later.
        self._take_mail(self.mailbox.receive() if self.mailbox is not None else ())
        self._take(arrived)
        if lost:
            self._lose(lost)

    def _read(self) -> tuple[Sequence[list[Any]], str]:
        """What has come from the controller, and why nothing more will."""
        try:
            return self._link.receive(), ""
        except EOFError as reason:
            way = f"; {self._cluster.restoring} takes its engines over: connect again then" if self._cluster.restorable else ""
            return (), "the client was closed" if self._closing else f"{reason}{way}"
        except ProtocolError as reason:
            return (), f"it makes no sense: {reason}"

    def _signed(self, arrived: Sequence[list[Any]]) -> Iterator[Message]:
        """The messages among what has arrived."""
        for frames in arrived:
            try:
                message = self._codec.decode(frames)
            except ProtocolError:
                continue
            yield message

    def _take_mail(self, arrived: Sequence[list[Any]]) -> None:
        for message in self._signed(arrived):
            if isinstance(message, Finished):
                self._awaiting = False
                # Of the credit for results, which is what the controller may send, it takes nothing.
                self._on_message(Results(message.results, message.payloads))

    def _close_mailbox(self) -> None:
        if self.mailbox is not None:
            self.mailbox.close()

    def _take(self, arrived: Sequence[list[Any]]) -> None:
        for message in self._signed(arrived):
            if isinstance(message, Ack):
                with self._sending:
                    self._backlog.credit.give(message.amount)
                    self._send_due()
                self._tell_unsent()
            elif isinstance(message, Refused):
                self._lose(message.reason)
            else:
                self._received(message)

    def _received(self, message: Message) -> None:
        """Give a message to the handler; what it tells to other threads they do when this one waits again, so that is last."""
        results, outputs = isinstance(message, Results), isinstance(message, Outputs)
        self._awaiting = self._awaiting and not results
        due = (results or outputs) and self._count(outputs, message.payloads)  # type: ignore[union-attr]
        self._on_message(message)
        if due:
            self._acknowledge(outputs)

    def _count(self, outputs: bool, payloads: Sequence[Payload]) -> bool:
        """Count what has come; whether it is to be acknowledged when it has been opened."""
        self._unacknowledged[outputs] += sum(map(size, payloads))
        # The controller keeps shared memory until it knows that it has been opened here.
        return self._unacknowledged[outputs] > ACKNOWLEDGED or any(map(is_shared, payloads))

    def _acknowledge(self, outputs: bool) -> None:
        with self._sending:
            self._link.send(self._codec.encode(Ack(self._unacknowledged[outputs], outputs)))
        self._unacknowledged[outputs] = 0

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._give_up()
            self._on_lost(reason)

    def _give_up(self) -> None:
        """What waits will not be sent."""
        with self._sending:
            self._backlog.clear()
            while self._outgoing:
                _, tracker = self._outgoing.popleft()
                if tracker is not None:
                    tracker.hand_over()


def _described(error: Exception) -> dict[str, Any]:
    text = f"the call cannot be sent: {error}"
    return {"ename": type(error).__name__, "evalue": text, "traceback": [], "mro": class_names(type(error))}


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
