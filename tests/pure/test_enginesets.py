"""What a Cluster says about its processes (features CLU-06, CLU-28), and both forms of a method (CLU-19)."""

import asyncio
import os

import pytest

from pxkernel.cluster.enginesets import OUTPUT_LINES, ControllerProcess, EngineSet
from pxkernel.cluster.twins import with_awaitable_twins
from pxkernel.errors import ClusterError


def engine(number, state="running"):
    return {"id": number, "state": state, "pid": 100 + number}


def engines(*states):
    return EngineSet("a", [engine(number, state) for number, state in enumerate(states)], "/nowhere")


@pytest.mark.parametrize(
    "states, n, state",
    [
        ([], 0, "after"),
        (["running", "running"], 2, "running"),
        (["running", "starting"], 2, "before"),
        (["running", "dead"], 1, "running"),
        (["dead", "dead"], 0, "after"),
    ],
)
def test_number_and_state(states, n, state):
    assert (engines(*states).n, engines(*states).state) == (n, state)
    assert engines(*states).ids == list(range(len(states)))


def test_repr():
    """CLU-06: short, for people."""
    assert repr(engines("running", "dead")) == "<EngineSet 'a': engines [0, 1], running>"


def test_the_output_of_engines(tmp_path):
    long = "".join(f"line {number}\n" for number in range(OUTPUT_LINES + 50))
    (tmp_path / "engine-0-0.log").write_text("first kernel\n")
    (tmp_path / "engine-0-1.log").write_text("second kernel\n")
    (tmp_path / "engine-1-0.log").write_text(long)
    (tmp_path / "engine-10-0.log").write_text("another engine\n")
    os.utime(tmp_path / "engine-0-0.log", (1, 1))
    found = EngineSet("a", [engine(0), engine(1), engine(2)], str(tmp_path))
    blocks = found.get_output().splitlines()
    assert blocks[:4] == ["Output for engine 0:", "    first kernel", "    second kernel", "Output for engine 1:"]
    assert len(blocks) == 4 + OUTPUT_LINES and blocks[4] == "    line 50" and "engine 2" not in str(blocks)
    assert found.get_output(remove=True) and found.get_output() == ""


def test_the_output_of_the_controller(tmp_path):
    controller = ControllerProcess(os.getpid(), str(tmp_path))
    assert controller.state == "running" and controller.get_output() == ""
    (tmp_path / "controller.log").write_text("a\nb\n")
    assert controller.get_output(remove=True) == "a\nb\n" and controller.get_output() == ""


def test_logs_on_another_machine():
    """CLU-28: a copied cluster file says nothing of their place, and the number of a process means another one here."""
    controller = ControllerProcess(-1, None)
    assert controller.state == "running"
    for of in (controller, EngineSet("a", [engine(0)], None)):
        with pytest.raises(ClusterError, match="on the machine of the controller"):
            of.get_output()


def test_both_forms():
    @with_awaitable_twins
    class Thing:
        def add_sync(self, a, *, b=2):
            """Add."""
            return a + b

        def own_sync(self):
            return 1

        async def own(self):
            return 2

        def _private_sync(self):
            return 3

    thing = Thing()
    assert asyncio.run(thing.add(1, b=5)) == thing.add_sync(1, b=5) == 6
    assert asyncio.run(thing.own()) == 2 and not hasattr(thing, "_private")
    assert Thing.add.__qualname__.endswith("Thing.add") and "Add." in Thing.add.__doc__
