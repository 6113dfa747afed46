"""What engines are doing, seen from outside: rc.top() and rc.stacks()."""

import os
import signal
import time

import psutil
import pytest

import pxkernel as px
from pxkernel.protocol.stackfile import stack_file

SOON = 10


def wait_for_file(mark, go):
    import time

    mark.touch()
    while not go.exists():
        time.sleep(0.01)


def add_for_hours(mark):
    mark.touch()
    # In C, with the GIL, and without a look at signals.
    return sum(range(10**13))


@pytest.fixture
def busy(cluster4, wait_for, tmp_path):
    """Engine 1 runs ``wait_for_file`` and has two more tasks to do."""
    mark, go = tmp_path / "started", tmp_path / "go"
    running = [cluster4[1].apply_async(wait_for_file, mark, go) for _ in range(3)]
    wait_for(mark.exists)
    yield running
    go.touch()
    assert cluster4.wait(timeout=SOON)


def test_top(cluster4, busy):
    rows = cluster4.top()
    assert [row["engine"] for row in rows] == [0, 1, 2, 3]
    idle, row = rows[0], rows[1]
    assert (idle["state"], idle["task"], idle["queue"]) == ("idle", None, 0)
    assert (row["state"], row["kind"], row["name"], row["queue"]) == ("busy", "apply", "wait_for_file", 2)
    assert row["task"] == busy[0].msg_ids[0] and row["seconds"] > 0
    assert row["pid"] == cluster4.engine_info(1)["pid"] and row["memory"] > 2**20 and row["cpu"] >= 0
    assert "wait_for_file" in repr(rows) and "wait_for_file" in rows._repr_html_()


def test_top_of_some_engines(cluster4):
    assert [row["engine"] for row in cluster4.top([2, 0])] == [2, 0]
    assert [row["engine"] for row in cluster4.top(3)] == [3]
    with pytest.raises(IndexError, match="No such engine: 9"):
        cluster4.top(9)


def test_another_client_sees_the_task_but_not_its_name(cluster4, busy):
    with px.Client() as other:
        (row,) = other.top(1)
        assert row["task"] == busy[0].msg_ids[0] and row["name"] is None


def test_stacks_of_an_engine_that_waits(cluster4, busy):
    stacks = cluster4.stacks([1, 0])
    assert list(stacks) == [1, 0]
    main, *others = stacks[1].split("\n\n")
    assert "in wait_for_file" in main and others
    assert "in wait_for_file" not in stacks[0]
    assert "[stacks:1]" in repr(stacks)


def test_stacks_leave_the_engine_alone(cluster4, busy):
    """A signal must neither end a task nor, a hundred times, grow a file."""
    for _ in range(5):
        cluster4.stacks(1)
    assert not busy[0].ready()
    size = stack_file(cluster4.directory, cluster4.engine_info(1)["pid"]).stat().st_size
    assert size < 2 * len(cluster4.stacks(1)[1])


def test_an_engine_that_is_stopped_is_said_to_be(cluster4, wait_for):
    process = psutil.Process(cluster4.engine_info(2)["pid"])
    process.suspend()
    try:
        wait_for(lambda: process.status() == psutil.STATUS_STOPPED)
        assert cluster4.top(2)[0]["state"] == "stopped"
        assert "does not answer, it is stopped" in cluster4.stacks(2)[2]
    finally:
        process.resume()
    assert cluster4[2].apply_sync(abs, -1) == 1


def test_an_engine_that_is_stuck_in_c_with_the_gil(wait_for, tmp_path):
    """Nothing needs the GIL of the engine; an interrupt does not end it, its death does."""
    mark = tmp_path / "started"
    with px.Cluster(n=1, cluster_id="stuck") as rc:
        running = rc[0].apply_async(add_for_hours, mark)
        wait_for(mark.exists)
        wait_for(lambda: "in add_for_hours" in rc.stacks()[0])
        (row,) = rc.top()
        assert row["state"] == "busy" and row["name"] == "add_for_hours"
        rc.interrupt(running)
        assert not running.wait(0.2)
        assert "in add_for_hours" in rc.stacks()[0]
        os.kill(row["pid"], signal.SIGKILL)
        with pytest.raises(px.EngineError):
            running.get(SOON)


def test_both_answer_while_others_work(cluster4, busy):
    """Neither question holds up the controller."""
    asked = [cluster4.ask_async(topic, engines=cluster4.ids) for topic in ("top", "stacks", "top", "stacks")]
    assert cluster4[0].apply_sync(time.sleep, 0) is None
    assert [len(question.result(SOON)[0]) for question in asked] == [4] * 4
