"""Interrupting work: what was meant is hit, nothing else is, and no reply is lost (features CTL-01, CTL-02)."""

import os
import random
import signal
import textwrap
import threading
import time

import pytest

import pxkernel as px

SOON = 10


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


async def spin_awaiting(mark):
    import asyncio

    await asyncio.sleep(0)
    mark.touch()
    while True:
        pass


@pytest.mark.parametrize("work", [spin, sleep, sleep_awaiting, spin_awaiting])
def test_a_function(cluster4, engine, wait_for, mark, work):
    running = engine.apply_async(work, mark)
    behind = [engine.apply_async(abs, -number) for number in range(5)]
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert interrupted(running)
    assert [result.get(SOON) for result in behind] == [0, 1, 2, 3, 4]
    assert engine.apply_sync(lambda: 7) == 7


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize(
    "work",
    ["while True: pass", "time.sleep(1e4)", "await asyncio.sleep(1e4)", "await asyncio.sleep(0)\nwhile True: pass"],
)
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


def test_a_function_that_has_caught_it_is_interrupted_again(cluster4, engine, wait_for, mark):
    again = mark.with_name("again")

    def work(mark, again):
        try:
            mark.touch()
            while True:
                pass
        except KeyboardInterrupt:
            again.touch()
        while True:
            pass

    running = engine.apply_async(work, mark, again)
    for place in (mark, again):
        wait_for(place.exists)
        cluster4.interrupt(running)
    assert interrupted(running)


def test_an_interrupt_that_falls_into_a_finalizer_is_not_lost(cluster4, engine, wait_for, mark):
    def work(mark):
        class Slow:
            def __del__(self):
                mark.touch()
                while True:
                    pass

        Slow()
        while True:
            pass

    running = engine.apply_async(work, mark)
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert interrupted(running)


def test_a_cell_that_goes_on_before_it_is_cancelled(cluster4, engine, wait_for, mark):
    """It awaits when the interrupt comes, and computes before the event loop has its turn."""
    code = f"""
        import asyncio, pathlib
        for _ in range(10_000):
            await asyncio.sleep(0)
        pathlib.Path({str(mark)!r}).touch()
        for _ in range(100_000):
            await asyncio.sleep(0)
            sum(range(3000))
        while True:
            pass
    """
    for silent in (True, False):
        running = engine._execute(textwrap.dedent(code), silent, None, False, "execute")
        wait_for(mark.exists)
        cluster4.interrupt(running)
        with pytest.raises(px.RemoteError, match="KeyboardInterrupt|CancelledError"):
            running.get(SOON)
        mark.unlink()


def test_a_handler_of_the_user_is_called(cluster4, engine, wait_for, mark):
    def work(mark):
        import signal

        came = []
        before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
        try:
            mark.touch()
            while not came:
                pass
        finally:
            signal.signal(signal.SIGINT, before)
        return "handled"

    running = engine.apply_async(work, mark)
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert running.get(SOON) == "handled"


def test_what_it_has_started_is_interrupted_as_well(cluster4, engine, wait_for, mark):
    """The engine is in C until the program that it waits for has ended."""
    running = engine.apply_async(os.system, f"touch {mark}; exec sleep 1000")
    wait_for(mark.exists)
    cluster4.interrupt(running)
    assert interrupted(running)


def test_sigint_from_elsewhere_ends_a_task(cluster4, engine, wait_for, mark):
    """Features CTL-02; an idle engine ignores it."""
    pid = engine.apply_sync(os.getpid)
    os.kill(pid, signal.SIGINT)
    running = engine.apply_async(spin, mark)
    wait_for(mark.exists)
    os.kill(pid, signal.SIGINT)
    assert interrupted(running)


# ---- the stop button


@pytest.fixture
def ctrl_c():
    """``ctrl_c(condition)``: SIGINT to this process, in whose main thread a call waits, as soon as it is true."""
    threads = []

    def press(condition):
        def pressing():
            while not condition():
                time.sleep(0.005)
            os.kill(os.getpid(), signal.SIGINT)

        threads.append(threading.Thread(target=pressing, daemon=True))
        threads[-1].start()

    yield press
    for thread in threads:
        thread.join(SOON)


BLOCKING = {
    "apply_sync": lambda view, mark: view.apply_sync(spin, mark),
    "map_sync": lambda view, mark: view.map_sync(spin, [mark] * 8),
    "execute": lambda view, mark: view.execute(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\nwhile 1: pass", block=True),
    "cell": lambda view, mark: view.execute(
        f"import pathlib, time; pathlib.Path({str(mark)!r}).touch()\ntime.sleep(1e4)", silent=False, block=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", BLOCKING)
def test_ctrl_c_in_a_blocking_call_ends_it_everywhere(cluster4, engine, ctrl_c, mark, call, capsys):
    """Features VW-12: what the call has submitted is interrupted and KeyboardInterrupt is raised here."""
    ctrl_c(mark.exists)
    with pytest.raises(KeyboardInterrupt):
        BLOCKING[call](cluster4[:], mark)
    assert not cluster4.outstanding
    assert cluster4[:].apply_sync(lambda: 7) == [7] * 4
    assert "no answer" not in capsys.readouterr().err


def test_ctrl_c_leaves_the_work_of_others_alone(cluster4, engine, ctrl_c, mark):
    """What the call has queued is aborted; another client's task, which it waits behind, goes on."""
    go = mark.with_name("go")

    def work(mark, go):
        import time

        mark.touch()
        while not go.exists():
            time.sleep(0.01)
        return "done"

    with px.Client() as other:
        foreign = other[0].apply_async(work, mark, go)
        ctrl_c(lambda: mark.exists() and cluster4.outstanding)
        with pytest.raises(KeyboardInterrupt):
            engine.apply_sync(spin, mark)
        assert not foreign.ready() and not cluster4.outstanding
        go.touch()
        assert foreign.get(SOON) == "done"


def test_an_engine_that_cannot_be_interrupted_is_named(cluster4, engine, stuck_in_c, ctrl_c, mark, capsys):
    go = mark.with_name("go")
    ctrl_c(mark.exists)
    with pytest.raises(KeyboardInterrupt):
        engine.apply_sync(stuck_in_c, mark, go)
    told = capsys.readouterr().err
    assert "engine 0: no answer to the interrupt" in told
    assert "rc.stacks([0])" in told and "cluster.restart_engine_sync(0)" in told
    go.touch()
    assert cluster4.wait(timeout=SOON)


def test_a_second_ctrl_c_does_not_wait_for_an_engine_that_is_stuck(
    cluster4, engine, stuck_in_c, ctrl_c, mark, capsys, monkeypatch
):
    go = mark.with_name("go")
    monkeypatch.setattr("pxkernel.client.stopping.PATIENCE", 1e4)
    interrupt = cluster4.interrupt

    def interrupt_and_press(jobs):
        interrupt(jobs)
        ctrl_c(lambda: True)

    monkeypatch.setattr(cluster4, "interrupt", interrupt_and_press)
    ctrl_c(mark.exists)
    with pytest.raises(KeyboardInterrupt):
        engine.apply_sync(stuck_in_c, mark, go)
    assert "engine 0: no answer" in capsys.readouterr().err
    go.touch()
    assert cluster4.wait(timeout=SOON)


# ---- at any moment


def test_sigint_at_the_edges_of_cells_ends_no_engine(cluster4, engine):
    """Features CTL-01: ``send_signal`` names no task; it hits what runs, or nothing."""
    names = set()
    for number in range(60):
        cell = engine.execute(f"x = {number}", silent=False)
        cluster4.send_signal(signal.SIGINT, targets=0, block=True)
        error = cell.exception(SOON)
        names.add(None if error is None else error.ename)
    assert names <= {None, "KeyboardInterrupt"}
    assert engine.apply_sync(abs, -1) == 1


def some_work(chance):
    """A function of a view that submits one of many kinds of work, long or short."""
    seconds = chance.choice([0, 0.001, 0.005, 60])
    cells = [
        f"import time; time.sleep({seconds})",
        f"import time\nend = time.time() + {seconds}\nwhile time.time() < end: pass",
        f"import asyncio; await asyncio.sleep({seconds})",
        "1 + 1",
    ]
    code, silent = chance.choice(cells), chance.random() < 0.3
    if chance.random() < 0.5:
        return seconds, lambda view: view._execute(code, silent, None, False, "execute")
    function = chance.choice([time.sleep, wait_awaiting])
    return seconds, lambda view: view.apply_async(function, seconds)


async def wait_awaiting(seconds):
    import asyncio

    await asyncio.sleep(seconds)


def test_interrupts_at_any_moment_lose_no_reply_and_no_engine(cluster4, engine):
    """Of tasks and of cells; each ends in exactly one of: its value, an interrupt, TaskAborted."""
    chance = random.Random(5)
    seen = set()
    engines = cluster4[:2]
    processes = engines.apply_sync(os.getpid)
    for _ in range(35):
        results, meant = [], []
        for _ in range(chance.randrange(1, 5)):
            seconds, submit = some_work(chance)
            results.append(submit(engines))
            if seconds > 1 or chance.random() < 0.7:
                meant.append(results[-1])
        for result in meant:
            # A moment that depends on what runs, and a random one after it.
            result.wait(chance.choice([0, 0.0005, 0.002, 0.01]))
            cluster4.interrupt(result)
        for result in results:
            assert result.wait(SOON), "a reply was lost"
            error = result.exception()
            names = set() if error is None else {ename for ename, *_ in error.elist}
            assert names <= {"KeyboardInterrupt", "CancelledError", "TaskAborted"}, error
            assert not names or result in meant, "an interrupt hit what was not meant"
            seen |= names
    assert engines.apply_sync(os.getpid) == processes
    # Otherwise it has tested nothing.
    assert seen == {"KeyboardInterrupt", "CancelledError", "TaskAborted"}
