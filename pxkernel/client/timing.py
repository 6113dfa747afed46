"""How long a call took: differences between the stamps of its parts (features AR-25 to AR-28).

Stamps are datetimes, differences are seconds. The client's clock gives ``submitted`` and ``received``, the engine's
``started`` and ``completed``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from ..protocol.times import duration
from .records import Part

Stamps = datetime | Iterable[datetime]


def timedelta(
    start: Stamps,
    end: Stamps,
    start_key: Callable[[Iterable[datetime]], datetime] = min,
    end_key: Callable[[Iterable[datetime]], datetime] = max,
) -> float:
    """Seconds between two stamps; of several, those that the keys choose."""
    first = start if isinstance(start, datetime) else start_key(start)
    last = end if isinstance(end, datetime) else end_key(end)
    return (last - first).total_seconds()


def elapsed(parts: Sequence[Part]) -> float:
    """Seconds from the first submission to now or, if all is done, to the last arrival."""
    if not parts:
        return 0.0
    done = all(part.done for part in parts)
    end = max(part.received or 0.0 for part in parts) if done else time.time()
    return end - min(part.submitted for part in parts)


def serial_time(parts: Sequence[Part]) -> float:
    """Seconds that the engines worked, added up; what was never started worked for none."""
    return sum(duration(part.record) for part in parts if "completed" in part.record)
