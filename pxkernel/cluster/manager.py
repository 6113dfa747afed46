"""Many clusters by name: those that run, and those that this process is going to start (features CLU-32, CLU-33)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from ..errors import ClusterError
from ..protocol import clusterfile
from ..protocol.enginefiles import waiting_clusters
from .cluster import Cluster
from .restore import end_waiting


class ClusterManager:
    """A table of clusters; a key is ``"<profile>:<cluster id>"``.

    Attributes
    ----------
    clusters
        dict, key to Cluster.
    """

    def __init__(self) -> None:
        self.clusters: dict[str, Cluster] = {}

    def load_clusters(
        self,
        *,
        profile: str | None = None,
        profiles: Iterable[str] | None = None,
        init_default_clusters: bool = False,
    ) -> dict[str, Cluster]:
        """Bring ``clusters`` up to date with what runs, or waits for a new controller, and return it.

        Clusters that were found before and have ended are dropped; those of ``new_cluster`` stay.

        Parameters
        ----------
        profile, profiles
            Only those of these profiles; neither: of all.
        init_default_clusters
            Have the default cluster of each of these profiles in it, too, running or not.

        Raises
        ------
        TypeError
            Both are given.
        """
        if profile is not None and profiles is not None:
            raise TypeError("give a profile or profiles, not both")
        wanted = None if profile is None and profiles is None else [*(profiles or ()), *([profile] if profile else ())]
        for key, cluster in list(self.clusters.items()):
            # Only a cluster of another process has a file for ever.
            if cluster.cluster_file is not None and not (cluster.running or cluster.waiting):
                del self.clusters[key]
        for file in [*clusterfile.running(), *waiting_clusters()]:
            key = _key(file.profile, file.cluster_id)
            if key not in self.clusters and (wanted is None or file.profile in wanted):
                # It may just have ended.
                with contextlib.suppress(ClusterError, FileNotFoundError):
                    self.clusters[key] = Cluster.from_file(file.path)
        if init_default_clusters:
            for name in wanted or [clusterfile.DEFAULT_PROFILE]:
                key = _key(name, clusterfile.DEFAULT_ID)
                if key not in self.clusters:
                    self.clusters[key] = Cluster(cluster_id=clusterfile.DEFAULT_ID, profile=name)
        return self.clusters

    def new_cluster(self, **options: Any) -> tuple[str, Cluster]:
        """A cluster that can be started, ``Cluster(**options)``, and its key.

        Raises
        ------
        KeyError
            There is a cluster of this profile and id already.
        """
        cluster = Cluster(**options)
        key = _key(cluster.profile, cluster.cluster_id)
        if key in self.clusters:
            raise KeyError(f"Cluster {key} already exists!")
        self.clusters[key] = cluster
        return key, cluster

    def get_cluster(self, cluster_id: str) -> Cluster:
        """The cluster of a key (it is called ``cluster_id`` in ipyparallel, too); raises KeyError if there is none."""
        return self.clusters[cluster_id]

    def remove_cluster(self, cluster_id: str) -> None:
        """Take the cluster of a key out of the table; it is not stopped. Raises KeyError if there is none."""
        del self.clusters[cluster_id]

    def __repr__(self) -> str:
        return f"<ClusterManager: {self.clusters}>"


def clean_cluster_files(*, force: bool = False) -> list[str]:
    """Remove what dead clusters have left behind: files, and engines that have not noticed (features CLU-34).

    Parameters
    ----------
    force
        Stop the clusters that run, and end the engines that wait for a new controller, as well; without it they are left alone.

    Returns
    -------
    list of str
        The names of the directories that were removed.
    """
    for file in clusterfile.running() if force else ():
        Cluster.from_file(file.path).stop_cluster_sync()
    waiting = waiting_clusters()
    for file in waiting if force else ():
        end_waiting(file)
    return clusterfile.clean([file.directory for file in waiting])


def _key(profile: str, cluster_id: str) -> str:
    return f"{profile}:{cluster_id}"
