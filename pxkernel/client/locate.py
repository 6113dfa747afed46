"""Which cluster a Client is meant to connect to (features RC-01 to RC-03)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from numbers import Real
from typing import Any

from ..protocol import clusterfile
from ..protocol.clusterfile import ClusterFile

#: Seconds between two looks for a cluster that is awaited.
_INTERVAL = 0.1


def locate(
    connection_info: str | os.PathLike[str] | Mapping[str, Any] | None,
    profile: str | None,
    cluster_id: str | None,
    timeout: float,
) -> ClusterFile:
    """The cluster file that the arguments of a Client mean.

    A cluster that is named by ``profile`` or ``cluster_id`` may be about to start: it is awaited for ``timeout`` seconds.

    Raises
    ------
    TypeError
        The cluster is named twice, or by what is no name; ``timeout`` is no number.
    ValueError
        ``connection_info`` is the URL of a socket.
    FileNotFoundError
        There is no such cluster.
    ClusterError
        What is named is no cluster file, its cluster has ended, or several clusters run and none is named.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    if connection_info is not None:
        if profile is not None or cluster_id is not None:
            raise TypeError("connection_info names a cluster already: leave profile and cluster_id out")
        if isinstance(connection_info, Mapping):
            return _described(connection_info)
        if not isinstance(connection_info, str | os.PathLike):
            raise TypeError(f"connection_info must be an id, a path or a mapping, not {connection_info!r}")
        if "://" in os.fspath(connection_info):
            raise ValueError(
                f"single urls ({os.fspath(connection_info)!r}) cannot be specified: a cluster file has the key too"
            )
        return clusterfile.find(connection_info)
    if profile is None and cluster_id is None:
        return clusterfile.find()
    return _awaited(profile, cluster_id, timeout)


def _described(info: Mapping[str, Any]) -> ClusterFile:
    file = clusterfile.parse(info, "connection_info")
    clusterfile.check_alive(file, repr(file.cluster_id))
    return file


def _awaited(profile: str | None, cluster_id: str | None, timeout: float) -> ClusterFile:
    # Both are names?
    clusterfile.folder(cluster_id or clusterfile.DEFAULT_ID, profile or clusterfile.DEFAULT_PROFILE)
    end = time.monotonic() + timeout
    told = False
    while True:
        try:
            if cluster_id == clusterfile.DEFAULT_ID:
                return clusterfile.find(
                    clusterfile.folder(cluster_id, profile or clusterfile.DEFAULT_PROFILE) / clusterfile.FILE_NAME
                )
            return clusterfile.find(cluster_id, profile=profile)
        except FileNotFoundError:
            if time.monotonic() >= end:
                raise
        if not told:
            told = True
            print(f"Waiting for the cluster {cluster_id or ''!r} of the profile {profile or clusterfile.DEFAULT_PROFILE!r}")
        time.sleep(_INTERVAL)
