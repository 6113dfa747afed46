"""How the items of a balanced map are cut into tasks (features MAP-02).

Nobody knows beforehand how long an item takes. So the first tasks have one item each, and as results come back tasks grow
until one takes some tens of milliseconds: then what a task costs beside its items does not matter, and progress, errors
and the last results still come soon. Towards the end they shrink, so that no engine works alone.

What becomes of the items after the call does not reach the engines. So everything is packed at once, in *grains* that are
sent unread, and putting them together costs next to nothing; most maps have a grain for each item. Numbers and strings
cannot change: they are packed when it is known how many go together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from ..protocol.bundle import bundle
from ..protocol.pack import Frame, detached, pack_block, pack_items

#: So many seconds a task should take at most, and at least even when few items are left: a task costs some 0.3 ms itself.
TASK_SECONDS = 0.03
LEAST_SECONDS = 0.003
#: A task has at most so many times as many items as the largest that is known to be quick enough.
GROWTH = 32
#: So many tasks are on the way for each engine: one runs, one waits.
AHEAD = 2
#: So many tasks for each engine at most if all must be submitted before it is known how long an item takes.
MOST_AT_ONCE = 32
#: The types of items that cannot change.
CONSTANTS = frozenset({type(None), bool, int, float, complex, str, bytes})
#: The most grains of one map.
GRAINS = 4096


class Chunks:
    """The items of one map that have not been sent.

    Parameters
    ----------
    f
        The function.
    columns
        The arguments: sequences of at least ``length`` items.
    length
        How many items.
    engines
        How many engines share them.
    single
        Whether a task has one item always, because it may have to run again.

    Raises
    ------
    TypeError, pickle.PicklingError
        Something cannot be sent; the text names it.
    """

    def __init__(self, f: Callable[..., Any], columns: Sequence[Any], length: int, engines: int, single: bool = False):
        self._function = detached(pack_block(f, (), 0, uuid4().hex))
        if all(map(_cannot_change, columns)):
            self._items: Grains | Constants = Constants(columns, length)
        else:
            self._items = Grains(columns, length, 1 if single else -(-length // GRAINS))
        self._engines = max(1, engines)
        self._single = single
        #: Seconds for an item, and the most items that a task has had.
        self._pace: float | None = None
        self._largest = 1
        self.left = length

    @property
    def most_ahead(self) -> int:
        """How many tasks should be on the way."""
        return AHEAD * self._engines

    def measured(self, items: int, seconds: float) -> None:
        """A task is done."""
        pace = seconds / items
        # The newest task counts half.
        self._pace = pace if self._pace is None else (self._pace + pace) / 2
        if seconds < TASK_SECONDS:
            self._largest = max(self._largest, items)

    def next_size(self) -> int:
        """How many items the next task should have."""
        if self._pace is None or self._single:
            return 1
        pace = max(self._pace, 1e-9)
        share = max(self.left / (2 * self._engines), LEAST_SECONDS / pace)
        return max(1, int(min(TASK_SECONDS / pace, share, GROWTH * self._largest)))

    def take(self) -> tuple[list[Frame], int]:
        """The payload of the next task, and how many items are in it."""
        return self._take(self.next_size())

    def take_all(self) -> Iterator[tuple[list[Frame], int]]:
        """The payloads of all tasks that are left, cut as is known so far, in bounded number if nothing is."""
        least = 1 if self._single else -(-self.left // (MOST_AT_ONCE * self._engines))
        while self.left:
            yield self._take(max(least, self.next_size()))

    def _take(self, wanted: int) -> tuple[list[Frame], int]:
        grains = self._items.take(wanted)
        size = sum(items for _, items in grains)
        self.left -= size
        return bundle([(self._function, 0), *grains]), size

    def clear(self) -> int:
        """Give up what is left; how many items that were."""
        left, self.left = self.left, 0
        self._items.clear()
        return left


class Grains:
    """Items that are packed at once, ``size`` at a time."""

    def __init__(self, columns: Sequence[Any], length: int, size: int):
        self._packed = deque(_grains(columns, length, size) if length else ())

    def take(self, wanted: int) -> list[tuple[list[Frame], int]]:
        """Some grains, with how many items are in each; of ``wanted`` items at least if there are as many."""
        grains, size = [], 0
        while self._packed and size < wanted:
            grains.append(self._packed.popleft())
            size += grains[-1][1]
        return grains

    def clear(self) -> None:
        self._packed.clear()


class Constants:
    """Items that cannot change, packed when they are taken."""

    def __init__(self, columns: Sequence[Any], length: int):
        # What has them can.
        self._columns = [column if isinstance(column, range) else tuple(column[:length]) for column in columns]
        self._length = length
        self._start = 0

    def take(self, wanted: int) -> list[tuple[list[Frame], int]]:
        """As ``Grains.take``."""
        start = self._start
        self._start = min(start + wanted, self._length)
        if start == self._start:
            return []
        # Neither a slice of a range nor a long tuple is plain data.
        columns = [list(column[start : self._start]) for column in self._columns]
        return [(pack_items(columns, start), self._start - start)]

    def clear(self) -> None:
        self._columns, self._start = [], self._length


def _cannot_change(column: Sequence[Any]) -> bool:
    return isinstance(column, range) or (type(column) in (list, tuple) and set(map(type, column)) <= CONSTANTS)


def _grains(columns: Sequence[Any], length: int, size: int) -> Iterator[tuple[list[Frame], int]]:
    for start in range(0, length, size):
        stop = min(start + size, length)
        yield detached(pack_items([column[start:stop] for column in columns], start)), stop - start
