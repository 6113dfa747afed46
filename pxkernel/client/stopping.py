"""The stop button: what becomes of a call whose waiting user has pressed Ctrl-C (features VW-12)."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from ..errors import EngineError

if TYPE_CHECKING:
    from .asyncresult import AsyncResult

#: How long engines may take to end what was interrupted before the user is told, in seconds.
PATIENCE = 2.0


def stop(result: AsyncResult) -> None:
    """Interrupt what runs of a call, abort what it has queued, and wait a moment for the engines to say so.

    Those that do not are named on stderr, with what can be done about it. Another Ctrl-C ends the waiting at once.
    """
    if result.done():
        return
    with contextlib.suppress(KeyboardInterrupt, EngineError):  # once more, or there is no cluster any more
        result._client.interrupt(result)
        result._wait_showing(PATIENCE, result.done)
    stuck = sorted({part.engine_id for part in result._parts if not part.done and part.engine_id is not None})
    if stuck:
        print(notice(stuck), file=sys.stderr, flush=True)


def notice(engines: list[int]) -> str:
    """What the user is told about engines that an interrupt has not stopped."""
    names = ", ".join(map(str, engines))
    return (
        f"engine{'s' if len(engines) > 1 else ''} {names}: no answer to the interrupt. What does not come back to Python, "
        f"such as a long call of a C library, cannot be interrupted. rc.stacks([{names}]) shows where it is, and "
        f"cluster.restart_engine_sync({engines[0]}) ends it."
    )
