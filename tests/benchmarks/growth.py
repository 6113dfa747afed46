"""How pxkernel's figures grow: ``python tests/benchmarks/growth.py [--picture FILE]`` (extra ``bench``).

Four curves: engines against start, broadcast and memory; the size of an array against push and pull; calls that wait at
once against their rate; clients at once against their common rate. Prints each as a table in Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from measure import median_time
from systems import increment, noop

import pxkernel as px

Curve = list[dict[str, float]]

CLIENT = """
    import sys, time
    import pxkernel as px
    from systems import increment
    with px.Client(sys.argv[1]) as rc:
        view, calls = rc[int(sys.argv[2]) % len(rc)], int(sys.argv[3])
        print("ready", flush=True)
        sys.stdin.readline()
        results = [view.apply_async(increment, number) for number in range(calls)]
        assert [result.get() for result in results] == list(range(1, calls + 1))
        print("done", flush=True)
"""


def engines(counts: list[int]) -> Curve:
    curve = []
    for n in counts:
        start = time.perf_counter()
        with px.Cluster(n=n) as rc:
            started = time.perf_counter() - start
            everyone = rc[:]
            broadcast = median_time(lambda view=everyone: view.apply_sync(noop), 30, warm=5)
            pss = [psutil.Process(rc.engine_info(engine)["pid"]).memory_full_info().pss for engine in rc.ids]
        curve.append({"engines": n, "start, s": started, "broadcast, ms": broadcast * 1e3, "PSS each, MB": sum(pss) / n / 1e6})
    return curve


def payload(sizes: list[int]) -> Curve:
    curve = []
    with px.Cluster(n=4) as rc:
        everyone, one = rc[:], rc[0]
        for size in sizes:
            array = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
            times = 20 if size <= 10**7 else 3
            push = median_time(lambda array=array: everyone.push({"array": array}, block=True), times)
            pull = median_time(lambda: one.pull("array", block=True), times)
            assert np.array_equal(one.pull("array", block=True), array)
            curve.append({"bytes": size, "push to 4, ms": push * 1e3, "pull, ms": pull * 1e3})
    return curve


def depth(counts: list[int]) -> Curve:
    curve = []
    with px.Cluster(n=1) as rc:
        view = rc[0]
        for count in counts:

            def calls(count: int = count) -> None:
                results = [view.apply_async(increment, number) for number in range(count)]
                assert [result.get() for result in results] == list(range(1, count + 1))

            curve.append({"waiting": count, "calls/s": count / median_time(calls, 3 if count < 10_000 else 1)})
    return curve


def clients(counts: list[int], calls: int = 1000) -> Curve:
    curve = []
    with px.Cluster(n=4) as rc:
        for count in counts:
            rates = [_clients_at_once(rc, count, calls) for _ in range(3)]
            curve.append({"clients": count, "calls/s": statistics.median(rates)})
    return curve


def _clients_at_once(rc: px.Client, count: int, calls: int) -> float:
    command = [sys.executable, "-c", textwrap.dedent(CLIENT), str(Path(rc.directory) / "cluster.json")]
    started = [
        subprocess.Popen(
            [*command, str(number), str(calls)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent
        )
        for number in range(count)
    ]
    _expect(started, b"ready\n")
    start = time.perf_counter()
    for process in started:
        process.stdin.write(b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    _expect(started, b"done\n")
    duration = time.perf_counter() - start
    for process in started:
        process.communicate(timeout=60)
    return count * calls / duration


def _expect(processes: list[subprocess.Popen[bytes]], line: bytes) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == line


def table(curve: Curve) -> str:
    names = list(curve[0])
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(f'{point[name]:,.4g}' for name in names)} |" for point in curve]
    return "\n".join(lines)


def draw(curves: dict[str, Curve], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [(title, curve, name) for title, curve in curves.items() for name in list(curve[0])[1:]]
    figure, axes = pyplot.subplots(2, (len(panels) + 1) // 2, figsize=(14, 6), layout="constrained", squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, curve, name) in zip(axes.flat, panels, strict=False):
        x = next(iter(curve[0]))
        axis.loglog([point[x] for point in curve], [point[name] for point in curve], marker="o")
        axis.set(title=title, xlabel=x, ylabel=name)
        axis.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=100)


CURVES: dict[str, Callable[[], Curve]] = {
    "engines": lambda: engines([1, 4, 16, 64]),
    "payload": lambda: payload([10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9]),
    "queue": lambda: depth([1, 10, 100, 1000, 10_000, 100_000]),
    "clients": lambda: clients([1, 2, 4, 8]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    options = parser.parse_args()
    curves = {}
    for name in options.curves:
        curves[name] = CURVES[name]()
        print(f"\n{table(curves[name])}", flush=True)
    if options.picture:
        draw(curves, options.picture)


if __name__ == "__main__":
    main()
