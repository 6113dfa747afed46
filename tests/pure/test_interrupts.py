"""Which task an interrupt is for (CTL-01, CTL-02); how it gets there is tested with kernels."""

from types import SimpleNamespace

import pytest

from pxkernel.engine.interrupts import REMEMBERED, InterruptGate


class Displayhook:
    def __call__(self):
        pass


@pytest.fixture
def gate():
    shell = SimpleNamespace(displayhook=Displayhook(), run_cell_async=lambda: None)
    kernel = SimpleNamespace(shell=shell, do_execute=lambda: None)
    return InterruptGate(kernel, None, lambda: None, ())


def meant(gate):
    return list(gate._meant)


@pytest.mark.parametrize("running", [None, "c:1", "c:9", "cell"])
def test_tasks_are_meant_now_or_when_they_start(gate, running):
    gate._running = running
    gate.mean(["c:1", "c:2"], False)
    assert meant(gate) == ["c:1", "c:2"]


@pytest.mark.parametrize(
    "running, found",
    [(None, []), ("c:1", ["c:1"]), ("c:2", ["c:2"]), ("c:3", []), ("a cell of a console", ["a cell of a console"]), ("", [""])],
)
def test_a_signal_hits_what_runs_and_nothing_that_comes_later(gate, running, found):
    gate._running = running
    gate.mean(["c:1", "c:2"], True)
    assert meant(gate) == found


def test_only_so_many_are_remembered(gate):
    gate.mean([f"c:{number}" for number in range(2 * REMEMBERED)], False)
    assert meant(gate) == [f"c:{number}" for number in range(REMEMBERED, 2 * REMEMBERED)]
