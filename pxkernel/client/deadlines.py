"""Timeouts as users give them, and the moments that they mean."""

from __future__ import annotations

import math
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
        return math.inf if timeout < 0 else time.monotonic() + timeout
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}") from None
