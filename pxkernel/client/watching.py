"""Following what engines print and display, whoever has called them (features JUP-09)."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ..protocol.content import content_of

#: ``function(engine, msg_type, content)``.
Watcher = Callable[[int, str, dict[str, Any]], Any]


class Watching:
    """The functions of one client that are called with every output.

    Parameters
    ----------
    ask
        Asks the controller a question and waits for the answer.
    """

    def __init__(self, ask: Callable[..., Any]):
        self._ask = ask
        self._watchers: list[Watcher] = []
        self._lock = threading.Lock()

    def add(self, function: Watcher) -> Callable[[], None]:
        """Called by ``Client.watch_outputs``."""
        if not callable(function):
            raise TypeError(f"expected a function to call with every output, got {function!r}")
        with self._lock:
            self._ask("watch", on=True)
            self._watchers.append(function)

        def stop() -> None:
            with self._lock:
                if function in self._watchers:
                    self._watchers.remove(function)
                    if not self._watchers:
                        self._ask("watch", on=False)

        return stop

    def received(self, engine: int, msg_type: str, payload: Sequence[Any]) -> None:
        """Called in the I/O thread with every output of every client."""
        if not self._watchers:
            return
        content = content_of(payload[0])
        for function in tuple(self._watchers):
            try:
                function(engine, msg_type, content)
            except Exception:
                # Of the user's function: what comes for others goes on.
                traceback.print_exc()
