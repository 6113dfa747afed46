"""When the controller's loop waits a moment for more results: only in a rush, and never when somebody may wait for one."""

import pytest

from pxkernel.controller.rush import LEFT, OVER, PAUSE, RATE, Rush


def rush_of(rate, seconds=1.0, step=OVER / 4, left=LEFT):
    """The pauses while so many results per second come, and the time at their end."""
    rush, now, due, pauses = Rush(), 1000.0, 0.0, []
    while now < 1000.0 + seconds:
        due += rate * step
        if due >= 1:
            rush.reported(int(due), left)
            due -= int(due)
        pauses.append(rush.pause(now))
        now += step
    return rush, now, pauses


def test_a_rush_begins_within_two_intervals():
    _, _, pauses = rush_of(2 * RATE)
    assert set(pauses[9:]) == {PAUSE}


@pytest.mark.parametrize("rate", [0, 1, RATE / 2])
def test_slow_results_are_no_rush(rate):
    _, _, pauses = rush_of(rate)
    assert set(pauses) == {0.0}


@pytest.mark.parametrize("left", [0, LEFT - 1])
def test_there_is_no_pause_when_an_engine_could_run_out_of_work(left):
    """However many tasks there are: 64 engines with one task each, threads that call one engine each, the end of a rush."""
    _, _, pauses = rush_of(5 * RATE, left=left)
    assert set(pauses) == {0.0}


def test_one_call_that_somebody_waits_for_ends_the_pauses_of_all():
    rush, now, pauses = rush_of(2 * RATE)
    assert pauses[-1] == PAUSE
    rush.reported(1, 0)
    assert rush.pause(now) == 0.0
    rush.reported(1000, LEFT)
    assert rush.pause(now + OVER) == 0.0
    rush.reported(1000, LEFT)
    assert rush.pause(now + 2 * OVER) == PAUSE


def test_a_rush_ends():
    rush, now, _ = rush_of(2 * RATE)
    assert rush.pause(now + OVER) == 0.0


def test_a_first_result_after_a_long_time_is_no_rush():
    rush, now, _ = rush_of(2 * RATE)
    rush.reported(1, LEFT)
    assert rush.pause(now + 60.0) == 0.0
    rush.reported(1, LEFT)
    assert rush.pause(now + 60.0 + OVER) == 0.0
