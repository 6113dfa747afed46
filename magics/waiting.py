"""Waiting for a call of ``%px``: its output, a progress bar, and what an interrupt does to it."""

from __future__ import annotations

import math
import signal
import sys

from ..client.asyncresult import AsyncResult
from ..client.cellscreen import CellScreen
from ..client.display import display_outputs
from ..client.outputs import get_shell, in_notebook, interactive
from ..client.progress import Progress
from ..client.stopping import stop
from ..client.view import DirectView


def wait(result: AsyncResult, stream: bool, progress_after: float) -> None:
    """Wait until every engine has answered and all output has come (features MG-10, MG-11).

    Parameters
    ----------
    stream
        Show output as it comes.
    progress_after
        Seconds until a progress bar appears; negative: never.
    """
    stream = stream and interactive()
    bar = Progress(len(result.msg_ids), "%px", after=progress_after)
    try:
        while not result.done():
            bar.show(result.progress, len(result._errors()))
            result._listen(None if math.isinf(bar.wait) else bar.wait, result.done, show=stream)
    finally:
        bar.close(result.progress, len(result._errors()))
    if stream:
        result._show_rest()
    else:
        result.wait_for_output()


def follow(result: AsyncResult) -> None:
    """Show the output of a call that nobody waits for in the cell that makes it, whenever it comes (issue 4).

    In a notebook; a terminal shows it when somebody waits.
    """
    if in_notebook():
        screen = CellScreen(get_shell().kernel)
        screen.open()
        result._live.send_to(screen)
        result._listeners.append(result._live.show_new)
        result._live.show_new()


def show(result: AsyncResult, groupby: str | None) -> None:
    """Show the output of a call that is done, grouped and labelled also if it comes from one engine (MG-09, MG-15)."""
    result.wait_for_output()
    display_outputs(result._parts, False, groupby or "type", False)
    result._live.skip()


def interrupt(view: DirectView, result: AsyncResult, signum: int) -> None:
    """The user has interrupted the waiting: send ``signum`` to the engines that are not done (features MG-13).

    SIGINT goes to what this call has started and nothing else, and what it has queued is aborted. 0: the engines go on.
    """
    if result.done():
        return
    if not signum:
        print("Received Keyboard Interrupt. The engines go on; %pxresult shows what becomes of it.", file=sys.stderr)
        return
    print(f"Received Keyboard Interrupt. Sending signal {signal.Signals(signum).name} to engines...", file=sys.stderr)
    if signum == signal.SIGINT:
        stop(result)
    else:
        engines = [part.engine_id for part in result._parts if not part.done]
        view.client.ask("signal_engines", engines=engines, signum=signum)
