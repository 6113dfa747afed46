"""Results that wait for their clients, and go to the disk when they are too many (design, decision 11).

They are never forgotten. What is over the budget is written to a file without a name, which ends with whoever maps it, and
is mapped: to everybody else it is frames as before, of which the system keeps in memory what is being read.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from ..errors import ProtocolError
from ..protocol.sharing import load

#: Smaller results stay in memory: a mapping is at least a page, and a process may have some ten thousand of them.
FLOOR = 64 * 1024


def budget(store_limit: int) -> int:
    """The bytes of results in memory that nobody has yet: what the store may have, and at least a quarter of this machine's.

    Most are delivered at once, and a disk is slow.
    """
    return max(store_limit, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)


class Spill:
    """The budget of the results that nobody has yet.

    Parameters
    ----------
    directory
        Where the files are.
    limit
        Bytes in memory.

    Attributes
    ----------
    held
        Bytes that are in memory now.
    """

    def __init__(self, directory: Path, limit: int):
        self._directory = directory
        self._limit = limit
        self.held = 0

    def take(self, payload: Sequence[Any], cost: int) -> tuple[Sequence[Any], int]:
        """A payload of ``cost`` bytes as it is to be kept, and those in memory, to be given to ``release`` when nobody waits."""
        if self.held + cost > self._limit and cost >= FLOOR:
            try:
                return on_disk(payload, self._directory), 0
            except (OSError, ProtocolError) as error:
                # The result counts for more than the budget.
                print(f"a result of {cost} bytes stays in memory: {error}", file=sys.stderr, flush=True)
        self.held += cost
        return payload, cost

    def release(self, cost: int) -> None:
        """What ``take`` has counted is delivered."""
        self.held -= cost


def on_disk(payload: Sequence[Any], directory: Path) -> list[memoryview]:
    """The frames of a payload, mapped from a file without a name.

    Raises
    ------
    OSError
        There is no room.
    ProtocolError
        The shared memory that it lies in is gone.
    """
    frames = load(payload)
    with tempfile.TemporaryFile(dir=directory) as file:
        ends = list(accumulate(map(file.write, frames), initial=0))
        file.flush()
        contents = memoryview(mmap.mmap(file.fileno(), ends[-1], access=mmap.ACCESS_READ))
    return [contents[start:end] for start, end in pairwise(ends)]
