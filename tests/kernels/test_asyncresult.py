"""AsyncResult: waiting, asking, iterating, the metadata, and everything that takes a Future."""

import asyncio
import concurrent.futures
import datetime
import threading
import time

import pytest

import pxkernel as px

KEYS = {
    *("msg_id", "submitted", "started", "completed", "received", "engine_id", "engine_uuid", "status"),
    *("follow", "after", "label", "execute_input", "execute_result", "error", "stdout", "stderr", "outputs", "data"),
}


@pytest.fixture
def one(cluster4):
    view = cluster4[1]
    view.block = False
    return view


def test_while_it_is_pending(view, hold):
    """AR-01, AR-20, AR-22, ENG-01"""
    result = hold(view, 5)
    assert isinstance(result, concurrent.futures.Future)
    assert repr(result) == "<AsyncResult: hold:pending>"
    assert not result.ready()
    assert not result.done()
    assert result.wait(0) is False
    assert result.wait(0.01) is False
    with pytest.raises(TimeoutError, match="Result not ready."):
        result.get(0.01)
    with pytest.raises(px.TimeoutError):
        result.result(0.01)
    for kind in (RuntimeError, AssertionError):
        with pytest.raises(kind, match=r"Cannot check successful\(\) if not done."):
            result.successful()
    assert result.progress == 0
    assert len(result) == 4
    assert result.status == [None] * 4
    assert result["received"] == [None] * 4
    assert result.engine_id == [0, 1, 2, 3]
    first = result.elapsed
    assert 0 < first <= result.elapsed
    hold.release()
    assert result.wait(10) is True
    assert result.get() == [5] * 4


def test_when_it_is_ready(view):
    """AR-01, AR-08, AR-09, AR-12"""
    result = view.apply_async(lambda x: x + 1, 1)
    assert result.get() == result.get(5) == result.get(-1) == result.r == result.result() == [2] * 4
    assert result.ready()
    assert result.done()
    assert result.wait() is True
    assert result.successful() is True
    assert result.exception() is None
    assert result.progress == 4
    assert repr(result) == "<AsyncResult: <lambda>:finished>"
    assert result.elapsed == result.elapsed > 0
    assert result[2] == 2
    assert result[1:3] == [2, 2]
    assert list(result) == [2] * 4
    assert result.get_dict() == {0: 2, 1: 2, 2: 2, 3: 2}
    assert result.status == ["ok"] * 4
    with pytest.raises(RuntimeError, match="I am already done"):
        result.abort()


def test_when_it_has_failed(view):
    """AR-04, AR-08"""
    result = view.apply_async(lambda: 1 / 0)
    assert result.wait(10) is True
    assert result.successful() is False
    assert repr(result) == "<AsyncResult: <lambda>:failed>"
    assert isinstance(result.exception(), px.CompositeError)
    for ask in (result.get, result.result, result.get_dict, lambda: result.r, lambda: result[0]):
        with pytest.raises(px.CompositeError):
            ask()
    with pytest.raises(ZeroDivisionError):
        list(result)
    assert result.status == ["error"] * 4
    assert [repr(error) for error in result.get(return_exceptions=True)] == [
        f"<Remote[{engine}]:ZeroDivisionError(division by zero)>" for engine in range(4)
    ]


def test_a_single_result_is_bare(one):
    """AR-04, AR-12, AR-22, AR-40"""
    result = one.apply_async(lambda: [1, 2, 3])
    assert result.get() == [1, 2, 3]
    assert result[1] == 2
    assert len(result) == 1
    assert result.get_dict() == {1: [1, 2, 3]}
    assert result.engine_id == 1
    assert result.stdout == ""
    assert result.metadata.engine_id == 1
    with pytest.raises(TypeError, match="AsyncResults with a single result are not iterable."):
        iter(result).__next__()
    failed = one.apply_async(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failed.get()
    assert repr(failed.get(return_exceptions=True)) == "<Remote[1]:ZeroDivisionError(division by zero)>"


def test_a_list_of_one_stays_a_list(cluster4):
    """AR-40"""
    result = cluster4[[2]].apply_async(lambda: 1)
    assert result.get() == [1]
    assert result.engine_id == [2]
    assert list(result) == [1]


def test_getting_again_does_not_make_the_traceback_longer(one):
    result = one.apply_async(lambda: 1 / 0)
    lengths = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as caught:
            result.get()
        lengths.append(len(caught.traceback))
    assert len(set(lengths)) == 1


def test_iterating_gives_each_result_when_it_is_there(cluster4, view, hold):
    view.targets = [0, 1]
    blocker = hold(cluster4[1])
    result = view.apply_async(lambda: 7)
    results = iter(result)
    assert next(results) == 7
    assert not result.ready()
    assert result.progress == 1
    hold.release()
    assert next(results) == 7
    with pytest.raises(StopIteration):
        next(results)
    assert blocker.get(5) is None


def test_iterating_raises_at_the_result_that_failed(view):
    view.scatter("n", [1, 2, 0, 4], flatten=True)
    results = iter(view.apply_async(eval, "4 / __import__('IPython').get_ipython().user_ns['n']"))
    assert [next(results), next(results)] == [4, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)


# ---- metadata


def test_the_metadata_of_a_call(view):
    """AR-20, AR-21"""
    view.label = "first"
    result = view.apply_async(lambda: print("text") or __import__("sys").stderr.write("problem\n") and None)
    result.get()
    assert result.wait_for_output(10)
    now = datetime.datetime.now(datetime.UTC)
    for engine, data in enumerate(result.metadata):
        assert set(data) == KEYS
        assert data["engine_id"] == data.engine_id == engine
        assert data.engine_uuid == view.client.engine_info(engine)["uuid"]
        assert data.msg_id == result.msg_ids[engine]
        assert data.submitted <= data.started <= data.completed <= data.received <= now
        assert data.submitted.tzinfo is not None
        assert data.status == "ok"
        assert data.label == "first"
        assert (data.follow, data.after) == ([], [])
        assert (data.stdout, data.stderr, data.outputs) == ("text\n", "problem\n", [])
        assert data.execute_input is data.execute_result is data.error is None
    assert result["stdout"] == result.stdout == ["text\n"] * 4
    assert result.stderr == ["problem\n"] * 4
    assert result["label"] == ["first"] * 4
    with pytest.raises(KeyError, match="nosuch"):
        result["nosuch"]
    with pytest.raises(TypeError, match="Invalid key type <class 'float'>, must be 'int','slice', or 'str'"):
        result[1.5]


def test_the_old_names_of_the_metadata(one):
    """AR-17, AR-18"""
    result = one.execute("1 + 1", silent=False)
    result.get()
    assert result.wait_for_output(10)
    data = result.metadata
    assert data["pyin"] == data.pyin == data.execute_input == "1 + 1"
    assert data["pyout"]["data"]["text/plain"] == data.execute_result["data"]["text/plain"] == "2"
    assert data.pyerr is None
    assert result["pyout"] == data.pyout
    failed = one.execute("1/0")
    failed.wait(10)
    assert isinstance(failed.metadata.pyerr, ZeroDivisionError)
    assert failed.metadata.pyerr is failed.metadata["error"]
    with pytest.raises(AttributeError):
        data.nosuch
    with pytest.raises(KeyError):
        data["nosuch"]


def test_the_values_of_execute(view):
    """AR-17, DV-02"""
    view.block = False
    result = view.execute("print('a'); 5", silent=False)
    replies = result.get()
    assert result.wait_for_output(10)
    assert [reply.engine_id for reply in replies] == [0, 1, 2, 3]
    counts = result["execute_result"]
    assert [repr(reply) for reply in result.get(return_exceptions=True)] == [
        f"Out[{engine}:{counts[engine]['execution_count']}]: 5" for engine in range(4)
    ]
    assert result.stdout == ["a\n"] * 4


def test_displays(view):
    """AR-16"""
    view.block = False
    result = view.apply_async(lambda: __import__("IPython").display.display({"text/html": "<b>x</b>"}, raw=True))
    assert result.get() == [None] * 4
    assert [[display["data"] for display in shown] for shown in result.outputs] == [[{"text/html": "<b>x</b>"}]] * 4


def test_output_is_there_as_soon_as_it_is_asked_for(view):
    for number in range(50):
        result = view.apply_async(print, number)
        assert result.get() == [None] * 4
        assert result.stdout == [f"{number}\n"] * 4


def test_output_of_a_call_does_not_slow_down_the_next(view):
    began = time.monotonic()
    for number in range(50):
        result = view.execute("print(1)" if number % 2 else "1/0", block=False)
        result.wait(10)
        assert result.wait_for_output(5)
    assert time.monotonic() - began < 30


# ---- a Future among Futures


def test_concurrent_futures(view, hold):
    first, second = view.apply_async(lambda: 1), hold(view, 2)
    done, pending = concurrent.futures.wait([first, second], return_when=concurrent.futures.FIRST_COMPLETED, timeout=10)
    assert (done, pending) == ({first}, {second})
    hold.release()
    assert list(concurrent.futures.as_completed([first, second], timeout=10)) == [first, second]
    assert [future.result() for future in (first, second)] == [[1] * 4, [2] * 4]


def test_callbacks(view, one):
    """RC-28, AR-08"""
    called = threading.Event()
    seen = []
    result = one.apply_async(lambda: 3)
    result.add_done_callback(lambda future: (seen.append(future), called.set()))
    assert called.wait(10)
    assert seen == [result]
    assert seen[0].result() == 3


def test_a_call_from_a_callback(one):
    """RC-28: the I/O thread runs callbacks; a new submission from there is no deadlock."""
    second = concurrent.futures.Future()
    one.apply_async(lambda: 1).add_done_callback(lambda _: second.set_result(one.apply_async(lambda: 2)))
    assert second.result(10).get(10) == 2


def test_awaiting(view, one):
    """AR-01"""

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticker = asyncio.create_task(tick())
        single = await one.apply_async(lambda: 1)
        several = await asyncio.gather(*(one.apply_async(lambda x: x * x, n) for n in range(20)))
        with pytest.raises(px.CompositeError):
            await view.apply_async(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await one.apply_async(lambda: 1 / 0)
        mapped = await view.map_async(lambda x: -x, range(6))
        await one.apply_async(lambda: __import__("time").sleep(0.1))
        ticker.cancel()
        return single, several, mapped, ticks

    single, several, mapped, ticks = asyncio.run(main())
    assert single == 1
    assert several == [n * n for n in range(20)]
    assert mapped == [0, -1, -2, -3, -4, -5]
    assert ticks > 5


def test_waiting_with_asyncio(one, hold):
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(result)), 0.05)
        hold.release()
        return await result

    result = hold(one, "done")
    assert asyncio.run(main()) == "done"


# ---- taking back


@pytest.fixture
def slowly(view):
    """After a slow call an engine gets its work one by one: the rest waits in the controller."""
    view.apply_sync(time.sleep, 0.05)


@pytest.mark.usefixtures("slowly")
def test_aborting_what_waits(one, hold):
    running, queued, later = hold(one, 1), one.apply_async(lambda: 2), one.apply_async(lambda: 3)
    queued.abort()
    with pytest.raises(px.TaskAborted, match=queued.msg_ids[0]):
        queued.get(10)
    assert not running.ready()
    assert queued.status == "aborted"
    assert not queued.successful()
    hold.release()
    assert (running.get(10), later.get(10)) == (1, 3)


@pytest.mark.usefixtures("slowly")
def test_aborting_on_several_engines(view, hold):
    blocker = hold(view)
    ran = view.execute("ran = False", block=False)
    queued = view.execute("ran = True", block=False)
    queued.abort()
    assert queued.wait(10)
    with pytest.raises(px.CompositeError) as caught:
        queued.get()
    assert [type(error) for error in caught.value.exceptions] == [px.TaskAborted] * 4
    assert [type(error) for error in queued.get(return_exceptions=True)] == [px.TaskAborted] * 4
    hold.release()
    blocker.get(10), ran.get(10)
    assert view["ran"] == [False] * 4


@pytest.mark.usefixtures("slowly")
def test_aborting_many(one, hold):
    running = hold(one, 1)
    queued = [one.apply_async(lambda: 2) for _ in range(100)]
    one.abort(queued)
    assert one.wait(queued, 10)
    assert [type(result.exception()) for result in queued] == [px.TaskAborted] * 100
    assert not running.ready()
    hold.release()
    assert running.get(10) == 1


def test_aborting_what_the_engine_has_already(one, hold):
    """After quick calls an engine gets many at a time; it learns of the abort while the first one runs."""
    one.wait([one.apply_async(int) for _ in range(50)])
    running = hold(one, 1)
    queued = [one.apply_async(lambda: 2) for _ in range(100)]
    one.abort(queued)
    # Those that the controller has end at once, the others when their engine has answered.
    assert one.wait(queued, 10)
    assert not running.ready()
    hold.release()
    assert running.get(10) == 1
    assert [type(result.exception()) for result in queued] == [px.TaskAborted] * 100


# ---- two results of one engine


def test_a_dict_needs_different_engines(cluster4):
    twice = cluster4[[1, 1, 2]].apply_async(lambda: 1)
    assert twice.get() == [1, 1, 1]
    with pytest.raises(ValueError, match="Cannot build dict, 2 jobs ran on engine #1"):
        twice.get_dict()


# ---- waiting for collections


def test_waiting_for_jobs_of_every_kind(cluster4, view, hold):
    """RC-19, VW-13"""
    client = cluster4
    ready = view.apply_async(lambda: 1)
    assert client.wait(ready, 10) is True
    assert client.wait(ready.msg_ids, 10) is True
    assert client.wait(ready.msg_ids[0], 10) is True
    assert client.wait([ready, ready.msg_ids[2], 0, -1], 10) is True
    assert client.history[-4:] == ready.msg_ids == view.history
    assert view.wait(timeout=10) is True
    pending = hold(view)
    other = concurrent.futures.Future()
    assert client.outstanding == set(pending.msg_ids)
    for jobs in (None, pending, pending.msg_ids, -1, [ready, pending], [other], [ready, other]):
        assert client.wait(jobs, 0.01) is False
    assert view.wait([ready, pending], 0.01) is False
    assert view.wait(timeout=0.01) is False
    hold.release()
    assert client.wait(timeout=10) is True
    assert client.wait(timeout=-1) is True
    assert client.outstanding == set()
    failed = view.apply_async(lambda: 1 / 0)
    assert client.wait([failed]) is True


@pytest.mark.parametrize(
    ("junk", "kind"),
    [
        (1.5, TypeError),
        ([None], TypeError),
        ([object()], TypeError),
        ([[1]], TypeError),
        ("no such id", KeyError),
        (["no such id"], KeyError),
        (10**9, IndexError),
    ],
)
def test_waiting_for_junk(cluster4, view, junk, kind):
    view.apply_sync(lambda: 1)
    with pytest.raises(kind):
        cluster4.wait(junk)
    with pytest.raises(kind):
        view.wait(junk)


def test_an_empty_collection(cluster4, view):
    assert cluster4.wait([]) is True
    assert view.wait(()) is True


def test_display_outputs(view, hold, capsys):
    pending = hold(view)
    with pytest.raises(TimeoutError, match="result not ready"):
        pending.display_outputs()
    hold.release()
    pending.get()
    result = view.execute("print('hello')", targets=[0, 2], block=False)
    result.get()
    result.display_outputs()
    assert sorted(capsys.readouterr().out.splitlines()) == ["[stdout:0] hello", "[stdout:2] hello"]
