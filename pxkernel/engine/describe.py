"""The record of an exception: what a client is told of it, as JSON values.

The traceback is the one that this engine's IPython renders, of the user's frames without ours. Rendering takes some ten
milliseconds, so a map, which may fail a million times, has it done for its first errors only.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections import Counter
from types import TracebackType
from typing import Any

from ..errors import class_names
from ..protocol.pack import missing_name_hint
from . import namespace

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

#: A map shows the tracebacks of its first failing items on each engine; the others keep their name and text.
SHOWN_FAILURES = 10
#: Of a longer traceback, that of an endless recursion for example, which takes IPython ten seconds, the ends are shown.
MOST_FRAMES = 60
#: Of so many maps it is known how many they have shown.
REMEMBERED = 100


class Describer:
    """Describes the exceptions of one kernel.

    Parameters
    ----------
    shell
        Its IPython shell.
    """

    def __init__(self, shell: Any):
        self._shell = shell
        self._shown: Counter[Any] = Counter()

    def describe(self, error: BaseException, shown: bool = True) -> dict[str, Any]:
        """Name, text, traceback (empty if not ``shown``) and classes; never raises, whatever the exception does."""
        try:
            description = {
                "ename": type(error).__name__,
                "evalue": _text(error),
                "traceback": self._render(error) if shown else [],
                "mro": class_names(type(error)),
            }
            self.hint(description, error)
        except BaseException as broken:  # of its class, which may do anything when it is looked at
            evalue = f"<it cannot be described: {type(broken).__name__}>"
            return {"ename": "Exception", "evalue": evalue, "traceback": [], "mro": []}
        return description

    def describe_item(self, error: BaseException, of: Any) -> dict[str, Any]:
        """As ``describe``, of an item of a map; ``of`` is the same for all items of one map."""
        shown = self._shown.pop(of, 0)
        # At the end: it is among the last to be forgotten.
        self._shown[of] = shown + 1
        if len(self._shown) > REMEMBERED:
            del self._shown[next(iter(self._shown))]
        return self.describe(error, shown < SHOWN_FAILURES)

    def classes(self, error: BaseException | None, ename: str) -> list[tuple[str, str]]:
        """The classes of what IPython has just shown as ``ename``, if this is it; none, if not."""
        try:
            return class_names(type(error)) if error is not None and type(error).__name__ == ename else []
        except BaseException:
            return []

    def hint(self, description: dict[str, Any], error: BaseException | None) -> None:
        """Add to the description of a NameError why the name has not travelled."""
        hint = None
        if isinstance(error, NameError):
            with contextlib.suppress(Exception):  # of a class of the user's
                hint = error.name and missing_name_hint(error.name, namespace.travelled)
        if hint:
            description["traceback"] = [*description["traceback"], hint]

    def _render(self, error: BaseException) -> list[str]:
        try:
            trace, left_out = user_frames(error.__traceback__)
            for cause in _chain(error):
                cause.__traceback__, _ = user_frames(cause.__traceback__)
            lines = self._shell.InteractiveTB.structured_traceback(type(error), error, trace, tb_offset=0)
            note = [f"... {left_out} frames in the middle are not shown ..."] if left_out else []
            return [*map(str, lines), *note]
        except BaseException:
            # Its text may raise anything, SystemExit included, which must not end the engine.
            return _plainly(error)


def _plainly(error: BaseException) -> list[str]:
    trace, _ = user_frames(error.__traceback__)
    try:
        return "".join(traceback.format_exception(type(error), error, trace)).splitlines()
    except BaseException:
        return "".join(traceback.format_tb(trace)).splitlines()


def user_frames(trace: TracebackType | None) -> tuple[TracebackType | None, int]:
    """The traceback without the frames of pxkernel, and how many others were left out because there are so many."""
    frames = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            frames.append(trace)
        trace = trace.tb_next
    left_out = max(0, len(frames) - MOST_FRAMES)
    if left_out:
        del frames[MOST_FRAMES // 2 : -(MOST_FRAMES // 2)]
    kept: TracebackType | None = None
    for frame in reversed(frames):
        kept = TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return kept, left_out


def _chain(error: BaseException) -> list[BaseException]:
    # By identity: comparing runs code of the exception's class.
    found: dict[int, BaseException] = {}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in found:
        found[id(cause)] = cause
        cause = cause.__cause__ or cause.__context__
    return list(found.values())


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:
        return f"<its text cannot be had: {type(broken).__name__}>"
