"""When the controller's loop waits a moment for more results: only in a rush, and never when somebody may wait for one."""

import pytest

from pxkernel.controller.rush import FEW, OVER, PAUSE, RATE, Rush

MANY = FEW + 1


def rush_of(rate, seconds=1.0, step=OVER / 4, tasks=MANY):
    """The pauses while so many results per second come, and the time at their end."""
    rush, now, due, pauses = Rush(), 1000.0, 0.0, []
    while now < 1000.0 + seconds:
        due += rate * step
        rush.count(int(due))
        due -= int(due)
        pauses.append(rush.pause(tasks, now))
        now += step
    return rush, now, pauses


def test_a_rush_begins_within_two_intervals():
    _, _, pauses = rush_of(2 * RATE)
    assert set(pauses[9:]) == {PAUSE}


@pytest.mark.parametrize("rate", [0, 1, RATE / 2])
def test_slow_results_are_no_rush(rate):
    _, _, pauses = rush_of(rate)
    assert set(pauses) == {0.0}


def test_with_few_tasks_under_way_there_is_no_pause():
    """Several threads that call one engine each are as fast as a rush, and each waits for its own result."""
    _, _, pauses = rush_of(5 * RATE, tasks=FEW)
    assert set(pauses) == {0.0}


def test_a_rush_ends():
    rush, now, pauses = rush_of(2 * RATE)
    assert pauses[-1] == PAUSE
    assert rush.pause(MANY, now + OVER) == 0.0


def test_a_first_result_after_a_long_time_is_no_rush():
    rush, now, _ = rush_of(2 * RATE)
    rush.count(1)
    assert rush.pause(MANY, now + 60.0) == 0.0
    rush.count(1)
    assert rush.pause(MANY, now + 60.0 + OVER) == 0.0
