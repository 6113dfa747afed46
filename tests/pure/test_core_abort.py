"""Taking work back: abort and interrupt."""

import pytest

from pxkernel.core import Fail, InterruptEngine, InterruptTasks, RecallTasks, TellStarted

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
    assert core.abort("a", "c") == [TellStarted("a", ["c"])]


def test_who_takes_back_what_has_started_is_told(core):
    """AR-10: at once, however long it runs."""
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    core.abort("a", "1", "2")
    commands = core.recalled(0, "2", started=["1"])
    assert core.only(commands, TellStarted) == [TellStarted("a", ["1"])]
    assert core.delivered(commands) == ["2"]
    assert core.abort("a", "1") == [RecallTasks(0, ["1"])], "who asks again is told again"


def test_who_has_not_asked_is_not_told(core):
    core.submit("a", 0, "t")
    assert core.recalled(0, started=["t"]) == []


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


# ---- interrupt: the extension is told which tasks are meant


def test_the_running_task_is_interrupted(core):
    core.submit("a", 0, "t")
    assert InterruptTasks(0, ["t"]) in core.interrupt("a", "t")


def test_the_task_is_recalled_as_well_because_it_may_not_have_started(core):
    core.submit("a", 0, "t")
    assert core.interrupt("a", "t") == [RecallTasks(0, ["t"]), InterruptTasks(0, ["t"])]


def test_a_task_that_had_not_started_when_it_was_interrupted_is_aborted(core):
    core.submit("a", 0, "t")
    core.interrupt("a", "t")
    core.recalled(0, "t")
    assert core.failed["t"].status == "aborted"


def test_the_running_cell_is_interrupted(core):
    core.cell("a", 0, "c")
    assert core.interrupt("a", "c") == [InterruptTasks(0, ["c"])]


def test_an_interrupted_task_ends_with_what_the_engine_reports(core):
    core.submit("a", 0, "t")
    core.interrupt("a", "t")
    assert core.delivered(core.finish(0, "t")) == ["t"]
    assert "t" not in core.failed


def test_queued_tasks_are_aborted_by_an_interrupt(core):
    core.submit("a", 0, "1", "2")
    commands = core.interrupt("a", "1", "2")
    assert core.delivered(commands) == ["2"]
    assert InterruptTasks(0, ["1"]) in commands


def test_everything_inside_the_engine_that_is_meant_is_named_and_nothing_else(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    assert core.interrupt("a", "2", "3") == [RecallTasks(0, ["2", "3"]), InterruptTasks(0, ["2", "3"])]


def test_what_was_aborted_is_not_recalled_again(core):
    core.submit("a", 0, "1")
    core.abort("a", "1")
    assert core.interrupt("a", "1") == [InterruptTasks(0, ["1"])]


def test_a_task_may_be_interrupted_twice(core):
    core.submit("a", 0, "1")
    core.interrupt("a", "1")
    assert core.interrupt("a", "1") == [InterruptTasks(0, ["1"])]


def test_the_tasks_of_another_client_are_not_interrupted(core):
    core.submit("a", 0, "1")
    assert core.interrupt("b", "1") == []


def test_what_is_done_is_not_interrupted(core):
    core.submit("a", 0, "1")
    core.finish(0, "1")
    assert core.interrupt("a", "1") == []


def test_work_goes_on_while_an_interrupt_is_on_its_way(core):
    core.submit("a", 0, "1", "2")
    core.interrupt("a", "1")
    assert core.sent(core.finish(0, "1")) == ["2"]


def test_other_engines_work_on_during_an_interrupt(core):
    core.submit("a", 0, "1")
    core.interrupt("a", "1")
    assert core.sent(core.submit("a", 1, "2")) == ["2"]


def test_an_interrupted_cell_without_reply_ends(core):
    core.cell("a", 0, "c", "d")
    core.interrupt("a", "c")
    core.idle(0, "c")
    commands = core.tick(core.core.deadline())
    assert core.failed["c"].status == "interrupted"
    assert core.sent(commands) == ["d"]


# ---- kernels without the extension get a signal, which hits whatever runs


@pytest.fixture
def foreign(empty):
    """A core with two engines of another language and two clients."""
    empty.clients("a", "b")
    empty.engines(0, 1, tasks=False)
    return empty


def test_a_kernel_without_the_extension_is_sent_a_signal(foreign):
    foreign.cell("a", 0, "1", "2")
    commands = foreign.interrupt("a", "1", "2")
    assert InterruptEngine(0) in commands and foreign.failed["2"].status == "aborted"


def test_every_engine_is_interrupted_in_the_order_asked(empty):
    empty.clients("a")
    empty.engines(*range(20), tasks=False)
    for engine in range(20):
        empty.cell("a", engine, f"t{engine}")
    commands = empty.interrupt("a", *(f"t{engine}" for engine in reversed(range(20))))
    assert empty.only(commands, InterruptEngine) == [InterruptEngine(engine) for engine in reversed(range(20))]


def finish(foreign, *cells):
    commands = []
    for cell in cells:
        commands += [*foreign.reply(0, cell), *foreign.idle(0, cell)]
    return commands


def test_nothing_is_sent_before_the_signal_is_out(foreign):
    foreign.cell("a", 0, "1", "2")
    foreign.interrupt("a", "1")
    assert foreign.sent(finish(foreign, "1")) == []
    assert foreign.sent(foreign.interrupt_sent(0)) == ["2"]


def test_new_work_waits_until_the_signal_is_out(foreign):
    foreign.cell("a", 0, "1")
    foreign.interrupt("a", "1")
    finish(foreign, "1")
    assert foreign.sent(foreign.cell("b", 0, "2")) == []
    assert foreign.sent(foreign.interrupt_sent(0)) == ["2"]


def test_new_work_waits_for_the_last_of_two_signals(foreign):
    foreign.cell("a", 0, "1", "2")
    foreign.interrupt("a", "1")
    foreign.interrupt("a", "1")
    finish(foreign, "1")
    assert foreign.sent(foreign.interrupt_sent(0)) == []
    assert foreign.sent(foreign.interrupt_sent(0)) == ["2"]


def test_a_signal_to_an_idle_engine_does_not_block_it(foreign):
    foreign.interrupt_sent(0)
    foreign.interrupts.clear()
    assert foreign.sent(foreign.cell("a", 0, "t")) == ["t"]
