"""Tasks that wait for others, or follow them (LB-05, LB-06, LB-10, LB-11)."""

import pytest

from pxkernel.core import Dependency, EngineJoined, RunTasks, Submitted, Terms
from pxkernel.core import dependencies as module

FAILURE = {"success": False, "failure": True}
EITHER = {"success": True, "failure": True}


def on(*tasks, **fields):
    return Dependency(tasks, **fields)


def placed(core, commands):
    return {task: command.engine for command in core.only(commands, RunTasks) for task in command.tasks}


# ---- after


def test_a_task_starts_after_another(core):
    """LB-05."""
    core.balanced("a", "t")
    assert core.sent(core.balanced("a", "u", after=on("t"))) == []
    assert core.sent(core.finish(0, "t")) == ["u"]


def test_after_a_task_that_is_done(core):
    core.balanced("a", "t")
    core.finish(0, "t")
    assert core.sent(core.balanced("a", "u", after=on("t"))) == ["u"]


@pytest.mark.parametrize("kind", ["apply", "execute"])
def test_after_a_direct_task(core, kind):
    """LB-10."""
    core.submit("a", 0, "d", kind=kind)
    assert core.sent(core.balanced("a", "t", after=on("d"))) == []
    assert core.sent(core.finish(0, "d")) == ["t"]


@pytest.mark.parametrize("ok", [True, False])
def test_after_a_cell(core, ok):
    """LB-10."""
    core.cell("a", 0, "c")
    core.balanced("a", "t", after=on("c"))
    core.reply(0, "c", ok=ok)
    assert core.sent(core.idle(0, "c")) == (["t"] if ok else [])
    assert ("t" in core.failed) == (not ok)


def test_after_a_task_of_another_client(core):
    core.balanced("b", "t")
    core.balanced("a", "u", after=on("t"))
    assert core.sent(core.finish(0, "t")) == ["u"]


def test_after_several(core):
    core.balanced("a", "t1", "t2")
    core.balanced("a", "u", after=on("t1", "t2"))
    assert core.sent(core.finish(0, "t1")) == []
    assert core.sent(core.finish(1, "t2")) == ["u"]


def test_after_any_of_several(core):
    core.balanced("a", "t1", "t2")
    core.balanced("a", "u", after=on("t1", "t2", all=False))
    assert core.sent(core.finish(1, "t2")) == ["u"]


def test_after_any_of_several_that_all_fail(core):
    core.balanced("a", "t1", "t2")
    core.balanced("a", "u", after=on("t1", "t2", all=False))
    core.finish(0, "t1", outcome="failed")
    assert "u" not in core.failed
    core.finish(1, "t2", outcome="failed")
    assert core.failed["u"].status == "impossible"


def test_a_failure_is_no_success(core):
    """LB-11."""
    core.balanced("a", "t")
    core.balanced("a", "u", after=on("t"))
    core.finish(0, "t", outcome="failed")
    assert core.failed["u"].status == "impossible"


def test_after_a_failure(core):
    """DEP-06."""
    core.balanced("a", "t")
    core.balanced("a", "u", after=on("t", **FAILURE))
    core.balanced("a", "v", after=on("t"))
    assert core.sent(core.finish(0, "t", outcome="failed")) == ["u"]
    assert core.failed["v"].status == "impossible"


def test_a_success_is_no_failure(core):
    core.balanced("a", "t")
    core.balanced("a", "u", after=on("t", **FAILURE))
    core.finish(0, "t")
    assert core.failed["u"].status == "impossible"


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_after_either(core, outcome):
    core.balanced("a", "t")
    core.balanced("a", "u", after=on("t", **EITHER))
    assert core.sent(core.finish(0, "t", outcome=outcome)) == ["u"]


def test_a_retry_is_not_the_end(core):
    core.balanced("a", "t", retries=1)
    core.balanced("a", "u", after=on("t"))
    core.finish(0, "t", outcome="failed")
    assert "u" not in core.failed
    assert core.sent(core.finish(core.core.tasks["t"].engine, "t")) == ["u"]


def test_an_aborted_task_has_failed(core):
    core.balanced("a", "t1", "t2", "t3")
    core.balanced("a", "u", after=on("t3"))
    core.abort("a", "t3")
    assert core.failed["u"].status == "impossible"


def test_a_task_of_an_engine_that_died_has_failed(core):
    core.balanced("a", "t")
    core.balanced("a", "u", after=on("t"))
    core.engine_dies(0)
    assert core.failed["u"].status == "impossible"


def test_a_task_of_a_client_that_left_has_failed(core):
    core.fill("b")
    core.balanced("b", "t")
    core.balanced("a", "u", after=on("t"))
    core.client_leaves("b")
    assert core.failed["u"].status == "impossible"


def test_a_long_chain_fails_at_once(core):
    """Without one call inside of another: a chain may be longer than Python's stack."""
    core.balanced("a", "t0")
    for number in range(3000):
        core.core.handle(_submission(f"t{number + 1}", f"t{number}"), 0.0)
    core.accepted.update({f"t{number}": "a" for number in range(3001)})
    core.submitted["a"] += 3000
    core.finish(0, "t0", outcome="failed")
    assert len(core.failed) == 3000


def _submission(task, after):
    return Submitted("a", "apply", 1, [(task, None)], Terms(after=on(after)))


def test_a_diamond(core):
    """DEP-07."""
    core.balanced("a", "top")
    core.balanced("a", "left", "right", after=on("top"))
    core.balanced("a", "bottom", after=on("left", "right"))
    engine_of = placed(core, core.finish(0, "top"))
    assert set(engine_of) == {"left", "right"}
    core.finish(engine_of["left"], "left")
    assert core.sent(core.finish(engine_of["right"], "right")) == ["bottom"]


def test_an_empty_dependency_is_met(core):
    assert core.sent(core.balanced("a", "t", after=on(), follow=on(all=False))) == ["t"]


# ---- follow


def test_a_task_follows_another(core):
    """LB-06."""
    core.balanced("a", "t1", "t2")
    core.balanced("a", "u", follow=on("t2"))
    core.finish(0, "t1")
    assert placed(core, core.finish(1, "t2")) == {"u": 1}


def test_it_waits_for_that_engine(core):
    core.balanced("a", "t")
    core.finish(0, "t")
    core.submit("a", 0, "d")
    assert core.sent(core.balanced("a", "u", follow=on("t"))) == []
    assert placed(core, core.finish(0, "d")) == {"u": 0}


def test_following_tasks_that_ran_in_two_places_is_impossible(core):
    """LB-11."""
    core.balanced("a", "t1", "t2")
    core.balanced("a", "u", follow=on("t1", "t2"))
    core.finish(0, "t1")
    core.finish(1, "t2")
    assert core.failed["u"].status == "impossible"


def test_following_any_of_two(core):
    core.balanced("a", "t1", "t2")
    core.balanced("a", "u", follow=on("t1", "t2", all=False))
    assert placed(core, core.finish(1, "t2")) == {"u": 1}


def test_following_to_an_engine_that_has_left_is_impossible(core):
    core.balanced("a", "t")
    core.finish(0, "t")
    core.engine_dies(0)
    core.balanced("a", "u", follow=on("t"))
    assert core.failed["u"].status == "impossible"


def test_the_engine_leaves_while_a_follower_waits_for_it(core):
    core.balanced("a", "t")
    core.finish(0, "t")
    core.submit("a", 0, "d")
    core.balanced("a", "u", follow=on("t"))
    core.engine_dies(0)
    assert core.failed["u"].reason == "the engine that it should follow a task to is gone"


def test_a_restarted_engine_is_another_place(core):
    """What the old kernel knew is gone."""
    core.balanced("a", "t")
    core.finish(0, "t")
    core.engine_restarts(0)
    core.handle(EngineJoined(0))
    core.balanced("a", "u", follow=on("t"))
    assert core.failed["u"].status == "impossible"


def test_follow_and_after_together(core):
    core.balanced("a", "t1", "t2")
    core.balanced("a", "u", follow=on("t2"), after=on("t1"))
    core.finish(1, "t2")
    assert "u" not in core.failed
    assert placed(core, core.finish(0, "t1")) == {"u": 1}


# ---- what cannot be


def test_an_unknown_task(core):
    """LB-10."""
    core.balanced("a", "t", after=on("nonsense"))
    assert core.failed["t"].status == "invalid"
    assert "nonsense" in core.failed["t"].reason


def test_a_task_that_waits_for_itself(core):
    core.balanced("a", "t", follow=on("t"))
    assert core.failed["t"].status == "invalid"


def test_old_ends_are_forgotten(core, monkeypatch):
    monkeypatch.setattr(module, "MEMORY", 2)
    for task in ("t1", "t2", "t3"):
        core.submit("a", 0, task)
        core.finish(0, task)
    core.balanced("a", "u", after=on("t1"))
    core.balanced("a", "v", after=on("t3"))
    assert core.failed["u"].status == "invalid" and "v" not in core.failed


def test_dependencies_have_a_timeout(core):
    """LB-07."""
    core.submit("a", 0, "d")
    core.balanced("a", "t", after=on("d"), timeout=1.5)
    core.tick(1.5)
    assert core.failed["t"].status == "dependency_timeout"
    assert core.failed["t"].reason == "its dependencies were not met within 1.5 seconds"
    assert core.sent(core.finish(0, "d")) == []


def test_a_task_that_waits_for_others_can_be_aborted(core):
    core.submit("a", 0, "d")
    core.balanced("a", "t", after=on("d"))
    assert core.delivered(core.abort("a", "t")) == ["t"]
    assert core.sent(core.finish(0, "d")) == []


def test_a_client_leaves_while_its_tasks_wait_for_others(core):
    core.submit("b", 0, "d")
    core.balanced("a", "t", after=on("d"))
    core.client_leaves("a")
    assert core.sent(core.finish(0, "d")) == []
