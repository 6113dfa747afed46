"""Timeouts as users give them, and the moments that they mean."""

from __future__ import annotations

import math
import threading
import time


def deadline(timeout: float | None) -> float:
    """The moment, as ``time.monotonic()`` tells it, in ``timeout`` seconds; infinity for None or a negative number.

    Raises
    ------
    TypeError
        It is no number.
    """
    if timeout is None:
        return math.inf
    try:
        if timeout < 0:
            return math.inf
        if timeout >= 0:
            return time.monotonic() + timeout
    except TypeError:
        pass
    # NaN is neither.
    raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")


def left(end: float) -> float | None:
    """Seconds until a moment, 0 if it is over; None if it is further away than Python can wait."""
    seconds = end - time.monotonic()
    return None if seconds > threading.TIMEOUT_MAX else max(0.0, seconds)


def check_interval(interval: float) -> None:
    """Refuse what is no time between two looks.

    Raises
    ------
    TypeError, ValueError
        It is no number, or not positive.
    """
    try:
        positive = interval > 0
    except TypeError:
        raise TypeError(f"interval must be a positive number of seconds, not {interval!r}") from None
    if not positive:
        raise ValueError(f"interval must be a positive number of seconds, not {interval!r}")
