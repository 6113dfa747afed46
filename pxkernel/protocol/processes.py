"""Waiting for the end of a process that is not a child: a fact of the operating system, never a timeout."""

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


def wait_for_end(pid: int) -> None:
    """Block until the process ``pid`` has ended."""
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
