"""A restart is a border in time (Rule 6; features CLU-15, CLU-17)."""

import pytest

from pxkernel.core import Announce, EngineJoined, InterruptEngine


def test_what_was_submitted_before_a_restart_fails(core):
    core.submit("a", 0, "runs", "waits")
    core.submit("b", 1, "elsewhere")
    commands = core.engine_restarts(0)
    assert core.delivered(commands) == ["runs", "waits"]
    assert core.failed["runs"].status == core.failed["waits"].status == "died"
    assert core.failed["runs"].reason == "engine 0 was restarted"
    assert core.failed["waits"].reason == "engine 0 was restarted before this task was started"
    assert "elsewhere" not in core.failed


def test_clients_are_told_of_a_restart(core):
    assert core.only(core.engine_restarts(0), Announce) == [Announce(restarting=(0,))]
    assert core.only(core.handle(EngineJoined(0)), Announce) == [Announce(joined=(0,))]


@pytest.mark.parametrize("kind", ["apply", "cell"])
def test_what_is_submitted_during_a_restart_waits_for_the_new_kernel(core, kind):
    core.engine_restarts(0)
    assert core.sent(core.submit("a", 0, "t", kind=kind)) == []
    assert core.sent(core.handle(EngineJoined(0))) == ["t"]


def test_what_waits_fails_when_the_new_kernel_does_not_start(core):
    core.engine_restarts(0)
    core.submit("a", 0, "t")
    core.engine_dies(0, "could not be started")
    assert core.failed["t"].reason == "engine 0 could not be started before this task was started"


def test_what_waits_for_the_new_kernel_is_aborted(core):
    core.engine_restarts(0)
    core.submit("a", 0, "t", "u")
    assert core.delivered(core.abort("a", "t")) == ["t"]
    assert core.sent(core.handle(EngineJoined(0))) == ["u"]


def test_what_waits_of_a_client_that_leaves_is_forgotten(core):
    core.engine_restarts(0)
    core.submit("a", 0, "t")
    core.client_leaves("a")
    assert core.sent(core.handle(EngineJoined(0))) == []


def test_a_restart_during_a_restart(core):
    core.engine_restarts(0)
    core.submit("a", 0, "t")
    assert core.delivered(core.engine_restarts(0)) == ["t"]
    core.submit("a", 0, "u")
    assert core.sent(core.handle(EngineJoined(0))) == ["u"]


def test_the_new_kernel_has_no_pace_and_no_window(core):
    core.open_window("a", 0)
    core.engine_restarts(0)
    core.submit("a", 0, "t", "u")
    assert core.sent(core.handle(EngineJoined(0))) == ["t"]


def test_an_interrupt_that_was_on_its_way_does_not_hold_up_the_new_kernel(empty):
    empty.clients("a")
    empty.engines(0, tasks=False)
    empty.cell("a", 0, "c")
    assert empty.only(empty.interrupt("a", "c"), InterruptEngine)
    empty.engine_restarts(0)
    empty.handle(EngineJoined(0, tasks=False))
    assert empty.sent(empty.cell("a", 0, "d")) == ["d"]


def test_the_output_of_the_old_kernel_is_complete(core):
    core.submit("a", 0, "t")
    core.finish(0, "t")
    core.engine_restarts(0)
    assert core.settled["t"] == 1
    assert core.outputs_settled(0, "t") == []


def test_late_news_of_the_old_kernel_are_nothing(core):
    core.submit("a", 0, "t")
    core.engine_restarts(0)
    assert core.finish(0, "t") == [] and core.recalled(0, "t") == []


def test_an_engine_that_is_not_there_cannot_be_restarted(core):
    assert core.engine_restarts(7) == []
