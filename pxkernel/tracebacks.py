"""The text of errors: colours, labels, and which tracebacks say the same."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: What differs between two engines that fail in the same way: the number of the cell, and addresses.
_ACCIDENTAL = re.compile(r"In\s?\[\d+\]|0x[0-9a-fA-F]+|<ipython-input-\S+>|/ipykernel_\d+/\d+\.py")


def plain(text: str) -> str:
    """Without the escape sequences of colours."""
    return _COLOUR.sub("", text)


def wants_colours() -> bool:
    """Whether this process shows colours: what IPython is set to; elsewhere, whether stdout is a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is not None:
        return str(shell.colors).lower() != "nocolor"
    return "NO_COLOR" not in os.environ and sys.stdout.isatty()


def to_show(lines: Sequence[str]) -> list[str]:
    """The lines as this process shows them."""
    return list(lines) if wants_colours() else list(map(plain, lines))


def essence(lines: Sequence[str]) -> str:
    """What two tracebacks have in common that say the same."""
    return _ACCIDENTAL.sub("", plain("\n".join(lines)))


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: "0-3,7"."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in parts)
