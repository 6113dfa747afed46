"""How calls leave a client: by the thread that makes them or by the I/O thread, whole and in order (RC-17, decision 11)."""

import threading

import numpy as np
import pytest

import pxkernel as px

SOON = 20
#: More than a socket takes at a time, and less than goes through shared memory.
LONG = 900_000


@pytest.fixture
def one(cluster4):
    return cluster4[0]


def test_long_and_short_calls_in_order(one):
    """Parts of a message are sent by the thread that calls, the rest by the I/O thread; nothing gets in between."""
    one.execute("order = []").get(SOON)

    @px.interactive
    def note(number, payload):
        order.append(number)  # noqa: F821
        return len(payload)

    sizes = [LONG if number % 3 == 0 else number for number in range(60)]
    results = [one.apply_async(note, number, bytes(size)) for number, size in enumerate(sizes)]
    assert [result.get(SOON) for result in results] == sizes
    assert one["order"] == list(range(60))


def test_a_long_call_when_nothing_else_is_on_its_way(one):
    for _ in range(10):
        assert one.apply_sync(lambda data: (len(data), data[-1]), bytes(LONG) + b"x") == (LONG + 1, 120)
        array = np.arange(100_000, dtype=np.float64)
        assert one.apply_sync(lambda a: a.sum(), array) == array.sum()


def test_threads_call_at_once(cluster4):
    """Each gets its own results, and what one thread submits runs in its order."""
    cluster4[:].execute("seen = {}").get(SOON)

    @px.interactive
    def note(thread, number):
        seen.setdefault(thread, []).append(number)  # noqa: F821
        return thread, number

    found = {}

    def work(thread):
        view = cluster4[thread % 4]
        found[thread] = [view.apply_sync(note, thread, number) for number in range(40)]
        waiting = [view.apply_async(note, thread, number) for number in range(40, 80)]
        found[thread] += [result.get(SOON) for result in waiting]

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {thread: [(thread, number) for number in range(80)] for thread in range(8)}
    orders = {thread: numbers for seen in cluster4[:]["seen"] for thread, numbers in seen.items()}
    assert orders == {thread: list(range(80)) for thread in range(8)}


def test_a_callback_may_submit(one):
    """It runs in the I/O thread, which sends by itself."""
    second = []
    done = threading.Event()

    def submit(first):
        second.append(one.apply_async(lambda x: x + 1, first.result(0)))
        done.set()

    one.apply_async(lambda: 1).add_done_callback(submit)
    assert done.wait(SOON) and second[0].get(SOON) == 2


@pytest.mark.parametrize("size", [0, LONG])
def test_a_tracked_call_has_left_when_it_says_so(one, size):
    result = one.set_flags(track=True).apply_async(len, bytes(size))
    result.wait_for_send(SOON)
    assert result.sent
    assert result.get(SOON) == size


def test_what_an_engine_sent_before_its_end_counts():
    """A result that is in the controller's socket when the process ends is the result (ERR-12, CTL-07)."""
    with px.Cluster(n=1) as rc:
        results = [rc[0].apply_async(lambda n=n: bytes(200_000 + n)) for n in range(20)]
        last = rc[0].apply_async(lambda: __import__("os")._exit(3))
        assert [len(result.get(SOON)) for result in results] == [200_000 + n for n in range(20)]
        with pytest.raises(px.EngineError, match="died"):
            last.get(SOON)
