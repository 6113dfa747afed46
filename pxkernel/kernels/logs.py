"""What kernels have printed on their way: the logs of their processes."""

from __future__ import annotations

import re
from pathlib import Path

#: The lines of a log that an error quotes.
TAIL_LINES = 20

#: What every ipykernel prints when it starts; it is no reason for anything.
_GREETING = re.compile(r"NOTE: When using the `ipython kernel` entry point.*?--existing [^\n]*", re.DOTALL)


def lines(log: Path) -> list[str]:
    """What a log says, without ipykernel's greeting; nothing if there is no such file."""
    return _GREETING.sub("", log.read_text(errors="replace")).strip().splitlines() if log.exists() else []


def tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(lines(log)[-TAIL_LINES:])


def last_words(log: Path, crash_log: Path) -> str:
    """What a dead kernel has left: why it crashed, and where in the user's code, comes first in its crash log."""
    return "\n".join(lines(crash_log)[:TAIL_LINES]) or tail(log)
