"""Views as executors: concurrent.futures and asyncio (EXE-01 to EXE-07)."""

import asyncio
import concurrent.futures
import time

import pytest

import pxkernel as px


@pytest.fixture
def executor(cluster4):
    return cluster4[1].executor


def test_it_is_an_executor(cluster4, view):
    """EXE-01, VW-20"""
    executor = view.executor
    assert isinstance(executor, concurrent.futures.Executor) and isinstance(executor, px.ViewExecutor)
    assert executor is view.executor and executor.view is view
    assert executor._max_workers == 4
    assert cluster4.executor([0, 2])._max_workers == 2


def test_balanced(cluster4):
    """EXE-01, EXE-02, EXE-03, RC-12: the results are bare."""
    with cluster4.executor() as executor:
        assert [executor.submit(pow, 2, n).result(10) for n in range(4)] == [1, 2, 4, 8]
        assert list(executor.map(pow, [2] * 50, range(50), chunksize=7, timeout=30)) == [2**n for n in range(50)]
        assert list(executor.map(abs, [-1, -2])) == [1, 2]


def test_submitting(view, executor):
    """EXE-02"""
    future = executor.submit(lambda x, *, y: x + y, 1, y=2)
    assert isinstance(future, px.AsyncResult) and future.result(10) == 3
    assert view.executor.submit(lambda: 7).result(10) == [7] * 4


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
def test_mapping(view, chunksize):
    """EXE-03"""
    results = view.executor.map(lambda x, y: x * y, range(10), range(1, 100), timeout=60, chunksize=chunksize)
    assert list(results) == [x * (x + 1) for x in range(10)]


def test_mapping_with_an_error(view):
    """EXE-03: the results before it are there."""
    results = view.executor.map(lambda x: 6 // x, [3, 2, 0, 1], chunksize=1)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_mapping_with_bad_input(view):
    """EXE-03: nothing is sent."""
    before = len(view.history)
    with pytest.raises(ValueError, match="chunksize"):
        view.executor.map(str, [1], chunksize=0)
    with pytest.raises(TypeError):
        view.executor.map(str)
    assert len(view.history) == before


def test_mapping_in_time(executor, hold):
    """EXE-03: what has not started when the time is over is cancelled."""
    results = executor.map(hold.function, [hold.path] * 5, timeout=0.05, chunksize=1)
    with pytest.raises(TimeoutError):
        next(results)
    hold.release()
    assert executor.view.wait(timeout=10)
    assert executor.submit(lambda: 1).result(10) == 1


def test_leaving_the_block_waits(cluster4):
    """EXE-04: the engines go on, the executor does not."""
    view = cluster4[:]
    with view.executor as executor:
        future = executor.submit(time.sleep, 0.05)
    assert future.done()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(int, [1])
    assert view.executor is not executor and view.executor.submit(int).result(10) == [0] * 4


def test_shutting_down_without_waiting(executor, hold):
    """EXE-04"""
    future = executor.submit(hold.function, hold.path, 5)
    executor.shutdown(wait=False)
    assert not future.done()
    hold.release()
    assert future.result(10) == 5


def test_shutting_down_cancels_what_has_not_started(executor, hold, wait_for):
    """EXE-04, AR-10"""
    executor.submit(time.sleep, 0.05).result(10)  # what comes after a slow call waits in the controller
    running = executor.submit(hold.function, hold.path, 5)
    wait_for(hold.has_started)
    waiting = [executor.submit(lambda: 1) for _ in range(3)]
    executor.shutdown(wait=False, cancel_futures=True)
    wait_for(lambda: all(future.cancelled() for future in waiting))
    assert not running.cancelled()
    hold.release()
    assert running.result(10) == 5


def test_waiting_and_as_completed(executor):
    """EXE-05"""
    futures = [executor.submit(pow, 2, n) for n in range(5)]
    assert concurrent.futures.wait(futures, timeout=10).done == set(futures)
    assert sorted(future.result() for future in concurrent.futures.as_completed(futures)) == [1, 2, 4, 8, 16]


def test_in_an_event_loop(view, executor):
    """EXE-06: await, wrap_future, run_in_executor and ``async for``."""

    async def main():
        loop = asyncio.get_running_loop()
        assert await executor.submit(pow, 2, 3) == 8
        assert await asyncio.wrap_future(executor.submit(pow, 2, 4)) == 16
        assert await loop.run_in_executor(executor, pow, 2, 5) == 32
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, lambda: 1 / 0)
        assert await asyncio.gather(*(executor.submit(pow, 2, n) for n in range(3))) == [1, 2, 4]
        return [item async for item in view.map_async(lambda x: -x, range(6))]

    assert asyncio.run(main()) == [0, -1, -2, -3, -4, -5]


def test_cancelling_a_task_of_asyncio_cancels_the_call(executor, hold, wait_for):
    """EXE-06, AR-10"""
    executor.submit(time.sleep, 0.05).result(10)
    executor.submit(hold.function, hold.path)
    waiting = executor.submit(int)

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.01)

    asyncio.run(main())
    wait_for(waiting.cancelled)


def test_waiting_for_any_future(cluster4, executor):
    """EXE-07"""
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        assert cluster4.wait([threads.submit(int), executor.submit(int)], 10)
