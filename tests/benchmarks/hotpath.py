"""Where each microsecond of a no-op goes: ``python tests/benchmarks/hotpath.py`` (extra ``bench``, Linux).

For a synchronous, an asynchronous and a balanced no-op it prints the CPU time of client, controller and engine for one call,
as the operating system counts it, thread by thread, in a run that nobody observes. In a second run py-spy looks at the stacks
of the three processes from outside, and the CPU time of each thread is shared out among the modules in which it was seen: to
the innermost one of pxkernel's own, with all that this has called, else to the innermost package; ``--functions`` tells apart
the functions of a module. Where a thread sleeps, it is seen most of the time; its CPU time there is what is left: that of going
to sleep and waking up. Threads without Python are those of zmq. py-spy needs the right to trace: root, or ``sysctl
kernel.yama.ptrace_scope=0``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from processes import Processes, cpu_by_thread
from report import conditions, describe, markdown, number
from systems import increment, noop

import pxkernel as px

#: Calls that wait at once, in the asynchronous and the balanced case.
BATCH = 1000
#: Samples per second: more would slow down what is looked at.
RATE = 200
#: A thread that is idle for less than this part of the time has no place where it sleeps.
IDLE = 0.2
#: Less of a call's CPU time than this is not worth a line.
SMALL = 0.01
FRAME = re.compile(r"(?P<function>.*) \((?P<path>[^()]*?)(:\d+)?\)$")
THREAD = re.compile(r"thread \((?P<id>\w+)\)")
#: The outermost module of everything that an engine does.
OUTERMOST = "pxkernel/kernels/_forkserver_main.py"

#: Runs some calls and returns how many.
Calls = Callable[[], int]
#: CPU time of each thread, by process and thread.
Used = dict[str, dict[int, float]]
#: How often each stack of a thread was seen, the outermost frame first.
Stacks = Counter[tuple[str, ...]]
#: The same by process and thread.
Seen = dict[str, dict[int, Stacks]]


@dataclass(frozen=True)
class Run:
    """Some calls, the seconds that they took, and the CPU time that each thread used."""

    calls: int
    seconds: float
    used: Used

    def cpu(self, process: str, thread: int) -> float:
        """Seconds of CPU time for one call."""
        return self.used[process].get(thread, 0.0) / self.calls

    @property
    def elapsed(self) -> float:
        """Seconds for one call, by the clock."""
        return self.seconds / self.calls


def kinds(rc: px.Client) -> dict[str, Calls]:
    one, balanced = rc[0], rc.load_balanced_view()

    def synchronous() -> int:
        one.apply_sync(noop)
        return 1

    def many(apply_async: Callable[..., px.AsyncResult]) -> int:
        results = [apply_async(increment, item) for item in range(BATCH)]
        assert [result.get() for result in results] == list(range(1, BATCH + 1))
        return BATCH

    return {
        "synchronous": synchronous,
        "asynchronous": lambda: many(one.apply_async),
        "balanced": lambda: many(balanced.apply_async),
    }


def repeat(processes: dict[str, psutil.Process], calls: Calls, go_on: Callable[[], bool]) -> Run:
    """Make calls for as long as ``go_on`` says so."""
    before, count, start = used_by(processes), 0, time.perf_counter()
    while go_on():
        count += calls()
    seconds, after = time.perf_counter() - start, used_by(processes)
    used = {name: {thread: t - before[name].get(thread, 0.0) for thread, t in after[name].items()} for name in after}
    return Run(count, seconds, used)


def for_seconds(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def used_by(processes: dict[str, psutil.Process]) -> Used:
    return {name: cpu_by_thread(process) for name, process in processes.items()}


def observed(processes: dict[str, psutil.Process], calls: Calls, seconds: float) -> tuple[Run, Seen]:
    """A run of about so many seconds, and where the threads were meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        spies = {}
        for name, process in processes.items():
            command = [Path(sys.executable).with_name("py-spy"), "record", "--pid", str(process.pid), "--threads", "--idle"]
            command += ["--rate", str(RATE), "--duration", str(int(seconds)), "--format", "raw", "--output", f"{folder}/{name}"]
            spies[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        run = repeat(processes, calls, lambda: any(spy.poll() is None for spy in spies.values()))
        for name, spy in spies.items():
            output, _ = spy.communicate()
            if spy.returncode:
                raise SystemExit(f"py-spy cannot look at the {name}:\n{output}")
        return run, {name: stacks(Path(folder, name).read_text()) for name in spies}


def stacks(raw: str) -> dict[int, Stacks]:
    """py-spy's samples by thread."""
    seen: dict[int, Stacks] = defaultdict(Counter)
    for line in raw.splitlines():
        stack, count = line.rsplit(" ", 1)
        thread, *frames = stack.split(";")
        if found := THREAD.match(thread):
            seen[int(found["id"], 0)][tuple(frames)] += int(count)
    return seen


def place(frames: tuple[str, ...], functions: bool) -> str:
    """The innermost module of pxkernel in a stack; else the innermost package."""
    found = [(match["path"], match["function"]) for frame in frames if (match := FRAME.match(frame))]
    for path, function in reversed(found):
        if "pxkernel/" in path and OUTERMOST not in path:
            module = path[path.rindex("pxkernel/") :]
            return f"{module}: {function}" if functions else module
    return found[-1][0].partition("/")[0] if found else "?"


def parts(seen: Stacks, cpu: float, elapsed: float, functions: bool) -> Counter[str]:
    """Which part of a thread's CPU time it uses where; ``cpu`` and ``elapsed`` are those of a call while it was seen."""
    innermost: Counter[str] = Counter()
    for frames, count in seen.items():
        innermost[frames[-1]] += count
    (bed, _), *_ = innermost.most_common(1)
    sleeps = cpu < (1 - IDLE) * elapsed
    found: Counter[str] = Counter()
    for frames, count in seen.items():
        if not sleeps or frames[-1] != bed:
            found[place(frames, functions)] += elapsed * count / seen.total()
    awake = found.total()
    whole = max(cpu, awake) if sleeps else awake
    shares: Counter[str] = Counter({where: seconds / whole for where, seconds in found.items()})
    shares["sleeping and waking up"] = 1 - shares.total()
    return shares


def breakdown(run: Run, watched: Run, seen: Seen, functions: bool) -> list[tuple[str, str, float]]:
    """Process, place and the microseconds of one call that it takes, the most first."""
    found: Counter[tuple[str, str]] = Counter()
    for process, threads in run.used.items():
        for thread in threads:
            cpu = run.cpu(process, thread)
            samples = seen[process].get(thread)
            if not samples:
                found[process, "threads without Python"] += cpu
                continue
            for where, part in parts(samples, watched.cpu(process, thread), watched.elapsed, functions).items():
                found[process, where] += cpu * part
    return [(*key, seconds * 1e6) for key, seconds in found.most_common()]


def table(lines: list[tuple[str, str, float]]) -> str:
    total = sum(microseconds for *_, microseconds in lines)
    shown = [line for line in lines if line[2] >= SMALL * total]
    rest = total - sum(microseconds for *_, microseconds in shown)
    shown.append(("all", f"{len(lines) - len(shown)} others", rest))
    return markdown(
        ["process", "where", "µs for a call", "share"],
        [[process, where, number(value), f"{value / total:.0%}"] for process, where, value in shown],
    )


def report(kind: str, calls: Calls, processes: dict[str, psutil.Process], options: argparse.Namespace) -> None:
    repeat(processes, calls, for_seconds(1))
    run = repeat(processes, calls, for_seconds(options.seconds))
    each = ", ".join(f"{name} {sum(threads.values()) / run.calls * 1e6:,.0f}" for name, threads in run.used.items())
    print(f"\nOne {kind} no-op takes {run.elapsed * 1e6:,.0f} µs by the clock; µs of CPU time: {each}.\n")
    print(table(breakdown(run, *observed(processes, calls, options.seconds), options.functions)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="how long each kind of call is repeated, twice")
    parser.add_argument("--functions", action="store_true", help="functions instead of modules")
    options = parser.parse_args()
    with px.Cluster(n=1) as rc:
        found = Processes(rc)
        processes = {"client": psutil.Process(), "controller": found.controller, "engine": found.engines[0]}
        for kind, calls in kinds(rc).items():
            report(kind, calls, processes, options)
    print(f"\n{describe(conditions())}")


if __name__ == "__main__":
    main()
