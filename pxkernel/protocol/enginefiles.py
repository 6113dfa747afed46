"""What a cluster that can be restored keeps on disk of its engines: they are found without a controller (features CTL-08).

::

    <the cluster's directory>/settings.json       how it was started; without this file it cannot be restored
                              engine-<id>.json    one engine that has been ready, written by its controller
                              takeover            locked by whoever decides what becomes of engines that wait

All have the mode 0600. A process is known by its number and its start: a number alone is used again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ClusterError
from . import clusterfile
from .clusterfile import ClusterFile, private, write_private
from .processes import identity

_LOCK = "takeover"
#: How often to look whether engines have ended, in seconds.
_INTERVAL = 0.05


@dataclass(frozen=True, slots=True)
class EngineFile:
    """What a new controller needs to know of an engine."""

    id: int
    incarnation: int
    uuid: str
    pid: int
    #: As ``processes.identity``.
    process: str
    #: Whether it has the extension.
    tasks: bool
    set_id: str | None
    environment: Mapping[str, str | None]
    #: Its kernelspec and transport, None: those of the cluster.
    kernel: tuple[str | None, str] | None
    #: Its connection information and the path of its connection file.
    info: Mapping[str, Any]

    def write(self, directory: str | os.PathLike[str]) -> None:
        path = _path(directory, self.id)
        write_private(path.with_suffix(".new"), json.dumps(asdict(self)))
        path.with_suffix(".new").rename(path)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return identity(self.pid) == self.process

    def kill(self) -> None:
        """End it, and what it has started, which is in its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.alive:
                (os.killpg if os.getpgid(self.pid) == self.pid else os.kill)(self.pid, signal.SIGKILL)


def _path(directory: str | os.PathLike[str], engine: int) -> Path:
    return Path(directory) / f"engine-{engine}.json"


def remove(directory: str | os.PathLike[str], engine: int) -> None:
    """An engine is not part of the cluster any more."""
    _path(directory, engine).unlink(missing_ok=True)


def read_all(directory: str | os.PathLike[str]) -> list[EngineFile]:
    """The engines of a cluster, dead ones included, by id; what is no such file is passed over."""
    found = []
    for path in Path(directory).glob("engine-*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(EngineFile(**json.loads(path.read_text())))
    return sorted(found, key=lambda engine: engine.id)


def waiting(file: ClusterFile) -> list[EngineFile]:
    """The engines that wait for a new controller: none if the cluster has one, or runs on another machine."""
    if not file.is_here or not file.restorable or file.alive():
        return []
    return _living(file)


def waiting_ids(file: ClusterFile) -> list[int]:
    """The ids of the engines that wait for a new controller."""
    return [engine.id for engine in waiting(file)]


def _living(file: ClusterFile) -> list[EngineFile]:
    return [engine for engine in read_all(file.directory) if engine.alive]


def kill_late(engines: Sequence[EngineFile], timeout: float) -> None:
    """Kill the engines that have not ended by themselves ``timeout`` seconds from now: stopped ones, those that C code keeps
    from running any thread, kernels that nobody has told to end."""
    end = time.monotonic() + timeout
    while (left := [engine for engine in engines if engine.alive]) and time.monotonic() < end:
        time.sleep(_INTERVAL)
    for engine in left:
        engine.kill()


def waiting_clusters(profile: str | None = None) -> list[ClusterFile]:
    """The clusters of this user that have engines and no controller; of one profile, None: of all."""
    found = []
    for path in sorted(clusterfile.runtime_directory().glob(f"*/{clusterfile.FILE_NAME}")):
        with contextlib.suppress(ClusterError, FileNotFoundError):
            file = clusterfile.read(path)
            if profile in (None, file.profile) and waiting(file):
                found.append(file)
    return found


@contextlib.contextmanager
def takeover(directory: str | os.PathLike[str]) -> Iterator[bool]:
    """Decide alone what becomes of engines that wait; gives whether that is so, or somebody else does just now."""
    path = Path(directory) / _LOCK
    try:
        lock = open(path, "w", opener=private)  # noqa: SIM115
    except FileNotFoundError:
        yield False
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Else the directory is another one by now.
            ours = os.path.samestat(os.fstat(lock.fileno()), path.stat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        yield ours


class StillNeeded(ClusterError):
    """Engines of a cluster whose controller has just ended wait for a new one."""


def check_deserted(file: ClusterFile) -> None:
    """Raise StillNeeded if there are engines that need what a cluster without a controller has on disk."""
    if file.restorable and _living(file):
        raise StillNeeded(f"engines of the cluster {file.cluster_id!r} wait for a new controller: {file.path}")
