"""What a forked process must not keep: it has nothing to say, and a connection that has ended here must not stay open there."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Closable(Protocol):
    def close(self) -> None: ...


_open: WeakSet[Closable] = WeakSet()


def close_in_children(end: Closable) -> None:
    """Have ``end`` closed in every process that is forked from this one."""
    _open.add(end)


def _close_all() -> None:
    for end in list(_open):
        end.close()


os.register_at_fork(after_in_child=_close_all)
