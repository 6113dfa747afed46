"""What a kernel that runs already tells a controller, and whether it runs something just now."""

from __future__ import annotations

import select
import time
from typing import Any

from ipykernel.connect import get_connection_file, get_connection_info

from ..errors import ClusterError
from ..protocol.clusterfile import ClusterFile
from ..protocol.messages import Welcome
from ..protocol.stream import Stream, wait
from ..protocol.wire import Codec

#: How long the controller may take to answer, in seconds.
WELCOME_TIMEOUT = 10.0


def runs_a_cell(kernel: Any) -> bool:
    """Whether this is called from a cell and not while the kernel starts, when there has been no request yet."""
    try:
        return bool(kernel.shell.get_parent())
    except LookupError:
        return False


def connection_info() -> dict[str, Any]:
    """Where this kernel listens; its values are JSON."""
    info = get_connection_info(unpack=True)
    key = info.get("key", b"")
    connection = {name: info[name] for name in info if name.endswith("_port")}
    return {
        **connection,
        "ip": info["ip"],
        "transport": info.get("transport", "tcp"),
        "key": key.decode() if isinstance(key, bytes) else key,
        "signature_scheme": info.get("signature_scheme", "hmac-sha256"),
        "connection_file": get_connection_file(),
    }


def await_welcome(stream: Stream, codec: Codec, cluster: ClusterFile) -> Welcome:
    """The controller's answer.

    Raises
    ------
    ClusterError
        It refuses, or does not answer.
    """
    end = time.monotonic() + WELCOME_TIMEOUT
    frames: list[list[Any]] = []
    while not frames:
        if not wait(stream, select.POLLIN, end - time.monotonic()):
            raise ClusterError(f"the controller of {cluster.path} did not answer in {WELCOME_TIMEOUT:.0f} s")
        frames = stream.receive()
    answer = codec.decode(frames[0])
    if not isinstance(answer, Welcome):
        raise ClusterError(f"the cluster does not take this kernel: {getattr(answer, 'reason', answer)}")
    return answer
