"""The loop of the controller's main thread."""

import math
import os

import pytest

from pxkernel.controller import loop as loops
from pxkernel.controller.loop import Loop, guarded


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("timeout", [1e7, 1e300, math.inf])
def test_it_can_wait_for_what_is_due_in_a_thousand_years(loop, timeout):
    """LB-07: epoll counts milliseconds up to 24 days, and an error here would end the cluster."""
    called = []
    loop.later(called.append, 1)
    loop.turn(timeout)
    assert called == [1]


def test_what_is_left_for_later_waits_for_the_next_turn(loop):
    """HUB-04: so that a long search lets others have their turn."""
    called = []

    def again():
        called.append(len(called))
        if len(called) < 3:
            loop.later(again)

    loop.later(again)
    for turn in range(1, 4):
        loop.turn(1.0)
        assert len(called) == turn
    loop.turn(0.0)
    assert called == [0, 1, 2]


def test_a_function_that_fails_does_not_end_the_loop(loop, capsys):
    called = []
    loop.later(lambda: 1 / 0)
    loop.later(called.append, "next")
    loop.turn(1.0)
    assert called == ["next"] and "ZeroDivisionError" in capsys.readouterr().err


def test_a_descriptor_that_can_be_read(loop):
    read, write = os.pipe()
    called = []
    loop.watch(read, lambda events: called.append(os.read(read, 10)))
    os.write(write, b"x")
    loop.turn(1.0)
    os.close(write)
    loop.selector.unregister(read)
    os.close(read)
    assert called == [b"x"]


def test_the_longest_wait_can_be_counted():
    assert loops.LONGEST_WAIT * 1000 < 2**31


def test_what_fails_is_reported_and_ends_nothing(capsys):
    called = []
    guarded(called.append, 1)
    guarded(called.append)
    assert called == [1] and "TypeError" in capsys.readouterr().err
