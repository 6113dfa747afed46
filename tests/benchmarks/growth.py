"""How pxkernel's figures grow: ``python tests/benchmarks/growth.py`` (extra ``bench``).

Four curves: engines against start, broadcast, memory and open files; the size of an array against push and pull; calls that
wait at once against their rate; clients at once against their common rate. Prints each as a table in Markdown; ``--picture
FILE`` draws them, ``--save FILE`` keeps them and ``--from FILE`` shows those that were kept.
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
from processes import Processes, cpu, pss
from report import conditions, describe, markdown, pyplot, save, saved
from systems import increment, noop

import pxkernel as px

Curve = list[dict[str, float]]

BROADCASTS = 50
#: Megabytes that an engine may need.
ENGINE = 30

CLIENT = """
    import sys
    import pxkernel as px
    from systems import increment
    with px.Client(sys.argv[1]) as rc:
        view, calls = rc[int(sys.argv[2]) % len(rc)], int(sys.argv[3])
        assert view.apply_sync(increment, 1) == 2
        print("ready", flush=True)
        sys.stdin.readline()
        results = [view.apply_async(increment, number) for number in range(calls)]
        assert [result.get() for result in results] == list(range(1, calls + 1))
        print("done", flush=True)
"""


def engines(counts: list[int]) -> Curve:
    curve = []
    for n in counts:
        if n * ENGINE * 1e6 > psutil.virtual_memory().available:
            print(f"not enough memory for {n} engines", file=sys.stderr)
            continue
        start = time.perf_counter()
        with px.Cluster(n=n) as rc:
            started = time.perf_counter() - start
            curve.append({"engines": n, "start, s": started, **_running(rc)})
    return curve


def _running(rc: px.Client) -> dict[str, float]:
    """The figures of a cluster that has been started."""
    everyone, processes = rc[:], Processes(rc)
    started = statistics.mean(map(cpu, processes.engines))
    assert everyone.apply_sync(increment, 1) == [2] * len(rc)
    before = cpu(processes.controller)
    broadcast = median_time(lambda: everyone.apply_sync(noop), BROADCASTS, warm=0)
    used = cpu(processes.controller) - before
    return {
        "CPU of an engine until it is ready, ms": started * 1e3,
        "no-op on all, ms": broadcast * 1e3,
        "controller's CPU for it, ms": used / BROADCASTS * 1e3,
        "PSS of an engine, MB": statistics.mean(map(pss, processes.engines)),
        "PSS of the controller, MB": pss(processes.controller),
        "open files of the controller": processes.controller.num_fds(),
        "open files of the fork server": processes.forkserver.num_fds(),
        "open files of an engine": processes.engines[-1].num_fds(),
    }


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
        view, controller = rc[0], Processes(rc).controller

        def calls(count: int) -> None:
            results = [view.apply_async(increment, number) for number in range(count)]
            assert [result.get() for result in results] == list(range(1, count + 1))

        calls(100)
        for count in counts:
            before, times = cpu(controller), 3 if count < 10_000 else 1
            seconds = median_time(lambda count=count: calls(count), times, warm=0)
            used = (cpu(controller) - before) / times / count
            curve.append({"calls at once": count, "calls/s": count / seconds, "controller's CPU for a call, µs": used * 1e6})
    return curve


def clients(counts: list[int], calls: int = 1000) -> Curve:
    curve = []
    with px.Cluster(n=4) as rc:
        for count in counts:
            rates = [_clients_at_once(rc, count, calls) for _ in range(3)]
            curve.append({"clients": count, "calls/s of all": statistics.median(rates)})
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
    return markdown(list(curve[0]), ([f"{figure:,.4g}" for figure in point.values()] for point in curve))


def draw(curves: dict[str, Curve], path: Path) -> None:
    """A panel for each figure, both axes logarithmic: what grows in proportion is a line at 45 degrees."""
    panels = [(curve, name) for curve in curves.values() for name in list(curve[0])[1:]]
    figure, axes = pyplot().subplots(
        (len(panels) + 3) // 4, 4, figsize=(14, 3 * ((len(panels) + 3) // 4)), layout="constrained", squeeze=False
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (curve, name) in zip(axes.flat, panels, strict=False):
        x = next(iter(curve[0]))
        axis.loglog([point[x] for point in curve], [point[name] for point in curve], marker="o")
        axis.set(title=name, xlabel=x)
        axis.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=100)


CURVES: dict[str, Callable[[], Curve]] = {
    "engines": lambda: engines([1, 4, 16, 64, 256]),
    "payload": lambda: payload([10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9]),
    "queue": lambda: depth([1, 10, 100, 1000, 10_000, 100_000]),
    "clients": lambda: clients([1, 2, 4, 8]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--save", type=Path, metavar="FILE", help="where to keep the figures, as JSON")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="kept", help="figures that were kept, instead of a run")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where to draw the curves")
    options = parser.parse_args()
    if options.kept:
        data = saved(options.kept)
    else:
        data = {"conditions": conditions(), "curves": {name: CURVES[name]() for name in options.curves}}
    for curve in data["curves"].values():
        print(f"{table(curve)}\n")
    print(describe(data["conditions"]))
    if options.save:
        save(data, options.save)
    if options.picture:
        draw(data["curves"], options.picture)


if __name__ == "__main__":
    main()
