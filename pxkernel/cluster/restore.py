"""Engines that wait for a new controller: a cluster takes them over, or ends them (features CTL-08)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..controller.settings import Settings
from ..errors import ClusterError
from ..kernels.threads import thread_limits
from ..protocol import clusterfile
from ..protocol.clusterfile import ClusterFile
from ..protocol.enginefiles import kill_late, takeover, waiting, waiting_clusters, waiting_ids

#: How long engines may take to end by themselves, in seconds.
END_TIMEOUT = 8.0
#: How long those that are taken over may take to answer before a start goes on without them, in seconds.
ANSWER_TIMEOUT = 10.0


@dataclass(slots=True)
class TakeoverState:
    """What the thread that takes over and the one that is told to give it up must agree on."""

    #: Held while the new controller starts.
    starting: threading.Lock = field(default_factory=threading.Lock)
    given_up: bool = False


class Restorable:
    """The part of Cluster that brings back what an earlier controller has left."""

    cluster_id: str
    profile: str
    controller_reuse: bool
    controller_restore: bool
    shutdown_atexit: bool
    engine_timeout: float
    _file: ClusterFile | None
    _process: subprocess.Popen[bytes] | None
    _restored: bool
    _takeover: TakeoverState

    if TYPE_CHECKING:

        def _launch(self, settings: Settings, limits: dict[str, str]) -> None: ...

    @property
    def restored(self) -> bool:
        """Whether the last start has taken over engines that waited for a new controller (features CTL-08)."""
        return self._restored

    @property
    def waiting(self) -> list[int]:
        """The engines that wait for a new controller; empty as long as there is one (features CTL-08)."""
        return [] if self._file is None else waiting_ids(latest(self._file))

    def _patience(self) -> float:
        return min(self.engine_timeout, ANSWER_TIMEOUT) if self._restored else self.engine_timeout

    def _has_another_owner(self) -> bool:
        """Whether somebody else has taken the engines over."""
        return self._file is not None and latest(self._file).controller_pid != self._file.controller_pid

    def _place_of_keys(self, directory: Path) -> str | None:
        """Where the keys stay for the next cluster of this name, or for the next controller of this one."""
        if self.controller_reuse:
            return str(clusterfile.keys_of(self.cluster_id, self.profile))
        return str(directory / "keys.json") if self.controller_restore else None

    def _take_over(self) -> bool:
        """Start a controller for the engines of this name that wait for one; whether there are any.

        Raises
        ------
        ClusterError
            There are and it is not wanted, somebody else does it, or the controller did not start.
        """
        file = waiting_as(self.cluster_id, self.profile)
        if file is None:
            return False
        engines = waiting_ids(file)
        if not self.controller_restore:
            raise ClusterError(
                f"engines {engines} of the cluster {self.cluster_id!r}, whose controller has ended, wait for a new one: "
                f"take them over with controller_restore=True ({file.restoring}), or end them with pxcluster stop"
            )
        with _alone(file):
            self._await_process()
            settings = _saved_settings(file)
            limits = thread_limits(os.environ, max(1, len(engines)))
            owner = os.getpid() if self.shutdown_atexit else None
            with self._takeover.starting:
                if self._takeover.given_up:
                    raise ClusterError(f"the takeover of the engines {engines} was given up")
                self._launch(replace(settings, restored=True, owner_pid=owner, thread_limits=list(limits)), limits)
        return True

    def _await_process(self) -> None:
        """The controller before, if this process has started it, does not listen any more."""
        try:
            if self._process is not None:
                self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"the controller of the cluster {self.cluster_id!r} has not ended") from None


def put_back(cluster: Restorable) -> ClusterFile | None:
    """Give up a takeover that another thread is about to make, makes, or has made: the engines wait again.

    Returns
    -------
    ClusterFile or None
        The cluster whose engines wait; None: there was nothing to take over.
    """
    if not cluster.controller_restore:
        return None
    # A controller that is about to start has this process for its owner, and would end the engines with it.
    with cluster._takeover.starting:
        cluster._takeover.given_up = True
        if cluster._restored and cluster._process is not None:
            # Told to end, it would end the engines.
            cluster._process.kill()
            cluster._process.wait()
    file = waiting_as(cluster.cluster_id, cluster.profile)
    if file is not None:
        cluster.shutdown_atexit = False
    return file


def save(settings: Settings) -> None:
    """Keep how a cluster is started, for the next controller."""
    clusterfile.write_private(Path(settings.directory) / clusterfile.SETTINGS, settings.to_json())


def _saved_settings(file: ClusterFile) -> Settings:
    path = Path(file.directory) / clusterfile.SETTINGS
    try:
        return Settings.from_json(path.read_text())
    except (OSError, ValueError, TypeError) as error:
        text = f"{path} does not say how the cluster was started ({error}): pxcluster stop ends its engines"
        raise ClusterError(text) from None


def waiting_as(cluster_id: str, profile: str) -> ClusterFile | None:
    """The cluster of this name if its engines wait for a new controller."""
    with contextlib.suppress(ClusterError, FileNotFoundError):
        file = clusterfile.read(clusterfile.folder(cluster_id, profile) / clusterfile.FILE_NAME)
        return file if waiting(file) else None
    return None


def find(path: Path | None, profile: str | None) -> ClusterFile:
    """As ``clusterfile.find``; if no such cluster runs, the default or only one whose engines wait for a new controller.

    Raises
    ------
    FileNotFoundError, ClusterError
        As there; several wait and none is named.
    """
    try:
        return clusterfile.find(path, profile=profile)
    except (ClusterError, FileNotFoundError):
        name = clusterfile.wanted(path, profile)
        if name is None and clusterfile.running(profile):
            raise
        named = None if name is None else clusterfile.path_of(name, profile)
        found = [file for file in waiting_clusters(profile) if named in (None, file.path)]
        default = [file for file in found if file.cluster_id == clusterfile.DEFAULT_ID]
        if not found:
            raise
        if len(default or found) > 1:
            names = ", ".join(f"{file.cluster_id!r} ({file.restoring})" for file in default or found)
            text = f"engines of several clusters wait for a new controller, name one of these: {names}"
            raise ClusterError(text) from None
        return (default or found)[0]


@contextlib.contextmanager
def _alone(file: ClusterFile) -> Iterator[None]:
    with takeover(file.directory) as ours:
        if not ours or not file.is_current() or not waiting(file):
            raise ClusterError(f"somebody else takes over, or ends, the engines of the cluster {file.cluster_id!r}")
        yield


def latest(file: ClusterFile) -> ClusterFile:
    """What the file of a cluster says by now: it may have another controller."""
    with contextlib.suppress(ClusterError, FileNotFoundError):
        if file.is_here and file.is_current():
            return clusterfile.read(file.path)
    return file


def end_waiting(file: ClusterFile) -> None:
    """End the engines that wait for a new controller, if any, and remove what the cluster has on disk.

    Raises
    ------
    ClusterError
        Somebody takes them over just now.
    """
    engines = waiting(file)
    if not engines:
        return
    with _alone(file):
        # Without it they end by themselves.
        file.remove()
    for engine in engines:
        # Kernels without the extension do not know that they are to end.
        if not engine.tasks:
            engine.kill()
    kill_late(engines, END_TIMEOUT)
