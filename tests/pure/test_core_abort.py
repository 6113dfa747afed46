"""Taking work back: abort and interrupt."""

import pytest

from pxkernel.core import Fail, InterruptEngine, RecallTasks
from pxkernel.core.tables import WINDOW_TASKS

# ---- abort


def test_a_queued_task_is_aborted_at_once(core):
    core.submit("a", 0, "1", "2")
    commands = core.abort("a", "2")
    assert core.only(commands, Fail) == [Fail("2", 0, "aborted", "it was aborted before it started")]
    assert core.delivered(commands) == ["2"]


def test_an_aborted_task_does_not_run(core):
    core.submit("a", 0, "1", "2", "3")
    core.abort("a", "2")
    assert core.sent(core.finish(0, "1")) == ["3"]


def test_a_queued_cell_is_aborted(core):
    core.cell("a", 0, "c", "d")
    assert core.delivered(core.abort("a", "d")) == ["d"]


def test_a_task_that_was_put_aside_is_aborted(core):
    core.fill("a")
    core.submit("a", 0, "t")
    core.abort("a", "t")
    assert core.failed["t"].status == "aborted"


def test_a_task_inside_an_engine_is_recalled(core):
    core.submit("a", 0, "t")
    assert core.abort("a", "t") == [RecallTasks(0, ["t"])]


def test_a_recalled_task_is_aborted(core):
    core.submit("a", 0, "t")
    core.abort("a", "t")
    commands = core.recalled(0, "t")
    assert core.only(commands, Fail) == [Fail("t", 0, "aborted", "it was aborted before it started")]
    assert core.delivered(commands) == ["t"]


def test_a_task_that_had_started_finishes(core):
    core.submit("a", 0, "t")
    core.abort("a", "t")
    assert core.delivered(core.finish(0, "t")) == ["t"]
    assert "t" not in core.failed


def test_a_recall_that_comes_after_the_result_is_nothing(core):
    core.submit("a", 0, "t")
    core.abort("a", "t")
    core.finish(0, "t")
    assert core.recalled(0, "t") == []


def test_one_recall_for_all_tasks_of_an_engine(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    core.submit("a", 1, "4")
    assert core.abort("a", "2", "3", "4") == [RecallTasks(0, ["2", "3"]), RecallTasks(1, ["4"])]


def test_a_task_is_recalled_once(core):
    core.submit("a", 0, "t")
    core.abort("a", "t")
    assert core.abort("a", "t") == []


def test_a_running_cell_is_not_aborted(core):
    core.cell("a", 0, "c")
    assert core.abort("a", "c") == []


@pytest.mark.parametrize("take_back", ["abort", "interrupt"])
def test_nobody_takes_back_what_others_have_submitted(core, take_back):
    core.submit("b", 0, "1", "2")
    assert getattr(core, take_back)("a", "1", "2") == []


@pytest.mark.parametrize("take_back", ["abort", "interrupt"])
@pytest.mark.parametrize("name", ["a", "nobody"])
def test_taking_back_what_is_unknown_is_nothing(core, take_back, name):
    assert getattr(core, take_back)(name, "?") == []


def test_aborting_what_is_done_is_nothing(core):
    core.submit("a", 0, "t")
    core.fill("a")
    core.finish(0, "t")
    assert core.abort("a", "t") == []


def test_a_task_named_twice_is_aborted_once(core):
    core.submit("a", 0, "1", "2")
    assert core.delivered(core.abort("a", "2", "2")) == ["2"]


def test_an_engine_that_dies_with_a_recall_on_the_way(core):
    core.submit("a", 0, "t")
    core.abort("a", "t")
    core.engine_dies(0)
    assert core.failed["t"].status == "died"


def test_a_recall_of_an_unknown_engine_is_nothing(core):
    assert core.recalled(9, "t") == []


# ---- interrupt


def test_the_running_task_is_interrupted(core):
    core.submit("a", 0, "t")
    assert InterruptEngine(0) in core.interrupt("a", "t")


def test_the_task_is_recalled_as_well_because_it_may_not_have_started(core):
    core.submit("a", 0, "t")
    assert core.interrupt("a", "t") == [RecallTasks(0, ["t"]), InterruptEngine(0)]


def test_a_task_that_had_not_started_when_it_was_interrupted_is_aborted(core):
    core.submit("a", 0, "t")
    core.interrupt("a", "t")
    core.recalled(0, "t")
    assert core.failed["t"].status == "aborted"


def test_the_running_cell_is_interrupted(core):
    core.cell("a", 0, "c")
    assert core.interrupt("a", "c") == [InterruptEngine(0)]


def test_an_interrupted_task_ends_with_what_the_engine_reports(core):
    core.submit("a", 0, "t")
    core.interrupt("a", "t")
    assert core.delivered(core.finish(0, "t")) == ["t"]
    assert "t" not in core.failed


def test_queued_tasks_are_aborted_by_an_interrupt(core):
    core.submit("a", 0, "1", "2")
    commands = core.interrupt("a", "1", "2")
    assert core.delivered(commands) == ["2"]
    assert InterruptEngine(0) in commands


def test_only_the_head_of_the_window_is_interrupted(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    assert core.interrupt("a", "2") == [RecallTasks(0, ["2"])]


def test_every_engine_is_interrupted_in_the_order_asked(empty):
    empty.clients("a")
    empty.engines(*range(20))
    for engine in range(20):
        empty.submit("a", engine, f"t{engine}")
    commands = empty.interrupt("a", *(f"t{engine}" for engine in reversed(range(20))))
    assert empty.only(commands, InterruptEngine) == [InterruptEngine(engine) for engine in reversed(range(20))]


def test_what_waits_behind_comes_back_before_the_interrupt(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1")
    core.submit("b", 0, "2", "3")
    assert core.interrupt("a", "1") == [RecallTasks(0, ["1", "2", "3"]), InterruptEngine(0)]


def test_what_was_aborted_is_not_recalled_again(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    core.abort("a", "2")
    assert core.interrupt("a", "1") == [RecallTasks(0, ["1", "3"]), InterruptEngine(0)]


def test_what_came_back_runs_again_in_its_order(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1")
    core.submit("b", 0, "2", "3")
    core.interrupt("a", "1")
    core.submit("b", 0, "4")
    core.interrupt_sent(0)
    core.finish(0, "1", seconds=0)
    assert core.sent(core.recalled(0, "2", "3")) == ["2", "3", "4"]


def test_what_is_submitted_meanwhile_does_not_overtake_what_comes_back(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    core.interrupt("a", "1")
    core.interrupt_sent(0)
    assert core.sent(core.submit("a", 0, "3")) == []
    core.finish(0, "1", seconds=0)
    assert core.sent(core.recalled(0, "2")) == ["2", "3"]


def test_what_waits_here_does_not_overtake_what_comes_back(core):
    core.open_window("a", 0)
    tasks = [f"t{i}" for i in range(WINDOW_TASKS + 50)]
    core.submit("a", 0, *tasks)
    sent = list(core.core.engines[0].sent)
    core.finish(0, *sent[:-1], seconds=0)
    first, *behind = core.core.engines[0].sent
    core.interrupt("a", first)
    core.finish(0, first, seconds=0)
    core.interrupt_sent(0)
    assert core.sent(core.recalled(0, *behind))[:1] == [behind[0]]


def test_a_task_that_had_started_does_not_come_back(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    core.interrupt("a", "1")
    core.interrupt_sent(0)
    assert core.sent(core.finish(0, "1", "2", seconds=0)) == []
    assert core.sent(core.recalled(0, "3")) == ["3"]


def test_work_goes_on_when_nothing_comes_back(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    core.interrupt("a", "1")
    core.interrupt_sent(0)
    core.submit("a", 0, "3")
    assert core.sent(core.finish(0, "1", "2", seconds=0)) == ["3"]


def test_what_is_aborted_while_it_comes_back_fails(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    core.interrupt("a", "1")
    core.interrupt_sent(0)
    core.abort("a", "2")
    core.recalled(0, "2")
    assert core.failed["2"].status == "aborted"


def test_nothing_is_sent_before_the_interrupt_is_out(core):
    core.submit("a", 0, "1", "2")
    core.interrupt("a", "1")
    assert core.sent(core.finish(0, "1")) == []
    assert core.sent(core.interrupt_sent(0)) == ["2"]


def test_new_work_waits_until_the_interrupt_is_out(core):
    core.submit("a", 0, "1")
    core.interrupt("a", "1")
    core.finish(0, "1")
    assert core.sent(core.submit("b", 0, "2")) == []
    assert core.sent(core.interrupt_sent(0)) == ["2"]


def test_new_work_waits_for_the_last_of_two_interrupts(core):
    core.submit("a", 0, "1", "2")
    core.interrupt("a", "1")
    core.interrupt("a", "1")
    core.finish(0, "1")
    assert core.sent(core.interrupt_sent(0)) == []
    assert core.sent(core.interrupt_sent(0)) == ["2"]


def test_other_engines_work_on_during_an_interrupt(core):
    core.submit("a", 0, "1")
    core.interrupt("a", "1")
    assert core.sent(core.submit("a", 1, "2")) == ["2"]


def test_an_interrupt_of_an_idle_engine_does_not_block_it(core):
    core.interrupt_sent(0)
    core.interrupts.clear()
    assert core.sent(core.submit("a", 0, "t")) == ["t"]


def test_an_interrupted_cell_without_reply_ends(core):
    core.cell("a", 0, "c", "d")
    core.interrupt("a", "c")
    core.interrupt_sent(0)
    core.idle(0, "c")
    commands = core.tick(core.core.deadline())
    assert core.failed["c"].status == "interrupted"
    assert core.sent(commands) == ["d"]
