"""The process of a controller, once the fork server imports what kernels need: it says where it listens, and serves."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

from ..errors import ClusterError
from ..protocol import clusterfile
from .restore import make_way
from .server import Server
from .settings import Settings

#: The thresholds of the garbage collector: by default it would take 5 to 10 of the microseconds that a task costs.
COLLECT = (10_000, 20, 20)


def serve(settings: Settings) -> None:
    """Tell whoever has started this process, through the pipe ``settings.ready``, and serve until the cluster stops."""
    try:
        with os.fdopen(settings.ready, "w") as ready:
            try:
                if settings.restored:
                    make_way(settings)
                server = Server(settings)
            except ClusterError as error:
                print(json.dumps({"error": str(error)}), file=ready)
                return
            print(json.dumps({"ready": server.address}), file=ready)
    except BrokenPipeError:
        # Whoever starts this cluster has ended meanwhile, so nobody will ever stop it; engines that wait go on with that.
        if not settings.restored:
            clusterfile.read(Path(settings.directory) / clusterfile.FILE_NAME).remove()
        return
    # What the collector looks through, time and again, are the records of tasks: next to none of it is garbage.
    gc.freeze()
    gc.set_threshold(*COLLECT)
    server.run()
