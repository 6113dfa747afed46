"""Where each microsecond of a no-op goes: ``python tests/benchmarks/hotpath.py`` (extra ``bench``, Linux).

For a synchronous, an asynchronous and a balanced no-op it prints the CPU time of client, controller and engines for one call,
as the operating system counts it, thread by thread, in a run that nobody observes. In a second run py-spy looks at the stacks of
the three processes from outside, and the CPU time of each thread is shared out among the modules in which it was seen:
to the innermost one of pxkernel's own, with all that this has called, else to the innermost package; ``--functions`` tells
apart the functions of a module. Going to sleep and waking up again has a line of its own, where a function of Python does
it (a wait in C counts for the module that waits), and so have the threads without Python, which are those of zmq. py-spy needs the right to trace: root, or ``sysctl
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
#: Less of a call's CPU time than this is not worth a line.
SMALL = 0.01
FRAME = re.compile(r"(?P<function>.*) \((?P<path>[^()]*?)(:\d+)?\)$")
THREAD = re.compile(r"thread \((?P<id>\w+)\)")
#: Functions of the standard library and of zmq that wait; what a thread uses there is for sleeping and waking up.
WAITING = frozenset({"poll", "select", "wait", "acquire", "get", "_wait_for_tstate_lock"})
#: The outermost module of everything that an engine does.
OUTERMOST = "pxkernel/kernels/_forkserver_main.py"

#: Runs some calls and returns how many.
Calls = Callable[[], int]
#: CPU time of each thread, by process and thread.
Used = dict[str, dict[int, float]]
#: How often a thread was seen in which module, by process and thread.
Seen = dict[str, dict[int, Counter[str]]]


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


def repeat(calls: Calls, seconds: float) -> tuple[int, float]:
    """Make calls for so many seconds; returns how many and how long it took."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        count += calls()
    return count, time.perf_counter() - start


def observed(processes: dict[str, psutil.Process], calls: Calls, seconds: float, functions: bool) -> Seen:
    """Where the threads of some processes are while calls are made."""
    with tempfile.TemporaryDirectory() as folder:
        spies = {}
        for name, process in processes.items():
            command = [Path(sys.executable).with_name("py-spy"), "record", "--pid", str(process.pid), "--threads"]
            command += ["--rate", str(RATE), "--duration", str(int(seconds)), "--format", "raw", "--output", f"{folder}/{name}"]
            spies[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while any(spy.poll() is None for spy in spies.values()):
            calls()
        for name, spy in spies.items():
            output, _ = spy.communicate()
            if spy.returncode:
                raise SystemExit(f"py-spy cannot look at the {name}:\n{output}")
        return {name: stacks(Path(folder, name).read_text(), functions) for name in spies}


def stacks(raw: str, functions: bool) -> dict[int, Counter[str]]:
    """py-spy's samples, by thread and module, or function."""
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for line in raw.splitlines():
        stack, count = line.rsplit(" ", 1)
        thread, *frames = stack.split(";")
        if found := THREAD.match(thread):
            seen[int(found["id"], 0)][place(frames, functions)] += int(count)
    return seen


def place(frames: list[str], functions: bool) -> str:
    """The innermost module of pxkernel in a stack, the outermost frame first; else the innermost package."""
    found = [(match["path"], match["function"]) for frame in frames if (match := FRAME.match(frame))]
    path, function = found[-1]
    if function.rpartition(".")[2] in WAITING and "pxkernel/" not in path:
        return "sleeping and waking up"
    for path, function in reversed(found):
        if "pxkernel/" in path and OUTERMOST not in path:
            module = path[path.rindex("pxkernel/") :]
            return f"{module}: {function}" if functions else module
    return found[-1][0].partition("/")[0]


def shares(used: Used, seen: Seen, calls: int) -> list[tuple[str, str, float]]:
    """Process, module and the microseconds of one call that it takes, the most first."""
    found: Counter[tuple[str, str]] = Counter()
    for process, threads in used.items():
        for thread, seconds in threads.items():
            samples = seen.get(process, {}).get(thread)
            if not samples:
                found[process, "threads without Python"] += seconds
                continue
            for name, count in samples.items():
                found[process, name] += seconds * count / samples.total()
    return [(*key, seconds / calls * 1e6) for key, seconds in found.most_common()]


def table(lines: list[tuple[str, str, float]]) -> str:
    total = sum(microseconds for *_, microseconds in lines)
    shown = [line for line in lines if line[2] >= SMALL * total]
    rest = total - sum(microseconds for *_, microseconds in shown)
    shown.append(("all", f"{len(lines) - len(shown)} others", rest))
    return markdown(
        ["process", "where", "µs for a call", "share"],
        [[process, where, number(value), f"{value / total:.0%}"] for process, where, value in shown],
    )


def difference(before: Used, after: Used) -> Used:
    return {name: {thread: t - before[name].get(thread, 0.0) for thread, t in after[name].items()} for name in after}


def used_by(processes: dict[str, psutil.Process]) -> Used:
    return {name: cpu_by_thread(process) for name, process in processes.items()}


def report(kind: str, calls: Calls, processes: dict[str, psutil.Process], options: argparse.Namespace) -> None:
    repeat(calls, 1)
    before = used_by(processes)
    count, duration = repeat(calls, options.seconds)
    used = difference(before, used_by(processes))
    parts = ", ".join(f"{name} {sum(threads.values()) / count * 1e6:,.0f}" for name, threads in used.items())
    print(f"\nOne {kind} no-op takes {duration / count * 1e6:,.0f} µs by the clock; µs of CPU time: {parts}.\n")
    seen = observed(processes, calls, options.seconds, options.functions)
    print(table(shares(used, seen, count)), flush=True)


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
