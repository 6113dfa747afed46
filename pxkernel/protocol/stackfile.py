"""How an engine shows its stacks: a signal, and the file that its handler writes to.

The handler is faulthandler's. It needs neither the GIL nor Python, so an engine that is stuck in a C library answers like
any other. The file is there while the handler is: without one the signal would end the process.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

SIGNAL = signal.SIGUSR1


def stack_file(directory: str | os.PathLike[str], pid: int) -> Path:
    """Where the kernel with this process id writes its stacks; ``directory`` is that of the cluster."""
    return Path(directory) / f"stacks-{pid}.txt"
