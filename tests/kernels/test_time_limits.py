"""Time limits of tasks on real engines (issue 4, point 4), and balanced tasks behind one that turns out long (LB)."""

import time

import pytest

import pxkernel as px

SOON = 10


def spin():
    while True:
        pass


def too_long(result):
    with pytest.raises(px.TimeLimitExceeded) as caught:
        result.get(SOON)
    assert isinstance(caught.value, px.TaskTimeout)
    return str(caught.value)


def test_a_function(engine):
    with engine.temp_flags(timeout=0.3):
        result = engine.apply_async(spin)
    with engine.temp_flags(time_limit=60):
        quick = engine.apply_async(int)
    assert "ran longer than its time limit of 0.3 seconds" in too_long(result)
    assert result.metadata.status == "error" and result.metadata.engine_id == 0
    assert result.metadata.completed >= result.metadata.started
    assert quick.get(SOON) == 0


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "cell"])
def test_source_code(engine, silent):
    with engine.temp_flags(time_limit=0.3):
        result = engine.execute("print('before', flush=True)\nimport time\ntime.sleep(1e4)", silent=silent)
    too_long(result)
    assert result.wait_for_output(SOON) and result.stdout == "before\n"


def test_one_of_several_engines(cluster4, engine):
    view = cluster4[:]
    view.set_flags(time_limit=2)
    result = view.map_async(time.sleep, [1e4, 0, 0, 0])
    with pytest.raises(px.CompositeError) as caught:
        result.get(SOON)
    assert "TimeLimitExceeded" in str(caught.value)
    assert result.status == ["error", "ok", "ok", "ok"]


def test_a_balanced_map_has_a_limit_for_each_item(cluster4, engine):
    lview = cluster4.load_balanced_view()
    lview.time_limit = 2
    found = lview.map_async(lambda x: time.sleep(1e4) if x == 3 else x, range(8)).get(SOON, return_exceptions=True)
    assert isinstance(found[3], px.TimeLimitExceeded)
    assert [value for index, value in enumerate(found) if index != 3] == [0, 1, 2, 4, 5, 6, 7]


def test_a_retry(cluster4, engine, tmp_path):
    """LB-08: what ran too long has failed."""
    lview = cluster4.load_balanced_view()
    lview.set_flags(time_limit=1.5, retries=1)

    def second_time(mark):
        if not mark.exists():
            mark.touch()
            time.sleep(1e4)
        return "done"

    assert lview.apply_async(second_time, tmp_path / "mark").get(SOON) == "done"


def test_what_cannot_be_interrupted_fails_all_the_same(cluster4, engine, stuck_in_c, tmp_path):
    """The engine is named, and goes on when it has ended."""
    go = tmp_path / "go"
    with engine.temp_flags(timeout=0.2):
        result = engine.apply_async(stuck_in_c, tmp_path / "mark", go)
    text = too_long(result)
    assert "engine 0 is busy with it" in text and "cannot be interrupted" in text
    next_one = engine.apply_async(int)
    (row,) = cluster4.top(0)
    assert row["state"] == "busy" and row["task"] == result.msg_ids[0] and row["queue"] == 1
    go.touch()
    assert next_one.get(SOON) == 0


def test_resubmitting_keeps_the_limit(cluster4, engine):
    """HUB-06"""
    with engine.temp_flags(timeout=0.2):
        result = engine.apply_async(time.sleep, 1e4)
    too_long(result)
    too_long(cluster4.resubmit(result.msg_ids[0]))


# ---- behind a long task


def test_balanced_tasks_do_not_wait_behind_a_long_one(cluster4, tmp_path):
    """LB-14: what was sent ahead to an engine goes to another one when the task before it turns out long."""
    gate = tmp_path / "gate"

    def work(x, gate):
        while x == 5 and not gate.exists():
            time.sleep(0.005)
        return x

    lview = cluster4.load_balanced_view()
    assert [lview.apply_async(work, 0, gate).get(SOON) for _ in range(8)] == [0] * 8
    results = [lview.apply_async(work, x, gate) for x in range(200)]
    others = [result for x, result in enumerate(results) if x != 5]
    try:
        assert cluster4.wait(others, SOON), "none of them can be behind the long one"
        assert not results[5].done()
    finally:
        gate.touch()
    assert [result.get(SOON) for result in results] == list(range(200))
