"""The rows of the comparison, and how each figure is taken. Results are checked: a figure for wrong answers is worth nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from systems import increment, load, noop

CALLS = 2000
MEGABYTES = 100


@dataclass(frozen=True)
class Row:
    """One line of the table. ``floor`` is the ratio to the best peer that pxkernel has to reach."""

    key: str
    text: str
    unit: str
    more_is_better: bool = False
    floor: float = 1.3


ROWS = [
    Row("start", "start {n} and connect", "s"),
    Row("one", "no-op on one worker, round trip", "ms"),
    Row("all", "no-op on all {n}", "ms"),
    Row("execute", "`execute` (silent) on all {n}", "ms"),
    Row("rate", f"{CALLS:,} asynchronous no-ops to one worker", "/s", True),
    Row("balanced", f"{CALLS:,} load-balanced no-ops", "/s", True),
    Row("map", f"load-balanced map of {CALLS:,} tiny items", "/s", True),
    Row("push", f"push {MEGABYTES} MB to all {{n}}", "s"),
    # Ray hands out an object that it holds, where others copy once.
    Row("pull", f"pull {MEGABYTES} MB from one", "s", floor=1.0),
    Row("scatter", f"scatter {MEGABYTES} MB", "s"),
    Row("gather", f"gather {MEGABYTES} MB", "s"),
    Row("memory", "memory per worker (PSS)", "MB"),
]


def measure(name: str, n: int) -> dict[str, float]:
    """Every figure of one system, by the key of its row."""
    figures: dict[str, float] = {}
    start = time.perf_counter()
    system = load(name)
    system.start(n)
    figures["start"] = time.perf_counter() - start
    try:
        _latency(system, n, figures)
        _throughput(system, figures)
        figures["memory"] = _memory(system)
        _data(system, figures)
    finally:
        system.stop()
    return figures


def median_time(call: Callable[[], Any], times: int, warm: int = 1) -> float:
    durations = []
    for _ in range(warm + times):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[warm:])


def _latency(system: Any, n: int, figures: dict[str, float]) -> None:
    assert system.call_all(lambda: 42) == [42] * n
    figures["one"] = median_time(lambda: system.call_one(noop), 300, warm=30) * 1000
    figures["all"] = median_time(lambda: system.call_all(noop), 150, warm=20) * 1000
    if hasattr(system, "execute_all"):
        figures["execute"] = median_time(lambda: system.execute_all("a = 1"), 100, warm=10) * 1000


def _throughput(system: Any, figures: dict[str, float]) -> None:
    items, expected = list(range(CALLS)), [item + 1 for item in range(CALLS)]
    for key, run in (("rate", system.many), ("balanced", system.many_balanced), ("map", system.map)):
        run(increment, items[:200])
        start = time.perf_counter()
        results = run(increment, items)
        figures[key] = CALLS / (time.perf_counter() - start)
        assert results == expected


def _memory(system: Any) -> float:
    return statistics.median(psutil.Process(pid).memory_full_info().pss for pid in system.pids()) / 1e6


def _data(system: Any, figures: dict[str, float]) -> None:
    array = np.random.default_rng(0).random(MEGABYTES * 1_000_000 // 8)
    figures["push"] = median_time(lambda: system.push(array), 5)
    assert all(abs(total - array.sum()) < 1e-3 for total in system.check_push())
    figures["pull"] = median_time(system.pull, 5)
    assert np.array_equal(system.pull(), array)
    if hasattr(system, "scatter"):
        figures["scatter"] = median_time(lambda: system.scatter(array), 5)
        figures["gather"] = median_time(system.gather, 5)
        assert np.array_equal(system.gather(), array)
