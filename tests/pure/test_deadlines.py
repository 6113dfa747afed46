"""Timeouts as users give them (features RC-15, RC-16)."""

import math
import time

import pytest

from pxkernel.client.deadlines import deadline


def test_deadlines():
    assert deadline(None) == deadline(-1) == deadline(-0.5) == math.inf
    before = time.monotonic()
    assert before + 5 <= deadline(5) <= time.monotonic() + 5


@pytest.mark.parametrize("timeout", ["x", [1], {}])
def test_no_number(timeout):
    with pytest.raises(TypeError, match="timeout must be a number of seconds or None, not"):
        deadline(timeout)
