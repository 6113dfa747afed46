"""Cells: done when the reply and the idle status have come, in whatever order, or a moment after the idle status."""

import pytest

from pxkernel.core import Fail, RunCell, Settle
from pxkernel.core.reports import REPLY_GRACE


def test_a_cell_needs_its_reply_and_its_idle_status(core):
    core.cell("a", 0, "c")
    assert core.reply(0, "c") == []
    assert core.delivered(core.idle(0, "c")) == ["c"]


def test_a_cell_may_be_idle_first(core):
    core.cell("a", 0, "c")
    assert core.idle(0, "c") == []
    assert core.delivered(core.reply(0, "c")) == ["c"]


def test_the_output_of_a_cell_is_complete_with_it(core):
    core.cell("a", 0, "c")
    core.reply(0, "c")
    assert Settle("a", "c") in core.idle(0, "c")


def test_the_reply_of_a_cell_counts_against_credit(core):
    core.cell("a", 0, "c")
    core.reply(0, "c", size=123)
    core.idle(0, "c")
    assert core.core.clients["a"].credit.used == 123


@pytest.mark.parametrize("event", ["reply", "idle"])
@pytest.mark.parametrize("engine", [1, 9])
def test_news_of_a_cell_from_the_wrong_engine_are_nothing(core, event, engine):
    core.cell("a", 0, "c")
    assert getattr(core, event)(engine, "c") == []
    assert core.core.deadline() is None


def test_news_of_a_cell_that_is_done_are_nothing(core):
    core.cell("a", 0, "c")
    core.reply(0, "c")
    core.idle(0, "c")
    assert core.reply(0, "c") == core.idle(0, "c") == []


def test_news_of_a_cell_whose_result_waits_are_nothing(core):
    core.cell("a", 0, "c")
    core.fill("a")
    core.reply(0, "c")
    core.idle(0, "c")
    assert core.reply(0, "c") == core.idle(0, "c") == []


def test_news_of_an_unknown_cell_are_nothing(core):
    assert core.reply(0, "?") == core.idle(0, "?") == []


# ---- replies that never come


def test_nothing_is_due_while_a_cell_runs(core):
    core.cell("a", 0, "c")
    assert core.core.deadline() is None


def test_a_cell_that_is_idle_without_reply_has_a_deadline(core):
    core.cell("a", 0, "c")
    core.now = 5.0
    core.idle(0, "c")
    assert core.core.deadline() == 5.0 + REPLY_GRACE


def test_the_deadline_is_that_of_the_first_cell(core):
    core.cell("a", 0, "c")
    core.cell("a", 1, "d")
    core.now = 5.0
    core.idle(1, "d")
    core.now = 5.5
    core.idle(0, "c")
    assert core.core.deadline() == 5.0 + REPLY_GRACE


def test_a_second_idle_status_does_not_move_the_deadline(core):
    core.cell("a", 0, "c")
    core.idle(0, "c")
    core.now = 0.5
    core.idle(0, "c")
    assert core.core.deadline() == REPLY_GRACE


def test_a_reply_in_time_ends_the_waiting(core):
    core.cell("a", 0, "c")
    core.idle(0, "c")
    assert core.only(core.reply(0, "c"), Fail) == []
    assert core.core.deadline() is None


def test_a_tick_before_the_deadline_is_nothing(core):
    core.cell("a", 0, "c")
    core.idle(0, "c")
    assert core.tick(REPLY_GRACE / 2) == []


def test_a_cell_whose_reply_never_comes_ends_as_interrupted(core):
    core.cell("a", 0, "c")
    core.idle(0, "c")
    commands = core.tick(core.core.deadline())
    assert core.only(commands, Fail) == [Fail("c", 0, "interrupted", "the kernel was interrupted")]
    assert core.delivered(commands) == ["c"]


@pytest.mark.parametrize("now", [0.1, 1234.3, 1e5 + 0.1, 98765432.1])
def test_the_deadline_is_enough(core, now):
    core.cell("a", 0, "c")
    core.now = now
    core.idle(0, "c")
    assert core.delivered(core.tick(core.core.deadline())) == ["c"]


def test_work_goes_on_after_a_reply_that_never_came(core):
    core.cell("a", 0, "c", "d")
    core.idle(0, "c")
    assert core.sent(core.tick(2.0)) == ["d"]


def test_a_reply_after_the_deadline_is_nothing(core):
    core.cell("a", 0, "c")
    core.idle(0, "c")
    core.tick(2.0)
    assert core.reply(0, "c") == []


@pytest.mark.parametrize("event", ["reply", "idle"])
def test_news_of_a_cell_say_nothing_of_a_task(core, event):
    core.submit("a", 0, "t")
    getattr(core, event)(0, "t")
    assert core.core.deadline() is None
    assert core.delivered(core.finish(0, "t")) == ["t"]


# ---- kernels of other languages


@pytest.fixture
def foreign(empty):
    """A client, and engine 0 without the extension."""
    empty.clients("a")
    empty.engines(0, tasks=False)
    return empty


def test_source_code_runs_as_a_cell_where_there_is_no_extension(foreign):
    assert RunCell(0, "t") in foreign.submit("a", 0, "t", kind="execute")


def test_output_after_the_idle_status_counts(foreign):
    foreign.cell("a", 0, "c")
    foreign.reply(0, "c")
    assert foreign.delivered(foreign.idle(0, "c")) == ["c"] and not foreign.settled["c"]
    foreign.tick(foreign.core.deadline())
    assert foreign.settled["c"] == 1


def test_the_next_cell_does_not_wait_for_the_output_of_the_last(foreign):
    foreign.cell("a", 0, "c", "d")
    foreign.reply(0, "c")
    assert foreign.sent(foreign.idle(0, "c")) == ["d"]


def test_trailing_output_is_complete_when_the_kernel_dies(foreign):
    foreign.cell("a", 0, "c")
    foreign.reply(0, "c")
    foreign.idle(0, "c")
    foreign.engine_dies(0)
    assert foreign.settled["c"] == 1 and foreign.core.deadline() is None


def test_cells_settle_in_their_order(foreign):
    foreign.engines(1, tasks=False)
    for engine, cell in ((0, "c"), (1, "d"), (0, "e")):
        foreign.cell("a", engine, cell)
        foreign.reply(engine, cell)
        foreign.idle(engine, cell)
    foreign.tick(foreign.core.deadline())
    assert list(foreign.settled) == ["c", "d", "e"]
