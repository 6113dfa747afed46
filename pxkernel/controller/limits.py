"""How many sockets and files a controller may have."""

from __future__ import annotations

import contextlib
import resource
from typing import Any

import zmq

#: macOS has no upper limit and refuses to be given none.
MOST_FILES = 65535


def raise_limits(context: zmq.Context[Any]) -> None:
    """As many sockets and files as the system allows: a kernel needs about ten of each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    context.set(zmq.MAX_SOCKETS, min(MOST_FILES, context.get(zmq.SOCKET_LIMIT)))
