"""The kernel extension: what runs inside each kernel that is an engine.

``%load_ext pxkernel.engine`` makes a running kernel an engine of the cluster that ``PXKERNEL_CLUSTER`` names (an id or
the path of a cluster file) or of the only running one; ``%unload_ext pxkernel.engine`` leaves it. Kernels that a cluster
starts load it themselves. The kernel stays a stock kernel: only public interfaces of it are used.

- ``channel``   the DEALER that dials out to the controller and is served on the kernel's own event loop
- ``run``       one task: unpack, call, pack, and the record of an error
- ``parents``   output goes to the task that made it
- ``quiet``     whether a task has made any output at all
- ``interrupts`` SIGINT ends the task that runs and nothing else
- ``lifeline``  the end of the controller and of the owner
- ``namespace`` push, pull and the like, called like any function
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from ..errors import ClusterError
from ..protocol import clusterfile
from .channel import TaskChannel

_channel: TaskChannel | None = None


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython: join the cluster.

    Raises
    ------
    FileNotFoundError
        No cluster is running.
    ClusterError
        Several clusters are running and none is named, this is no kernel, or it is an engine already.
    """
    launched = os.environ.pop(clusterfile.LAUNCHED, None)
    if launched is None:
        _join(shell, None)
        return
    try:
        _join(shell, json.loads(launched))
    except BaseException:
        # IPython would only log it, and the cluster would wait for an engine that never dials in.
        traceback.print_exc(file=sys.__stderr__)
        sys.__stderr__.flush()
        os._exit(1)


def unload_ipython_extension(shell: Any) -> None:
    """Called by IPython: leave the cluster."""
    global _channel
    if _channel is not None:
        _channel.leave("has left the cluster with %unload_ext")
        _channel = None


def _join(shell: Any, launched: dict[str, Any] | None) -> None:
    global _channel
    if getattr(shell, "kernel", None) is None:
        raise ClusterError("pxkernel.engine is for Jupyter kernels; terminal IPython has none")
    if _channel is not None and _channel.active:
        raise ClusterError(f"this kernel is engine {_channel.engine_id} of a cluster already")
    channel = TaskChannel(shell.kernel, clusterfile.find(), launched)
    channel.open()
    _channel = channel
