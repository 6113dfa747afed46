"""Tasks that run for long: what waits behind them goes elsewhere, and time limits end them (issue 4, point 4; LB)."""

import pytest

from pxkernel.core import Fail, InterruptEngine, InterruptTasks, RecallTasks, Settle
from pxkernel.core import events as e
from pxkernel.core.reports import REPLY_GRACE
from pxkernel.core.stopwatch import INTERRUPT_GRACE
from pxkernel.core.tables import LONG

TASKS = "ijklmnopqrstuvwxyz"

# ---- balanced tasks behind a long one


def behind(core, *tasks, family="f"):
    """Balanced tasks, all of them inside engine 0, whose tasks were quick so far; engine 1 is busy with the task "busy"."""
    core.submit("b", 1, "busy")
    for number in range(2):
        core.balanced("a", f"quick{number}", family=family)
        core.finish(0, f"quick{number}", seconds=0.0001, output=False)
    # They come at once, so that they go in one batch.
    core.submit("a", 0, "before")
    core.balanced("a", *tasks, family=family)
    core.finish(0, "before", seconds=0.0001, output=False)
    assert list(core.core.engines[0].sent) == list(tasks[: len(core.core.engines[0].sent)])
    return list(core.core.engines[0].sent)


def test_what_waits_behind_a_long_task_is_taken_back(core):
    inside = behind(core, *TASKS)
    assert len(inside) > 1
    assert core.deadline() == pytest.approx(core.now + LONG)
    assert core.tick(core.now + LONG) == [RecallTasks(0, inside[1:])]


def test_what_was_taken_back_goes_to_another_engine_in_its_order(core):
    inside = behind(core, *TASKS)
    core.tick(core.now + LONG)
    core.recalled(0, *inside[1:])
    assert core.core.engines[0].sent == {inside[0]: None}, "it gets nothing more while its task runs"
    sent = core.sent(core.finish(1, "busy", seconds=0.01, output=False))
    assert sent == [*inside, *(task for task in TASKS if task not in inside)][1 : 1 + len(sent)]


def test_what_was_taken_back_goes_to_an_engine_that_is_idle(core):
    inside = behind(core, *TASKS)
    rest = [task for task in TASKS if task not in inside]
    ran = core.sent(core.finish(1, "busy", output=False))
    while rest:
        rest = [task for task in rest if task not in ran]
        ran = core.sent(core.finish(1, *core.core.engines[1].sent, seconds=0.01, output=False))
    core.tick(core.now + LONG)
    sent = core.sent(core.recalled(0, *inside[1:]))
    assert sent and sent == inside[1 : 1 + len(sent)]


def test_after_the_long_task_the_engine_gets_others(core):
    inside = behind(core, *TASKS)
    core.tick(core.now + LONG)
    core.recalled(0, *inside[1:])
    assert core.sent(core.finish(0, inside[0], seconds=LONG, output=False)) == [inside[1]]


def test_what_has_started_meanwhile_is_not_taken_back(core):
    first, second, *rest = behind(core, *TASKS)
    core.tick(core.now + LONG)
    core.finish(0, first, seconds=LONG, output=False)
    assert core.recalled(0, *rest, started=[second]) == core.recalled(0) == []
    assert next(iter(core.core.engines[0].sent)) == second


def test_the_time_counts_from_the_task_that_runs(core):
    first, second, *rest = behind(core, *TASKS)
    assert rest
    core.now += LONG / 2
    core.finish(0, first, seconds=0.0001, output=False)
    assert core.tick(core.now + LONG / 2) == []
    inside = list(core.core.engines[0].sent)
    assert inside[0] == second
    assert core.tick(core.now + LONG / 2) == [RecallTasks(0, inside[1:])]


def test_tasks_of_its_own_stay_with_the_engine(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    assert core.deadline() is None
    assert core.only(core.tick(core.now + LONG), RecallTasks) == []


def test_a_recalled_task_that_is_aborted_is_not_recalled_again(core):
    inside = behind(core, *TASKS)
    core.tick(core.now + LONG)
    assert core.abort("a", *inside[1:]) == []
    assert core.delivered(core.recalled(0, *inside[1:])) == inside[1:]


def test_a_client_that_leaves_takes_its_recalled_tasks_along(core):
    inside = behind(core, *TASKS)
    core.tick(core.now + LONG)
    core.client_leaves("a")
    core.recalled(0, *inside[1:])
    assert not set(inside[1:]) & set(core.core.tasks)


def test_an_engine_that_dies_with_recalled_tasks(core):
    inside = behind(core, *TASKS)
    core.tick(core.now + LONG)
    commands = core.engine_dies(0)
    assert {command.task for command in core.only(commands, Fail)} == set(inside)
    assert core.recalled(0, *inside[1:]) == []


# ---- time limits


def test_a_task_within_its_limit(core):
    core.submit("a", 0, "t", time_limit=2.0)
    assert core.deadline() == 2.0
    core.tick(1.9)
    core.finish(0, "t")
    assert core.deadline() is None and "t" not in core.failed


def test_a_task_that_runs_too_long_is_interrupted_and_fails(core):
    core.submit("a", 0, "t", time_limit=2.0)
    assert core.tick(2.0) == [InterruptTasks(0, ["t"])]
    commands = core.finish(0, "t", seconds=2.0, outcome="failed", output=False)
    assert core.only(commands, Fail) == [Fail("t", 0, "overtime", "it ran longer than its time limit of 2 seconds")]
    assert core.delivered(commands) == ["t"] and core.deadline() is None
    assert core.only(commands, Settle) == [Settle("a", "t")]


def test_whatever_it_makes_of_the_interrupt_it_fails(core):
    core.submit("a", 0, "t", time_limit=2.0)
    core.tick(2.0)
    commands = core.finish(0, "t", outcome="ok", output=True)
    assert core.only(commands, Fail) and not core.only(commands, Settle)
    assert core.outputs_settled(0, "t") == [Settle("a", "t")]


def test_the_limit_counts_from_the_moment_when_a_task_can_run(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", time_limit=2.0)
    core.tick(1.5)
    core.finish(0, "1", seconds=0.0001)
    assert core.deadline() == 3.5
    assert core.tick(2.0) == []
    assert core.tick(3.5) == [InterruptTasks(0, ["2"])]


def test_what_waits_in_the_queue_has_time(core):
    core.submit("a", 0, "1")
    core.submit("a", 0, "2", time_limit=1.0)
    assert core.deadline() is None


def test_what_cannot_be_interrupted_is_given_up(core):
    core.submit("a", 0, "t", time_limit=2.0)
    core.submit("a", 0, "next")
    core.tick(2.0)
    commands = core.tick(2.0 + INTERRUPT_GRACE)
    (fail,) = core.only(commands, Fail)
    assert (fail.task, fail.status) == ("t", "overtime")
    assert "engine 0 is busy with it" in fail.reason and "cannot be interrupted" in fail.reason
    assert core.delivered(commands) == ["t"]
    assert core.sent(commands) == [], "it runs that still"
    assert core.core.engines[0].load == 2
    assert core.sent(core.finish(0, "t")) == ["next"]


def test_balanced_tasks_keep_away_from_an_engine_that_is_stuck(core):
    core.balanced("a", "t", time_limit=2.0)
    core.tick(2.0)
    core.tick(2.0 + INTERRUPT_GRACE)
    assert core.sent(core.balanced("a", "u", "v")) == ["u"]
    assert core.sent(core.finish(0, "t", outcome="failed")) == ["v"]


def test_the_limit_of_what_is_inside_a_stuck_engine_does_not_run(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", time_limit=2.0)
    core.tick(2.0)
    core.tick(2.0 + INTERRUPT_GRACE)
    assert core.deadline() is None
    core.tick(60.0)
    core.finish(0, "1")
    assert core.deadline() == 62.0


def test_a_result_that_is_not_delivered_takes_no_credit(core):
    core.submit("a", 0, "t", time_limit=2.0)
    core.tick(2.0)
    assert core.delivered(core.finish(0, "t", size=10**6, output=False)) == ["t"]
    assert core.core.clients["a"].credit.used == 0


def test_too_long_counts_as_a_failure_for_retries(core):
    core.balanced("a", "t", time_limit=2.0, retries=1)
    core.tick(2.0)
    assert core.sent(core.finish(0, "t", outcome="failed", output=False)) == ["t"]
    engine = core.core.tasks["t"].engine
    core.tick(4.0)
    assert core.only(core.finish(engine, "t", outcome="failed", output=False), Fail)[0].status == "overtime"


def test_a_retry_does_not_wait_for_an_engine_that_is_stuck(core):
    core.balanced("a", "t", time_limit=2.0, retries=1)
    core.tick(2.0)
    assert core.sent(core.tick(2.0 + INTERRUPT_GRACE)) == ["t"]
    assert core.core.tasks["t"].engine == 1
    core.finish(0, "t")
    assert "t" in core.core.tasks, "that was the first try"
    assert core.delivered(core.finish(1, "t")) == ["t"]


def test_a_stuck_engine_that_restarts_works_again(core):
    core.submit("a", 0, "t", time_limit=2.0)
    core.tick(2.0)
    core.tick(2.0 + INTERRUPT_GRACE)
    core.engine_restarts(0)
    core.engines(0)
    assert core.sent(core.submit("a", 0, "u")) == ["u"]


# ---- cells


def test_a_cell_that_runs_too_long(core):
    core.submit("a", 0, "c", kind="cell", time_limit=2.0)
    assert core.tick(2.0) == [InterruptTasks(0, ["c"])]
    core.reply(0, "c", ok=False)
    commands = core.idle(0, "c")
    assert core.only(commands, Fail)[0].status == "overtime"
    assert core.delivered(commands) == ["c"]


def test_a_cell_that_runs_too_long_and_never_replies(core):
    core.submit("a", 0, "c", kind="cell", time_limit=2.0)
    core.tick(2.0)
    core.idle(0, "c")
    commands = core.tick(2.0 + REPLY_GRACE)
    assert [fail.status for fail in core.only(commands, Fail)] == ["overtime"]


def test_a_cell_of_a_kernel_without_the_extension(empty):
    empty.clients("a")
    empty.engines(0, tasks=False)
    empty.submit("a", 0, "c", kind="execute", time_limit=2.0)
    assert empty.tick(2.0) == [InterruptEngine(0)]
    empty.interrupt_sent(0)
    empty.reply(0, "c", ok=False)
    assert empty.only(empty.idle(0, "c"), Fail)[0].status == "overtime"


def test_a_cell_that_cannot_be_interrupted(core):
    core.submit("a", 0, "c", kind="cell", time_limit=2.0)
    core.submit("a", 0, "t")
    core.tick(2.0)
    commands = core.tick(2.0 + INTERRUPT_GRACE)
    assert core.only(commands, Fail)[0].task == "c" and core.sent(commands) == []
    assert core.reply(0, "c") == []
    assert core.sent(core.idle(0, "c")) == ["t"]


def test_the_client_of_a_stuck_task_leaves(core):
    core.submit("a", 0, "t", time_limit=2.0)
    core.tick(2.0)
    core.client_leaves("a")
    core.tick(2.0 + INTERRUPT_GRACE)
    assert not core.core.tasks and core.core.engines[0].paused
    assert core.handle(e.TasksFinished(0, [("t", 0, 9.0, False, "ok")])) == []
    assert not core.core.engines[0].paused
