"""The rows of the comparison, and how each figure is taken. Results are checked: a figure for wrong answers is worth nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from systems import answer, increment, load, noop

CALLS = 2000
MEGABYTES = 100
#: The numbers of workers in the table of many.
MANY = (16, 64)


@dataclass(frozen=True)
class Row:
    """One line of a table. ``floor`` is the ratio to the best peer that pxkernel has to reach."""

    key: str
    text: str
    unit: str
    more_is_better: bool = False
    floor: float = 1.3


ROWS = [
    # With the imports: some systems defer them until they start.
    Row("start", "import, start {n} and connect", "s"),
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

MANY_ROWS = [
    *(Row(f"start{n}", f"import, start {n} and connect", "s") for n in MANY),
    *(Row(f"all{n}", f"no-op on all {n}", "ms") for n in MANY),
    Row(f"memory{MANY[-1]}", f"memory per worker of {MANY[-1]} (PSS)", "MB"),
]

Figures = dict[str, float]


def measure(name: str, n: int) -> Figures:
    """Every figure of one system with ``n`` workers, by the key of its row."""
    figures, system = _started(name, n)
    try:
        for take in (_latency, _throughput, _memory, _data):
            figures |= take(system, n)
    finally:
        system.stop()
    return figures


def measure_many(name: str, n: int) -> Figures:
    """The figures of the table of many, of one system with ``n`` workers."""
    figures, system = _started(name, n)
    try:
        figures |= _on_all(system, n, times=30, warm=5) | _memory(system, n)
    finally:
        system.stop()
    return {f"{key}{n}": figure for key, figure in figures.items()}


def _started(name: str, n: int) -> tuple[Figures, Any]:
    start = time.perf_counter()
    system = load(name)
    system.start(n)
    return {"start": time.perf_counter() - start}, system


def median_time(call: Callable[[], Any], times: int, warm: int = 1) -> float:
    """Seconds that a call takes, the median of ``times`` after ``warm`` that do not count."""
    durations = []
    for _ in range(warm + times):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[warm:])


def _latency(system: Any, n: int) -> Figures:
    assert system.call_one(answer) == 42
    figures = {"one": median_time(lambda: system.call_one(noop), 300, warm=30) * 1000}
    if hasattr(system, "call_all"):
        figures |= _on_all(system, n, times=150, warm=20)
    if hasattr(system, "execute_all"):
        figures["execute"] = median_time(lambda: system.execute_all("executed = 42"), 100, warm=10) * 1000
        assert system.everywhere("executed") == [42] * n
    return figures


def _on_all(system: Any, n: int, times: int, warm: int) -> Figures:
    assert system.call_all(answer) == [42] * n
    return {"all": median_time(lambda: system.call_all(noop), times, warm) * 1000}


def _throughput(system: Any, n: int) -> Figures:
    figures = {}
    items, expected = list(range(CALLS)), [item + 1 for item in range(CALLS)]
    for key, run in (("rate", system.many), ("balanced", system.many_balanced), ("map", system.map)):
        run(increment, items[:200])
        start = time.perf_counter()
        results = run(increment, items)
        figures[key] = CALLS / (time.perf_counter() - start)
        assert results == expected
    return figures


def _memory(system: Any, n: int) -> Figures:
    return {"memory": statistics.median(psutil.Process(pid).memory_full_info().pss for pid in system.pids()) / 1e6}


def _data(system: Any, n: int) -> Figures:
    array = np.random.default_rng(0).random(MEGABYTES * 1_000_000 // 8)
    figures = {"push": median_time(lambda: system.push(array), 5)}
    totals = system.check_push()
    assert len(totals) == n
    assert all(abs(total - array.sum()) < 1e-3 for total in totals)
    figures["pull"] = median_time(system.pull, 5)
    assert np.array_equal(system.pull(), array)
    if hasattr(system, "scatter"):
        figures["scatter"] = median_time(lambda: system.scatter(array), 5)
        figures["gather"] = median_time(system.gather, 5)
        assert np.array_equal(system.gather(), array)
    return figures
