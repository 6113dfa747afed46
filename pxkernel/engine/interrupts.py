"""SIGINT ends the task that runs and nothing else.

ipykernel ignores SIGINT outside a request. ``signal.default_int_handler`` around a task is no way out: a
KeyboardInterrupt that falls between two tasks leaves the event loop's callback and ends the kernel. The gate's handler
raises only while user code runs, and once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class InterruptGate:
    """Use ``with gate.watching():`` around a batch of tasks, and ``open``/``close`` around the user's code."""

    def __init__(self) -> None:
        self._open = False

    def _handle(self, signum: int, frame: Any) -> None:
        if self._open:
            self._open = False
            raise KeyboardInterrupt

    @contextmanager
    def watching(self) -> Iterator[None]:
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def open(self) -> None:
        """From here on an interrupt raises; call it inside the ``try`` that catches it."""
        self._open = True

    def close(self) -> None:
        self._open = False
