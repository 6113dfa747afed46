"""``with view.sync_imports():``, imports that also happen on the engines (seeds: "Remote imports"; features DV-14 to DV-17).

``__import__`` is not told which names an import statement binds: ``as plt`` is not part of the call. The instructions
behind it in the caller's code say so, hence aliases and dotted names arrive as they were written.
"""

from __future__ import annotations

import builtins
import dis
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncresult import AsyncResult

_MISSING = object()


class SyncImports:
    """The context of ``view.sync_imports``.

    Parameters
    ----------
    execute
        Runs an import statement on the engines and returns the AsyncResult.
    local
        Whether the import happens here too. Without it the names of a notebook or module stay what they were; in a function
        they are placeholders, which say what they are when they are used.
    quiet
        Whether nothing is printed.
    """

    def __init__(self, execute: Callable[[str], AsyncResult], local: bool = True, quiet: bool = False):
        self._execute = execute
        self._local = local
        self._quiet = quiet
        self._results: dict[str, AsyncResult] = {}
        #: What the names that only the engines get were here.
        self._before: dict[str, Any] = {}

    def __enter__(self) -> None:
        self._frame = sys._getframe(1)
        self._import = builtins.__import__
        builtins.__import__ = self._hook

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        builtins.__import__ = self._import
        if self._frame.f_locals is self._frame.f_globals:
            for name, value in self._before.items():
                if value is _MISSING:
                    self._frame.f_globals.pop(name, None)
                else:
                    self._frame.f_globals[name] = value
        # A frame leads to all that its function holds.
        del self._frame
        if kind is None:
            for result in self._results.values():
                result.get()

    def _hook(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        frame = sys._getframe(1)
        if frame is not self._frame:
            return self._import(name, globals, locals, fromlist, level)
        module = importlib.util.resolve_name("." * level + name, frame.f_globals.get("__package__")) if level else name
        found = self._import(name, globals, locals, fromlist, level) if self._local else _Placeholder(module)
        clauses = dict(_clauses(frame.f_code, frame.f_lasti, module, fromlist))
        if not self._local:
            for target in clauses.values():
                self._before.setdefault(target, frame.f_globals.get(target, _MISSING))
        self._forward(",".join(clauses), f" from {module}" if fromlist else "")
        return found

    def _forward(self, names: str, origin: str) -> None:
        statement = f"{origin} import {names}".lstrip()
        if statement not in self._results:
            if not self._quiet:
                print(f"importing {names}{origin} on engine(s)")
            self._results[statement] = self._execute(statement)


def _clauses(code: types.CodeType, position: int, module: str, fromlist: Any) -> Iterator[tuple[str, str]]:
    """What stands behind the ``import`` of the instruction at ``position``, and the name that each of it binds."""
    if fromlist and "*" in fromlist:
        yield "*", "*"
        return
    name, plain = module, module.partition(".")[0]
    for step in dis.get_instructions(code):
        if step.offset <= position:
            continue
        if step.opname == "IMPORT_FROM":
            if fromlist:
                name = plain = step.argval
            else:
                plain = ""  # "import a.b as c" fetches b from a; without the alias it would bind a
        elif step.opname.startswith("STORE_"):
            # Some instructions store and do something else at once.
            target = step.argval if isinstance(step.argval, str) else step.argval[0]
            yield name if target == plain else f"{name} as {target}", target
            if not fromlist:
                return
        elif step.opname == "POP_TOP" and fromlist:
            return


class _Placeholder(types.ModuleType):
    """What an import that happens on the engines only binds here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Placeholder(f"{self.__name__}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NameError(f"{self.__name__} was imported on the engines only: sync_imports(local=False)")
