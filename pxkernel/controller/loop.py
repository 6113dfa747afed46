"""What the main thread waits for: descriptors, and calls that other threads and signal handlers leave to it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

#: Called with the events of a descriptor.
Ready = Callable[[int], None]
#: More seconds than these epoll cannot count: whatever is due later is waited for again.
LONGEST_WAIT = 3600.0


class Loop:
    """A selector whose data are functions, and a pipe that wakes it."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self.watch(self._read, self._woken)

    def watch(self, descriptor: int, ready: Ready) -> None:
        """Call ``ready`` when a descriptor can be read."""
        self.selector.register(descriptor, selectors.EVENT_READ, ready)

    def on_signals(self, signums: tuple[signal.Signals, ...], function: Callable[[], None]) -> None:
        """Call ``function`` in the loop after one of these signals."""
        # It may be taken by another thread, and the main thread, which alone calls the handlers, would sleep on.
        signal.set_wakeup_fd(self._write)
        for signum in signums:
            signal.signal(signum, lambda *_: self.later(function))

    def later(self, function: Callable[..., None], *args: Any) -> None:
        """Have the main thread call ``function``; may be called in any thread, and in signal handlers."""
        self._calls.append((function, args))
        # Full: it wakes anyway.
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")

    def turn(self, timeout: float | None) -> None:
        """Wait ``timeout`` seconds at most (None: as long as it takes), and call whom it concerns."""
        for key, events in self.selector.select(None if timeout is None else min(timeout, LONGEST_WAIT)):
            guarded(key.data, events)

    def _woken(self, events: int) -> None:
        os.read(self._read, 4096)
        # What these leave for later waits for the next turn.
        for _ in range(len(self._calls)):
            function, args = self._calls.popleft()
            guarded(function, *args)

    def close(self) -> None:
        self.selector.close()


def guarded(function: Callable[..., object], *args: Any) -> None:
    """Call a function that may fail: one peer that makes no sense must not take the cluster of all others down."""
    try:
        function(*args)
    except Exception:
        report()


def report() -> None:
    """Tell in the log of the exception that is being handled."""
    traceback.print_exc()
    sys.stderr.flush()
