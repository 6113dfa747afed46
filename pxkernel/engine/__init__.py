"""The kernel extension: what runs inside each kernel that is an engine.

``%load_ext pxkernel.engine`` makes a running kernel an engine of the cluster that ``PXKERNEL_CLUSTER`` names (an id or
the path of a cluster file) or of the only running one; ``%unload_ext pxkernel.engine`` leaves it. Kernels that a cluster
starts load it themselves. The kernel stays a stock kernel: only public interfaces of it are used.

- ``extension`` joins a cluster and leaves it
- ``channel``   the stream that dials out to the controller and is served on the kernel's own event loop
- ``adoption``  what a kernel that runs already tells the controller
- ``startup``   the start-up code of a cluster
- ``run``       one task: unpack, call, pack, and the record of an error
- ``reporter``  the record goes to the controller, and sometimes straight to the client
- ``parents``   output goes to the task that made it
- ``quiet``     whether a task has made any output at all
- ``interrupts`` an interrupt ends the task or the cell that was meant and nothing else
- ``listener``  the thread that is told what must reach an engine while it is busy
- ``stdin``     input() in a task asks the client
- ``debugging`` breakpoint() opens the debugger
- ``stacks``    the stacks of all threads when the controller asks
- ``lifeline``  the end of the controller and of the owner; ``succession`` the controller after it
- ``ending``    the end of the kernel
- ``dependent`` functions that need something of the engine
- ``namespace`` push, pull and the like, called like any function
"""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython: join the cluster.

    Raises
    ------
    FileNotFoundError
        No cluster is running.
    ClusterError
        Several clusters are running and none is named, this is no kernel, or it is an engine already.
    """
    # Here, because clients import this package too, for the functions in ``namespace``.
    from .extension import join

    join(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Called by IPython: leave the cluster."""
    from .extension import leave

    leave()
