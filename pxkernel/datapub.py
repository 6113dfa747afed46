"""publish_data: values from a task that runs, to whoever waits for it (features DAT-01).

    def train(n):
        for step in range(n):
            publish_data({"step": step, "loss": loss})

and in the notebook, at any time, ``ar.data`` is ``{"step": 7, "loss": 0.3}``, or a list with one such dict per engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.core.getipython import get_ipython

from .protocol import here
from .protocol.messages import DATA
from .protocol.pack import detached, pack_result


def publish_data(data: Mapping[str, Any]) -> None:
    """Have the AsyncResult of the call that runs here know some values; the newest value of each name counts.

    It travels with the output of the call, in order. What is published is what it was at this moment.

    Parameters
    ----------
    data
        Names and values; the values may be anything that can be sent.

    Raises
    ------
    TypeError
        ``data`` is no mapping, or a name is no string.
    RuntimeError
        This process is no engine.
    """
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise TypeError(f"publish_data takes a dict with names as keys, not {data!r}")
    shell = get_ipython()
    if here.engine is None or shell is None:
        raise RuntimeError("publish_data is for functions and cells that run on an engine")
    kernel = shell.kernel
    kernel.session.send(
        kernel.iopub_socket,
        DATA,
        {},
        parent=shell.display_pub.parent_header,
        ident=f"kernel.{kernel.ident}.{DATA}".encode(),
        buffers=detached(pack_result(dict(data))),
    )
