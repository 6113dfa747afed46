"""How IPython shows the errors of engines, and those of this package: the lines of the user, and no others."""

from __future__ import annotations

import copy
import re
import types
from collections.abc import Iterator
from typing import Any

from ..errors import PxkernelError, RemoteError
from ..tracebacks import to_show

#: What is shown without the frames of this package: a Ctrl-C while something is waited for, and errors that say
#: themselves what is wrong.
_OWN = (PxkernelError, KeyboardInterrupt)
#: Where a frame of a traceback is.
_PLACE = re.compile(r"File (?P<colour>(?:\x1b\[[0-9;]*m)*)(?P<file>[^\x1b\n]+?):(?P<line>\d+)")
_PACKAGE = __name__.partition(".")[0]


class _Shown(Exception):
    """Stands for an error while IPython shows it, and after that as ``sys.last_value``, also for ``%tb``."""

    def __init__(self, error: BaseException, lines: list[str]):
        self.error = error
        self._lines = lines

    def _render_traceback_(self) -> list[str]:
        """Called by IPython."""
        return self._lines

    def __getattr__(self, name: str) -> Any:
        return getattr(self.error, name)

    def __str__(self) -> str:
        return str(self.error)


def show_remote_errors(shell: Any) -> None:
    """Have an IPython shell show the traceback of the engine, and only that, for every RemoteError.

    For other errors of this package, and for a Ctrl-C while it waits, it shows the lines that called the package, as for
    any cell that is interrupted. ``%debug`` has all frames.

    IPython asks for `_render_traceback_` too late for some of them: it hands each exception group, and whatever was
    raised while one was handled, to the traceback module, and a SyntaxError to a renderer of its own. A custom handler
    is its public way around. One that the user has set before is kept, for its exceptions.
    """
    earlier, earlier_handler = shell.custom_exceptions, shell.CustomTB
    if RemoteError in earlier:
        return

    def handler(shell: Any, etype: Any, value: Any, tb: Any, tb_offset: int | None = None) -> list[str]:
        if isinstance(value, earlier) and not isinstance(value, RemoteError):
            return earlier_handler(etype, value, tb, tb_offset=tb_offset)
        if isinstance(value, RemoteError):
            lines = to_show([_with_cells(shell, line) for line in value.render_traceback()])
        elif (calling := _of_the_caller(tb)) is not None:
            # Without its context, which is an affair of this package.
            bare = copy.copy(value)
            bare.__cause__ = value.__cause__
            lines = shell.InteractiveTB.structured_traceback(etype, bare, calling, tb_offset=1)
        else:
            shell.showtraceback((etype, value, tb), tb_offset=tb_offset)
            return []
        shown = types.new_class(etype.__name__, (_Shown,))(value, lines).with_traceback(tb)
        shell.showtraceback((type(shown), shown, tb))
        return lines

    shell.set_custom_exc((*earlier, *_OWN), handler)


def _with_cells(shell: Any, text: str) -> str:
    """Name the cells of this notebook in the traceback of a function that travelled, as IPython names them elsewhere.

    The engine knows only the file names that IPython made up for them.
    """

    def named(match: re.Match[str]) -> str:
        cell = shell.compile.format_code_name(match["file"])
        return match[0] if cell is None else f"{cell[0]} {match['colour']}{cell[1]}, line {match['line']}"

    return _PLACE.sub(named, text)


def _of_the_caller(tb: types.TracebackType) -> types.TracebackType | None:
    """The traceback up to where this package, or a magic of it, was called; None if it was not."""
    entries = list(_entries(tb))
    modules = [entry.tb_frame.f_globals.get("__name__", "").partition(".")[0] for entry in entries]
    if _PACKAGE not in modules:
        return None
    end = modules.index(_PACKAGE)
    # IPython's own frames between the cell and the magic; its first one is that which runs the cell.
    while end > 1 and modules[end - 1] == "IPython":
        end -= 1
    shown = None
    for entry in reversed(entries[:end]):
        shown = types.TracebackType(shown, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return shown


def _entries(tb: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next
