"""What a Cluster says about its processes: the controller, and the engines by the set that they were started in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ClusterError
from ..kernels.logs import lines
from ..protocol.processes import exists
from .start import log_of

#: How many lines of each log ``get_output`` shows.
OUTPUT_LINES = 100


@dataclass(frozen=True)
class ControllerProcess:
    """The controller of a cluster (features CLU-06)."""

    pid: int
    #: Where its log is, None: on another machine.
    directory: str | None = field(repr=False)

    @property
    def state(self) -> str:
        """ "running" or "after"; on another machine what it was when it was asked for, "running"."""
        return "running" if self.directory is None or exists(self.pid) else "after"

    def get_output(self, remove: bool = False) -> str:
        """The last lines of what it has printed; ``remove`` empties the file (features CLU-28).

        Raises
        ------
        ClusterError
            It runs on another machine.
        """
        return _last_lines([log_of(_here(self.directory))], remove)


@dataclass(frozen=True, repr=False)
class EngineSet:
    """Engines that were started together (features CLU-06, CLU-08): a picture of the moment at which it was asked for.

    Attributes
    ----------
    id
        Its name.
    engines
        One dict for each engine: id, pid, uuid, incarnation, and state: "starting", "running" or "dead".
    directory
        Where their logs are, None: on another machine.
    """

    id: str
    engines: Sequence[Mapping[str, Any]]
    directory: str | None

    def __repr__(self) -> str:
        return f"<EngineSet {self.id!r}: engines {self.ids}, {self.state}>"

    @property
    def ids(self) -> list[int]:
        """The engine ids."""
        return [engine["id"] for engine in self.engines]

    @property
    def n(self) -> int:
        """How many of them have not died."""
        return sum(engine["state"] != "dead" for engine in self.engines)

    @property
    def state(self) -> str:
        """ "before" while one is starting, "running", or "after" when all are dead."""
        states = {engine["state"] for engine in self.engines}
        return "before" if "starting" in states else "running" if "running" in states else "after"

    def get_output(self, remove: bool = False) -> str:
        """What the processes themselves have printed, the last 100 lines of each, under "Output for engine 0:" and so on.

        Parameters
        ----------
        remove
            Empty the files afterwards.

        Raises
        ------
        ClusterError
            They run on another machine.
        """
        blocks, directory = [], Path(_here(self.directory))
        for engine in self.ids:
            logs = sorted(directory.glob(f"engine-{engine}-*.log"), key=os.path.getmtime)
            text = _last_lines(logs, remove)
            if text:
                blocks.append(f"Output for engine {engine}:\n" + "".join(f"    {line}\n" for line in text.splitlines()))
        return "".join(blocks)


def _here(directory: str | None) -> str:
    if directory is None:
        raise ClusterError("what the processes have printed is on the machine of the controller")
    return directory


def _last_lines(logs: Sequence[Path], remove: bool) -> str:
    text = [line for log in logs for line in lines(log)]
    if remove:
        for log in logs:
            os.truncate(log, 0)
    return "".join(f"{line}\n" for line in text[-OUTPUT_LINES:])
