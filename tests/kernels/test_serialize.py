"""What arrives is what was sent, at every size (features SER)."""

import time

import numpy as np
import pytest

import pxkernel as px


@pytest.fixture
def one(cluster4):
    return cluster4[0]


# ---- nobody else's changes reach it


def test_what_a_task_returns_is_what_it_was_then(one, notebook):
    """SER-10: the next task may change the very array that is on its way home."""
    names = notebook("def get():\n    return array\n\ndef fill(value):\n    array.fill(value)")
    get, fill = names["get"], names["fill"]
    one.execute("import numpy; array = numpy.zeros(200_000)", block=True)
    for _ in range(50):
        # Short tasks, so that several of them are on the engine at once.
        results = [(one.apply_async(get), one.apply_async(fill, 1), one.apply_async(fill, 0)) for _ in range(5)]
        assert [result.get(20).any() for result, _, _ in results] == [False] * 5


@pytest.mark.parametrize("size", [10, 2_000, 200_000])
def test_what_is_sent_is_what_it_was_at_the_call(one, size):
    """SER-10"""
    array = np.zeros(size)
    results = []
    for _ in range(20):
        array.fill(0)
        results.append(one.apply_async(lambda a: a.any(), array))
        array.fill(1)
    assert not any(result.get(20) for result in results)
    assert all(result.sent for result in results)


def test_tracked_sends(one):
    """VW-22, AR-36: without a copy; `sent` tells when the array may be changed."""
    array = np.zeros(2_000_000)
    with one.temp_flags(track=True):
        result = one.apply_async(lambda a: a.any(), array)
    assert result.wait_for_send() is None
    assert result.sent
    array.fill(1)
    assert not result.get(20)
    assert one.apply_async(len, "abc").sent
    assert one.apply_async(len, "abc").wait_on_send(0) is None


def test_a_tracked_send_that_takes_its_time(one):
    """AR-36"""
    # More than the controller has room for, while the engine is busy.
    array = np.zeros(4_000_000)
    with one.temp_flags(track=True):
        results = [one.apply_async(time.sleep, 30)]
        results += [one.apply_async(lambda a: a.any(), array) for _ in range(8)]
        assert not results[-1].sent
        with pytest.raises(TimeoutError, match="Still waiting to be sent"):
            results[-1].wait_for_send(0.01)
        one.client.interrupt(results[0])
        results[-1].wait_for_send(20)
    assert not any(result.get(20) for result in results[1:])


def test_what_is_given_up_is_not_in_use(cluster4):
    """AR-36: closing a client ends the wait for what it has not sent."""
    array = np.zeros(4_000_000)
    with px.Client(cluster4.cluster.cluster_file) as other:
        view = other[0].set_flags(track=True)
        first = view.apply_async(time.sleep, 30)
        results = [view.apply_async(len, array) for _ in range(8)]
        assert not results[-1].sent
        view.client.interrupt(first)
    results[-1].wait_for_send(20)
    assert results[-1].sent
