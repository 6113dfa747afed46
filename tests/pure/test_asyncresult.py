"""AsyncResult and AsyncMapResult without a cluster: what arrives is delivered by the test."""

import asyncio
import concurrent.futures
import copy
import json
import pickle
import threading
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from datetime import UTC, datetime, timedelta

import pytest

from pxkernel.client import arrivals
from pxkernel.client.asyncresult import AsyncResult
from pxkernel.client.mapresult import AsyncMapResult
from pxkernel.client.records import Part
from pxkernel.errors import CompositeError, NotReadyError, RemoteError, TaskAborted
from pxkernel.protocol.messages import DATA
from pxkernel.protocol.pack import pack_result
from pxkernel.protocol.times import stamp

ERROR = {"ename": "ValueError", "evalue": "bad", "traceback": ["line 1"], "mro": [["builtins", "ValueError"]]}


class Client:
    """What an AsyncResult needs of one."""

    directory = "nowhere"
    in_io_thread = False

    def __init__(self):
        self.aborted = []
        self.on_abort = lambda result: None

    def refuse_io_thread(self):
        pass

    def look_out(self):
        pass

    def namespace(self):
        return {}

    def abort(self, result, block):
        self.aborted.append(result)
        self.on_abort(result)


@pytest.fixture
def client():
    return Client()


def parts(n, size=1, method="apply"):
    return [Part(f"s:{i}", i, f"uuid-{i}", method, "", size, 100.0 + i) for i in range(n)]


@pytest.fixture
def result(client):
    return AsyncResult(client, parts(3), "f", single=False)


@pytest.fixture
def one(client):
    return AsyncResult(client, parts(1), "f", single=True)


@pytest.fixture
def mapped(client):
    return AsyncMapResult(client, parts(3, size=2), "f")


def finish(result, index, value=None, status="ok", started=1.0, completed=2.0, **record):
    times = {} if started is None else {"started": stamp(started), "completed": stamp(completed)}
    record = {"status": status, **times, **record}
    result._finish_part(result._parts[index], record, pack_result(value) if status == "ok" else [])


def fail(result, index):
    finish(result, index, status="error", error=ERROR)


def abort(result, index):
    finish(result, index, status="aborted", reason="why")


def output(result, index, msg_type, /, **content):
    result._add_output(result._parts[index], msg_type, [json.dumps(content).encode()])


def say(result, index, text, name="stdout"):
    output(result, index, "stream", name=name, text=text)


def settle(result, *indices, dropped=0):
    for index in indices:
        result._settle_part(result._parts[index], dropped)


def later(function, *args):
    """Call it in another thread once somebody waits; to be joined."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


# ---- waiting


def test_the_states(result):
    """AR-02, AR-06, AR-07"""
    assert repr(result) == "<AsyncResult: f:pending>"
    assert result.running() and not result.ready()
    assert result.pending == {"s:0", "s:1", "s:2"}
    for kind in (RuntimeError, AssertionError, NotReadyError):
        with pytest.raises(kind):
            result.successful()
    for index in range(3):
        finish(result, index, index)
    assert repr(result) == "<AsyncResult: f:finished>"
    assert result.successful() and not result.running() and result.pending == set()


@pytest.mark.parametrize("when", [FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED])
def test_waiting_gives_two_sets(result, when):
    """AR-05"""
    assert result.wait(0.01, return_when=when) == (set(), set(result.split()))
    finish(result, 1, 5)
    done, pending = result.wait(0.01, return_when=when)
    assert [one.get() for one in done] == [5]
    assert pending == set(result.split()) - done
    for index in (0, 2):
        finish(result, index)
    assert result.wait(return_when=when) == (set(result.split()), set())


@pytest.mark.parametrize("when, enough", [(FIRST_COMPLETED, finish), (FIRST_EXCEPTION, fail)])
def test_waiting_ends_with_the_first(result, when, enough):
    """AR-05: no timeout ends it."""
    thread = later(enough, result, 2)
    done, pending = result.wait(return_when=when)
    thread.join()
    assert done == {result.split()[2]} and len(pending) == 2


@pytest.mark.parametrize("ready", [False, True])
def test_waiting_for_nonsense(one, ready):
    """AR-05: also when it is done."""
    if ready:
        finish(one, 0)
    for ask in (one.wait, one.get):
        with pytest.raises(ValueError, match="return_when must be one of .*FIRST_COMPLETED.*, not 'LAST'"):
            ask(0, return_when="LAST")


def test_the_first_exception_is_raised_alone(result):
    """AR-03"""
    finish(result, 0)
    with pytest.raises(TimeoutError):
        result.get(0, return_when=FIRST_EXCEPTION)
    fail(result, 2)
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            result.get(0, return_when=FIRST_EXCEPTION)
        assert caught.value is result._parts[2].error
        assert not isinstance(caught.value, CompositeError)
        assert not result.ready()
    fail(result, 1)
    assert [type(value).__name__ for value in result.get(return_exceptions=True)] == ["NoneType", "ValueError", "ValueError"]


def test_the_first_completed_is_no_way_to_get_all(one):
    """AR-03"""
    finish(one, 0, 5)
    with pytest.warns(UserWarning, match="FIRST_COMPLETED is ignored"):
        assert one.get(return_when=FIRST_COMPLETED) == 5


def test_waiting_with_a_bar(result, capsys):
    """AR-29: it does not raise, and it ends with the time."""
    assert result.wait_interactive(interval=0.001, timeout=0.01) is None
    finish(result, 0), finish(result, 1)
    thread = later(fail, result, 2)
    result.wait_interactive(interval=0.01)
    thread.join()
    shown = capsys.readouterr().err
    assert "f:" in shown and "0/3" in shown and "3/3" in shown and "1 failed" in shown


@pytest.mark.parametrize("options", [{"interval": 0}, {"interval": -1}, {"return_when": "LAST"}])
def test_waiting_with_a_bar_for_nonsense(result, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        result.wait_interactive(**options)


def test_a_wait_that_is_over_at_once_ends(one):
    """Python's own queue waited for ever once in some ten thousand times."""
    for _ in range(30_000):
        assert one._listen(1e-9, lambda: False) is False


def test_what_came_before_a_question_is_shown_before_it(one, client, monkeypatch, capsys):
    """MG-28: also if both come between the look for output and the look for questions."""
    seen, show_new = [], one._live.show_new

    def show_and_receive():
        show_new()
        if not one._live.arrived:
            say(one, 0, "before")
            one._add_prompt(one._parts[0], b"?")

    def answer(engine, content):
        seen.append((engine, content, capsys.readouterr().out))
        return b"typed"

    monkeypatch.setattr(one._live, "show_new", show_and_receive)
    monkeypatch.setattr(arrivals, "interactive", lambda: True)
    monkeypatch.setattr(arrivals, "answer", answer)
    client.reply_input = lambda task, content: finish(one, 0)
    assert one._listen(10, one.done, show=True)
    assert seen == [(0, b"?", "[stdout:0] before\n")]


def test_output_may_come_later(one):
    """AR-32"""
    finish(one, 0)
    assert one.wait_for_output(0) is False
    thread = later(settle, one, 0)
    assert one.wait_for_output(10) is True
    thread.join()


def test_there_may_be_no_output(one):
    """AR-32: the reply says so."""
    follower = AsyncResult(one._client, one._parts, "f", single=True)
    one._lead(follower)
    one._parts[0].settled = True
    finish(one, 0)
    assert one.wait_for_output(0) and follower.wait_for_output(0)


# ---- results


def test_a_dict(result):
    """AR-11"""
    for index in range(3):
        finish(result, index, index * 10)
    assert result.get_dict() == result.result_dict == {0: 0, 1: 10, 2: 20}


def test_a_dict_of_one(one):
    """AR-11"""
    finish(one, 0, [1, 2])
    assert one.get_dict() == {0: [1, 2]}


def test_a_dict_of_a_map_has_the_items_of_each_engine(mapped):
    """AR-11"""
    for index in range(3):
        finish(mapped, index, [index, index])
    assert mapped.get_dict() == {0: [0, 0], 1: [1, 1], 2: [2, 2]}
    assert mapped.get() == [0, 0, 1, 1, 2, 2]


def test_what_was_aborted_raises(result):
    """AR-34, AR-35"""
    finish(result, 0), abort(result, 1), finish(result, 2)
    assert repr(result) == "<AsyncResult: f:failed>"
    assert result.successful() is False
    with pytest.raises(CompositeError) as caught:
        result.get()
    assert [type(error) for error in caught.value.exceptions] == [TaskAborted]
    assert result.status == ["ok", "aborted", "ok"]


def test_a_single_one_that_was_aborted(one):
    """AR-34"""
    abort(one, 0)
    with pytest.raises(TaskAborted, match="s:0"):
        one.get()


# ---- metadata and times


def test_the_metadata_are_attributes(result, one):
    """AR-13"""
    assert result.engine_id == [0, 1, 2]
    assert result.engine_uuid == ["uuid-0", "uuid-1", "uuid-2"]
    assert result.started == result.received == [None] * 3
    assert one.submitted == datetime.fromtimestamp(100, UTC)
    assert one.pyin is None and one.follow == []
    assert {"started", "engine_id", "data", "get"} <= set(dir(one))
    with pytest.raises(AttributeError, match="'AsyncResult' object has no attribute 'nonsense'"):
        one.nonsense
    with pytest.raises(KeyError, match="nonsense"):
        one["nonsense"]


def test_completion_shows_the_metadata(result):
    """AR-39"""
    assert {"stdout", "engine_id", "completed", "get", "wait_interactive"} <= set(dir(result))
    assert isinstance(vars(result), dict)


def test_times(result):
    """AR-25 to AR-27"""
    for ask in ("serial_time", "wall_time"):
        with pytest.raises(TimeoutError, match="result not ready"):
            getattr(result, ask)
    assert result.elapsed > 0
    for index in range(3):
        finish(result, index, started=1.0, completed=2.0 + index)
        result._parts[index].received = 110.0 + index
    assert result.serial_time == 6.0
    assert result.wall_time == result.elapsed == 12.0


def test_the_time_of_what_never_started(result):
    """AR-26"""
    finish(result, 0, completed=3.0)
    for index in (1, 2):
        finish(result, index, status="died", reason="died", started=None, completed=None)
    assert result.serial_time == 2.0


def test_differences_of_stamps(result):
    """AR-28"""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    end = start + timedelta(seconds=5)
    assert result.timedelta(start, end) == 5.0
    assert result.timedelta([end, start], [start, end]) == 5.0
    assert result.timedelta([end, start], [start, end], start_key=max, end_key=min) == -5.0
    assert result.timedelta(result.submitted, end) == result.timedelta(min(result.submitted), end)


def test_nothing_to_do(client):
    result = AsyncMapResult(client, [], "f")
    assert result.get() == [] and result.elapsed == result.serial_time == 0.0
    assert list(result) == [] and result.split() == ()


def test_published_data(result):
    """DAT-01: while it runs."""
    result._add_output(result._parts[1], DATA, [b"{}", *pack_result({"step": 3})])
    assert result.data == [{}, {"step": 3}, {}]
    assert result.metadata[1].data == {"step": 3}


# ---- one by one


def test_iterating_in_order(mapped):
    """AMR-01: each part as soon as it is there."""
    items = iter(mapped)
    finish(mapped, 0, [0, 1])
    assert [next(items), next(items)] == [0, 1]
    finish(mapped, 2, [4, 5])
    thread = later(finish, mapped, 1, [2, 3])
    assert list(items) == [2, 3, 4, 5]
    thread.join()


def test_iterating_in_the_order_of_completion(client):
    """AMR-01"""
    mapped = AsyncMapResult(client, parts(3, size=2), "f", ordered=False)
    items = iter(mapped)
    finish(mapped, 2, [4, 5])
    assert [next(items), next(items)] == [4, 5]
    finish(mapped, 0, [0, 1]), finish(mapped, 1, [2, 3])
    assert list(items) == [0, 1, 2, 3]
    assert mapped.get() == [0, 1, 2, 3, 4, 5]


def test_iterating_asynchronously(mapped):
    """EXE, issue 3: ``async for`` lets the loop go on."""

    async def main():
        seen = []

        async def deliver():
            for index in (1, 0, 2):
                await asyncio.sleep(0)
                finish(mapped, index, [index, index])

        task = asyncio.create_task(deliver())
        async for item in mapped:
            seen.append(item)
        await task
        return seen

    assert asyncio.run(main()) == [0, 0, 1, 1, 2, 2]
    assert mapped._listeners == []


def test_iterating_asynchronously_from_another_thread(result):
    async def main():
        return [item async for item in result]

    threads = [later(finish, result, index, index) for index in range(3)]
    assert asyncio.run(main()) == [0, 1, 2]
    for thread in threads:
        thread.join()


def test_iterating_over_an_error(result):
    """AR-23: it is raised where it is."""
    finish(result, 0, 1), fail(result, 1), finish(result, 2, 3)
    items = iter(result)
    assert next(items) == 1
    with pytest.raises(RemoteError):
        next(items)


def test_a_single_result_cannot_be_iterated(one):
    """AR-23"""
    with pytest.raises(TypeError, match="single result are not iterable"):
        iter(one)

    async def main():
        with pytest.raises(TypeError, match="single result are not iterable"):
            async for _ in one:
                pass

    asyncio.run(main())


def test_progress_counts_items(mapped):
    """AR-24"""
    assert (mapped.progress, len(mapped)) == (0, 6)
    finish(mapped, 1, [1, 2])
    assert mapped.progress == 2


# ---- parts and wholes


def test_splitting(result):
    """AR-37"""
    finish(result, 0, "early")
    say(result, 0, "before")
    children = result.split()
    assert children == result.split() and len(children) == 3
    assert children[0].get() == "early"
    finish(result, 2, "late"), say(result, 2, "after"), settle(result, 0, 2)
    assert children[2].get() == "late"
    assert not children[1].ready()
    assert [child.stdout for child in children] == ["before", "", "after"]
    assert children[0].wait_for_output(0) and children[2].wait_for_output(0)
    assert children[2].engine_id == 2
    fail(result, 1)
    with pytest.raises(ValueError):
        children[1].get()


def test_splitting_one(one):
    """AR-37"""
    assert one.split() == (one,)


def test_splitting_a_map(mapped):
    """AR-37: the parts stay lists."""
    finish(mapped, 1, [2, 3])
    assert mapped.split()[1].get() == [[2, 3]]


def test_parts_among_futures(result):
    """EXE-05"""
    children = result.split()
    threads = [later(finish, result, index, index) for index in range(3)]
    assert {future.result() for future in concurrent.futures.as_completed(children, timeout=10)} == {0, 1, 2}
    for thread in threads:
        thread.join()


def test_joining(client, result, one):
    """AR-37"""
    one._parts[0].msg_id = "s:9"
    one = AsyncResult(client, one._parts, "g", single=True)
    finish(result, 0, 0)
    joined = AsyncResult.join(result, one)
    assert len(joined) == 4 and joined.progress == 1
    finish(one, 0, 9)
    for index in (2, 1):
        finish(result, index, index)
    assert joined.get() == [0, 1, 2, 9]
    assert AsyncResult.join(*result.split()).get() == result.get()
    assert AsyncResult.join(one) is one
    with pytest.raises(ValueError, match="at least one"):
        AsyncResult.join()
    for wrong in ((5,), (AsyncResult(Client(), parts(1), "f", single=True), 5)):
        with pytest.raises(TypeError, match="AsyncResults can be joined, not 5"):
            AsyncResult.join(*wrong)


def test_joining_maps(mapped):
    """AR-37"""
    for index in range(3):
        finish(mapped, index, [index, index])
    assert AsyncMapResult.join(*mapped.split()).get() == mapped.get()


def test_a_follower_sees_everything_once():
    """Whatever arrives while a result is split."""
    for _ in range(20):
        result = AsyncResult(Client(), parts(1), "f", single=False)
        part = result._parts[0]

        def deliver(result=result):
            for number in range(50):
                say(result, 0, f"{number}\n")
            finish(result, 0, 1), settle(result, 0)

        thread = later(deliver)
        follower = AsyncResult(result._client, [part], "f", single=True)
        result._lead(follower)
        assert follower.wait(10) and follower.wait_for_output(10)
        thread.join()
        assert [content["text"] for _, (_, content, _) in follower._live.arrived] == [f"{n}\n" for n in range(50)]


# ---- taking back


def test_cancelling_what_has_not_started(client, result):
    """AR-10"""
    called = []
    result.add_done_callback(called.append)
    client.on_abort = lambda aborted: [abort(aborted, index) for index in range(3)]
    assert result.cancel() is True
    assert result.cancelled() and result.done() and result.ready()
    assert repr(result) == "<AsyncResult: f:cancelled>"
    assert called == [result]
    assert result.successful() is False and result.wait() is True
    for ask in (result.get, result.result, result.exception):
        with pytest.raises(concurrent.futures.CancelledError):
            ask()
    assert result.status == ["aborted"] * 3
    assert result.cancel() is True
    assert concurrent.futures.wait([result], timeout=0).done == {result}


def test_cancelling_what_has_started(client, result, monkeypatch):
    """AR-10: what runs goes on, the rest is taken back, and the answer says so."""
    monkeypatch.setattr("pxkernel.client.asyncresult.CANCEL_TIMEOUT", 0.01)
    client.on_abort = lambda aborted: [abort(aborted, index) for index in (1, 2)]
    assert result.cancel() is False
    assert not result.cancelled() and not result.done()
    assert result.status == [None, "aborted", "aborted"]
    finish(result, 0, 5)
    with pytest.raises(CompositeError):
        result.get()
    assert result.get(return_exceptions=True)[0] == 5
    assert result.cancel() is False


def test_cancelling_what_has_started_is_answered_at_once(client, result, monkeypatch):
    """AR-10: the controller says what runs; nobody waits until it is done, or for a time."""
    monkeypatch.setattr("pxkernel.client.asyncresult.CANCEL_TIMEOUT", None)
    child = result.split()[0]

    def aborted(target):
        result._part_started(result._parts[0])
        if target is result:
            abort(result, 1)
            result._part_started(result._parts[2])

    client.on_abort = aborted
    for target in (result, child):
        assert target.cancel() is False and not target.done()
    assert result.status == [None, "aborted", None]


def test_cancelling_what_is_done(one, client):
    """AR-10"""
    finish(one, 0)
    assert one.cancel() is False and client.aborted == []


def test_cancelling_in_the_io_thread_does_not_wait(client, result):
    client.in_io_thread = True
    assert result.cancel() is False
    assert client.aborted == [result]


def test_asyncio_cancels(client, one):
    """EXE-06: the loop does not stand still."""

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(one), 0.01)

    asyncio.run(main())
    assert client.aborted == [one]


def test_aborting(client, one):
    """AR-33"""
    one.abort()
    assert client.aborted == [one]
    finish(one, 0)
    with pytest.raises(RuntimeError, match="I am already done"):
        one.abort()


# ---- showing


@pytest.fixture
def printed(result):
    for index in (0, 2):
        say(result, index, f"out {index}\n")
        output(result, index, "display_data", data={"text/plain": f"<plot {index}>"}, metadata={})
        output(result, index, "execute_result", data={"text/plain": "5"}, metadata={}, execution_count=3)
        say(result, index, f"err {index}\n", "stderr")
    for index in range(3):
        finish(result, index)
    settle(result, 0, 1, 2)
    return result


OUTPUTS = {
    "type": ["[stdout:0] out 0", "[stdout:2] out 2", "[output:0]", "<plot 0>", "[output:2]", "<plot 2>", "Out[0:3]: 5", "Out[2:3]: 5"],
    "engine": ["[stdout:0] out 0", "[output:0]", "<plot 0>", "Out[0:3]: 5", "[stdout:2] out 2", "[output:2]", "<plot 2>", "Out[2:3]: 5"],
    "order": ["[stdout:0] out 0", "[stdout:2] out 2", "[output:0]", "<plot 0>", "[output:2]", "<plot 2>", "Out[0:3]: 5", "Out[2:3]: 5"],
}  # fmt: skip


@pytest.mark.parametrize("groupby", OUTPUTS)
def test_showing_outputs(printed, capsys, groupby):
    """AR-30"""
    printed.display_outputs(groupby)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == OUTPUTS[groupby]
    assert captured.err.splitlines() == ["[stderr:0] err 0", "[stderr:2] err 2"]


def test_showing_in_order_drops_nothing(result, capsys):
    """AR-30: engines may have put out different numbers of things."""
    for index in range(3):
        for number in range(index + 1):
            output(result, index, "display_data", data={"text/plain": f"{index}.{number}"}, metadata={})
        finish(result, index)
    settle(result, 0, 1, 2)
    result.display_outputs("order")
    shown = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("[")]
    assert shown == ["0.0", "1.0", "2.0", "1.1", "2.1", "2.2"]


def test_showing_results_only(printed, capsys):
    """AR-30"""
    printed.display_outputs(result_only=True)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["Out[0:3]: 5", "Out[2:3]: 5"] and captured.err == ""


def test_showing_the_output_of_one(one, capsys):
    """AR-30: without a label."""
    say(one, 0, "out\n"), say(one, 0, "err\n", "stderr"), finish(one, 0), settle(one, 0)
    one.display_outputs()
    assert capsys.readouterr() == ("out\n", "err\n")


def test_showing_nothing(result, capsys):
    """AR-30"""
    for index in range(3):
        finish(result, index)
    settle(result, 0, 1, 2)
    result.display_outputs()
    assert capsys.readouterr() == ("", "")


def test_showing_too_early_and_in_a_strange_way(result, printed, client):
    """AR-30"""
    with pytest.raises(ValueError, match="groupby must be one of 'type', 'engine', 'order', not 'zz'"):
        printed.display_outputs("zz")
    with pytest.raises(TimeoutError, match="result not ready"):
        AsyncResult(client, parts(1), "f", True).display_outputs()


def test_streaming(result, capsys):
    """AR-31: as it comes, everything once, errors too; also of what no engine is known for yet."""
    say(result, 0, "early\n")
    with result.stream_output():
        say(result, 1, "during\n")
        finish(result, 0), fail(result, 1), finish(result, 2)
        settle(result, 0, 1, 2, dropped=0)
    say(result, 2, "too late\n")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["[stdout:0] early", "[stdout:1] during"]
    assert captured.err.splitlines() == ["[1:apply]:", "line 1"]


def test_streaming_a_map(mapped, capsys):
    """AR-31"""
    with mapped.stream_output():
        for index in range(3):
            say(mapped, index, f"{index}\n"), finish(mapped, index, [0, 0]), settle(mapped, index)
    assert capsys.readouterr().out.splitlines() == ["[stdout:0] 0", "[stdout:1] 1", "[stdout:2] 2"]


def test_streaming_ends_with_the_block(result):
    """AR-31: an error in the block is not held up by a result that never comes."""
    with pytest.raises(KeyError), result.stream_output():
        raise KeyError
    assert result._listeners == []


def test_lost_output_is_told(one, capsys):
    with one.stream_output():
        finish(one, 0), settle(one, 0, dropped=7)
    assert "7 bytes of output were dropped" in capsys.readouterr().err


def test_an_owner(one):
    """AR-38"""
    assert one.owner is True


@pytest.mark.parametrize("timeout", ["5", float("nan"), [1]])
def test_what_is_no_timeout(result, timeout):
    """AR-03, AR-05, AR-08, AR-29"""
    for wait in (result.wait, result.get, result.result, result.exception, lambda t: result.wait_interactive(timeout=t)):
        with pytest.raises(TypeError, match="timeout must be a number of seconds or None"):
            wait(timeout)


def test_a_timeout_may_be_longer_than_python_can_wait(result):
    """AR-05"""
    waited = []
    threads = [later(lambda timeout=timeout: waited.append(result.wait(timeout))) for timeout in (float("inf"), 1e300)]
    for index in range(3):
        finish(result, index)
    for thread in threads:
        thread.join()
    assert waited == [True, True]


def test_it_stays_where_it_is(result):
    """ERR-19: it has a thread to listen to, and an engine has not."""
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="an AsyncResult stays where it is: send what it gives, or its msg_ids"):
            use(result)
