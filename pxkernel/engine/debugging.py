"""``breakpoint()`` on an engine opens IPython's debugger, which asks where the code came from.

ipykernel loads debugpy, whose hook ignores ``breakpoint()`` while no front end has attached its debugger.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


class BreakpointHook:
    """Python's ``sys.breakpointhook`` while the kernel is an engine.

    Parameters
    ----------
    shell
        The IPython shell; its ``debugger_cls`` is opened.
    """

    def __init__(self, shell: Any):
        self._shell = shell
        self._before: Callable[..., Any] = sys.__breakpointhook__

    def install(self) -> None:
        self._before, sys.breakpointhook = sys.breakpointhook, self._break

    def uninstall(self) -> None:
        """Give it back, unless somebody else has taken it."""
        if sys.breakpointhook == self._break:
            sys.breakpointhook = self._before

    def _break(self, *args: Any, header: str | None = None, **options: Any) -> Any:
        debugpy = sys.modules.get("debugpy")
        if debugpy is not None and debugpy.is_client_connected():
            return self._before(*args, **options)
        if os.environ.get("PYTHONBREAKPOINT"):
            return sys.__breakpointhook__(*args, **options)
        if header is not None:
            print(header)
        # The caller's frame: pdb would stop in this one.
        self._shell.debugger_cls().set_trace(sys._getframe(1))
        return None
