"""The start-up code of a cluster: each engine runs it before it dials, and so before it is ready (features ENG-05)."""

from __future__ import annotations

import base64
import faulthandler
import json
import os
import re
from typing import Any, TextIO

from ..protocol.clusterfile import private
from .run import Runner

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def open_crash_log(path: str) -> TextIO:
    """The file that is to say why and where this process has crashed.

    ipykernel turns file descriptor 2 into a pipe of its own: what a crash writes there vanishes with the process.
    """
    log = open(path, "a", opener=private)
    faulthandler.enable(log, all_threads=False)
    return log


async def run_on_start(path: str, runner: Runner, log: TextIO) -> None:
    """Run the code in the file ``path``; if it fails, its error goes to ``log`` and the process ends with exit code 1."""
    with open(path) as file:
        code = json.load(file)
    outcome = runner.run("on_start", code["kind"], [base64.b64decode(frame) for frame in code["frames"]])
    record, _ = outcome if isinstance(outcome, tuple) else await outcome
    if record["status"] != "ok":
        log.write(_text(record["error"]))
        log.flush()
        # An engine that is not what the user wants must not look like one.
        os._exit(1)


def _text(error: dict[str, Any]) -> str:
    lines = "\n".join(error["traceback"])
    return _COLOUR.sub("", f"on_start failed: {error['ename']}: {error['evalue']}\n{lines}\n")
