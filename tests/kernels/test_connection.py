"""How calls leave a client: by the thread that makes them or by the I/O thread, whole and in order (RC-17, decision 11)."""

import contextlib
import multiprocessing
import os
import threading
import time

import numpy as np
import psutil
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


def test_waiting_keeps_no_processor_busy(one):
    """The I/O thread looks for the answer for less than a millisecond, then it sleeps."""
    one.apply_sync(abs, -1)
    used = time.process_time()
    assert one.apply_sync(time.sleep, 1.0) is None
    assert time.process_time() - used < 0.5


def test_asking_time_and_again_keeps_no_processor_busy(one):
    one.apply_sync(abs, -1)
    result, polls, used = one.apply_async(time.sleep, 1.0), 0, time.process_time()
    while not result.done():
        with contextlib.suppress(px.TimeoutError):
            result.get(0.001)
        polls += 1
    assert polls > 20 and (time.process_time() - used) / polls < 0.0005


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


def test_a_task_that_forks(one):
    """The child that returns from the task as well is no second engine: it ends there, and its parent goes on."""
    pid = one.apply_sync(os.getpid)
    child = one.apply_sync(os.fork)
    assert child not in (0, pid)
    assert {one.apply_sync(os.getpid) for _ in range(30)} == {pid}
    assert one.apply_sync(len, bytes(LONG)) == LONG
    assert one.apply_sync(os.waitpid, child, 0) == (child, 0)


def test_a_client_in_a_forked_process_keeps_no_connection(cluster4, wait_for):
    """A pool of processes of the notebook must not keep closed clients alive in the controller."""
    controller = psutil.Process(cluster4.cluster.controller.pid)
    before = len(controller.net_connections("unix"))
    client = px.Client(cluster4.cluster.cluster_file)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(abs, (-1,)) == 1
        client.close()
        wait_for(lambda: len(controller.net_connections("unix")) <= before)


def test_ctrl_c_in_every_step_of_a_submission(cluster4, one, monkeypatch):
    """What is registered is sent: a KeyboardInterrupt anywhere in ``send`` leaves no call that never ends."""
    connection = cluster4._connection
    for name, owner in (("_sent_at_once", connection), ("_wake", connection), ("flush", connection._link)):
        original = getattr(owner, name)
        for after in (False, True):

            def interrupted(*args, original=original, after=after, name=name, owner=owner):
                monkeypatch.setattr(owner, name, original)
                if after:
                    original(*args)
                raise KeyboardInterrupt

            monkeypatch.setattr(owner, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                for number in range(1000):
                    one.apply_async(lambda number=number: number)
            assert cluster4.wait(timeout=SOON) and not cluster4.outstanding, (name, after)


def test_ctrl_c_before_a_submission_is_handed_over(cluster4, one, monkeypatch):
    """What is registered is sent from the first step on, and what is not sent has ended."""
    getpid = os.getpid

    def interrupted():
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "getpid", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.apply_async(int)
    assert os.getpid is getpid
    assert cluster4.wait(timeout=SOON) and not cluster4.outstanding

    class Pending(dict):
        def update(self, *others):
            cluster4._pending = pending
            raise KeyboardInterrupt

    pending, cluster4._pending = cluster4._pending, Pending()
    made = []
    with pytest.raises(KeyboardInterrupt):
        one._execute("1", True, None, False, "execute", made=made.append)
    assert not cluster4.outstanding
    with pytest.raises(px.TaskAborted, match="interrupted before it was sent"):
        made[0].get(SOON)
    assert one.apply_sync(int) == 0


def test_a_call_that_cannot_be_sent_fails_alone(cluster4, one, monkeypatch):
    """ERR-19: whether it is sent at once, or by the I/O thread in one message with others."""
    lview = cluster4.load_balanced_view(1)
    for queued in (False, True):
        with monkeypatch.context() as patch:
            # What waits goes in one message.
            if queued:
                patch.setattr(cluster4._connection, "_wake", lambda: None)
                patch.setattr(cluster4._connection, "_awaiting", True)
            before = [lview.apply_async(int, number) for number in range(3)]
            with lview.temp_flags(retries=10**5000):
                bad = lview.apply_async(int)
            after = [lview.apply_async(int, number) for number in range(3, 6)]
        cluster4._connection._wake()
        with pytest.raises(ValueError, match="the call cannot be sent: Exceeds the limit") as caught:
            bad.get(SOON)
        assert isinstance(caught.value, px.RemoteError) and bad.metadata.status == "error"
        assert [result.get(SOON) for result in before + after] == list(range(6))
        assert not cluster4.outstanding
    assert one.apply_sync(abs, -1) == 1
