"""Large copies, divided among threads: where they go, the kernel hands out every page, and for one thread one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from .processes import cores

#: A thread is worth starting for so many bytes.
SHARE = 8 * 1024 * 1024
#: More than so many share the memory's bandwidth and gain nothing.
MOST_THREADS = 4

Item = TypeVar("Item")
Copy = TypeVar("Copy")


def shares(length: int) -> int:
    """Into how many parts, each for a thread of its own, to divide a copy of ``length`` bytes."""
    return max(1, min(MOST_THREADS, length // SHARE, cores()))


def copy_each(copy: Callable[[Item, Event], Copy], items: Sequence[Item], threads: int) -> list[Copy]:
    """``[copy(item, stopped) for item in items]``, by so many threads at a time.

    When one fails, or an interrupt comes, ``stopped`` is set; those that run are waited for.

    Raises
    ------
    RuntimeError
        No thread can be started, or the interpreter ends.
    """
    stopped = Event()
    if threads < 2 or len(items) < 2:
        return [copy(item, stopped) for item in items]
    with ThreadPoolExecutor(threads, "pxkernel-copy") as pool:
        try:
            return list(pool.map(copy, items, [stopped] * len(items)))
        except BaseException:
            stopped.set()
            raise
