"""``input()`` and ``getpass()`` in a task ask the client that has submitted it; so do pdb and ``breakpoint()``.

In a cell ipykernel does that over the kernel's stdin channel; a task is no request of a front end, so it asks over the task
channel.
"""

from __future__ import annotations

import builtins
import getpass
import sys
import threading
from collections.abc import Callable
from typing import Any

#: Asks a question: (prompt, whether what is typed stays hidden) → what was typed.
Ask = Callable[[str, bool], str]


class Stdin:
    """Stands in for ``input`` and ``getpass`` while a task runs.

    Parameters
    ----------
    ask
        Puts a question to the client and waits; in the main thread.
    """

    def __init__(self, ask: Ask):
        self._ask = ask
        self._before: tuple[Any, Any] | None = None
        #: Whether the client of the task that runs can ask its user.
        self.allowed = False

    def install(self) -> None:
        if self._before is None:
            self._before = builtins.input, getpass.getpass
            builtins.input, getpass.getpass = self._input, self._getpass

    def uninstall(self) -> None:
        """Give them back; what somebody else has put there meanwhile stays, such as ipykernel after code that is a task."""
        if self._before is not None:
            if builtins.input == self._input:
                builtins.input = self._before[0]
            if getpass.getpass == self._getpass:
                getpass.getpass = self._before[1]
            self._before = None

    def _input(self, prompt: object = "", /) -> str:
        return self._asked(str(prompt), False)

    def _getpass(self, prompt: str = "Password: ", stream: Any = None, *, echo_char: str | None = None) -> str:
        return self._asked(prompt, True)

    def _asked(self, prompt: str, password: bool) -> str:
        if not self.allowed:
            raise EOFError("input() was called on an engine, and nobody can answer: the client is not a notebook or IPython")
        if threading.current_thread() is not threading.main_thread():
            raise EOFError("input() was called in a thread of a task: only its main thread can ask")
        sys.stdout.flush()
        sys.stderr.flush()
        return self._ask(prompt, password)
