"""Which engines there are, as the controller tells it, and waiting for more of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from ..errors import EngineError
from ..protocol.messages import EnginesChanged, Welcome
from .deadlines import deadline
from .progress import Progress

#: Seconds before a progress bar appears.
BAR_AFTER = 2.0
#: More engines than this are a slip of the finger: each is a process of some 20 MB.
MOST_ENGINES = 10_000


class Membership:
    """The engines of a cluster. Changed in the I/O thread, read and waited for in any."""

    def __init__(self) -> None:
        #: What is known of the engines that are ready or being restarted, by id.
        self.engines: dict[int, dict[str, Any]] = {}
        #: Those of them that understand source code only.
        self._foreign: frozenset[int] = frozenset()
        #: Why others have gone.
        self.left: dict[int, str] = {}
        self._restarting: set[int] = set()
        #: How many engines the cluster is to have, and how many of them are not ready yet.
        self._expected = self._coming = 0
        self._told = False
        self._changed = threading.Condition()

    def check_python(self, engines: Iterable[int]) -> None:
        """Called before something is sent that only Python understands.

        Raises
        ------
        EngineError
            An engine is a kernel of another language, or has not loaded pxkernel.engine.
        """
        if self._foreign and (foreign := self._foreign.intersection(engines)):
            raise EngineError(
                f"engines {sorted(foreign)} are no Python kernels with pxkernel.engine: they run source code only, with execute() "
                "and %px; functions and Python objects cannot be sent there"
            )

    def welcome(self, message: Welcome) -> None:
        """The state at the beginning; what has changed since may have been told already."""
        with self._changed:
            for engine in message.engines:
                if engine["id"] not in self.left:
                    self.engines.setdefault(engine["id"], engine)
            for engine_id, reason in message.info["departed"]:
                if engine_id not in self.engines:
                    self.left.setdefault(engine_id, reason)
            if not self._told:
                self._restarting.update(message.info["restarting"])
                self._foresee(**message.info["prospects"])
            self._tell_languages()

    def change(self, message: EnginesChanged) -> None:
        """Engines have joined, left, or are being restarted."""
        with self._changed:
            for engine in message.joined:
                self.engines[engine["id"]] = engine
                self.left.pop(engine["id"], None)
                self._restarting.discard(engine["id"])
            for engine_id, reason in message.left:
                self.engines.pop(engine_id, None)
                self.left[engine_id] = reason
                self._restarting.discard(engine_id)
            self._restarting.update(message.restarting)
            self._foresee(**message.prospects)
            self._tell_languages()
            self._told = True
            self._changed.notify_all()

    def _tell_languages(self) -> None:
        self._foreign = frozenset(engine["id"] for engine in self.engines.values() if not engine.get("tasks", True))

    def _foresee(self, expected: int, coming: int) -> None:
        self._expected, self._coming = expected, coming

    def lose(self, reason: str) -> None:
        """There is no controller any more, and so no engine."""
        with self._changed:
            self.left.update(dict.fromkeys(self.engines, f"is gone: {reason}"))
            self.engines.clear()
            self._restarting.clear()
            self._foreign = frozenset()
            self._changed.notify_all()

    def wait(self, n: int | None, timeout: float | None, check: Callable[[], None], bar: bool = False) -> None:
        """Wait until ``n`` engines are ready; None: all that the cluster is to have. ``check`` may raise meanwhile.

        Parameters
        ----------
        timeout
            Seconds; None or negative: as long as it takes.
        bar
            Whether a progress bar is shown.

        Raises
        ------
        TimeoutError
            They are not ready within ``timeout`` seconds.
        EngineError
            Engines have died, so that there cannot be ``n``.
        """
        end = deadline(timeout)
        with self._changed:
            progress = Progress(self._expected if n is None else n, "engines", "engine", after=BAR_AFTER if bar else -1)
            try:
                self._wait(n, timeout, end, check, progress)
            finally:
                progress.close(self._ready())

    def _wait(
        self, n: int | None, timeout: float | None, end: float, check: Callable[[], None], progress: Progress
    ) -> None:
        while (ready := self._ready()) < (wanted := self._expected if n is None else n):
            check()
            if ready + self._coming < wanted <= self._expected:
                reasons = "\n".join(f"engine {engine} {reason}" for engine, reason in sorted(self.left.items()))
                raise EngineError(f"{wanted} engine{'s' * (wanted != 1)} cannot become ready:\n{reasons}")
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{wanted} engines not ready in {timeout:g} seconds. Currently ready: {ready}")
            progress.show(ready)
            self._changed.wait(min(left, progress.wait, threading.TIMEOUT_MAX))

    def _ready(self) -> int:
        return len(self.engines) - len(self._restarting)


def engine_count(n: int) -> int:
    """``n`` if it is a number of engines; raises ValueError if it is none, or more than ``MOST_ENGINES``."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise ValueError(f"n is the number of engines, not {n!r}")
    if n > MOST_ENGINES:
        raise ValueError(f"n is the number of engines, at most {MOST_ENGINES}, not {n}")
    return n


def in_thread(wait: Callable[[], None]) -> Future[None]:
    """The future of a wait, in a thread of its own."""
    ready: Future[None] = Future()

    def run() -> None:
        try:
            wait()
            ready.set_result(None)
        except Exception as error:
            ready.set_exception(error)

    threading.Thread(target=run, name="pxkernel-wait", daemon=True).start()
    return ready
