"""The last tasks whose results have come straight from their engines (``protocol.mailbox``), by cluster.

The controller may not have heard of them yet. Whatever this process asks it, with any of its clients, names these tasks, and
is answered when it has.
"""

from __future__ import annotations

from collections import defaultdict

#: A client and an engine. The controller hears of the tasks of an engine in their order, so that the last one is enough.
Way = tuple[str, int]
_last: defaultdict[str, dict[Way, str]] = defaultdict(dict)


def note(directory: str, client: str, engine: int, task: str) -> None:
    """A result has come. Called in the I/O thread of that client only."""
    _last[directory][client, engine] = task


def unanswered(directory: str) -> dict[Way, str]:
    """What the controller of a cluster has to know when it answers."""
    return dict(_last[directory]) if directory in _last else {}


def answered(directory: str, tasks: dict[Way, str]) -> None:
    """The controller has answered somebody who has named these."""
    for way, task in tasks.items():
        newest = _last[directory].pop(way, task)
        if newest != task:
            # Another one has come meanwhile; perhaps even one more since.
            _last[directory].setdefault(way, newest)


def forget(directory: str, client: str) -> None:
    """The controller does not answer a client any more."""
    for way in list(_last[directory]):
        if way[0] == client:
            _last[directory].pop(way, None)
