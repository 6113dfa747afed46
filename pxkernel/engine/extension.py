"""Joining a cluster and leaving it: what the two hooks of the extension do."""

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


def join(shell: Any) -> None:
    """Called by ``load_ipython_extension``."""
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


def leave() -> None:
    """Called by ``unload_ipython_extension``."""
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
    cluster = clusterfile.find()
    if not cluster.is_here:
        # Its own sockets never leave its host (design, decision 12).
        raise ClusterError(f"a kernel can only join a cluster of its own machine, and this one runs on {cluster.host}")
    channel = TaskChannel(shell.kernel, cluster, launched)
    channel.open()
    _channel = channel
