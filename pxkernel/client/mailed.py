"""The last task of each engine whose result has come straight from it (``protocol.mailbox``), by cluster.

The controller may not have heard of it yet. Whatever this process asks it, with any of its clients, names these tasks, and is
answered when it has; it hears of the tasks of one engine in their order, so that the last is enough.
"""

from __future__ import annotations

from collections import defaultdict

#: By cluster and engine: the last task that has come, and the last one that an answer was about. Any thread may write here, so
#: nothing is ever removed but with the cluster.
_last: defaultdict[str, dict[int, str]] = defaultdict(dict)
_answered: defaultdict[str, dict[int, str]] = defaultdict(dict)


def note(directory: str, engine: int, task: str) -> None:
    """A result has come."""
    _last[directory][engine] = task


def unanswered(directory: str) -> dict[int, str]:
    """What the controller of a cluster has to know when it answers, by engine."""
    if directory not in _last:
        return {}
    answered = _answered[directory]
    return {engine: task for engine, task in tuple(_last[directory].items()) if answered.get(engine) != task}


def answered(directory: str, tasks: dict[int, str]) -> None:
    """The controller has answered somebody who has named these."""
    if tasks:
        _answered[directory].update(tasks)


def forget(directory: str) -> None:
    """The controller of a cluster has ended."""
    _last.pop(directory, None)
    _answered.pop(directory, None)
