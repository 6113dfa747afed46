"""SIGINT ends the task that runs and nothing else.

ipykernel ignores SIGINT outside a request. ``signal.default_int_handler`` around a task is no way out: a
KeyboardInterrupt that falls between two tasks leaves the event loop's callback and ends the kernel. The gate's handler
raises only while user code runs, and once. It stays in place between the tasks, to notice what comes too early; ipykernel
puts its own handler there for the time of a request and gives ours back.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


class InterruptGate:
    """Opened for the user's code only.

    ``arm`` before anything is done for a task, ``open`` and ``close`` around the user's code. What comes between ``arm``
    and ``open`` is meant for this task, since nothing is sent to an engine while an interrupt is on its way: ``open``
    raises it.
    """

    def __init__(self) -> None:
        self._armed = False
        self._open = False
        self._pending = False
        #: A signal came while nothing was armed: perhaps for a task that has not been read yet.
        self.early = False
        self._cancel: Callable[[], Any] | None = None
        self._before: Any = signal.SIG_IGN

    def install(self) -> None:
        """Take SIGINT; call it in the main thread, and not while a cell runs: ipykernel would take it back."""
        if signal.getsignal(signal.SIGINT) != self._handle:
            self._before = signal.signal(signal.SIGINT, self._handle)

    def uninstall(self) -> None:
        """Give SIGINT back."""
        if signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, signum: int, frame: Any) -> None:
        if self._open:
            self._open = False
            raise KeyboardInterrupt
        if self._cancel is not None:
            cancel, self._cancel = self._cancel, None
            cancel()
        elif self._armed:
            self._pending = True
        else:
            self.early = True

    def arm(self) -> None:
        """A task is about to be run."""
        self.install()
        self._pending = False
        self._armed = True

    def open(self) -> None:
        """From here on an interrupt raises; call it inside the ``try`` that catches it.

        Raises
        ------
        KeyboardInterrupt
            It came before.
        """
        self._open = True
        self._armed = False
        if self._pending:
            self._pending = self._open = False
            raise KeyboardInterrupt

    def call(self, cancel: Callable[[], Any]) -> None:
        """While user code awaits: the event loop must not be hit, so an interrupt calls ``cancel`` instead."""
        self._cancel = cancel

    def close(self) -> None:
        self._armed = self._open = False
        self._cancel = None
