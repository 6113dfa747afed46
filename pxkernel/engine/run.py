"""One task: unpack, call, pack. Its record is what ``protocol.messages.Finished`` describes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from ..errors import UnmetDependency
from ..protocol.bundle import unbundle
from ..protocol.pack import detached, pack_result, unpack
from ..protocol.sharing import load, share
from ..protocol.times import now
from . import namespace
from .dependent import dependent
from .describe import Describer
from .interrupts import InterruptGate

Outcome = tuple[dict[str, Any], list[Any]]


@dataclass(slots=True)
class Mapped:
    """What the items of a map gave.

    Attributes
    ----------
    of
        The name of the map, the same in all of its tasks.
    values
        One for each item, None for one that failed.
    failures
        [index, description of the error] pairs.
    """

    of: Any
    values: list[Any] = field(default_factory=list)
    failures: list[list[Any]] = field(default_factory=list)


class Unreadable:
    """Stands for the arguments of an item: whoever takes them gets the error of unpacking them."""

    def __init__(self, error: Exception):
        self._error = error
        self._trace = error.__traceback__

    def __iter__(self) -> Iterator[Any]:
        raise self._error.with_traceback(self._trace)


class Runner:
    """Runs tasks in the namespace of one kernel.

    ``run`` returns the record and the result's payload, or an awaitable of both for code that awaits.
    """

    def __init__(self, kernel: Any, gate: InterruptGate):
        self._kernel = kernel
        self._shell = kernel.shell
        namespace.user = kernel.shell.user_ns
        self._gate = gate
        self._describer = Describer(kernel.shell)
        # An interrupt that fell into it would be lost, or end the kernel.
        gate.shield(self._describer.describe)
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
            return self._execute(task_id, bytes(payload[0]).decode())
        record: dict[str, Any] = {"status": "ok", "started": now()}
        frames: list[Any] = []
        self._gate.task(task_id, Runner._call.__code__)
        try:
            value, frames = self._call(kind, payload, record)
            if value is not None:
                return self._awaited(task_id, record, value)
        except BaseException as error:
            self._failed(record, error)
        self._gate.end()
        record["completed"] = now()
        return record, frames

    def _call(
        self, kind: str, payload: Sequence[Any], record: dict[str, Any]
    ) -> tuple[Awaitable[Any] | None, list[Any]]:
        """What may be interrupted: an awaitable, or the frames of the result."""
        value = self._kinds[kind](payload)
        return (value, []) if isawaitable(value) else (None, self._pack(value, record))

    def _failed(self, record: dict[str, Any], error: BaseException) -> None:
        record["status"] = "error"
        record["error"] = self._describer.describe(error)
        if isinstance(error, UnmetDependency):
            record["unmet"] = True

    def _unpack(self, payload: Sequence[Any]) -> Any:
        return unpack(load(payload), namespace=self._shell.user_ns, travelled=namespace.travelled)

    def _pack(self, value: Any, record: dict[str, Any]) -> list[Any]:
        """The frames of a result; a map's record is told of the items that have none."""
        if not isinstance(value, Mapped):
            return self._frames(value)
        try:
            frames = self._frames(value.values)
        except Exception:
            self._leave_out(value)
            frames = self._frames(value.values)
        if value.failures:
            record["failures"] = sorted(value.failures, key=lambda failure: failure[0])
        return frames

    def _frames(self, value: Any) -> list[Any]:
        # Both copy: the next task may change the very arrays that this one has returned, before they are on the way.
        frames = pack_result(value)
        return (share(frames) if self.shares else None) or detached(frames)

    def _leave_out(self, mapped: Mapped) -> None:
        """Make failures of the items whose results cannot travel."""
        for index, value in enumerate(mapped.values):
            try:
                pack_result(value)
            except Exception as error:
                mapped.values[index] = None
                mapped.failures.append([index, self._describer.describe_item(error, mapped.of)])

    # -- kinds of tasks -----------------------------------------------------------------------------------------------

    def _apply(self, payload: Sequence[Any]) -> Any:
        function, args, kwargs = self._unpack(payload)
        return _checked(function)(*args, **kwargs)

    def _map(self, payload: Sequence[Any]) -> Mapped | Awaitable[Mapped]:
        function, columns, of = self._unpack(payload)
        return self._each(function, zip(*columns, strict=False), of.get("map"))

    def _chunk(self, payload: Sequence[Any]) -> Mapped | Awaitable[Mapped]:
        """As a map, of a bundle: the function, and columns of items several times."""
        (called, _), *grains = unbundle(load(payload))
        function, _, of = self._unpack(called)
        unpacked: list[list[Any] | tuple[Unreadable, ...]] = []
        for frames, items in grains:
            try:
                unpacked.append(self._unpack(frames))
            except Exception as error:
                # It costs the items that were packed together, and no others.
                if items > 1:
                    error.add_note(f"{items} items of the map were packed together, and one of them cannot be unpacked here")
                unpacked.append((Unreadable(error),) * items)
        # Columns are a list. A zip for each of them beforehand would cost the garbage collector more than all of this.
        rows = (row for columns in unpacked for row in (zip(*columns, strict=False) if type(columns) is list else columns))
        return self._each(function, rows, of.get("map"))

    def _each(
        self, function: Callable[..., Any], arguments: Iterable[Iterable[Any]], of: Any
    ) -> Mapped | Awaitable[Mapped]:
        """A failing item costs its own result and nobody else's (features MAP-05, MAP-06)."""
        function, mapped = _checked(function), Mapped(of)
        if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
            return self._each_awaited(function, arguments, mapped)
        for items in arguments:
            try:
                mapped.values.append(function(*items))
            except Exception as error:
                self._item_failed(mapped, error)
        return mapped

    async def _each_awaited(
        self, function: Callable[..., Any], arguments: Iterable[Iterable[Any]], mapped: Mapped
    ) -> Mapped:
        """One after the other, as an engine does everything."""
        for items in arguments:
            try:
                mapped.values.append(await function(*items))
            except Exception as error:
                self._item_failed(mapped, error)
        return mapped

    def _item_failed(self, mapped: Mapped, error: Exception) -> None:
        if isinstance(error, UnmetDependency):
            # All of it goes to another engine.
            raise error
        mapped.failures.append([len(mapped.values), self._describer.describe_item(error, mapped.of)])
        mapped.values.append(None)

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
            frames = self._pack(value, record)
        except BaseException as error:
            if interrupts and isinstance(error, asyncio.CancelledError):
                error = KeyboardInterrupt().with_traceback(error.__traceback__)
            self._failed(record, error)
        self._gate.end()
        record["completed"] = now()
        return record, frames

    def _shown(self, record: dict[str, Any], reply: dict[str, Any]) -> None:
        """The code has failed, and IPython has rendered its error."""
        raised = sys.last_value
        error = {key: reply[key] for key in ("ename", "evalue", "traceback")}
        error["mro"] = self._describer.classes(raised, reply["ename"])
        self._describer.hint(error, raised)
        record["status"], record["error"] = "error", error

    async def _execute(self, task_id: str, code: str) -> Outcome:
        record: dict[str, Any] = {"status": "ok", "started": now()}
        sys.last_value = None
        self._gate.task(task_id)
        try:
            reply = await self._kernel.do_execute(code, silent=True, store_history=False)
            if reply["status"] != "ok":
                self._shown(record, reply)
        except BaseException as error:
            self._failed(record, error)
        self._gate.end()
        record["completed"] = now()
        return record, []


async def _held(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """What it returns, or what must not leave it as an exception.

    asyncio raises the first two in the event loop, which would end the kernel; a GeneratorExit closes whoever awaits.
    """
    try:
        return await awaitable, None
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        return None, error


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, if this engine has what it depends on."""
    if isinstance(function, dependent):
        function.check()
        return function.f
    return function
