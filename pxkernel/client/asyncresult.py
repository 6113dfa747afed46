"""AsyncResult: the future of one call on one or several engines.

It is a ``concurrent.futures.Future``, so ``wait``, ``as_completed`` and ``asyncio.wrap_future`` take it, and it can be
awaited. It is done when the last reply has come; output may come a moment later, and what needs all of it waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ..errors import CompositeError, NotReadyError, PxkernelError
from ..protocol.pack import unpack
from ..protocol.sharing import load
from . import representation, timing
from .about import About
from .arrivals import OUTPUT_TIMEOUT, Arrivals
from .deadlines import check_interval, deadline, left
from .display import display_outputs
from .outputs import interactive
from .progress import Progress
from .records import ExecuteReply, Part
from .tracking import SendTracker

if TYPE_CHECKING:
    from .client import Client

#: How long ``cancel`` waits to learn what could be taken back, in seconds.
CANCEL_TIMEOUT = 1.0


class AsyncResult(About, Arrivals):
    """What a call without blocking returns (seeds: "async execution"; features AR).

    ``get()`` gives one value for a single engine (``targets=0``), a list in the order of the targets otherwise.
    """

    #: Its results live as long as it does, and nowhere else in this process (features AR-38).
    owner = True
    #: What it calls itself.
    _type_name = "AsyncResult"
    #: What ``progress`` counts.
    _unit = "tasks"

    def __init__(self, client: Client, parts: Sequence[Part], fname: str, single: bool):
        super().__init__(client, parts, fname, single)
        #: Tells when what was sent without a copy has left; None if it was copied.
        self._tracker: SendTracker | None = None
        self._children: tuple[AsyncResult, ...] = ()
        self._assembling = threading.Lock()
        self._assembled = False
        self._value: Any = None

    def __repr__(self) -> str:
        if not self.done():
            state = "pending"
        elif self.cancelled():
            state = "cancelled"
        else:
            state = "failed" if self.exception() is not None else "finished"
        return f"<{self._type_name}: {self._fname}:{state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AsyncResult stays where it is: send what it gives, or its msg_ids for get_result() there")

    def _repr_html_(self) -> str:
        """With a picture of who ran what when."""
        work = timing.serial_time(self._parts)
        return representation.result(self, self._fname, self._parts, self.elapsed, work, self._unit)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None, return_when: str | None = None) -> Any:
        """Wait until ``ready()``, at most ``timeout`` seconds (None or negative: as long as it takes).

        Parameters
        ----------
        return_when
            As for ``concurrent.futures.wait``: FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED (features AR-05).

        Returns
        -------
        bool
            Whether it is ready; with ``return_when`` two sets of AsyncResults, one for each call: done and not done.
            Remote errors are not raised.

        Raises
        ------
        RuntimeError
            The call would wait for the very cell that makes it: an engine that waits for itself.
        ValueError
            ``return_when`` is something else.
        """
        enough = None if return_when is None else self._enough(return_when)
        self._refuse_to_wait_for_myself()
        if enough is not None:
            self._listen(timeout, enough)
            parts = self.split()
            done = {part for part in parts if part.done()}
            return done, set(parts) - done
        if interactive():
            # Here questions of the code that runs are answered.
            return self._listen(timeout, self.done)
        end = deadline(timeout)
        self._look_out(end)
        try:
            super().exception(left(end))
        except CancelledError:
            return True
        except TimeoutError:
            return self.done()
        return True

    def _enough(self, return_when: str) -> Callable[[], bool]:
        conditions: dict[str, Callable[[], bool]] = {
            ALL_COMPLETED: self.done,
            FIRST_COMPLETED: lambda: bool(self._finished) or self.done(),
            FIRST_EXCEPTION: lambda: self._first_error() is not None or self.done(),
        }
        if return_when not in conditions:
            raise ValueError(f"return_when must be one of {', '.join(conditions)}, not {return_when!r}")
        return conditions[return_when]

    def _first_error(self) -> PxkernelError | None:
        errors = (error for part in tuple(self._finished) for error in (part.error, *part.failures.values()))
        return next((error for error in errors if error is not None), None)

    def wait_interactive(
        self,
        interval: float = 0.1,
        timeout: float | None = None,
        widget: bool | None = None,
        return_when: str = ALL_COMPLETED,
    ) -> None:
        """Wait with a progress bar; neither errors nor the end of the time are raised (features AR-29).

        Parameters
        ----------
        interval
            Seconds between two looks.
        timeout
            Seconds; None or negative: as long as it takes.
        widget
            Not needed: one display, which is updated, is the bar in every notebook.
        return_when
            As in ``wait``.

        Raises
        ------
        ValueError
            ``return_when`` is none of these, or ``interval`` is not positive.
        """
        check_interval(interval)
        enough = self._enough(return_when)
        self._refuse_to_wait_for_myself()
        end = deadline(timeout)
        bar = Progress(len(self), self._fname, self._unit, after=0, elapsed=self.elapsed)
        try:
            while not enough() and (seconds := end - time.monotonic()) > 0:
                bar.show(self.progress, len(self._errors()))
                self._listen(min(interval, seconds), enough)
            bar.show(self.progress, len(self._errors()))
        finally:
            bar.close(self.progress, len(self._errors()))

    def _wait_showing(self, timeout: float | None, finished: Callable[[], bool]) -> bool:
        """Wait and, in IPython, show what the engines print meanwhile, to the end of their output."""
        self._refuse_to_wait_for_myself()
        show = interactive()
        is_finished = self._listen(timeout, finished, show=show)
        if show and is_finished and self.done():
            self._show_rest()
        return is_finished

    def _show_rest(self) -> None:
        """In IPython, show what has not been shown, to the end of the output."""
        if interactive():
            self._listen(OUTPUT_TIMEOUT, lambda: not self._unsettled, show=True)

    # -- the result ---------------------------------------------------------------------------------------------------

    def get(
        self, timeout: float | None = None, return_exceptions: bool | None = None, return_when: str | None = None
    ) -> Any:
        """Wait for the result and return it.

        Parameters
        ----------
        timeout
            Seconds; None or negative: as long as it takes.
        return_exceptions
            Put exceptions in the place of the results that failed instead of raising.
        return_when
            FIRST_EXCEPTION: as soon as one call has failed, raise its error. FIRST_COMPLETED has no meaning here and
            only gives a warning: see ``wait`` and ``split`` (features AR-03).

        Raises
        ------
        TimeoutError
            "Result not ready.": ask again.
        RemoteError
            The call failed, on a single engine.
        CompositeError
            The call failed on one or more of several engines.
        EngineError, TaskAborted
            The single engine died, or the task was taken back.
        concurrent.futures.CancelledError
            It was cancelled.
        """
        enough = self.done if return_when is None else self._enough(return_when)
        if return_when == FIRST_COMPLETED:
            warnings.warn("get() needs all results: return_when=FIRST_COMPLETED is ignored", stacklevel=2)
            enough = self.done
        if not self._wait_showing(timeout, enough):
            raise TimeoutError("Result not ready.")
        if return_when == FIRST_EXCEPTION and not return_exceptions and (error := self._first_error()) is not None:
            raise error.with_traceback(None)
        if return_exceptions:
            return self._assemble(self._results(return_exceptions=True))
        if self._exception is not None:
            # Each time from here, or the traceback would grow with every get().
            self._exception.__traceback__ = None
            raise self._exception
        return self._made() if self.done() and not self.cancelled() else self.result()

    def result(self, timeout: float | None = None) -> Any:
        """As ``Future.result``: the value, or the exception raised."""
        self.wait(timeout)
        super().result(0)
        self._show_rest()
        return self._made()

    def _made(self) -> Any:
        """The value, when it is ready."""
        with self._assembling:
            # In the thread that asks, not in the one that receives: unpickling imports modules and runs users' code.
            if not self._assembled:
                self._value = self._assemble(self._results())
                self._assembled = True
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As ``Future.exception``."""
        self.wait(timeout)
        return super().exception(0)

    @property
    def r(self) -> Any:
        """``get()``."""
        return self.get()

    def successful(self) -> bool:
        """Whether no engine raised and nothing was taken back.

        Raises
        ------
        NotReadyError
            It is not ready; a RuntimeError and an AssertionError.
        """
        if not self.done():
            raise NotReadyError("Cannot check successful() if not done.")
        return not self.cancelled() and self.exception() is None

    def get_dict(self, timeout: float | None = None) -> dict[int, Any]:
        """The results by engine id; of a map, for each engine the list of its results.

        Raises
        ------
        ValueError
            Two calls ran on one engine.
        """
        self.get(timeout)
        engines = [part.engine_id for part in self._parts]
        if len(set(engines)) < len(engines):
            twice = next(engine for engine in engines if engines.count(engine) > 1)
            raise ValueError(f"Cannot build dict, {engines.count(twice)} jobs ran on engine #{twice}")
        return dict(zip(engines, self._results(), strict=True))

    @property
    def result_dict(self) -> dict[int, Any]:
        """``get_dict()``."""
        return self.get_dict()

    def _results(self, return_exceptions: bool = False) -> list[Any]:
        return [part.error if return_exceptions and part.error else self._read(part) for part in self._parts]

    def _read(self, part: Part) -> Any:
        if part.method == "execute":
            return ExecuteReply(part)
        try:
            value = unpack(load(part.frames), namespace=self._client.namespace()) if part.frames else None
        except Exception as error:
            error.add_note(f"{self._fname} went well on engine {part.engine_id}; its result cannot be unpickled here.")
            raise
        for index, error in part.failures.items():
            value[index] = error
        return value

    def _assemble(self, values: list[Any]) -> Any:
        return self._bare(values)

    def __await__(self) -> Generator[Any, None, Any]:
        self._refuse_to_wait_for_myself()
        yield from asyncio.wrap_future(self).__await__()
        return self.result()

    # -- one by one ---------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        """The results in order, each as soon as it is there.

        Raises
        ------
        TypeError
            The result is a single one.
        """
        self._refuse_to_iterate()
        self._refuse_to_wait_for_myself()
        return self._iterate()

    def _iterate(self, end: float = math.inf) -> Iterator[Any]:
        """As ``__iter__``; at the moment ``end`` what has not come is a TimeoutError."""
        for number in self._numbers():
            if not self._listen(left(end), lambda number=number: self._nth(number) is not None, show=interactive()):
                raise TimeoutError("Result not ready.")
            yield from self._items(self._nth(number))

    async def __aiter__(self) -> AsyncIterator[Any]:
        """``async for``: as ``for``, while the event loop goes on.

        Raises
        ------
        TypeError
            The result is a single one.
        """
        self._refuse_to_iterate()
        for number in self._numbers():
            await self._listen_async(lambda number=number: self._nth(number) is not None)
            for item in self._items(self._nth(number)):
                yield item

    def _numbers(self) -> Iterator[int]:
        """Counts the parts."""
        return iter(range(len(self._parts)))

    def _refuse_to_iterate(self) -> None:
        if self._single:
            raise TypeError("AsyncResults with a single result are not iterable.")

    def _nth(self, number: int) -> Part | None:
        """The part that an iteration comes to as its ``number``th, None while that is not known or not done."""
        part = self._parts[number]
        return part if part.done else None

    def _items(self, part: Part) -> Iterator[Any]:
        for error in (part.error, *part.failures.values()):
            if error is not None:
                raise error.with_traceback(None)
        yield self._read(part)

    def __getitem__(self, key: Any) -> Any:
        """Results by index or slice when ready, metadata by name at any time (features AR-12, AR-13)."""
        if isinstance(key, str):
            return self._bare([part.metadata()[key] for part in self._parts])
        if isinstance(key, int | slice):
            return self.get()[key]
        raise TypeError(f"Invalid key type {type(key)}, must be 'int','slice', or 'str'")

    # -- parts and wholes ---------------------------------------------------------------------------------------------

    def split(self) -> tuple[AsyncResult, ...]:
        """One AsyncResult for each call, for ``concurrent.futures.wait`` and the like (features AR-37).

        Each has the bare result of its engine; that of a map has a list with the results of its items in it. The same
        objects every time; of a result with one call, itself.
        """
        self._submit_rest()
        if len(self._parts) == 1:
            return (self,)
        with self._lock:
            fresh = not self._children
            if fresh:
                self._children = tuple(self._child(part) for part in self._parts)
        if fresh:
            for child in self._children:
                self._lead(child)
        return self._children

    def _child(self, part: Part) -> AsyncResult:
        return AsyncResult(self._client, [part], self._fname, single=True)

    @classmethod
    def join(cls, *async_results: AsyncResult) -> AsyncResult:
        """One AsyncResult for all calls of several, the inverse of ``split`` (features AR-37).

        Raises
        ------
        ValueError, TypeError
            There is nothing to join, or something that is no AsyncResult.
        """
        if not async_results:
            raise ValueError("Must specify at least one AsyncResult to join")
        for result in async_results:
            if not isinstance(result, AsyncResult):
                raise TypeError(f"AsyncResults can be joined, not {result!r}")
        if len(async_results) == 1:
            return async_results[0]
        for result in async_results:
            result._submit_rest()
        first = async_results[0]
        joined = cls._joined(first, [part for result in async_results for part in result._parts])
        for result in async_results:
            result._lead(joined)
        return joined

    @classmethod
    def _joined(cls, first: AsyncResult, parts: list[Part]) -> Self:
        return cls(first._client, parts, first._fname, single=False)

    # -- taking back --------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Take back what has not started: it fails with TaskAborted.

        Raises
        ------
        RuntimeError
            Everything is done.
        """
        if self.done():
            raise RuntimeError("Can't abort, I am already done!")
        self._client.abort(self, block=False)

    def cancel(self) -> bool:
        """As ``Future.cancel``: take back what has not started (features AR-10).

        Returns
        -------
        bool
            Whether nothing of it has run or ever will: then ``cancelled()`` is true and ``get()`` raises CancelledError.
            False: something has started, and goes on; what has not is aborted all the same, which ``status`` tells.
        """
        if self.done():
            return self.cancelled()
        self._begin_cancel()
        if self._client.in_io_thread or _in_loop_callback():
            return False
        self._listen(CANCEL_TIMEOUT, lambda: self.done() or self._is_too_late())
        return self.cancelled()

    def _is_too_late(self) -> bool:
        """Whether something has started, and the rest is done or has started as well."""
        parts = self._parts
        return any(part.started for part in parts) and all(part.done or part.started for part in parts)

    def _begin_cancel(self) -> None:
        """Take back what has not started, without waiting to learn what that was."""
        self._cancelling = True
        self._client.abort(self, block=False)

    # -- showing ------------------------------------------------------------------------------------------------------

    def display_outputs(self, groupby: str = "type", result_only: bool = False) -> None:
        """Show again what the engines printed and displayed, and the results of their cells (features AR-30).

        Parameters
        ----------
        groupby
            "type": first all that was printed, then all displays, then all results. "engine": everything of one
            engine, then everything of the next. "order": the first output of every engine, then the second of every.
        result_only
            Only the results of cells.

        Raises
        ------
        TimeoutError
            It is not ready.
        ValueError
            ``groupby`` is something else.
        """
        self._check_ready()
        self.wait_for_output()
        display_outputs(self._parts, self._single, groupby, result_only)
        if not result_only:
            self._live.skip()

    @contextlib.contextmanager
    def stream_output(self) -> Iterator[None]:
        """``with ar.stream_output():`` shows output and errors as they come, while the block runs (features AR-31).

        Everything is shown once. Errors go to stderr: the first ``CompositeError.tb_limit`` in full, a line for each other.
        """
        leaving = threading.Event()

        def left() -> bool:
            self._live.show_errors(CompositeError.tb_limit)
            return leaving.is_set()

        thread = threading.Thread(target=self._listen, args=(None, left, True), name="pxkernel-stream", daemon=True)
        thread.start()
        try:
            yield
        finally:
            if self.done():
                self.wait_for_output()
            leaving.set()
            self._notify()
            thread.join()


def _in_loop_callback() -> bool:
    """Whether an event loop runs here and would stand still while we wait: asyncio cancels what it awaited from one."""
    try:
        return asyncio.current_task() is None
    except RuntimeError:
        return False
