"""The processes of a cluster on Linux, and what they use."""

from __future__ import annotations

from pathlib import Path

import psutil

import pxkernel as px


class Processes:
    """Those of a cluster on this machine whose engines the fork server has started.

    Parameters
    ----------
    client
        A client of the cluster.
    """

    def __init__(self, client: px.Client) -> None:
        self.engines = [psutil.Process(client.engine_info(engine)["pid"]) for engine in client.ids]
        self.forkserver = self.engines[0].parent()
        self.controller = self.forkserver.parent()


def cpu_by_thread(process: psutil.Process) -> dict[int, float]:
    """Seconds that each thread of a process was on a processor, by the thread's id: to the nanosecond, unlike ``times``."""
    found = {}
    for thread in process.threads():
        found[thread.id] = int(Path(f"/proc/{process.pid}/task/{thread.id}/schedstat").read_text().split()[0]) / 1e9
    return found


def cpu(process: psutil.Process) -> float:
    """Seconds that the threads of a process were on a processor."""
    return sum(cpu_by_thread(process).values())


def pss(process: psutil.Process) -> float:
    """Megabytes of a process: its own memory and its share of what it has in common with others."""
    return process.memory_full_info().pss / 1e6  # type: ignore[no-any-return]
