"""One task: unpack, call, pack, and the record of an error.

The record is what ``protocol.messages.Finished`` describes; its ``error`` holds the engine's own IPython traceback of the
user's frames, without ours.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from types import TracebackType
from typing import Any

from ..errors import UnmetDependency, class_names
from ..protocol.bundle import unbundle
from ..protocol.pack import detached, missing_name_hint, pack_result, unpack
from ..protocol.sharing import load, share
from ..protocol.wire import raw
from . import namespace
from .dependent import dependent
from .interrupts import InterruptGate

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

Outcome = tuple[dict[str, Any], list[Any]]

#: A map shows the tracebacks of its first failing items; the others keep their name and text.
SHOWN_FAILURES = 10


class Runner:
    """Runs tasks in the namespace of one kernel.

    ``run`` returns the record and the result's payload, or an awaitable of both for code that awaits.
    """

    def __init__(self, kernel: Any, gate: InterruptGate):
        self._kernel = kernel
        self._shell = kernel.shell
        namespace.user = kernel.shell.user_ns
        self._gate = gate
        #: Whether the controller opens shared memory of this process.
        self.shares = False
        self._kinds: dict[str, Callable[[Sequence[Any]], Any]] = {
            "apply": self._apply,
            "control": self._apply,
            "map": self._map,
            "chunk": self._chunk,
        }

    def run(self, task_id: str, kind: str, payload: Sequence[Any]) -> Outcome | Awaitable[Outcome]:
        if kind == "execute":
            return self._execute(task_id, bytes(raw(payload[0])).decode())
        record: dict[str, Any] = {"status": "ok", "started": time.time()}
        frames: list[Any] = []
        self._gate.task(task_id, Runner._call.__code__)
        try:
            value, frames = self._call(kind, payload, record)
            if value is not None:
                return self._awaited(task_id, record, value)
        except BaseException as error:
            self._failed(record, error)
        self._gate.end()
        record["completed"] = time.time()
        return record, frames

    def _call(
        self, kind: str, payload: Sequence[Any], record: dict[str, Any]
    ) -> tuple[Awaitable[Any] | None, list[Any]]:
        """What may be interrupted: an awaitable, or the frames of the result."""
        value, failures = self._kinds[kind](payload)
        if isawaitable(value):
            return value, []
        if failures:
            record["failures"] = failures
        return None, self._pack(value)

    def _failed(self, record: dict[str, Any], error: BaseException) -> None:
        record["status"] = "error"
        record["error"] = self.describe(error)
        if isinstance(error, UnmetDependency):
            record["unmet"] = True

    def _unpack(self, payload: Sequence[Any]) -> Any:
        return unpack(load(payload), namespace=self._shell.user_ns, travelled=namespace.travelled)

    def _pack(self, value: Any) -> list[Any]:
        # Both copy: the next task may change the very arrays that this one has returned, before they are on the way.
        frames = pack_result(value)
        return (share(frames) if self.shares else None) or detached(frames)

    def _apply(self, payload: Sequence[Any]) -> tuple[Any, None]:
        function, args, kwargs = self._unpack(payload)
        if isinstance(function, dependent):
            function.check()
        return function(*args, **kwargs), None

    def _map(self, payload: Sequence[Any]) -> tuple[list[Any], list[list[Any]]]:
        function, columns, _ = self._unpack(payload)
        return self._each(function, zip(*columns, strict=False))

    def _chunk(self, payload: Sequence[Any]) -> tuple[list[Any], list[list[Any]]]:
        """As a map, of a bundle: the function, and columns of items several times."""
        (function, _, _), *grains = map(self._unpack, unbundle(payload))
        return self._each(function, (items for columns in grains for items in zip(*columns, strict=False)))

    def _each(self, function: Any, arguments: Iterable[tuple[Any, ...]]) -> tuple[list[Any], list[list[Any]]]:
        """A failing item costs its own result and nobody else's (features MAP-05, MAP-06)."""
        values: list[Any] = []
        failures: list[list[Any]] = []
        if isinstance(function, dependent):
            function.check()
        for index, items in enumerate(arguments):
            try:
                values.append(function(*items))
            except UnmetDependency:
                # All of it goes to another engine.
                raise
            except Exception as error:
                values.append(None)
                failures.append([index, self.describe(error, shown=len(failures) < SHOWN_FAILURES)])
        return values, failures

    async def _awaited(self, task_id: str, record: dict[str, Any], awaitable: Awaitable[Any]) -> Outcome:
        frames: list[Any] = []
        task = asyncio.ensure_future(_held(awaitable))
        interrupts: list[bool] = []

        def interrupt() -> None:
            interrupts.append(True)
            task.cancel()

        self._gate.task(task_id, _held.__code__, interrupt)
        try:
            value, leaving = await task
            if leaving is not None:
                raise leaving
            frames = self._pack(value)
        except BaseException as error:
            if interrupts and isinstance(error, asyncio.CancelledError):
                error = KeyboardInterrupt().with_traceback(error.__traceback__)
            self._failed(record, error)
        self._gate.end()
        record["completed"] = time.time()
        return record, frames

    async def _execute(self, task_id: str, code: str) -> Outcome:
        record: dict[str, Any] = {"status": "ok", "started": time.time()}
        sys.last_value = None
        self._gate.task(task_id)
        try:
            reply = await self._kernel.do_execute(code, silent=True, store_history=False)
        except BaseException as error:
            reply = {"status": "error", **self.describe(error)}
        self._gate.end()
        if reply["status"] != "ok":
            record["status"] = "error"
            error = {key: reply[key] for key in ("ename", "evalue", "traceback")}
            raised = sys.last_value
            # The class is that of the exception which IPython has just shown; its name proves that it is the same one.
            error["mro"] = class_names(type(raised)) if type(raised).__name__ == reply["ename"] else []
            self._hint(error, raised)
            record["error"] = error
        record["completed"] = time.time()
        return record, []

    # -- errors -------------------------------------------------------------------------------------------------------

    def describe(self, error: BaseException, shown: bool = True) -> dict[str, Any]:
        """The record of an exception: JSON values only."""
        description = {
            "ename": type(error).__name__,
            "evalue": _text(error),
            "traceback": self._render(error) if shown else [],
            "mro": class_names(type(error)),
        }
        self._hint(description, error)
        return description

    def _hint(self, description: dict[str, Any], error: BaseException | None) -> None:
        name = getattr(error, "name", None)
        if not isinstance(error, NameError) or not name:
            return
        hint = missing_name_hint(name, namespace.travelled)
        if hint:
            description["traceback"] = [*description["traceback"], hint]

    def _render(self, error: BaseException) -> list[str]:
        trace = user_frames(error.__traceback__)
        for cause in _chain(error):
            cause.__traceback__ = user_frames(cause.__traceback__)
        try:
            lines = self._shell.InteractiveTB.structured_traceback(type(error), error, trace, tb_offset=0)
            return list(map(str, lines))
        except Exception:
            return "".join(traceback.format_exception(type(error), error, trace)).splitlines()


async def _held(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """What it returns, or what would leave the event loop and end the kernel: asyncio raises these two there."""
    try:
        return await awaitable, None
    except (SystemExit, KeyboardInterrupt) as error:
        return None, error


def user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of pxkernel."""
    frames = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            frames.append(trace)
        trace = trace.tb_next
    kept: TracebackType | None = None
    for frame in reversed(frames):
        kept = TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return kept


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<its text cannot be had: {type(broken).__name__}>"

