"""Rules 1 to 4 of the core: in which order work is sent, how much of it, and when not."""

import pytest

from pxkernel.core import Acked, Acknowledge, Announce, EngineJoined, EngineLeft, Fail, RunCell, RunTasks, Submitted
from pxkernel.core.tables import SHORT_TASK, WINDOW_BYTES, WINDOW_TASKS


def names(count, prefix="t"):
    return [f"{prefix}{i}" for i in range(count)]


# ---- engines


def test_a_new_engine_is_announced(empty):
    assert empty.handle(EngineJoined(3)) == [Announce(joined=(3,))]


def test_a_lost_engine_is_announced_with_the_reason(core):
    assert core.engine_dies(1, "died of hunger") == [Announce(left=((1, "died of hunger"),))]


def test_the_end_of_an_unknown_engine_is_nothing(core):
    assert core.engine_dies(7) == []


# ---- rule 1: the order of submission


def test_work_for_an_idle_engine_is_sent_at_once(core):
    assert RunTasks(0, ["t"]) in core.submit("a", 0, "t")


def test_a_call_goes_to_each_of_its_engines(core):
    commands = core.handle(Submitted("a", "apply", 10, [("t", 0), ("u", 1)]))
    assert core.only(commands, RunTasks) == [RunTasks(0, ["t"]), RunTasks(1, ["u"])]


def test_a_cell_goes_to_the_shell_channel(core):
    assert RunCell(0, "c") in core.cell("a", 0, "c")


def test_execute_goes_to_the_task_channel(core):
    assert RunTasks(0, ["x"]) in core.submit("a", 0, "x", kind="execute")


def test_tasks_run_in_the_order_of_submission(core):
    core.submit("a", 0, "1", "2", "3")
    assert core.sent(core.finish(0, "1")) == ["2"]
    assert core.sent(core.finish(0, "2")) == ["3"]


def test_clients_share_one_order(core):
    core.submit("a", 0, "a1")
    core.submit("b", 0, "b1")
    core.submit("a", 0, "a2")
    assert core.sent(core.finish(0, "a1")) == ["b1"]
    assert core.sent(core.finish(0, "b1")) == ["a2"]


def test_engines_do_not_wait_for_each_other(core):
    core.submit("a", 0, "slow")
    assert core.sent(core.submit("a", 1, "other")) == ["other"]


def test_a_cell_waits_for_the_tasks_before_it(core):
    core.submit("a", 0, "t")
    assert core.sent(core.cell("a", 0, "c")) == []
    assert core.sent(core.finish(0, "t")) == ["c"]


def test_a_cell_waits_for_every_task_of_an_open_window(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    core.cell("a", 0, "c")
    assert core.sent(core.finish(0, "1", seconds=0)) == []
    assert core.sent(core.finish(0, "2", seconds=0)) == ["c"]


def test_tasks_wait_for_the_cell_before_them(core):
    core.open_window("a", 0)
    core.cell("a", 0, "c")
    assert core.sent(core.submit("a", 0, "1", "2")) == []
    core.reply(0, "c")
    assert core.sent(core.idle(0, "c")) == ["1", "2"]


def test_tasks_do_not_overtake_a_cell_that_waits(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1")
    core.cell("a", 0, "c")
    assert core.sent(core.submit("a", 0, "2")) == []
    assert core.sent(core.finish(0, "1", seconds=0)) == ["c"]


def test_a_cell_of_one_client_waits_for_the_task_of_another(core):
    core.submit("b", 0, "t")
    assert core.sent(core.cell("a", 0, "c")) == []


# ---- rule 2: one piece of user code


def test_one_cell_at_a_time(core):
    core.open_window("a", 0)
    assert core.sent(core.cell("a", 0, "c1", "c2")) == ["c1"]
    core.reply(0, "c1")
    assert core.sent(core.idle(0, "c1")) == ["c2"]


# ---- rule 3: the window


def test_a_new_engine_gets_one_task(core):
    assert core.sent(core.submit("a", 0, "1", "2")) == ["1"]


def test_an_engine_with_slow_tasks_gets_one_at_a_time(core):
    core.submit("a", 0, *names(5))
    assert core.sent(core.finish(0, "t0", seconds=SHORT_TASK)) == ["t1"]


def test_an_engine_with_short_tasks_gets_a_window(core):
    core.submit("a", 0, *names(100))
    assert core.sent(core.finish(0, "t0", seconds=0.0001)) == names(100)[1 : 1 + WINDOW_TASKS]


def test_a_window_is_one_message(core):
    core.submit("a", 0, *names(100))
    assert len(core.only(core.finish(0, "t0", seconds=0.0001), RunTasks)) == 1


def test_one_slow_task_closes_the_window(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2", "3")
    core.submit("a", 0, "4", size=WINDOW_BYTES)
    core.submit("a", 0, "5", "6")
    assert core.sent(core.finish(0, "1", "2", "3", "4", seconds=1.0)) == ["5"]


def test_a_few_short_tasks_open_the_window_again(core):
    core.submit("a", 0, *names(20))
    core.finish(0, "t0", seconds=0.02)
    assert core.sent(core.finish(0, "t1", seconds=0)) == ["t2"]
    assert core.sent(core.finish(0, "t2", seconds=0)) == ["t3"]
    assert core.sent(core.finish(0, "t3", seconds=0)) == names(20)[4:]


def test_the_window_is_refilled_when_half_of_it_is_free(core):
    core.open_window("a", 0)
    tasks = names(WINDOW_TASKS + 40)
    core.submit("a", 0, *tasks)
    half = WINDOW_TASKS // 2
    in_window = list(core.core.engines[0].sent)
    assert len(in_window) > half
    kept = in_window[len(in_window) - half :]
    for task in in_window[: len(in_window) - half - 1]:
        assert core.sent(core.finish(0, task, seconds=0)) == []
    refill = core.sent(core.finish(0, in_window[len(in_window) - half - 1], seconds=0))
    assert list(core.core.engines[0].sent) == kept + refill
    assert len(kept + refill) == WINDOW_TASKS


def test_the_window_counts_bytes(core):
    core.open_window("a", 0)
    third = WINDOW_BYTES // 3 + 1
    assert core.sent(core.submit("a", 0, *names(5), size=third)) == names(3)
    assert core.sent(core.finish(0, "t0", seconds=0)) == ["t3"]


def test_a_task_over_the_byte_window_is_sent_alone(core):
    core.open_window("a", 0)
    core.submit("a", 0, "big", size=10 * WINDOW_BYTES)
    assert core.sent(core.submit("a", 0, "next")) == []
    assert core.sent(core.finish(0, "big", seconds=0)) == ["next"]


# ---- rule 4: clients that do not read


def test_nobody_works_for_a_client_that_does_not_read(core):
    core.fill("a")
    assert core.sent(core.submit("a", 0, "t")) == []


def test_others_pass_a_client_that_does_not_read(core):
    core.fill("a")
    core.submit("a", 0, "a1")
    assert core.sent(core.submit("b", 0, "b1")) == ["b1"]


def test_others_behind_it_in_the_queue_pass_as_well(core):
    core.submit("a", 0, "a1", "a2")
    core.submit("b", 0, "b1")
    core.fill("a")
    assert core.sent(core.finish(0, "a1")) == ["b1"]


def test_work_goes_on_when_the_client_reads_again(core):
    core.fill("a")
    core.submit("a", 0, "t")
    core.submit("a", 1, "u")
    assert core.sent(core.ack("a", 1)) == ["t", "u"]


def test_an_ack_that_frees_nothing_sends_nothing(core):
    core.fill("a")
    core.core.clients["a"].credit.take(100)
    core.submit("a", 0, "t")
    assert core.ack("a", 100) == []


def test_work_that_was_put_aside_keeps_its_order(core):
    core.fill("a")
    core.submit("a", 0, "a1")
    core.cell("a", 0, "a2")
    core.submit("b", 0, "b1", "b2")
    core.submit("a", 0, "a3")
    core.ack("a", 1)
    order = [core.sent(core.finish(0, "b1")), core.sent(core.finish(0, "a1"))]
    core.reply(0, "a2")
    order += [core.sent(core.idle(0, "a2")), core.sent(core.finish(0, "b2"))]
    assert order == [["a1"], ["a2"], ["b2"], ["a3"]]


def test_of_all_that_waits_what_came_first_goes_first_when_a_client_reads_again(core):
    core.submit("b", 0, "b0")
    core.fill("a")
    core.submit("a", 0, "a1")
    core.submit("b", 0, "b1")
    core.submit("a", 0, "a2")
    core.submit("a", 0, "a0", kind="control")
    assert core.sent(core.ack("a", 1)) == []
    order = ["b0"]
    while len(order) < 5:
        order += core.sent(core.finish(0, order[-1]))
    assert order == ["b0", "a0", "a1", "b1", "a2"]


def test_a_client_that_stops_reading_again_is_passed_again(core):
    core.fill("a")
    core.submit("a", 0, "a1", "a2")
    assert core.sent(core.ack("a", 1)) == ["a1"]
    core.fill("a")
    assert core.sent(core.finish(0, "a1", size=5)) == []
    assert core.sent(core.submit("b", 0, "b1")) == ["b1"]
    assert core.sent(core.finish(0, "b1")) == []
    assert core.sent(core.ack("a", 10)) == ["a2"]


def test_an_ack_of_an_unknown_client_is_nothing(core):
    assert core.ack("nobody", 5) == []


def test_results_that_are_not_read_cost_no_output(core):
    core.fill("a")
    assert core.core.spend("a", 1) is True


def test_credit_for_output_comes_back(core):
    core.core.spend("a", core.core.clients["a"].output_credit.limit)
    core.handle(Acked("a", 1, outputs=True))
    assert core.core.spend("a", 1) is True


def test_output_is_refused_to_an_unknown_client(core):
    assert core.core.spend("nobody", 1) is False


def test_output_uses_up_credit(core):
    limit = core.core.clients["a"].output_credit.limit
    assert core.core.spend("a", limit) is True
    assert core.core.spend("a", 1) is False


# ---- what is refused at once


def test_an_unknown_engine_fails_the_task(core):
    commands = core.submit("a", 9, "t")
    assert core.only(commands, Fail) == [Fail("t", 9, "died", "engine 9 is not part of the cluster")]
    assert core.delivered(commands) == ["t"]


def test_an_engine_that_has_gone_fails_the_task_with_the_reason(core):
    """RC-30: as those that it had."""
    core.handle(EngineLeft(1, "died (exit code 3)"))
    commands = core.submit("a", 1, "t")
    assert core.only(commands, Fail) == [Fail("t", 1, "died", "engine 1 died (exit code 3)")]


def test_an_unknown_engine_does_not_disturb_the_others(core):
    assert core.sent(core.handle(Submitted("a", "apply", 10, [("t", 9), ("u", 0)]))) == ["u"]


@pytest.mark.parametrize("kind", ["apply", "map"])
def test_a_kernel_without_task_channel_refuses_tasks(empty, kind):
    empty.clients("a")
    empty.engines(0, tasks=False)
    (fail,) = empty.only(empty.submit("a", 0, "t", kind=kind), Fail)
    assert fail.status == "died" and "only runs cells" in fail.reason


def test_a_kernel_without_task_channel_runs_cells(empty):
    empty.clients("a")
    empty.engines(0, tasks=False)
    assert RunCell(0, "c") in empty.cell("a", 0, "c")


# ---- submission credit


def test_credit_comes_back_when_a_task_is_sent(core):
    assert Acknowledge("a", 77) in core.submit("a", 0, "t", size=77)


def test_credit_comes_back_with_the_last_task_of_a_call(core):
    core.submit("b", 1, "busy")
    commands = core.handle(Submitted("a", "apply", 77, [("t", 0), ("u", 1)]))
    assert core.only(commands, Acknowledge) == []
    assert core.only(core.finish(1, "busy"), Acknowledge) == [Acknowledge("a", 77)]


def test_credit_comes_back_for_a_task_that_is_refused(core):
    assert Acknowledge("a", 77) in core.submit("a", 9, "t", size=77)


def test_credit_comes_back_for_a_task_that_is_aborted_in_the_queue(core):
    core.submit("a", 0, "t")
    core.submit("a", 0, "u", size=77)
    assert Acknowledge("a", 77) in core.abort("a", "u")


def test_credit_comes_back_once_for_a_task_that_is_recalled(core):
    core.open_window("a", 0)
    core.submit("a", 0, "1", "2")
    core.abort("a", "2")
    assert core.only(core.recalled(0, "2"), Acknowledge) == []


def test_credit_comes_back_when_an_engine_dies(core):
    core.submit("a", 0, "t")
    core.submit("a", 0, "u", size=77)
    assert Acknowledge("a", 77) in core.engine_dies(0)
