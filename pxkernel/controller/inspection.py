"""What engines are doing, seen from outside: it needs nothing of an engine, which may be stuck.

Both questions take a moment, so a thread answers each.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from ..core.core import Core
from ..protocol.stackfile import SIGNAL, stack_file
from .questions import LATER, Question, Questions
from .roster import Roster

#: Over which time the use of the processor is measured, in seconds; the clock of the kernel ticks every 0.01 s.
CPU_TIME = 0.2
#: How long an engine may take to write its stacks, and after what silence they are complete, in seconds.
STACKS_TIMEOUT = 0.8
STACKS_SETTLED = 0.06


class Inspector:
    """Answers "top" and "stacks".

    Parameters
    ----------
    directory
        That of the cluster.
    later
        ``later(function, *args)`` calls a function in the main loop.
    """

    def __init__(self, core: Core, roster: Roster, directory: str, later: Callable[..., None]):
        self._core = core
        self._roster = roster
        self._directory = directory
        self._later = later
        #: The files are emptied after reading, so that only one question at a time can be answered.
        self._stacks_lock = threading.Lock()

    def answer(self, questions: Questions) -> None:
        """Add the topics."""
        questions.add("top", self._top)
        questions.add("stacks", self._stacks)

    def _in_thread(self, question: Question, work: Callable[[], Any]) -> Any:
        def run() -> None:
            try:
                value = work()
            except Exception as error:  # told to the client, as in ``Questions.ask``
                self._later(question.refuse, error)
            else:
                self._later(question.answer, value)

        threading.Thread(target=run, name="inspection", daemon=True).start()
        return LATER

    # -- top ----------------------------------------------------------------------------------------------------------

    def _top(self, question: Question, engines: list[int]) -> Any:
        rows = [self._row(engine) for engine in engines if engine in self._core.engines]
        return self._in_thread(question, lambda: measured(rows))

    def _row(self, engine_id: int) -> dict[str, Any]:
        """What the tables know of an engine."""
        engine, known = self._core.engines[engine_id], self._roster.public(engine_id)
        running = None if engine.stuck else next((self._core.tasks[task] for task in engine.sent), None)
        return {
            "engine": engine_id,
            "state": "restarting" if engine.away else "busy" if engine.stuck or running is not None else "idle",
            "host": socket.gethostname(),
            "pid": known["pid"],
            "task": running.id if running is not None else engine.stuck,
            "kind": running and running.kind,
            "seconds": running and running.sent_at and max(0.0, time.monotonic() - running.sent_at),
            "queue": len(engine.queue) + max(0, len(engine.sent) - (running is not None)),
        }

    # -- stacks -------------------------------------------------------------------------------------------------------

    def _stacks(self, question: Question, engines: list[int]) -> Any:
        processes = {engine: self._roster.public(engine)["pid"] for engine in engines if engine in self._core.engines}

        def work() -> list[Any]:
            with self._stacks_lock:
                return list(stacks(processes, self._directory).items())

        return self._in_thread(question, work)


def measured(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``cpu`` in percent of one core and ``memory`` in bytes (resident), None where there is no process."""
    processes = {row["engine"]: _process(row["pid"]) for row in rows}
    for process in processes.values():
        _cpu(process)
    time.sleep(CPU_TIME)
    return [{**row, **_measure(processes[row["engine"]], row["state"])} for row in rows]


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        return None


def _cpu(process: psutil.Process | None) -> float | None:
    try:
        return None if process is None else process.cpu_percent(None)
    except psutil.Error:
        return None


def _measure(process: psutil.Process | None, state: str) -> dict[str, Any]:
    try:
        memory = process and process.memory_info().rss
        stopped = process is not None and process.status() == psutil.STATUS_STOPPED
    except psutil.Error:
        memory, stopped = None, False
    return {"cpu": _cpu(process), "memory": memory, "state": "stopped" if stopped else state}


def stacks(processes: Mapping[int, int | None], directory: str) -> dict[int, str]:
    """The stacks of processes, by engine; where there are none, why."""
    found: dict[int, str] = {}
    waiting: dict[int, Path] = {}
    for engine, pid in processes.items():
        path = stack_file(directory, pid or 0)
        if pid is None or not path.exists():
            found[engine] = "no stacks: this is no Python kernel with pxkernel.engine"
            continue
        try:
            os.truncate(path, 0)
            os.kill(pid, SIGNAL)
        except OSError as error:
            found[engine] = f"no stacks: {error.strerror}"
        else:
            waiting[engine] = path
    texts = _settled(waiting)
    for engine in waiting:
        # The main thread comes last in the file.
        threads = [text.strip() for text in reversed(texts[engine].strip().split("\n\n"))]
        found[engine] = "\n\n".join(threads) or f"no stacks: the process does not answer{_status(processes[engine])}"
    return {engine: found[engine] for engine in processes}


def _settled(paths: Mapping[int, Path]) -> dict[int, str]:
    """What the files hold when they do not grow any more."""
    texts = dict.fromkeys(paths, "")
    changed = dict.fromkeys(paths, 0.0)
    end = time.monotonic() + STACKS_TIMEOUT
    while (now := time.monotonic()) < end:
        for engine, path in paths.items():
            text = path.read_text(errors="replace") if path.exists() else texts[engine]
            if text != texts[engine]:
                texts[engine], changed[engine] = text, now
        if all(texts[engine] and now - changed[engine] > STACKS_SETTLED for engine in paths):
            break
        time.sleep(0.01)
    return texts


def _status(pid: int | None) -> str:
    process = _process(pid)
    try:
        return "" if process is None else f", it is {process.status()}"
    except psutil.Error:
        return ""
