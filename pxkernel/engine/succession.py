"""How an engine gets from a controller that has ended to the one that takes its place (features CTL-08).

Only engines of a cluster that can be restored wait, and for a limited time: then they end as others do at once. What runs
goes on to its end, and its effects stay; what was sent and has not been started is dropped. No result of either is kept,
since the clients that wait for it are gone. The next controller is told what still runs, and has nothing else done until
it is told that this is over.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable

from ..errors import ClusterError
from ..protocol.clusterfile import ClusterFile, read
from ..protocol.enginefiles import kill_late, read_all, takeover
from ..protocol.processes import POLL

#: How long the other engines may take to end by themselves, in seconds: more than the lifeline leaves each of them.
END_TIMEOUT = 4.0


class Succession:
    """Waits for the next controller; in the thread of the ``lifeline``.

    Parameters
    ----------
    patience
        How long, in seconds.
    dial
        Connects to the next controller; raises OSError if that is gone as well.
    """

    def __init__(self, patience: float, dial: Callable[[ClusterFile], None]):
        self._patience = patience
        self._dial = dial

    def next(self, cluster: ClusterFile) -> ClusterFile | None:
        """Wait for the controller after that of ``cluster``, which has ended, and dial it; None: there will be none."""
        end = time.monotonic() + self._patience
        while True:
            # What cannot be read or dialled just now, for want of descriptors perhaps, is tried again.
            with contextlib.suppress(OSError, ClusterError):
                try:
                    file = read(cluster.path)
                except FileNotFoundError:
                    return None
                if file.key != cluster.key:
                    return None
                if file.controller_pid != cluster.controller_pid and file.alive():
                    self._dial(file)
                    return file
            if time.monotonic() > end and _give_up(cluster):
                return None
            time.sleep(POLL)


def _give_up(cluster: ClusterFile) -> bool:
    """Remove the cluster, unless somebody takes its engines over just now; whether it is time to end."""
    try:
        with takeover(cluster.directory) as ours:
            if not ours or cluster.alive():
                return False
            others = [engine for engine in read_all(cluster.directory) if engine.pid != os.getpid()]
            for engine in others:
                # Kernels without the extension do not know that they are to end.
                if not engine.tasks:
                    engine.kill()
            cluster.remove()
        kill_late(others, END_TIMEOUT)
    except OSError as error:
        print(f"pxkernel.engine: {error}", file=sys.__stderr__, flush=True)
    return True
