"""What may stand for engines (features RC-06 to RC-10, DV-22)."""

import numpy as np
import pytest

from pxkernel.client.targets import chosen, engine_id
from pxkernel.errors import NoEnginesRegistered

IDS = [0, 2, 5]


@pytest.mark.parametrize(
    "targets, engines, single",
    [
        (2, [2], True),
        (-1, [5], True),
        (np.int64(2), [2], True),
        (9, [9], True),
        (-9, [-9], True),
        ("all", IDS, False),
        (None, IDS, False),
        (slice(1, None), [2, 5], False),
        (slice(0, 0), [], False),
        ([5, 0], [5, 0], False),
        ((2, 2), [2, 2], False),
        (range(1), [0], False),
        (np.array([2, 5]), [2, 5], False),
        ([], [], False),
        ([-1], [-1], False),
    ],
)
def test_what_targets_mean(targets, engines, single):
    """RC-06, RC-07, RC-08: numbers of numpy as well. Only a number by itself counts from the end."""
    assert chosen(targets, IDS) == (engines, single)
    assert all(type(engine) is int for engine in chosen(targets, IDS)[0])


@pytest.mark.parametrize("targets", ["foo", True, 1.5, {0, 2}, {0: 1}, b"ab", [0, "a"], [0.0], [True], [None], np.array([1.5])])
def test_what_means_no_engines(targets):
    """RC-08, DV-22"""
    with pytest.raises(TypeError, match="all|the id of an engine"):
        chosen(targets, IDS)


@pytest.mark.parametrize("targets", ["all", None, slice(None)])
def test_no_engines(targets):
    """RC-31"""
    with pytest.raises(NoEnginesRegistered, match="wait_for_engines"):
        chosen(targets, [])


@pytest.mark.parametrize("value", ["0", None, [0], 0.0, True])
def test_no_id(value):
    """CLU-17: ``stop_engine(True)`` ends no engine."""
    with pytest.raises(TypeError, match="the id of an engine is an integer, not"):
        engine_id(value)
