"""``python -m pxkernel.controller ``: started by ``pxkernel.Cluster``, not by people."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ..errors import ClusterError
from ..kernels.forkserver import forkserver
from ..protocol import clusterfile
from .settings import Settings


def main() -> None:
    settings = Settings.from_json(sys.stdin.read())
    if sys.platform.startswith("linux") and settings.provisioner in (None, "forkserver"):
        # First of all: it imports what kernels need while this process imports what the controller needs.
        forkserver(settings.preload)
    from .server import Server

    try:
        with os.fdopen(settings.ready, "w") as ready:
            try:
                server = Server(settings)
            except ClusterError as error:
                print(json.dumps({"error": str(error)}), file=ready)
                return
            print(json.dumps({"ready": server.address}), file=ready)
    except BrokenPipeError:
        # Whoever starts this cluster has ended meanwhile, so nobody will ever stop it.
        clusterfile.read(Path(settings.directory) / clusterfile.FILE_NAME).remove()
        return
    server.run()


if __name__ == "__main__":
    main()
