"""Rule 5 of the core: every task ends in exactly one result. And what output belongs to it."""

import pytest

from pxkernel.core import Acknowledge, Announce, ClientJoined, Deliver, Fail, Forget, Settle

# ---- tasks


def test_a_result_is_delivered(core):
    core.submit("a", 0, "t")
    assert core.delivered(core.finish(0, "t")) == ["t"]


def test_results_that_come_together(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    assert core.delivered(core.finish(0, "1", "2", seconds=0)) == ["1", "2"]


def test_a_result_goes_to_the_client_that_asked(core):
    core.submit("b", 0, "t")
    assert Deliver("b", ["t"]) in core.finish(0, "t")


def test_a_result_that_comes_twice_is_delivered_once(core):
    core.submit("a", 0, "t")
    core.finish(0, "t")
    assert core.finish(0, "t") == []


def test_a_result_from_the_wrong_engine_is_nothing(core):
    core.submit("a", 0, "t")
    assert core.finish(1, "t") == []


def test_a_result_of_an_engine_that_is_gone_is_nothing(core):
    core.submit("a", 0, "t")
    core.engine_dies(0)
    assert core.finish(0, "t") == []


def test_results_wait_for_the_credit_of_their_client(core):
    core.submit("a", 0, "t")
    core.fill("a")
    assert core.delivered(core.finish(0, "t", size=5)) == []
    assert core.delivered(core.ack("a", 1)) == ["t"]


def test_results_that_wait_keep_their_order(core):
    core.submit("a", 0, "1")
    core.submit("a", 1, "2")
    core.fill("a")
    core.finish(1, "2")
    core.finish(0, "1")
    assert core.delivered(core.ack("a", 1)) == ["2", "1"]


def test_a_large_result_uses_up_the_credit(core):
    core.submit("a", 0, "1")
    core.submit("a", 1, "2")
    limit = core.core.clients["a"].credit.limit
    assert core.delivered(core.finish(0, "1", size=limit)) == ["1"]
    assert core.delivered(core.finish(1, "2")) == []


def test_results_of_others_do_not_wait(core):
    core.submit("a", 0, "t")
    core.submit("b", 1, "u")
    core.fill("a")
    core.finish(0, "t")
    assert core.delivered(core.finish(1, "u")) == ["u"]


# ---- output


def test_the_output_of_a_task_settles_after_it(core):
    core.submit("a", 0, "t")
    assert core.only(core.finish(0, "t"), Settle) == []
    assert core.outputs_settled(0, "t") == [Settle("a", "t")]


def test_one_mark_settles_everything_before_it_in_order(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1")
    core.submit("b", 0, "2")
    core.submit("a", 0, "3")
    core.finish(0, "1", "2", "3", seconds=0)
    assert core.outputs_settled(0, "2") == [Settle("a", "1"), Settle("b", "2")]
    assert core.outputs_settled(0, "3") == [Settle("a", "3")]


def test_a_mark_that_comes_twice_is_nothing(core):
    core.submit("a", 0, "t")
    core.finish(0, "t")
    core.outputs_settled(0, "t")
    assert core.outputs_settled(0, "t") == []


@pytest.mark.parametrize("engine, task", [(1, "t"), (9, "t"), (0, "?")])
def test_a_mark_of_something_else_is_nothing(core, engine, task):
    core.submit("a", 0, "t")
    core.finish(0, "t")
    assert core.outputs_settled(engine, task) == []


def test_a_mark_may_overtake_the_result(core):
    """They come over different sockets, and a large result takes longer."""
    core.submit("a", 0, "t")
    core.outputs_settled(0, "t")
    assert Settle("a", "t") in core.finish(0, "t")


def test_a_mark_may_overtake_several_results(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    core.outputs_settled(0, "2")
    commands = core.finish(0, "1", "2", "3", seconds=0)
    assert core.only(commands, Settle) == [Settle("a", "1"), Settle("a", "2")]


def test_a_mark_that_overtakes_settles_what_has_finished_in_order(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    core.finish(0, "1", seconds=0)
    core.outputs_settled(0, "2")
    core.finish(0, "2", seconds=0)
    assert list(core.settled)[-2:] == ["1", "2"]


def test_a_mark_does_not_count_for_a_task_that_was_recalled(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    core.abort("a", "2")
    core.outputs_settled(0, "3")
    core.finish(0, "1", "3", seconds=0)
    core.recalled(0, "2")
    assert core.only(core.finish(0, "2", seconds=0), Settle) == []


def test_a_task_without_output_is_not_settled(core):
    core.submit("a", 0, "t")
    core.finish(0, "t", output=False)
    assert core.outputs_settled(0, "t") == []


def test_a_task_without_output_does_not_settle_the_one_before_it(core):
    core.submit("a", 0, "1", "2")
    core.finish(0, "1")
    assert core.only(core.finish(0, "2", output=False), Settle) == []
    assert core.outputs_settled(0, "1") == [Settle("a", "1")]


def test_a_mark_of_a_task_without_output_is_nothing(core):
    core.submit("a", 0, "t")
    core.outputs_settled(0, "t")
    assert core.only(core.finish(0, "t", output=False), Settle) == []


def test_a_task_that_fails_here_has_no_more_output(core):
    assert Settle("a", "t") in core.submit("a", 9, "t")


# ---- the death of an engine


def test_an_engine_that_dies_fails_what_runs_and_what_waits(core):
    core.submit("a", 0, "1", "2")
    commands = core.engine_dies(0, "died (exit code 1)")
    assert core.only(commands, Fail) == [
        Fail("1", 0, "died", "engine 0 died (exit code 1)"),
        Fail("2", 0, "died", "engine 0 died (exit code 1) before this task was started"),
    ]
    assert core.delivered(commands) == ["1", "2"]


def test_an_engine_that_dies_fails_its_cell(core):
    core.cell("a", 0, "c")
    core.idle(0, "c")
    assert core.delivered(core.engine_dies(0)) == ["c"]
    assert core.core.deadline() is None


def test_an_engine_that_dies_fails_what_was_put_aside(core):
    core.fill("a")
    core.submit("a", 0, "t")
    core.engine_dies(0)
    assert core.failed["t"].status == "died"


def test_an_engine_that_dies_settles_its_output(core):
    core.submit("a", 0, "t")
    core.finish(0, "t")
    assert core.engine_dies(0)[0] == Settle("a", "t")


def test_clients_learn_of_the_failures_before_the_end_of_the_engine(core):
    core.submit("a", 0, "t")
    assert isinstance(core.engine_dies(0)[-1], Announce)


def test_the_death_of_an_engine_leaves_the_others_alone(core):
    core.submit("a", 0, "t")
    core.submit("a", 1, "u")
    assert core.delivered(core.engine_dies(0)) == ["t"]


def test_an_engine_can_die_while_an_interrupt_is_on_its_way(empty):
    empty.clients("a")
    empty.engines(0, tasks=False)
    empty.cell("a", 0, "t")
    empty.interrupt("a", "t")
    empty.engine_dies(0)
    assert empty.interrupt_sent(0) == []


def test_work_for_an_engine_that_has_died_fails(core):
    core.engine_dies(0)
    assert core.delivered(core.submit("a", 0, "t")) == ["t"]


# ---- clients that leave


def test_queued_work_of_a_client_that_leaves_is_forgotten(core):
    core.submit("a", 0, "1", "2")
    assert core.client_leaves("a") == [Forget("2")]


def test_running_work_of_a_client_that_leaves_keeps_the_engine_busy(core):
    core.submit("a", 0, "1")
    core.client_leaves("a")
    assert core.sent(core.submit("b", 0, "2")) == []
    commands = core.finish(0, "1")
    assert Forget("1") in commands
    assert core.sent(commands) == ["2"]


def test_a_running_cell_of_a_client_that_leaves_keeps_the_engine_busy(core):
    core.cell("a", 0, "c")
    core.client_leaves("a")
    core.submit("b", 0, "t")
    core.idle(0, "c")
    commands = core.tick(2.0)
    assert Forget("c") in commands
    assert core.sent(commands) == ["t"]


def test_results_that_wait_for_a_client_that_leaves_are_forgotten(core):
    core.submit("a", 0, "t")
    core.fill("a")
    core.finish(0, "t")
    assert Forget("t") in core.client_leaves("a")


def test_work_that_was_put_aside_for_a_client_that_leaves_is_forgotten(core):
    core.fill("a")
    core.submit("a", 0, "t")
    assert core.client_leaves("a") == [Forget("t")]


def test_what_waited_behind_a_client_that_leaves_is_sent(core):
    core.submit("b", 0, "running")
    core.cell("a", 0, "c")
    core.submit("b", 0, "next")
    core.client_leaves("a")
    assert core.sent(core.finish(0, "running")) == ["next"]


def test_what_waited_behind_a_client_that_leaves_is_sent_at_once_if_there_is_room(core):
    core.open_window("b", 0)
    core.submit("b", 0, "running")
    core.cell("a", 0, "c")
    core.submit("b", 0, "next")
    assert core.sent(core.client_leaves("a")) == ["next"]


def test_work_is_forgotten_in_the_order_of_submission(core):
    tasks = [f"t{i}" for i in range(30)]
    core.submit("b", 0, "running")
    core.submit("a", 0, *tasks)
    assert core.client_leaves("a") == [Forget(task) for task in tasks]


def test_a_client_that_leaves_twice(core):
    core.client_leaves("a")
    assert core.client_leaves("a") == []


def test_a_client_that_has_left_gets_no_credit(core):
    core.submit("b", 0, "running")
    core.submit("a", 0, "t")
    assert core.only(core.client_leaves("a"), Acknowledge) == []


def test_a_client_that_says_hello_again_keeps_its_work(core):
    core.submit("a", 0, "1", "2")
    core.handle(ClientJoined("a"))
    assert core.sent(core.finish(0, "1")) == ["2"]


def test_an_engine_that_dies_with_the_work_of_a_client_that_has_left(core):
    core.submit("a", 0, "t")
    core.client_leaves("a")
    assert Forget("t") in core.engine_dies(0)


def test_recalled_work_of_a_client_that_has_left_is_forgotten(core):
    core.open_window("a", 0)
    core.submit("b", 0, "head")
    core.submit("a", 0, "t")
    core.abort("a", "t")
    core.client_leaves("a")
    assert Forget("t") in core.recalled(0, "t")
