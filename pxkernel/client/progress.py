"""A bar that counts what is done of a call; tqdm draws it (features MG-11, JUP-10).

In a notebook it is one display that is updated in place: that needs no widgets, what the engines print does not tear it,
and a saved notebook keeps its last state only. Everywhere else it is a line on stderr.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import Any

from .outputs import in_notebook, publish

#: How often the time that a bar shows is renewed when nothing happens, in seconds.
REFRESH = 0.5


def noninteractive() -> bool:
    """Whether bars and live output are switched off, with PXKERNEL_NONINTERACTIVE=1, to build documents (JUP-11)."""
    return os.environ.get("PXKERNEL_NONINTERACTIVE", "0") not in ("", "0")


class Progress:
    """The bar of one call.

    It is drawn by the thread that waits: ``show`` after everything that may have changed something and after at most
    ``wait`` seconds, ``clear`` before anything else is printed, ``close`` at the end. tqdm is imported when it appears.

    Parameters
    ----------
    total
        How many tasks or items there are.
    name
        What stands before the bar.
    unit
        What is counted: "tasks" or "items".
    after
        Seconds before it appears; negative: never.
    elapsed
        How long what it counts has been going on already, in seconds.
    """

    def __init__(self, total: int, name: str, unit: str = "tasks", after: float = 2.0, elapsed: float = 0.0):
        self._total = total
        self._name = name
        self._unit = unit
        now = time.monotonic()
        self._begun = now - elapsed
        self._appears = float("inf") if after < 0 or noninteractive() else now + after
        self._bar: Any = None

    @property
    def wait(self) -> float:
        """After how many seconds ``show`` has something to do if nothing happens; infinite: it never has."""
        return REFRESH if self._bar is not None else max(0.0, self._appears - time.monotonic())

    def show(self, done: int, failed: int = 0) -> None:
        """Draw it, if it is due.

        Parameters
        ----------
        done
            How many are done, those that failed among them.
        failed
            How many have failed; the bar says so when there are some.
        """
        if self._bar is None:
            if time.monotonic() < self._appears:
                return
            self._bar = _new_bar(self._total, self._name, self._unit)
            # It counts from the beginning of the work, not from its own.
            self._bar.start_t -= time.monotonic() - self._begun
        if failed:
            self._bar.set_postfix_str(f"{failed} failed", refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()

    def clear(self) -> None:
        """Take it off its line, because something else is printed; ``show`` draws it again."""
        if self._bar is not None:
            self._bar.clear()

    def close(self, done: int, failed: int = 0) -> None:
        """Draw its last state, if it has appeared. ``done`` is less than the total when the waiting was given up."""
        if self._bar is not None:
            if done < self._total:
                self._bar.set_postfix_str("stopped", refresh=False)
            self.show(done, failed)
            self._bar.close()
            self._bar = None
        self._appears = float("inf")


class _Display:
    """The file that tqdm writes its line to in a notebook: a display that is updated in place."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._id = f"pxkernel-{uuid.uuid4().hex}"
        self._line = ""

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line and line != self._line:
            content = {"data": {"text/plain": line}}
            publish(content, transient={"display_id": self._id}, update=bool(self._line))
            self._line = line

    def flush(self) -> None:
        pass


def _new_bar(total: int, name: str, unit: str) -> Any:
    from tqdm.std import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        # One thread draws it, so it needs neither tqdm's thread nor its lock between processes.
        monitor_interval = 0
        _lock = threading.RLock()

    options: dict[str, Any] = {"file": _Display(), "ncols": 80} if in_notebook() else {"dynamic_ncols": True}
    return Bar(total=total, desc=name, unit=unit, smoothing=0, miniters=1, mininterval=0.1, **options)
