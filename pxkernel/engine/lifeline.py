"""The end of the controller and of the owner, seen as facts of the operating system (design, decision 14).

Both gone: nobody can reach this engine, so it ends and takes the cluster's files with it. Only the controller gone: it
waits, while the directory is that of its cluster. If the cluster can be restored, it waits for the next controller, whoever
is gone. A thread watches, because user code may hold the event loop for hours.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from ..protocol.clusterfile import ClusterFile
from ..protocol.processes import POLL, wait_for_end
from .succession import Succession

#: How long the kernel may take to end by itself, in seconds.
GRACE = 3.0


def watch(cluster: ClusterFile, launched: bool, end: Callable[[], None], succession: Succession | None = None) -> None:
    """Start the watching thread; ``end`` asks the kernel to end (or, if it was adopted, to leave) and returns at once."""

    def watching() -> None:
        wait_for_end(cluster.controller_pid)
        if succession is not None:
            _follow(cluster, succession)
        elif launched:
            if cluster.owner_pid is not None:
                _wait_for_owner(cluster)
            cluster.remove()
        end()
        if launched:
            time.sleep(GRACE)
            os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watching, name="pxkernel-lifeline", daemon=True).start()


def _follow(cluster: ClusterFile, succession: Succession) -> None:
    """Wait until there is no controller and no cluster any more."""
    following: ClusterFile | None = cluster
    while (following := succession.next(following)) is not None:
        wait_for_end(following.controller_pid)


def _wait_for_owner(cluster: ClusterFile) -> None:
    ended = threading.Event()
    owner = threading.Thread(target=lambda: (wait_for_end(cluster.owner_pid), ended.set()), daemon=True)
    owner.start()
    while not ended.wait(POLL) and cluster.is_current():
        pass
