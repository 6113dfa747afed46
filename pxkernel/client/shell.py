"""How IPython shows the errors of engines."""

from __future__ import annotations

import types
from typing import Any

from ..errors import RemoteError
from ..tracebacks import to_show


class _Shown(Exception):
    """Stands for a RemoteError while IPython shows it, and after that as ``sys.last_value``, also for ``%tb``."""

    def __init__(self, error: RemoteError):
        self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.error, name)

    def __str__(self) -> str:
        return str(self.error)


def show_remote_errors(shell: Any) -> None:
    """Have an IPython shell show the traceback of the engine, and only that, for every RemoteError.

    IPython asks for `_render_traceback_` too late for some of them: it hands each exception group, and whatever was
    raised while one was handled, to the traceback module, and a SyntaxError to a renderer of its own. A custom handler
    is its public way around. One that the user has set before is kept, for its exceptions.
    """
    earlier, earlier_handler = shell.custom_exceptions, shell.CustomTB
    if RemoteError in earlier:
        return

    def handler(shell: Any, etype: Any, value: Any, tb: Any, tb_offset: int | None = None) -> list[str]:
        if not isinstance(value, RemoteError):
            return earlier_handler(etype, value, tb, tb_offset=tb_offset)
        shown = types.new_class(etype.__name__, (_Shown,))(value).with_traceback(tb)
        shell.showtraceback((type(shown), shown, tb))
        return to_show(value.render_traceback())

    shell.set_custom_exc((*earlier, RemoteError), handler)
