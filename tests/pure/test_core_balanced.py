"""Balanced work in the core: which engine gets it, how much at a time, and what happens when that goes wrong (LB)."""

import random

import pytest

from pxkernel.core import Core, EngineJoined, RecallTasks, RunTasks, Submitted, Terms
from pxkernel.core.balance import CHOICE
from pxkernel.core.policies import POLICIES, policy
from pxkernel.core.tables import BURST, FAMILIES, GONE, WINDOW_TASKS


def names(count, prefix="t"):
    return [f"{prefix}{i}" for i in range(count)]


def placed(core, commands):
    """The engine of each task that the commands send."""
    return {task: command.engine for command in core.only(commands, RunTasks) for task in command.tasks}


def warm(core, *engines, family="", seconds=0.0001):
    """Have engines do a balanced task each, so that the pace of its family is known there."""
    for engine in engines:
        core.balanced("a", f"warm{engine}", family=family, targets=frozenset({engine}))
        core.finish(engine, f"warm{engine}", seconds=seconds, output=False)


# ---- which engine


def test_each_task_goes_to_an_idle_engine(core):
    """LB-01."""
    assert placed(core, core.balanced("a", "t", "u")) == {"t": 0, "u": 1}


def test_a_policy_chooses_among_the_idle_engines_that_have_waited_longest(empty):
    """LB-13; issue 5, point 5: it need not look at thousands."""
    offered = []

    def last(engines):
        offered.append([engine.id for engine in engines])
        return empty.core.engines[offered[-1][-1]]

    empty.core = Core(last)
    empty.clients("a")
    empty.engines(*range(CHOICE + 50))
    assert placed(empty, empty.balanced("a", "t")) == {"t": CHOICE - 1}
    assert placed(empty, empty.balanced("a", "u", targets=frozenset({5, 7}))) == {"u": 7}
    assert offered == [list(range(CHOICE)), [5, 7]]


@pytest.mark.parametrize("scheme", POLICIES)
@pytest.mark.parametrize("busy", [[], [1]])
def test_calls_that_come_together_are_placed_as_if_they_came_one_by_one(empty, scheme, busy):
    """LB-18: a direct call that came first takes its engine."""
    found = []
    for together in (False, True):
        core = type(empty)()
        core.core = Core(policy(scheme, random.Random(0)))
        core.clients("a")
        core.engines(0, 1)
        for engine in (0, 1):
            core.submit("a", engine, f"warm{engine}")
            core.finish(engine, f"warm{engine}", output=False)
        for engine in busy:
            core.submit("a", engine, "long")
        events = [Submitted("a", "apply", 10, [("d", 0)]), Submitted("a", "apply", 10, [("t", None)], Terms())]
        commands = core.submit_together(*events) if together else [*core.handle(events[0]), *core.handle(events[1])]
        found.append(placed(core, commands))
    assert found[0] == found[1] and found[0]["d"] == 0


def test_what_no_engine_has_room_for_waits(core):
    """LB-14, LB-15."""
    assert core.sent(core.balanced("a", "t", "u", "v", "w")) == ["t", "u"]
    assert len(core.core.balancer) == 2
    assert placed(core, core.finish(1, "u")) == {"v": 1}
    assert placed(core, core.finish(0, "t")) == {"w": 0}


def test_direct_work_counts(core):
    """LB-18: one view of how busy an engine is."""
    core.submit("a", 0, "d")
    assert placed(core, core.balanced("a", "t")) == {"t": 1}


def test_work_that_waits_counts(core):
    core.submit("a", 0, "d1", "d2", "d3")
    core.submit("a", 1, "d4")
    core.balanced("a", "t")
    assert core.core.engines[0].load == 3
    assert placed(core, core.finish(1, "d4")) == {"t": 1}


def test_a_cell_counts(core):
    core.cell("a", 0, "c")
    assert placed(core, core.balanced("a", "t", "u")) == {"t": 1}


def test_an_engine_that_joins_takes_what_waits(core):
    """LB-15."""
    core.balanced("a", "t", "u", "v")
    assert placed(core, core.handle(EngineJoined(2))) == {"v": 2}


def test_targets_restrict(core):
    """LB-04."""
    terms = {"targets": frozenset({1})}
    assert placed(core, core.balanced("a", "t", "u", **terms)) == {"t": 1}
    assert core.sent(core.balanced("a", "v")) == ["v"]
    assert placed(core, core.finish(1, "t")) == {"u": 1}


def test_the_engine_that_makes_the_call_gets_it_not(core):
    assert placed(core, core.balanced("a", "t", avoid=0)) == {"t": 1}
    assert core.sent(core.balanced("a", "u", avoid=1)) == ["u"]


def test_a_kernel_without_the_extension_gets_none(empty):
    empty.clients("a")
    empty.engines(0, tasks=False)
    empty.balanced("a", "t")
    assert empty.failed["t"].status == "died"
    empty.engines(1)
    assert placed(empty, empty.balanced("a", "u")) == {"u": 1}


# ---- in which order


def test_direct_and_balanced_work_take_turns_on_an_engine(empty):
    empty.clients("a")
    empty.engines(0)
    empty.submit("a", 0, "d1", "d2", "d3")
    empty.balanced("a", "t1", "t2")
    order = ["d1"]
    while len(order) < 5:
        order += empty.sent(empty.finish(0, order[-1]))
    assert order == ["d1", "t1", "d2", "t2", "d3"]


def test_a_cell_that_waits_is_not_overtaken_for_ever(empty):
    empty.clients("a")
    empty.engines(0)
    warm(empty, 0)
    empty.balanced("a", *names(5))
    empty.cell("a", 0, "c")
    ran = []
    while "c" not in ran:
        ran += empty.sent(empty.finish(0, *list(empty.core.engines[0].sent), seconds=0.0001))
    assert len(ran) < 6


def test_clients_take_turns(empty):
    empty.clients("a", "b")
    empty.engines(0)
    empty.balanced("a", *names(50, "a"))
    empty.balanced("b", "b0", "b1")
    order = ["a0"]
    while len(order) < 5:
        order += empty.sent(empty.finish(0, order[-1]))
    assert order == ["a0", "a1", "b0", "a2", "b1"]


def test_one_client_is_served_in_the_order_of_submission(empty):
    empty.clients("a")
    empty.engines(0)
    empty.balanced("a", "t0")
    empty.balanced("a", "t1", family="f")
    empty.balanced("a", "t2", family="g")
    empty.balanced("a", "t3", family="f")
    order = ["t0"]
    while len(order) < 4:
        order += empty.sent(empty.finish(0, order[-1]))
    assert order == ["t0", "t1", "t2", "t3"]


def test_a_function_that_nobody_knows_is_not_overtaken_for_ever(empty):
    """LB-15: an engine that always has a few quick tasks of another function comes to it as well."""
    empty.clients("a")
    empty.engines(0)
    warm(empty, 0)
    empty.balanced("a", *names(3))
    empty.balanced("a", "new", family="unknown")
    empty.balanced("a", *names(200, "u"))
    ran = ["t0"]
    while "new" not in ran:
        ran += empty.sent(empty.finish(0, next(iter(empty.core.engines[0].sent)), seconds=0.0001))
    assert ran[:4] == ["t0", "t1", "t2", "new"]


def test_an_engine_knows_of_the_tasks_that_it_may_get_only(empty):
    """Issue 5, point 5: what is for others costs it nothing."""
    empty.clients("a")
    empty.engines(*range(5))
    for engine in range(5):
        empty.submit("a", engine, f"d{engine}")
        empty.balanced("a", f"t{engine}", targets=frozenset({engine}))
    empty.balanced("a", "free")
    lanes = empty.core.balancer._pool.by_client["a"]
    assert [task for lane in lanes.of(3) for task in lane.tasks] == ["free", "t3"]
    assert placed(empty, empty.finish(3, "d3")) == {"t3": 3}
    assert placed(empty, empty.finish(3, "t3")) == {"free": 3}
    assert list(lanes.of(3)) == []


def test_what_waits_goes_to_idle_engines_when_a_client_reads_again(empty):
    """Each gets a task that it may run, whatever else waits."""
    empty.clients("a")
    empty.engines(0, 1, 2, 3)
    empty.submit("a", 3, "d")
    empty.fill("a")
    empty.balanced("a", "t", targets=frozenset({3}))
    empty.balanced("a", "u", targets=frozenset({1}))
    empty.balanced("a", *names(3, "v"), avoid=0)
    assert placed(empty, empty.ack("a", 1)) == {"u": 1, "v0": 2}


def test_a_client_that_does_not_read_holds_up_nobody(core):
    """Rule 4 holds for balanced work."""
    core.fill("a")
    assert core.sent(core.balanced("a", "t")) == []
    assert core.sent(core.balanced("b", "u")) == ["u"]
    assert core.sent(core.ack("a", 1)) == ["t"]


# ---- how much at a time


def test_one_task_while_nobody_knows_how_long_it_takes(core):
    warm(core, 0, 1, family="known")
    assert len(core.sent(core.balanced("a", *names(9), family="unknown"))) == 2


def test_short_tasks_go_in_batches(core):
    warm(core, 0, 1)
    core.balanced("a", *names(400))
    batch = core.finish(0, "t0", seconds=0.0001)
    assert len(core.only(batch, RunTasks)) == 1 and len(core.sent(batch)) == WINDOW_TASKS
    assert core.sent(core.finish(0, "t2", seconds=0.0001)) == []


def test_an_engine_gets_a_burst_at_most(core):
    warm(core, 0, 1, seconds=BURST / 4)
    core.balanced("a", *names(400))
    assert len(core.sent(core.finish(0, "t0", seconds=BURST / 4))) == 4


def test_long_tasks_go_one_by_one(core):
    warm(core, 0, 1, seconds=1.0)
    assert len(core.sent(core.balanced("a", *names(9)))) == 2
    assert len(core.sent(core.finish(0, "t0"))) == 1


def test_the_last_tasks_are_shared_out_evenly(core):
    warm(core, 0, 1)
    core.balanced("a", *names(10))
    assert len(core.sent(core.finish(0, "t0", seconds=0.0001))) == 2


def test_paces_are_bounded(core):
    client = core.core.clients["a"]
    for number in range(FAMILIES + 5):
        client.measure(f"f{number}", 1.0)
    assert len(client.paces) == FAMILIES and "f0" not in client.paces


# ---- retries


def test_a_failure_is_final_without_retries(core):
    core.balanced("a", "t")
    assert core.delivered(core.finish(0, "t", outcome="failed")) == ["t"]


def test_a_failed_task_runs_again(core):
    """LB-08."""
    core.balanced("a", "t", retries=1)
    assert core.sent(core.finish(0, "t", outcome="failed")) == ["t"]
    engine = core.core.tasks["t"].engine
    assert core.delivered(core.finish(engine, "t", outcome="failed")) == ["t"]


def test_a_retry_may_go_back_to_the_engine_that_failed_it(empty):
    """LB-08: more retries than engines are no hang."""
    empty.clients("a")
    empty.engines(0)
    empty.balanced("a", "t", retries=2)
    for _ in range(2):
        assert placed(empty, empty.finish(0, "t", outcome="failed")) == {"t": 0}
    assert empty.delivered(empty.finish(0, "t", outcome="ok")) == ["t"]


def test_a_retry_comes_before_what_was_submitted_later(empty):
    empty.clients("a")
    empty.engines(0)
    empty.balanced("a", "t", "u", retries=1)
    assert empty.sent(empty.finish(0, "t", outcome="failed")) == ["t"]


def test_the_output_of_a_try_is_not_the_end_of_the_output(empty):
    """A client is told once, after the last try, that the output of a task is complete."""
    empty.clients("a")
    empty.engines(0)
    empty.balanced("a", "t", retries=1)
    empty.finish(0, "t", outcome="failed")
    empty.outputs_settled(0, "t")
    assert not empty.settled["t"]
    empty.finish(0, "t")
    empty.outputs_settled(0, "t")
    assert empty.settled["t"] == 1


def test_an_aborted_task_does_not_run_again(core):
    core.balanced("a", "t", retries=3)
    core.abort("a", "t")
    assert core.delivered(core.finish(0, "t", outcome="failed")) == ["t"]


def test_a_task_whose_client_has_left_does_not_run_again(core):
    core.balanced("a", "t", retries=3)
    core.client_leaves("a")
    assert core.sent(core.finish(0, "t", outcome="failed")) == []


# ---- engines that refuse


def test_a_refused_task_goes_to_another_engine(core):
    """DEP-03, DEP-05."""
    core.balanced("a", "t")
    assert placed(core, core.finish(0, "t", outcome="unmet")) == {"t": 1}


def test_a_task_that_every_engine_refuses_fails(core):
    """DEP-02: it never waits for ever."""
    core.balanced("a", "t")
    core.finish(0, "t", outcome="unmet")
    core.finish(1, "t", outcome="unmet")
    assert core.failed["t"].status == "impossible"


def test_refusals_are_not_failures(core):
    core.balanced("a", "t", retries=1)
    core.finish(0, "t", outcome="unmet")
    assert core.sent(core.finish(1, "t", outcome="failed")) == ["t"]


def test_a_task_that_the_last_engine_refuses_waits_for_the_others(core):
    core.submit("a", 1, "d")
    core.balanced("a", "t")
    assert core.sent(core.finish(0, "t", outcome="unmet")) == []
    assert placed(core, core.finish(1, "d")) == {"t": 1}


def test_it_fails_when_the_engines_that_have_not_refused_it_leave(core):
    core.submit("a", 1, "d")
    core.balanced("a", "t")
    core.finish(0, "t", outcome="unmet")
    core.engine_dies(1)
    assert core.failed["t"].status == "impossible"


def test_a_restarted_engine_is_asked_again(core):
    core.submit("a", 1, "d")
    core.balanced("a", "t")
    core.finish(0, "t", outcome="unmet")
    core.engine_restarts(0)
    assert placed(core, core.handle(EngineJoined(0))) == {"t": 0}


def test_a_direct_task_that_an_engine_refuses_has_failed(core):
    """DEP-02, DEP-03: on a direct view."""
    core.submit("a", 0, "t")
    assert core.delivered(core.finish(0, "t", outcome="unmet")) == ["t"]


# ---- engines that go


def test_a_task_on_an_engine_that_dies_fails(core):
    """LB-12."""
    core.balanced("a", "t")
    core.engine_dies(0, "died of hunger")
    assert (core.failed["t"].status, core.failed["t"].reason) == ("died", "engine 0 died of hunger")


def test_with_retries_it_runs_elsewhere(core):
    """LB-12."""
    core.balanced("a", "t", retries=1)
    assert placed(core, core.engine_dies(0)) == {"t": 1}


def test_what_waits_when_an_engine_dies_runs_elsewhere(core):
    core.balanced("a", "t", "u", "v")
    core.engine_dies(0)
    assert "v" not in core.failed
    assert placed(core, core.finish(1, "u")) == {"v": 1}


def test_what_waits_fails_with_the_last_engine(core):
    core.balanced("a", "t", "u", "v")
    core.engine_dies(0)
    core.engine_dies(1)
    assert core.failed["v"].reason == "no engine is left that it may run on: engine 1 died"


def test_what_comes_after_the_last_engine_fails_with_the_last_death(core):
    """LB-12: with the one of its targets; an engine that has come back is not dead."""
    core.engine_dies(1)
    core.engine_dies(0, "died of hunger")
    core.balanced("a", "t")
    core.balanced("a", "u", targets=frozenset({1}))
    core.balanced("a", "v", targets=frozenset({9}))
    text = "no engine is left that it may run on"
    reasons = [core.failed[task].reason for task in ("t", "u", "v")]
    assert reasons == [f"{text}: engine 0 died of hunger", f"{text}: engine 1 died", text]
    core.engines(0)
    core.balanced("a", "w", targets=frozenset({0, 1}))
    assert "w" not in core.failed and list(core.core._tables.gone) == [1]


def test_deaths_are_remembered_in_bounded_number(core):
    for engine in range(GONE + 5):
        core.engines(engine)
        core.engine_dies(engine)
    assert list(core.core._tables.gone) == list(range(5, GONE + 5))


def test_what_waits_fails_with_the_last_of_its_targets(core):
    core.balanced("a", "t", "u", targets=frozenset({0}))
    core.engine_dies(0)
    assert core.failed["u"].status == "died"


def test_what_waits_outlives_a_restart(empty):
    empty.clients("a")
    empty.engines(0)
    empty.balanced("a", "t", "u")
    empty.engine_restarts(0)
    assert "t" in empty.failed and "u" not in empty.failed
    assert placed(empty, empty.handle(EngineJoined(0))) == {"u": 0}


def test_a_call_when_there_is_no_engine(empty):
    empty.clients("a")
    empty.balanced("a", "t")
    assert empty.failed["t"].status == "died"


# ---- taking work back


def test_what_waits_is_aborted_at_once(core):
    """LB-16."""
    core.balanced("a", "t", "u", "v")
    assert core.delivered(core.abort("a", "v")) == ["v"]
    assert core.failed["v"].status == "aborted"


def test_what_was_sent_is_recalled(core):
    """LB-16."""
    core.balanced("a", "t")
    assert core.only(core.abort("a", "t"), RecallTasks) == [RecallTasks(0, ["t"])]
    core.recalled(0, "t")
    assert core.failed["t"].status == "aborted"


def test_others_cannot_abort_it(core):
    core.balanced("a", "t", "u", "v")
    core.abort("b", "v")
    assert "v" not in core.failed


def test_what_waits_of_a_client_that_leaves_never_runs(core):
    core.balanced("a", "t", "u", "v")
    core.client_leaves("a")
    assert core.sent(core.finish(0, "t")) == []


# ---- timeouts


def test_a_task_waits_no_longer_than_its_timeout(core):
    """LB-07."""
    core.balanced("a", "t", "u")
    core.balanced("a", "v", timeout=2.0)
    assert core.core.deadline() == 2.0
    core.tick(1.9)
    assert "v" not in core.failed
    core.tick(2.0)
    assert (core.failed["v"].status, core.failed["v"].reason) == ("timeout", "no engine had time for it within 2 seconds")


def test_how_long_it_runs_is_not_limited(core):
    """LB-07."""
    core.balanced("a", "t", timeout=2.0)
    assert core.core.deadline() is None
    core.tick(5.0)
    assert core.delivered(core.finish(0, "t")) == ["t"]


def test_a_retry_after_the_time_fails(core):
    core.submit("a", 1, "d")
    core.balanced("a", "t", timeout=2.0)
    core.now = 3.0
    assert core.sent(core.finish(0, "t", outcome="unmet")) == []
    core.tick(3.0)
    assert core.failed["t"].status == "timeout"


@pytest.mark.parametrize("timeout", [0, 0.0])
def test_no_timeout(core, timeout):
    """LB-03."""
    core.balanced("a", "t", "u", "v", timeout=timeout)
    assert core.core.deadline() is None


# ---- credit


def test_the_submission_credit_comes_back(core):
    """The fixture checks at the end that all of it has: of what was sent, retried, refused, aborted and failed."""
    core.balanced("a", "t", "u", size=1000, retries=1)
    core.balanced("a", "v", "w", size=1000)
    core.finish(0, "t", outcome="failed")
    core.finish(1, "u", outcome="unmet")
    core.abort("a", "w")
    assert core.acknowledged["a"] == 4000
