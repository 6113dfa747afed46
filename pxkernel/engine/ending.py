"""The end of a kernel, in an order in which nobody waits for somebody who has gone.

At its end ipykernel (tried: 7.4) stops the thread that publishes before the control thread. The latter has just passed on
the request to shut down and flushes the streams: it then waits ten seconds for a flush that nobody makes, and whoever has
asked for the end loses patience and sends a signal. Here the control thread ends first.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from threading import Thread
from typing import Any

#: How long it may take to end what it is doing, in seconds; after that everything takes its old course.
PATIENCE = 1.0


def end_control_first(kernel: Any) -> None:
    """Call it when the kernel has started: what was registered last runs first."""
    atexit.register(_end, kernel.control_thread)


def end_if_forked(pid: int) -> None:
    """End this process unless it is the engine, whose number is ``pid``: a task has forked it and has returned in it too."""
    if os.getpid() != pid:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(0)


def _end(control: Any) -> None:
    if isinstance(control, Thread) and control.is_alive():
        control.stop()  # type: ignore[attr-defined]
        control.join(PATIENCE)
