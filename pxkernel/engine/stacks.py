"""Stacks on demand: faulthandler writes those of all threads when the controller asks (``protocol.stackfile``)."""

from __future__ import annotations

import faulthandler
import os
from pathlib import Path
from typing import IO

from ..protocol.clusterfile import private
from ..protocol.stackfile import SIGNAL, stack_file


class StackDump:
    """The handler and the file of this process, while it is an engine.

    Parameters
    ----------
    directory
        That of the cluster.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self._path: Path = stack_file(directory, os.getpid())
        self._file: IO[str] | None = None

    def open(self) -> None:
        """From now on the signal may be sent."""
        new = self._path.with_suffix(".new")
        self._file = open(new, "a", opener=private)  # noqa: SIM115
        faulthandler.register(SIGNAL, file=self._file, all_threads=True, chain=False)
        new.rename(self._path)

    def close(self) -> None:
        """From now on it must not."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            faulthandler.unregister(SIGNAL)
            self._file.close()
            self._file = None
