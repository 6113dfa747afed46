"""``python -m pxkernel.controller ``: started by ``pxkernel.Cluster``, not by people."""

from __future__ import annotations

import sys

from ..kernels.forkserver import forkserver
from .settings import Settings


def main() -> None:
    settings = Settings.from_json(sys.stdin.read())
    if sys.platform.startswith("linux") and settings.provisioner in (None, "forkserver"):
        # First of all: it imports what kernels need while this process imports what the controller needs.
        forkserver(settings.preload)
    from .process import serve

    serve(settings)


if __name__ == "__main__":
    main()
