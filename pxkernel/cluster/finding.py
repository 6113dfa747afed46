"""How a cluster is found again, by its file, its names or a description, and what it says of itself (CLU-22 to CLU-24)."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..protocol import clusterfile
from .enginesets import ControllerProcess, EngineSet
from .restore import find, latest
from .wishes import Environment


class Findable:
    """The part of Cluster by which other processes, and this one later, get it back."""

    cluster_id: str
    profile: str
    n: int | None
    _file: clusterfile.ClusterFile | None

    if TYPE_CHECKING:
        engines: dict[str, EngineSet]

        def __init__(self, **options: Any): ...
        def _stop_at_exit(self) -> None: ...

    @property
    def running(self) -> bool:
        """Whether the controller answers."""
        return self._file is not None and self._file.alive()

    @property
    def cluster_file(self) -> Path | None:
        """The file by which other processes find the cluster, None before the start."""
        return None if self._file is None else self._file.path

    @property
    def controller(self) -> ControllerProcess | None:
        """The controller, None when the cluster is not running (features CLU-06)."""
        if self._file is None or not self._file.alive():
            return None
        file = latest(self._file)
        return ControllerProcess(file.controller_pid, file.directory if file.is_here else None)

    @classmethod
    def from_file(
        cls,
        cluster_file: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        cluster_id: str | None = None,
        n: int | None = None,
        environment: Environment | None = None,
        shutdown_atexit: bool = False,
        engine_timeout: float = 60.0,
    ) -> Self:
        """The running cluster that a file (or an id) names; without arguments the default one, or the only one (CLU-22).

        Or one whose engines wait for a new controller: ``start_cluster()`` takes them over, ``stop_cluster()`` ends them.

        Parameters
        ----------
        cluster_file, profile, cluster_id
            Its file, or its names.
        n, environment
            What ``start_engines`` takes if it is not told otherwise, as in ``Cluster``.
        shutdown_atexit
            Whether the cluster ends when this process ends in order.
        engine_timeout
            As in ``Cluster``.

        Raises
        ------
        FileNotFoundError
            There is no such file, or no cluster is running.
        ClusterError
            The file is no cluster file, its cluster has ended, or several run and none is named.
        TypeError
            It is named twice, or an argument is nothing of its kind.
        """
        if cluster_file is not None and not isinstance(cluster_file, str | os.PathLike):
            raise TypeError(f"cluster_file must be a path, not {cluster_file!r}")
        if cluster_file is not None and (cluster_id is not None or profile is not None):
            raise TypeError("give a cluster_file or a cluster_id, not both")
        if cluster_id is not None:
            cluster_file = clusterfile.folder(cluster_id, profile or clusterfile.DEFAULT_PROFILE) / clusterfile.FILE_NAME
        file = find(None if cluster_file is None else Path(cluster_file).absolute(), profile)
        cluster = cls(
            n=n,
            cluster_id=file.cluster_id,
            profile=file.profile,
            environment=environment,
            controller_restore=file.restorable,
            shutdown_atexit=shutdown_atexit,
            engine_timeout=engine_timeout,
        )
        cluster._file = file
        if shutdown_atexit:
            atexit.register(cluster._stop_at_exit)
        return cluster

    def to_dict(self) -> dict[str, Any]:
        """The cluster as JSON values: "cluster", and if it is running "controller" and "engines" (features CLU-23)."""
        description: dict[str, Any] = {
            "cluster": {"cluster_id": self.cluster_id, "profile": self.profile, "n": self.n},
            "engines": {"sets": {name: {"engines": list(s.engines)} for name, s in self.engines.items()}},
        }
        if (controller := self.controller) is not None:
            description["cluster"]["cluster_file"] = str(self.cluster_file)
            description["controller"] = {"pid": controller.pid, "state": controller.state}
        return description

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], **options: Any) -> Self:
        """The cluster that ``to_dict`` has described: the running one, or one that can be started (features CLU-23).

        Parameters
        ----------
        d
            What ``to_dict`` has returned.
        options
            More arguments of ``from_file`` if it was running, of ``Cluster`` if not.

        Raises
        ------
        FileNotFoundError, ClusterError
            It was running when it was described, and is not any more.
        TypeError
            This is no such description.
        """
        cluster = d.get("cluster") if isinstance(d, Mapping) else None
        if not isinstance(cluster, Mapping) or not {"n", "cluster_id", "profile"} <= cluster.keys():
            raise TypeError(f"d must be what Cluster.to_dict() returns, not {d!r}")
        options = {"n": cluster["n"], **options}
        if "cluster_file" in cluster:
            return cls.from_file(cluster["cluster_file"], **options)
        return cls(cluster_id=cluster["cluster_id"], profile=cluster["profile"], **options)
