"""Results that are asked for again, and control tasks (features HUB-15, AMR-03, CTL-04, CTL-06)."""

from pxkernel.core import Deliver, Forget


def test_a_result_that_is_there_is_delivered_at_once(core):
    assert core.fetch("b", "b:read") == [Deliver("b", ["b:read"])]


def test_a_fetched_result_waits_for_credit(core):
    core.fill("b")
    assert core.fetch("b", "b:read", size=5) == []
    assert core.ack("b", 1) == [Deliver("b", ["b:read"])]
    assert core.core.clients["b"].credit.used == core.core.clients["b"].credit.limit - 1 + 5


def test_fetched_results_and_own_results_share_the_credit_in_order(core):
    core.submit("a", 0, "a:1")
    core.fill("a")
    core.fetch("a", "a:read")
    core.finish(0, "a:1")
    assert core.delivered(core.ack("a", 2**30)) == ["a:read", "a:1"]


def test_what_a_client_fetched_goes_with_it(core):
    core.fill("b")
    core.fetch("b", "b:read")
    assert core.client_leaves("b") == [Forget("b:read")]


def test_a_client_that_has_left_fetches_nothing(core):
    core.client_leaves("b")
    assert core.fetch("b", "b:read") == []


def test_control_overtakes_what_waits(core):
    core.submit("a", 0, "1", "2")
    core.submit("b", 0, "clear", kind="control")
    assert core.sent(core.finish(0, "1")) == ["clear"]
    assert core.sent(core.finish(0, "clear")) == ["2"]


def test_control_does_not_overtake_what_runs(core):
    core.cell("a", 0, "cell")
    assert core.sent(core.submit("b", 0, "clear", kind="control")) == []


def test_what_an_engine_has_finished_is_counted(core):
    core.submit("a", 0, "1", "2")
    core.finish(0, "1")
    core.cell("a", 1, "3")
    core.reply(1, "3")
    core.idle(1, "3")
    assert [core.core.engines[engine].completed for engine in (0, 1)] == [1, 1]
