"""The last tasks whose results have come straight from their engines (``protocol.mailbox``), by cluster.

The controller may not have heard of them yet. Whatever this process asks it, with any of its clients, names these tasks, and
is answered when it has.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict

#: A client and an engine. The controller hears of the tasks of an engine in their order, so that the last one is enough.
Way = tuple[str, int | None]
_last: defaultdict[str, dict[Way, str]] = defaultdict(dict)
_lock = threading.Lock()


def note(directory: str, client: str, engine: int | None, task: str) -> None:
    """A result has come."""
    with _lock:
        _last[directory][client, engine] = task


def unanswered(directory: str) -> dict[Way, str]:
    """What the controller of a cluster has to know when it answers."""
    with _lock:
        return dict(_last[directory]) if directory in _last else {}


def answered(directory: str, tasks: dict[Way, str]) -> None:
    """The controller has answered somebody who has named these."""
    with _lock:
        for way, task in tasks.items():
            # Another one may have come meanwhile.
            if _last[directory].get(way) == task:
                del _last[directory][way]


def forget(directory: str, client: str) -> None:
    """The controller does not answer a client any more."""
    with _lock:
        for way in [way for way in _last[directory] if way[0] == client]:
            del _last[directory][way]


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


# Another thread may have held it.
os.register_at_fork(after_in_child=_renew_lock)
