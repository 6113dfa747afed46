"""Waiting for the end of a controller: a child of this process, another process of this machine, or one elsewhere."""

from __future__ import annotations

import subprocess
import time

from ..protocol.clusterfile import ClusterFile
from ..protocol.processes import POLL, exists, wait_for_end

#: How long the controller may take to end, in seconds.
STOP_TIMEOUT = 30.0


def await_end(file: ClusterFile, process: subprocess.Popen[bytes] | None) -> None:
    """Wait until a controller that was told to has ended; nothing of it is left then.

    Raises
    ------
    TimeoutError
        It has not ended. If it is a child of this process, it is killed.
    """
    if process is None or process.pid != file.controller_pid:
        if process is not None:
            # The controller before this one.
            process.wait()
        _await_stranger(file)
        return
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise TimeoutError("the controller did not end and was killed") from None
    finally:
        file.remove()


def _await_stranger(file: ClusterFile) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT
    while (exists(file.controller_pid) and file.path.exists()) if file.is_here else file.alive():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the controller (pid {file.controller_pid}) did not end")
        time.sleep(0.02)


def wait_until_ended(file: ClusterFile, process: subprocess.Popen[bytes] | None) -> None:
    """Wait as long as a controller runs."""
    if process is not None:
        process.wait()
    elif file.is_here:
        wait_for_end(file.controller_pid)
    else:
        while file.alive():
            time.sleep(POLL)
