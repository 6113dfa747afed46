"""Interrupting work: what was meant is hit, nothing else is, and no reply is lost."""

import random
import time

import pytest

import pxkernel as px

SOON = 10


@pytest.fixture
def engine(cluster4):
    """One engine with a name in its namespace that must survive."""
    engine = cluster4[0]
    engine.push({"kept": [1, 2, 3]}).get(SOON)
    yield engine
    assert engine.pull("kept").get(SOON) == [1, 2, 3]
    assert cluster4.ids == [0, 1, 2, 3] and not cluster4.outstanding


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "started"


def spin(mark):
    mark.touch()
    while True:
        pass


def sleep(mark):
    mark.touch()
    time.sleep(1e4)


async def sleep_awaiting(mark):
    import asyncio

    mark.touch()
    await asyncio.sleep(1e4)


def interrupted(result):
    """Whether a call came back with the error of an interrupt."""
    with pytest.raises(px.RemoteError) as caught:
        result.get(SOON)
    assert not isinstance(caught.value, KeyboardInterrupt)
    return caught.value.ename == "KeyboardInterrupt"


@pytest.mark.parametrize("work", [spin, sleep, sleep_awaiting])
def test_a_function(cluster4, engine, wait_for, mark, work):
    running = engine.apply_async(work, mark)
    behind = [engine.apply_async(abs, -number) for number in range(5)]
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert interrupted(running)
    assert [result.get(SOON) for result in behind] == [0, 1, 2, 3, 4]
    assert engine.apply_sync(lambda: 7) == 7


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("work", ["while True: pass", "time.sleep(1e4)", "await asyncio.sleep(1e4)"])
def test_a_cell(cluster4, engine, wait_for, mark, work, silent):
    code = f"import asyncio, pathlib, time\npathlib.Path({str(mark)!r}).touch()\n{work}"
    running = engine._execute(code, silent, None, False, "execute")
    behind = engine.execute("after = 5", silent=silent)
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert interrupted(running) or "await" in work
    behind.get(SOON)
    assert engine.pull("after", block=True) == 5
    engine.execute("del after", block=True)


def test_the_traceback_shows_where_it_was(cluster4, engine, wait_for, mark, notebook):
    work = notebook("""
        def busy(mark):
            mark.touch()
            while True:
                count = 1
    """)["busy"]
    running = engine.apply_async(work, mark)
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert interrupted(running)
    assert "count" in running.exception().traceback and "interrupts.py" not in running.exception().traceback


def test_on_all_engines(cluster4, engine, wait_for, tmp_path):
    def work(folder):
        import os

        (folder / str(os.getpid())).touch()
        while True:
            pass

    running = cluster4[:].apply_async(work, tmp_path)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 4)
    cluster4.interrupt(running)
    with pytest.raises(px.CompositeError) as caught:
        running.get(SOON)
    assert [error.ename for error in caught.value.exceptions] == ["KeyboardInterrupt"] * 4
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


def test_what_waits_is_aborted_and_what_runs_goes_on(cluster4, engine, wait_for, mark):
    go = mark.with_name("go")

    def work(mark, go):
        import time

        mark.touch()
        while not go.exists():
            time.sleep(0.01)
        return "done"

    running = engine.apply_async(work, mark, go)
    task, cell = engine.apply_async(spin, mark), engine.execute("while True: pass", silent=False)
    last = engine.apply_async(abs, -1)
    wait_for(mark.exists)
    cluster4.interrupt([task, cell])
    for result in (task, cell):
        with pytest.raises(px.TaskAborted, match="before it started"):
            result.get(SOON)
    assert not running.ready()
    go.touch()
    assert running.get(SOON) == "done" and last.get(SOON) == 1


def test_without_arguments_everything_is_meant(cluster4, engine, wait_for, mark):
    running, waiting = engine.apply_async(spin, mark), engine.apply_async(spin, mark)
    wait_for(mark.exists)
    cluster4.interrupt()
    assert interrupted(running)
    with pytest.raises(px.TaskAborted):
        waiting.get(SOON)


def test_what_is_done_is_not_interrupted_again(cluster4, engine):
    done = engine.apply_async(abs, -1)
    assert done.get(SOON) == 1
    after = engine.apply_async(time.sleep, 0.1)
    cluster4.interrupt(done)
    assert after.get(SOON) is None


def test_the_tasks_of_another_client_are_not_hit(cluster4, engine, wait_for, mark):
    with px.Client() as other:
        foreign = other[0].apply_async(sleep, mark)
        wait_for(mark.exists)
        mine = engine.apply_async(abs, -1)
        cluster4.interrupt()
        with pytest.raises(px.TaskAborted):
            mine.get(SOON)
        assert not foreign.ready()
        other.interrupt(foreign)
        assert interrupted(foreign)


def test_a_function_may_catch_it(cluster4, engine, wait_for, mark):
    def work(mark):
        try:
            mark.touch()
            while True:
                pass
        except KeyboardInterrupt:
            return "caught"

    running = engine.apply_async(work, mark)
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert running.get(SOON) == "caught"


def test_interrupts_at_any_moment_lose_no_reply_and_no_engine(cluster4, engine):
    """Each ends in exactly one of: its value, KeyboardInterrupt, TaskAborted."""
    chance = random.Random(5)
    seen = set()
    for _ in range(50):
        engines = cluster4[:]
        results = []
        for number in range(6):
            if chance.random() < 0.3:
                results.append(engines.execute(f"x = {number}"))
            else:
                results.append(engines.apply_async(time.sleep, chance.choice([0.001, 0.003, 0.06])))
        for result in results[: chance.randrange(4)]:
            result.wait(SOON)
        meant = chance.sample(results, chance.randrange(1, 4))
        cluster4.interrupt(meant)
        for result in results:
            assert result.wait(SOON), "a reply was lost"
            error = result.exception()
            names = set() if error is None else {ename for ename, *_ in error.elist}
            assert names <= {"KeyboardInterrupt", "TaskAborted"}, error
            assert not names or result in meant, "an interrupt hit what was not meant"
            seen |= names
    assert engines.apply_sync(lambda: 1) == [1] * 4
    # Otherwise it has tested nothing.
    assert seen == {"KeyboardInterrupt", "TaskAborted"}
