"""Starting the process of a controller, and waiting for its word that it listens."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO

from ..controller.settings import Settings
from ..errors import ClusterError
from ..kernels.logs import tail
from ..protocol import clusterfile

#: How long the controller may take to listen, in seconds.
START_TIMEOUT = 30.0
#: How long one that has failed may take to end by itself, in seconds.
END_TIMEOUT = 5.0


def start_controller(
    settings: Settings, limits: dict[str, str]
) -> tuple[subprocess.Popen[bytes], clusterfile.ClusterFile]:
    """Start a controller in the directories that ``clusterfile.prepare`` has made; returns when it listens.

    Whatever ends it before, Ctrl-C at any moment among it, nothing runs and the directories are removed; unless there are
    engines that wait for it.

    Parameters
    ----------
    settings
        What it is told, except ``ready``.
    limits
        Added to its environment: how many threads the engines' libraries start.

    Returns
    -------
    subprocess.Popen, ClusterFile
        The process, and what it says about itself.

    Raises
    ------
    ClusterError
        It did not start; the text has the end of what it printed.
    """
    try:
        ready, ready_write = os.pipe()
        with os.fdopen(ready, "rb") as answer:
            try:
                process = _launch(settings, limits, ready_write)
            except OSError as error:
                raise ClusterError(f"the controller cannot be started: {error}") from None
            finally:
                os.close(ready_write)
            return process, _await_word(process, answer, settings)
    except BaseException:
        if not settings.restored:
            clusterfile.remove_directories(settings.directory, settings.sockets)
        raise


def check_directory() -> None:
    """Raises ClusterError if this process is in a directory that has been removed: engines start where it is."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ClusterError("the current directory does not exist any more, and engines start there: change it") from None


def log_of(directory: str | os.PathLike[str]) -> Path:
    """The file with what the controller of a cluster has printed."""
    return Path(directory) / "controller.log"


def _launch(settings: Settings, limits: dict[str, str], ready: int) -> subprocess.Popen[bytes]:
    with open(log_of(settings.directory), "ab", opener=clusterfile.private) as output:
        process = subprocess.Popen(
            # -P: a random.py in the directory of the notebook is not for the controller.
            [sys.executable, "-P", "-m", "pxkernel.controller"],
            env={**_environment(), **limits},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[ready],
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        # If it has ended already, its answer tells.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(replace(settings, ready=ready).to_json().encode())
    except BaseException:
        _end(process)
        raise
    return process


def _await_word(process: subprocess.Popen[bytes], answer: IO[bytes], settings: Settings) -> clusterfile.ClusterFile:
    said = {}
    try:
        if not select.select([answer], [], [], START_TIMEOUT)[0]:
            raise ClusterError(f"the controller does not listen after {START_TIMEOUT:g} s:\n{tail(log_of(settings.directory))}")
        text = answer.readline()
        with contextlib.suppress(ValueError):
            said = json.loads(text)
        if "ready" in said:
            return clusterfile.read(Path(settings.directory) / clusterfile.FILE_NAME)
    except BaseException:
        _end(process)
        raise
    # It has closed its end: it is about to end, or has refused.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT)
    text = f"the controller did not start (exit code {_end(process)}):\n{tail(log_of(settings.directory))}"
    raise ClusterError(said.get("error") or text)


def _end(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    return process.wait()


def _environment() -> dict[str, str]:
    """Ours, without what says that *we* are an engine or belong to a cluster."""
    dropped = {clusterfile.ENVIRONMENT, clusterfile.LAUNCHED, "JPY_PARENT_PID"}
    return {name: value for name, value in os.environ.items() if name not in dropped}
