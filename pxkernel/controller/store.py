"""The stores of results that have been delivered (features HUB-12 to HUB-14; design, decision 11).

What nobody has yet is never here: it waits in the book. A store is bounded by a budget of bytes and forgets the oldest
delivered first. One payload of more than a quarter of the budget is not kept at all: it would drive out everything else.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from ..errors import ClusterError
from .entries import OVERHEAD, Entry
from .settings import Settings
from .sqlite import SQLiteStore


class Store(Protocol):
    """Where delivered results are; the book calls it."""

    #: The number of the next submission: larger than all that are in the store.
    first_number: int
    #: Whether there will ever be anything in it.
    keeps: bool

    def add(self, entry: Entry) -> None:
        """Keep an entry, in the place of an older one with its id; may forget others."""

    def get(self, task: str) -> Entry | None:
        """One entry with all its payloads."""

    def entries(self, payloads: bool = False) -> Iterator[Entry]:
        """All of them, the oldest first; without ``payloads`` these may be missing (None)."""

    def remove(self, tasks: Iterable[str]) -> None:
        """Forget these, if they are there."""

    def close(self) -> None: ...


class MemoryStore:
    """Keeps the entries as they are.

    Parameters
    ----------
    limit
        Bytes.
    """

    first_number = 0
    keeps = True

    def __init__(self, limit: int):
        self._limit = limit
        #: The oldest first. Of a dict the first one is hard to find after many others that were the first.
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        #: How many entries share a payload, by its identity: it is in memory once.
        self._shared: dict[int, int] = {}
        self.size = 0

    def add(self, entry: Entry) -> None:
        if entry.id in self._entries:
            self.remove([entry.id])
        cost = entry.size
        if cost > self._limit // 4:
            entry = entry.without_large_payloads(self._limit // 4)
            cost = entry.size
        self._entries[entry.id] = entry
        self.size += cost - self._in_common(entry, 1)
        while self.size > self._limit and self._entries:
            self._gone(self._entries.popitem(last=False)[1])

    def get(self, task: str) -> Entry | None:
        return self._entries.get(task)

    def entries(self, payloads: bool = False) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def remove(self, tasks: Iterable[str]) -> None:
        for task in tasks:
            if (entry := self._entries.pop(task, None)) is not None:
                self._gone(entry)

    def _gone(self, entry: Entry) -> None:
        self.size -= entry.size - self._in_common(entry, -1)

    def close(self) -> None:
        self._entries.clear()

    def _in_common(self, entry: Entry, change: int) -> int:
        """The bytes of an entry, one more (1) or one less (-1), that others have as well: they neither come nor go with it."""
        request = entry.request
        # Of short ones it does not matter.
        if request is None or entry.request_size < OVERHEAD:
            return 0
        before = self._shared.get(id(request), 0)
        if after := before + change:
            self._shared[id(request)] = after
        else:
            del self._shared[id(request)]
        # The first one brings the payload, the last one takes it along.
        return entry.request_size if before and after else 0


class NoStore:
    """Keeps nothing."""

    first_number = 0
    keeps = False

    def add(self, entry: Entry) -> None:
        return

    def get(self, task: str) -> Entry | None:
        return None

    def entries(self, payloads: bool = False) -> Iterator[Entry]:
        return iter(())

    def remove(self, tasks: Iterable[str]) -> None:
        return

    def close(self) -> None:
        return


def open_store(settings: Settings) -> Store:
    """The store that the settings of a controller ask for.

    Raises
    ------
    ClusterError
        Its file cannot be opened, or is something else.
    """
    kind, _, path = settings.store.partition(":")
    if kind == "none":
        return NoStore()
    if kind == "sqlite":
        file = Path(path or Path(settings.directory) / "tasks.db")
        try:
            return SQLiteStore(file, settings.store_limit)
        except (OSError, sqlite3.Error) as error:
            raise ClusterError(f"the store {file} cannot be opened: {error}") from error
    return MemoryStore(settings.store_limit)
