"""The last task of each engine whose result has come straight from it (``protocol.mailbox``), by cluster.

The controller may not have heard of it yet. Whatever this process asks it, with any of its clients, names these tasks, and is
answered when it has; it hears of the tasks of one engine in their order, so that the last is enough.
"""

from __future__ import annotations

_last: dict[str, dict[int, str]] = {}


def note(directory: str, engine: int, task: str) -> None:
    """A result has come."""
    _last.setdefault(directory, {})[engine] = task


def last(directory: str) -> list[str]:
    """What the controller of a cluster has to know when it answers."""
    return list(_last.get(directory, {}).values())


def forget(directory: str) -> None:
    """The controller of a cluster has ended."""
    _last.pop(directory, None)
