"""The tasks of its own that wait for one engine.

Each client's stand in a line of their own, so that those of a client that does not read are passed over in one step, however
many they are, and need not be moved when it reads again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import count


class TaskQueue:
    """All tasks in the order of submission; any of them can be taken back at once."""

    __slots__ = ("_numbers", "lines")

    def __init__(self) -> None:
        #: By client its tasks and their places in the order of all; no line is empty.
        self.lines: dict[str, OrderedDict[str, int]] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return sum(map(len, self.lines.values()))

    def __iter__(self) -> Iterator[str]:
        places = [(place, task) for line in self.lines.values() for task, place in line.items()]
        return (task for _, task in sorted(places))

    def add(self, client: str, task: str, front: bool = False) -> None:
        """A task waits, at the end or before all others."""
        line = self.lines.get(client)
        if line is None:
            line = self.lines[client] = OrderedDict()
        place = next(self._numbers)
        line[task] = -place if front else place
        if front:
            line.move_to_end(task, last=False)

    def remove(self, client: str, task: str) -> None:
        """A task does not wait any more."""
        line = self.lines[client]
        del line[task]
        if not line:
            del self.lines[client]
