"""The thread that is told what must reach an engine while it is busy: what to interrupt, and what not to start."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections import deque
from collections.abc import Sequence

import psutil

from ..errors import ProtocolError
from ..protocol.clusterfile import ClusterFile
from ..protocol.messages import Hello, Interrupt, Recall, Recalled
from ..protocol.stream import Stream
from ..protocol.wire import Codec
from .interrupts import InterruptGate

#: How long to wait between two knocks, in milliseconds: at first, and at most.
FIRST_WAIT = 10
LONGEST_WAIT = 1000
#: How many claims are remembered: more than there are tasks inside an engine, and than have a result on its way.
REMEMBERED = 1000


class Claims:
    """Who comes first to a task: the main thread, which starts it, or the recall that takes it back. Thread-safe."""

    def __init__(self) -> None:
        self._started: dict[str, bool] = {}

    def start(self, task_id: str) -> bool:
        """Whether a task may be started: it has not been recalled."""
        started = self._claim(task_id, True)
        if not started:
            # The controller may send it once more.
            self._started.pop(task_id, None)
        return started

    def recall(self, tasks: Sequence[str]) -> list[str]:
        """Those of the tasks that have not been started, and will not."""
        return [task_id for task_id in tasks if not self._claim(task_id, False)]

    def _claim(self, task_id: str, start: bool) -> bool:
        started = self._started.setdefault(task_id, start)
        if len(self._started) > REMEMBERED:
            self._started.pop(next(iter(self._started)), None)
        return started


class Listener:
    """A second connection to the controller and the thread that reads it.

    Parameters
    ----------
    cluster
        Where the controller listens.
    """

    def __init__(self, cluster: ClusterFile):
        self.claims = Claims()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._address = cluster.address
        self._codec = Codec(bytes.fromhex(cluster.key))
        #: Connections that the thread has not taken yet.
        self._dialled: deque[Stream] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def wake(self) -> None:
        """Have it look whether to knock; may be called in a signal handler."""
        # Full: it will look anyway.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def start(self, gate: InterruptGate, hello: Hello) -> None:
        """Connect and listen.

        Raises
        ------
        OSError
            There is no controller any more.
        """
        self.dial(hello)
        self._thread = threading.Thread(target=self._run, args=(gate,), name="pxkernel-listener", daemon=True)
        self._thread.start()

    def dial(self, hello: Hello) -> None:
        """Listen to another controller from now on; raises as ``start``."""
        stream = Stream.connect(self._address)
        stream.send(self._codec.encode(hello))
        self._dialled.append(stream)
        self.wake()

    def close(self) -> None:
        """End the thread; idempotent."""
        if self._closing:
            return
        self._closing = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self, gate: InterruptGate) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        stream = self._take_last(poll, None)
        pause: int | None = None
        while not self._closing:
            ready = dict(poll.poll(pause))
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                stream = self._take_last(poll, stream)
            if stream.fileno() in ready and not self._receive(stream, gate):
                poll.unregister(stream)
            if not gate.knock():
                pause = None
            elif pause is None or ready:
                pause = FIRST_WAIT
                _interrupt_children()
            else:
                pause = min(2 * pause, LONGEST_WAIT)
        stream.close()

    def _take_last(self, poll: select.poll, stream: Stream | None) -> Stream:
        """The connection that was dialled last, and nothing of the others."""
        while self._dialled:
            if stream is not None:
                with contextlib.suppress(KeyError):
                    poll.unregister(stream)
                stream.close()
            stream = self._dialled.popleft()
            poll.register(stream, select.POLLIN)
        assert stream is not None
        return stream

    def _receive(self, stream: Stream, gate: InterruptGate) -> bool:
        """Whether the controller is still there."""
        try:
            for frames in stream.receive():
                message = self._codec.decode(frames)
                if isinstance(message, Interrupt):
                    gate.mean(message.tasks, message.only_now)
                elif isinstance(message, Recall):
                    recalled = self.claims.recall(message.tasks)
                    started = [task for task in message.tasks if task not in recalled]
                    stream.send(self._codec.encode(Recalled(recalled, started)))
                    stream.finish()
        except (EOFError, OSError, ProtocolError):
            return False
        return True


def _interrupt_children() -> None:
    """Interrupt what the user's code has started and waits for, as a terminal does with a process group."""
    if os.getpgid(0) != os.getpid():
        return
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if os.getpgid(child.pid) == os.getpid():
                    child.send_signal(signal.SIGINT)
