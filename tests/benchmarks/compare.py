"""pxkernel beside ipyparallel, in one run: ``python tests/benchmarks/compare.py [--rounds 5]`` (extra ``bench``).

The two alternate, each in a process of its own, and every figure is the median over the rounds of that system's medians.
Results are checked: a figure for wrong answers would be worth nothing. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

ENGINES = 4
CALLS = 2000
MEGABYTES = 100

#: Key, what it is, unit, whether more is better, and the ratio that pxkernel has to reach.
ROWS = [
    ("start", f"start and connect {ENGINES} engines", "s", False, 4.0),
    ("one", "`apply_sync` of a no-op on one engine", "ms", False, 4.0),
    ("all", f"`apply_sync` of a no-op on {ENGINES} engines", "ms", False, 3.0),
    ("rate", f"{CALLS:,} `apply_async` of a no-op on one engine", "calls/s", True, 8.0),
    ("push", f"push {MEGABYTES} MB to {ENGINES} engines", "s", False, 3.0),
    ("memory", "memory per engine (PSS)", "MB", False, 1 / 0.7),
]


def noop() -> None:
    """The task."""


def median_time(call: Callable[[], Any], times: int) -> float:
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def measure(package: Any, cluster_options: dict[str, Any]) -> dict[str, float]:
    """Every figure of one system; both have the same interface, which is the point of pxkernel."""
    figures: dict[str, float] = {}
    start = time.perf_counter()
    cluster = package.Cluster(n=ENGINES, **cluster_options)
    client = cluster.start_and_connect_sync()
    figures["start"] = time.perf_counter() - start
    try:
        one, everyone = client[0], client[:]
        assert everyone.apply_sync(lambda x: x + 1, 41) == [42] * ENGINES
        for _ in range(20):
            everyone.apply_sync(noop)
        figures["one"] = median_time(lambda: one.apply_sync(noop), 300) * 1000
        figures["all"] = median_time(lambda: everyone.apply_sync(noop), 150) * 1000

        start = time.perf_counter()
        results = [one.apply_async(noop) for _ in range(CALLS)]
        assert [result.get() for result in results] == [None] * CALLS
        figures["rate"] = CALLS / (time.perf_counter() - start)

        pids = everyone.apply_sync(__import__("os").getpid)
        figures["memory"] = statistics.median(psutil.Process(pid).memory_full_info().pss for pid in pids) / 1e6

        array = np.random.default_rng(0).random(MEGABYTES * 1_000_000 // 8)
        figures["push"] = median_time(lambda: everyone.push({"array": array}, block=True), 5)
        everyone.execute("total = float(array.sum())", block=True)
        assert all(abs(total - array.sum()) < 1e-3 for total in everyone.pull("total", block=True))
    finally:
        client.close()
        cluster.stop_cluster_sync()
    return figures


def run_one(system: str) -> None:
    if system == "pxkernel":
        import pxkernel as package

        figures = measure(package, {})
    else:
        import ipyparallel as package

        figures = measure(package, {"log_level": 50})
    print(json.dumps(figures))


def in_a_process(system: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--system", system]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def table(figures: dict[str, list[dict[str, float]]]) -> str:
    lines = ["| | ipyparallel | pxkernel | ratio | to reach |", "|---|---|---|---|---|"]
    for key, name, unit, more_is_better, goal in ROWS:
        peer, ours = (statistics.median(f[key] for f in figures[system]) for system in ("ipyparallel", "pxkernel"))
        ratio = ours / peer if more_is_better else peer / ours
        lines.append(f"| {name}, {unit} | {peer:,.3g} | {ours:,.3g} | {ratio:.1f} | {goal:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--system", choices=["pxkernel", "ipyparallel"], help="measure this one and print JSON")
    options = parser.parse_args()
    if options.system:
        run_one(options.system)
        return
    figures: dict[str, list[dict[str, float]]] = {"ipyparallel": [], "pxkernel": []}
    for number in range(options.rounds):
        for system in figures:
            print(f"round {number + 1} of {options.rounds}: {system}", file=sys.stderr, flush=True)
            figures[system].append(in_a_process(system))
    print(table(figures))


if __name__ == "__main__":
    main()
