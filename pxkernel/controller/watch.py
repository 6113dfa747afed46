"""The ends of processes that are nobody's children here: the owner, clients, adopted kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..protocol.processes import wait_for_end


class Watch:
    """Calls functions when processes have ended; one thread waits for all of a process.

    Parameters
    ----------
    later
        ``later(function, *args)`` has the main loop call the function; it is called in another thread.
    """

    def __init__(self, later: Callable[..., None]):
        self._later = later
        #: What to call, by process.
        self._calls: dict[int, list[tuple[Callable[..., None], tuple[Any, ...]]]] = {}

    def add(self, pid: int, function: Callable[..., None], *args: Any) -> None:
        """Call ``function`` in the main loop when the process ``pid`` has ended."""

        def watching() -> None:
            wait_for_end(pid)
            self._later(self._ended, pid)

        if pid not in self._calls:
            self._calls[pid] = []
            threading.Thread(target=watching, name=f"watch-{pid}", daemon=True).start()
        self._calls[pid].append((function, args))

    def remove(self, function: Callable[..., None], *args: Any) -> None:
        """Do not call it any more."""
        for calls in self._calls.values():
            if (function, args) in calls:
                calls.remove((function, args))

    def _ended(self, pid: int) -> None:
        for function, args in self._calls.pop(pid):
            function(*args)
