"""The magics: ``%px``, ``%%px``, ``%autopx``, ``%pxresult``, ``%result``, ``%pxconfig`` (features MG; seeds 001 and 002).

``%load_ext pxkernel`` registers them. They act on the view that was activated last, and say how to get one if there is
none. Installed as ``pxkernel.magics``.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..client.outputs import get_shell
from ..client.shell import show_remote_errors
from ..client.view import DirectView
from .parallel import ParallelMagics

#: The magics of each suffix; a process has one shell.
_registered: dict[str, ParallelMagics] = {}


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython: register the magics, without a view."""
    show_remote_errors(shell)
    _magics(shell, "")


def unload_ipython_extension(shell: Any) -> None:
    """Called by IPython: take the magics away again."""
    for magics in _registered.values():
        magics.unregister()
    _registered.clear()


def activate(view: DirectView, suffix: str = "") -> None:
    """Called by ``view.activate``: have the magics of ``suffix`` use ``view``; outside of IPython, warn (features DV-19)."""
    shell = get_shell()
    if shell is None:
        # Said of the line that calls the view's method.
        warnings.warn("The IPython parallel magics (%px, etc.) only work within IPython.", UserWarning, stacklevel=3)
        return
    _magics(shell, suffix).view = view


def activate_first(view: DirectView) -> None:
    """Called for each new Client in IPython: ``%px`` gets ``view`` unless it has a view of an open client (features RC-14).

    A ``%px`` of somebody else stays.
    """
    shell = get_shell()
    magics = _registered.get("")
    if shell is None or (magics is None and shell.find_line_magic("px") is not None):
        return
    if magics is None or magics.view is None or magics.view.client.closed:
        _magics(shell, "").view = view


def _magics(shell: Any, suffix: str) -> ParallelMagics:
    if suffix not in _registered:
        _registered[suffix] = magics = ParallelMagics(shell, suffix)
        magics.register()
    return _registered[suffix]
