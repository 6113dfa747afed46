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
