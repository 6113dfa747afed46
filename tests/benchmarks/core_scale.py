"""How the core's events grow with the cluster: ``python tests/benchmarks/core_scale.py``, without any process or socket.

Drives the pure core with 100, 1,000 and 10,000 engines and a hundred tasks for each of them, and prints for every kind of
event its time at each size (the median, in microseconds of CPU time) and how it grows from the first size to the last. An
event that takes O(log n) at most doubles over these sizes; memory that is no longer in the processor's caches costs as
much again, so more than ``SUSPICIOUS`` is marked. Sockets, kernels and payloads come on top.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from report import markdown, number

from pxkernel.core import Core
from pxkernel.core import events as e
from pxkernel.core.commands import Deliver, RunTasks
from pxkernel.core.policies import policy

CLIENT = "client"
#: Bytes of a result, after how many of them the client acknowledges, and after how many it gets no more.
RESULT = 1000
ACKNOWLEDGED = 4 * 1024 * 1024
UNREAD = 64 * 1024 * 1024
#: Tasks for each engine, and of the events that are rare how many are timed.
TASKS = 100
RARE = 200
#: What the task of a quick function takes, in seconds.
QUICK = 0.001
SUSPICIOUS = 4.0


class Driver:
    """Feeds a core with events, as the controller would, and keeps the durations of those that have a name.

    Parameters
    ----------
    engines
        How many engines join.
    scheme
        One of the policies.
    """

    def __init__(self, engines: int, scheme: str = "leastload") -> None:
        self.engines = engines
        self.core = Core(policy(scheme, random.Random(0)))
        self.durations: dict[str, list[float]] = defaultdict(list)
        #: What engines have and have not finished.
        self.inside: dict[str, int] = {}
        self.delivered = self.unacknowledged = self._submitted = 0
        self.handle(e.ClientJoined(CLIENT))
        for engine in range(engines):
            self.handle(e.EngineJoined(engine), "an engine joins")

    def handle(self, event: Any, name: str | None = None, parts: int = 1) -> None:
        """Have the core handle an event; ``name`` keeps its duration, divided by ``parts``."""
        commands = self.time(lambda: self.core.handle(event, time.thread_time()), name, parts)
        for command in commands:
            if isinstance(command, RunTasks):
                self.inside |= dict.fromkeys(command.tasks, command.engine)
            elif isinstance(command, Deliver):
                self.delivered += len(command.tasks)
                self.unacknowledged += RESULT * len(command.tasks)

    def time(self, call: Callable[[], Any], name: str | None, parts: int = 1) -> Any:
        """Make a call and keep its duration in microseconds under ``name``."""
        start = time.thread_time_ns()
        result = call()
        duration = time.thread_time_ns() - start
        if name is not None:
            self.durations[name].append(duration / 1000 / parts)
        return result

    def submit(self, engine: int | None, name: str | None = None, **terms: Any) -> str:
        """Submit a task for one engine, or a balanced one; returns its id."""
        self._submitted += 1
        task = f"{CLIENT}:{self._submitted}"
        asked = e.Terms(**{"family": "f", **terms}) if engine is None else None
        self.handle(e.Submitted(CLIENT, "apply", 500, [(task, engine)], asked), name)
        return task

    def finish(self, task: str, name: str | None = None) -> None:
        self.handle(e.TasksFinished(self.inside.pop(task), [(task, RESULT, QUICK, False, "ok")]), name)

    def acknowledge(self, name: str | None = None, parts: int = 1) -> None:
        amount, self.unacknowledged = self.unacknowledged, 0
        self.handle(e.Acked(CLIENT, amount), name, parts)

    def use_up_credit(self) -> None:
        """The client reads nothing until it gets no more results."""
        while self.core.clients[CLIENT].credit.free:
            task = next(iter(self.inside), None) or self.submit(0)
            self.handle(e.TasksFinished(self.inside.pop(task), [(task, UNREAD, QUICK, False, "ok")]))
            self.unacknowledged = UNREAD

    def finish_all(self, name: str | None = None) -> None:
        """Every task ends that an engine has, until none is left."""
        while self.inside:
            for task in list(self.inside):
                self.finish(task, name)
                if self.unacknowledged > ACKNOWLEDGED:
                    self.acknowledge("results are acknowledged")
        self.acknowledge()


Scenario = Callable[[Driver], None]


def direct(driver: Driver) -> None:
    for number_ in range(TASKS * driver.engines):
        driver.submit(number_ % driver.engines, "a call to one engine")
    driver.finish_all("a task of a call ends")


def broadcast(driver: Driver) -> None:
    for call in range(5):
        targets = [(f"{CLIENT}:b{call}.{engine}", engine) for engine in range(driver.engines)]
        driver.handle(e.Submitted(CLIENT, "apply", 500, targets), "a call to all engines, for each", driver.engines)
        driver.finish_all()


def balanced(driver: Driver) -> None:
    tasks = [driver.submit(None, "a balanced call behind others", timeout=1000.0) for _ in range(TASKS * driver.engines)]
    for task in tasks[-RARE:]:
        driver.time(driver.core.deadline, "when the core wants to be called")
        driver.handle(e.Aborted(CLIENT, [task]), "one of many balanced tasks is aborted")
    driver.finish_all("a balanced task ends")


def balanced_and_idle(driver: Driver) -> None:
    for _ in range(RARE):
        driver.finish(driver.submit(None, "a balanced call, all engines idle"))


def balanced_at_random(driver: Driver) -> None:
    other, name = Driver(driver.engines, "plainrandom"), "a balanced call, all engines idle, scheme plainrandom"
    for _ in range(RARE):
        other.finish(other.submit(None, name))
    driver.durations[name] = other.durations[name]


def balanced_and_busy(driver: Driver) -> None:
    for _ in range(driver.engines):
        driver.submit(None)
    for _ in range(RARE):
        driver.submit(None, "a balanced call, all engines busy")
        driver.finish(next(iter(driver.inside)))
    driver.finish_all()


def balanced_for_one(driver: Driver) -> None:
    for _ in range(RARE):
        driver.finish(
            driver.submit(None, "a balanced call that may run on one engine", targets=frozenset({driver.engines - 1}))
        )


def many_functions(driver: Driver) -> None:
    """A function for every ten engines, each with a task that waits."""
    for _ in range(driver.engines):
        driver.submit(None)
    waiting = [driver.submit(None, family=f"f{number_}") for number_ in range(driver.engines // 10)]
    for _ in range(len(waiting) // 2):
        driver.finish(next(iter(driver.inside)), "a balanced task ends, many functions wait")
    driver.handle(e.Aborted(CLIENT, waiting))
    driver.finish_all()


def many_places(driver: Driver) -> None:
    """A task that waits for every engine, and may run nowhere else."""
    for engine in range(driver.engines):
        driver.submit(engine)
        driver.submit(None, "a balanced call for one engine that is busy", targets=frozenset({engine}))
    for task in list(driver.inside)[:RARE]:
        driver.finish(task, "a balanced task ends, many wait for other engines")
    driver.handle(e.EngineLeft(driver.engines - 1, "left"), "an engine leaves, many tasks wait for others")
    driver.inside = {task: engine for task, engine in driver.inside.items() if engine != driver.engines - 1}
    driver.handle(e.EngineJoined(driver.engines - 1))
    driver.finish_all()


def dependent(driver: Driver) -> None:
    for _ in range(RARE):
        first = driver.submit(0)
        second = driver.submit(None, "a call that waits for another", after=e.Dependency([first]))
        driver.finish(first, "a task ends that another waits for")
        driver.finish(second)


def aborted(driver: Driver) -> None:
    tasks = [driver.submit(0) for _ in range(TASKS * driver.engines)]
    for task in tasks[-RARE:]:
        driver.handle(e.Aborted(CLIENT, [task]), "one of many waiting tasks is aborted")
    driver.handle(e.Aborted(CLIENT, tasks))
    driver.finish_all()


def unread(driver: Driver) -> None:
    for _ in range(5):
        driver.use_up_credit()
        driver.acknowledge("a client reads again")
        driver.use_up_credit()
        for engine in range(driver.engines):
            driver.submit(engine)
        driver.acknowledge("a client reads again, for each engine that goes on", driver.engines)
        driver.finish_all()


def unread_and_waiting(driver: Driver) -> None:
    for _ in range(TASKS * driver.engines):
        driver.submit(0)
        driver.submit(None, targets=frozenset({0}))
    for _ in range(5):
        driver.use_up_credit()
        while driver.inside:
            driver.finish(next(iter(driver.inside)))
        driver.acknowledge("a client reads again, all its tasks wait for one engine")
    driver.finish_all()


def restarted(driver: Driver) -> None:
    for engine in range(min(RARE, driver.engines)):
        driver.handle(e.EngineRestarts(engine, "was restarted"), "an engine restarts")
        driver.handle(e.EngineJoined(engine))
    for engine in range(min(RARE, driver.engines // 2)):
        driver.handle(e.EngineLeft(engine, "left"), "an engine leaves")


SCENARIOS: tuple[Scenario, ...] = (
    broadcast, direct, balanced, balanced_and_idle, balanced_at_random, balanced_and_busy, balanced_for_one, many_functions,
    many_places, dependent, aborted, unread, unread_and_waiting, restarted,
)  # fmt: skip


def task_memory(engines: int) -> float:
    """Bytes that the core takes for a task that waits."""
    driver = Driver(engines)
    driver.submit(0)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    count = 20_000
    for number_ in range(count):
        driver.submit(number_ % engines)
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return memory / count


@contextmanager
def without_collections() -> Iterator[None]:
    """A full garbage collection would count for the event in which it happens to run."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def medians(engines: int) -> dict[str, float]:
    """The median of every kind of event in microseconds, with so many engines."""
    driver = Driver(engines)
    for scenario in SCENARIOS:
        with without_collections():
            scenario(driver)
        gc.collect()
    assert not driver.core.tasks, "every task has ended"
    return {name: median(durations) for name, durations in driver.durations.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, nargs="+", default=[100, 1000, 10_000])
    options = parser.parse_args()
    found = {engines: medians(engines) for engines in options.engines}
    first, last = found[options.engines[0]], found[options.engines[-1]]
    lines = []
    for name in first:
        growth = last[name] / first[name]
        lines.append(
            [name, *(number(found[engines][name]) for engines in found), f"{growth:.1f}" + " !" * (growth > SUSPICIOUS)]
        )
    print(markdown(["event, µs", *(f"{engines:,} engines, {TASKS * engines:,} tasks" for engines in found), "growth"], lines))
    print(f"\n{task_memory(options.engines[0]):,.0f} bytes for a task that waits")


if __name__ == "__main__":
    main()
