"""Timeouts as users give them (features RC-15, RC-16)."""

import math
import time

import pytest

from pxkernel.client.deadlines import check_interval, deadline, left


def test_deadlines():
    assert deadline(None) == deadline(-1) == deadline(-0.5) == math.inf
    before = time.monotonic()
    assert before + 5 <= deadline(5) <= time.monotonic() + 5


@pytest.mark.parametrize("timeout", ["x", [1], {}, math.nan])
def test_no_number(timeout):
    with pytest.raises(TypeError, match="timeout must be a number of seconds or None, not"):
        deadline(timeout)


def test_what_is_left():
    """AR-03, AR-05: also of timeouts that are longer than Python can wait."""
    assert left(math.inf) is None and left(deadline(1e300)) is None and left(deadline(math.inf)) is None
    assert left(time.monotonic() - 5) == 0.0
    assert 4 < left(deadline(5)) <= 5


def test_intervals():
    """RC-17, AR-29"""
    check_interval(0.1)
    for wrong, error in ((0, ValueError), (-1, ValueError), (math.nan, ValueError), ("x", TypeError), (None, TypeError)):
        with pytest.raises(error, match="interval must be a positive number of seconds, not"):
            check_interval(wrong)
