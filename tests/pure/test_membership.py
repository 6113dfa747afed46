"""Which engines a client knows, and waiting for them (features RC-04, RC-15, CLU-15, CLU-31)."""

import pytest

from pxkernel.client.membership import Membership, engine_count
from pxkernel.errors import EngineError
from pxkernel.protocol.messages import EnginesChanged, Welcome


def engine(number, **more):
    return {"id": number, **more}


def welcome(*ids, departed=(), restarting=(), expected=0, coming=0):
    info = {
        "departed": departed,
        "restarting": list(restarting),
        "prospects": {"expected": expected, "coming": coming},
    }
    return Welcome(None, [engine(number) for number in ids], info)


def change(joined=(), left=(), restarting=(), expected=0, coming=0):
    return EnginesChanged(
        [engine(number, new=True) for number in joined], list(left), list(restarting),
        {"expected": expected, "coming": coming},
    )  # fmt: skip


@pytest.fixture
def members():
    return Membership()


def wait(members, n=None, timeout=0.0):
    members.wait(n, timeout, lambda: None)


def test_engines_join_and_leave(members):
    members.welcome(welcome(0, 1, expected=3, coming=1))
    members.change(change([2], expected=3))
    members.change(change(left=[(1, "died")], expected=3))
    assert sorted(members.engines) == [0, 2] and members.left == {1: "died"}


def test_what_was_told_before_the_welcome_counts(members):
    members.change(change(left=[(0, "died")], expected=2))
    members.change(change([1], expected=2))
    members.welcome(welcome(0, 1, departed=[(2, "died")], restarting=[1], expected=2, coming=1))
    assert members.engines == {1: engine(1, new=True)} and members.left == {0: "died", 2: "died"}
    wait(members, 1)


def test_an_engine_that_comes_back_has_not_left(members):
    members.welcome(welcome(departed=[(0, "died")], expected=1, coming=1))
    members.change(change([0], expected=1))
    assert members.left == {} and list(members.engines) == [0]
    members.welcome(welcome(departed=[(0, "died")]))
    assert members.left == {}


def test_a_restarted_engine_is_known_and_not_ready(members):
    members.welcome(welcome(0, 1, expected=2))
    wait(members)
    members.change(change(restarting=[0], expected=2, coming=1))
    assert sorted(members.engines) == [0, 1]
    with pytest.raises(TimeoutError, match="^2 engines not ready in 0 seconds. Currently ready: 1$"):
        wait(members)
    members.change(change([0], expected=2))
    wait(members)


def test_a_restart_that_fails(members):
    members.welcome(welcome(0, restarting=[0], expected=1, coming=1))
    members.change(change(left=[(0, "could not be started: no")], expected=1))
    with pytest.raises(EngineError, match="1 engine cannot become ready:\nengine 0 could not be started: no"):
        wait(members)


def test_more_than_there_will_be(members):
    """Somebody may add engines, or a kernel may ask to be adopted."""
    members.welcome(welcome(0, expected=1))
    with pytest.raises(TimeoutError):
        wait(members, 2)
    members.change(change(expected=2, coming=1))
    with pytest.raises(TimeoutError):
        wait(members)


def test_an_engine_that_was_stopped_is_not_waited_for(members):
    members.welcome(welcome(0, 1, expected=2))
    members.change(change(left=[(1, "was stopped")], expected=1))
    wait(members)


def test_waiting_ends_when_the_cluster_does(members):
    members.welcome(welcome(0, expected=2, coming=1))
    members.lose("it has ended")

    def check():
        raise EngineError("no cluster")

    with pytest.raises(EngineError, match="no cluster"):
        members.wait(1, 10.0, check)
    assert members.engines == {} and members.left == {0: "is gone: it has ended"}


@pytest.mark.parametrize("n", ["a", -1, True, 1.5, float("nan"), 10_001, 10**30])
def test_no_number_of_engines(n):
    """RC-15, CLU-08"""
    with pytest.raises(ValueError, match="n is the number of engines, (at most 10000, )?not"):
        engine_count(n)


def test_no_timeout(members):
    """RC-15"""
    with pytest.raises(TypeError, match="timeout"):
        members.wait(1, "x", lambda: None)
