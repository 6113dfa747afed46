"""What the operating system says of processes: whether one exists, when it ends, how many processors this one has."""

from __future__ import annotations

import os
import select
import time

#: Where there is no pidfd (macOS), how often to look, in seconds.
POLL = 0.5


def exists(pid: int) -> bool:
    """Whether there is a process ``pid``."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def identity(pid: int) -> str | None:
    """What tells a process from every other one, before and after; None: it has ended. It does not depend on the clock."""
    if not os.path.exists("/proc/self/stat"):
        return _identity_elsewhere(pid)
    try:
        with open(f"/proc/{pid}/stat") as file:
            # Behind the name, which may have spaces and parentheses: fields 3 (state) to 22 (start, in ticks since the boot).
            state, *fields = file.read().rpartition(")")[2].split()
        with open("/proc/sys/kernel/random/boot_id") as file:
            return None if state in "ZX" else f"{pid} {fields[18]} {file.read().strip()}"
    except OSError:
        return None


def _identity_elsewhere(pid: int) -> str | None:
    # It takes a while to import, and clients on Linux do without.
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{pid} {process.create_time():.2f}"
    except psutil.Error:
        return None


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wait_for_end(pid: int) -> None:
    """Block until the process ``pid``, which need not be a child, has ended: a fact, never a timeout."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        while exists(pid):
            time.sleep(POLL)
        return
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll()
    finally:
        os.close(descriptor)
