"""What limits many engines: the pure core with up to 10,000 engines and a million tasks, without any process or socket.

``python tests/benchmarks/core_scale.py`` prints, for each number of engines, the time of every kind of event (median and
the slowest) and the memory of a waiting task. Nothing here is a cluster: sockets, kernels and payloads come on top.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
import tracemalloc
from collections import defaultdict
from statistics import median
from typing import Any

from pxkernel.core import Core
from pxkernel.core import events as e
from pxkernel.core.commands import Deliver, RunTasks
from pxkernel.core.policies import policy

CLIENT = "client"
#: Bytes of a result, and after how many the client acknowledges them.
RESULT = 1000
ACKNOWLEDGED = 4 * 1024 * 1024


class Driver:
    """Feeds a core with events, as the controller would, and keeps their durations by kind."""

    def __init__(self) -> None:
        self.core = Core(policy("leastload", random.Random(0)))
        self.durations: dict[str, list[float]] = defaultdict(list)
        self.inside: list[tuple[int, str]] = []
        self.delivered = 0
        self.unacknowledged = 0

    def handle(self, event: Any, kind: str | None = None) -> None:
        start = time.perf_counter()
        commands = self.core.handle(event, start)
        self.durations[kind or type(event).__name__].append(time.perf_counter() - start)
        for command in commands:
            if isinstance(command, RunTasks):
                self.inside += [(command.engine, task) for task in command.tasks]
            elif isinstance(command, Deliver):
                self.delivered += len(command.tasks)
                self.unacknowledged += RESULT * len(command.tasks)

    def finish_all(self) -> None:
        """Every task that an engine has ends, until none is left."""
        while self.inside:
            running, self.inside = self.inside, []
            for engine, task in running:
                self.handle(e.TasksFinished(engine, [(task, RESULT, 0.001, False, "ok")]))
                if self.unacknowledged > ACKNOWLEDGED:
                    amount, self.unacknowledged = self.unacknowledged, 0
                    self.handle(e.Acked(CLIENT, amount))


def run(engines: int, tasks: int) -> None:
    driver = Driver()
    driver.handle(e.ClientJoined(CLIENT))
    for engine in range(engines):
        driver.handle(e.EngineJoined(engine))
    everyone = range(engines)
    for number in range(5):
        targets = [(f"{CLIENT}:b{number}.{engine}", engine) for engine in everyone]
        driver.handle(e.Submitted(CLIENT, "apply", 500, targets), f"a call to all {engines:,}")
        driver.finish_all()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sample = min(tasks, 50_000)
    for number in range(sample):
        driver.handle(e.Submitted(CLIENT, "apply", 0, [(f"{CLIENT}:{number}", number % engines)]), "traced")
    memory = (tracemalloc.get_traced_memory()[0] - before) / sample
    tracemalloc.stop()
    for number in range(sample, tasks):
        driver.handle(e.Submitted(CLIENT, "apply", 0, [(f"{CLIENT}:{number}", number % engines)]), "a call to one")
    driver.finish_all()
    for number in range(tasks):
        call = e.Submitted(CLIENT, "apply", 0, [(f"{CLIENT}:l{number}", None)], e.Terms(family="f"))
        driver.handle(call, "a balanced call")
    driver.finish_all()
    assert driver.delivered == 2 * tasks + 5 * engines, driver.delivered
    assert not driver.core.tasks
    driver.handle(e.EngineLeft(0, "left"))
    print(f"\n{engines:,} engines, {tasks:,} tasks; {memory:,.0f} bytes for a task that waits")
    for kind, durations in driver.durations.items():
        if kind != "traced":
            print(f"  {kind:28} {median(durations) * 1e6:10,.1f} us   slowest {max(durations) * 1e6:12,.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--tasks", type=int, default=1_000_000)
    options = parser.parse_args()
    for engines in options.engines:
        run(engines, options.tasks)


if __name__ == "__main__":
    main()
