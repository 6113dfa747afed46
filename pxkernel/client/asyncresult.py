"""AsyncResult: the future of one call on one or several engines.

It is a ``concurrent.futures.Future``, so ``wait``, ``as_completed`` and ``asyncio.wrap_future`` take it, and it can be
awaited. It is done when the last reply has come; output may come a moment later, and what needs all of it waits for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ..errors import CompositeError, PxkernelError, composite_error
from ..protocol import here
from ..protocol.pack import unpack
from ..protocol.wire import raw
from .outputs import Printer, interactive
from .prompts import answer
from .records import ExecuteReply, Metadata, Part
from .tracking import SendTracker

if TYPE_CHECKING:
    from .client import Client

#: How long output may take after the last reply, in seconds: its end is announced, this is for engines that vanish.
OUTPUT_TIMEOUT = 10.0


class NotReadyError(RuntimeError, AssertionError):
    """``successful()`` was asked too early: RuntimeError in ipyparallel, AssertionError in multiprocessing."""


class AsyncResult(Future[Any]):
    """What a call without blocking returns (seeds: "async execution"; features AR).

    ``get()`` gives one value for a single engine (``targets=0``), a list in the order of the targets otherwise.
    """

    def __init__(self, client: Client, parts: Sequence[Part], fname: str, single: bool):
        super().__init__()
        self.set_running_or_notify_cancel()
        self._client = client
        self._parts = list(parts)
        self._fname = fname
        self._single = single
        self._pending = len(self._parts)
        #: (part, output) of all parts in the order of arrival, and how many of them have been shown.
        self._arrived: list[tuple[Part, tuple[str, dict[str, Any], list[Any]]]] = []
        self._shown = 0
        #: How many parts have had their result shown.
        self._results_shown = 0
        self._printer = Printer()
        #: Tells when what was sent without a copy has left; None if it was copied.
        self._tracker: SendTracker | None = None
        #: Questions of running code that have not been put to the user: (part, content of the input_request).
        self._prompts: deque[tuple[Part, bytes]] = deque()
        self._listeners: list[SimpleQueue[None]] = []
        self._lock = threading.Lock()
        self._value: Any = None
        self._assembled = False
        if not self._parts:
            self.set_result(None)

    def __repr__(self) -> str:
        if not self.done():
            state = "pending"
        else:
            state = "failed" if self.exception() is not None else "finished"
        return f"<{type(self).__name__}: {self._fname}:{state}>"

    # -- called in the I/O thread -------------------------------------------------------------------------------------

    def _finish_part(self, part: Part, record: dict[str, Any], frames: Sequence[Any]) -> None:
        part.finish(record, frames, time.time())
        # After a loss the thread that submits fails its own call.
        with self._lock:
            self._pending -= 1
            is_last = not self._pending
        if is_last:
            error = self._error()
            if error is None:
                self.set_result(None)
            else:
                self.set_exception(error)
        self._notify()

    def _add_output(self, part: Part, msg_type: str, payload: Sequence[Any]) -> None:
        self._arrived.append((part, part.add_output(msg_type, payload)))
        self._notify()

    def _add_prompt(self, part: Part, content: bytes) -> None:
        self._prompts.append((part, content))
        self._notify()

    def _settle_part(self, part: Part, dropped: int) -> None:
        part.dropped = dropped
        part.settled = True
        self._notify()

    def _notify(self) -> None:
        for listener in tuple(self._listeners):
            listener.put(None)

    def _errors(self) -> list[PxkernelError]:
        return [error for part in self._parts for error in (part.error, *part.failures.values()) if error]

    def _error(self) -> PxkernelError | None:
        errors = self._errors()
        if self._single and len(errors) == 1:
            return errors[0]
        return composite_error(errors, self._fname)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether every engine has answered."""
        return self.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until ``ready()``, at most ``timeout`` seconds (None or negative: as long as it takes).

        Returns
        -------
        bool
            Whether it is ready. Remote errors are not raised.

        Raises
        ------
        RuntimeError
            The call would wait for the very cell that makes it: an engine that waits for itself.
        """
        self._refuse_to_wait_for_myself()
        if interactive():
            # Here questions of the code that runs are answered.
            return self._listen(timeout, self.done)
        try:
            super().exception(None if timeout is None or timeout < 0 else timeout)
        except CancelledError:
            return True
        except TimeoutError:
            return self.done()
        return True

    def wait_for_output(self, timeout: float | None = OUTPUT_TIMEOUT) -> bool:
        """Wait until all output has come as well, at most ``timeout`` seconds; whether it has."""
        return self._listen(timeout, lambda: self.done() and all(part.settled for part in self._parts))

    @property
    def sent(self) -> bool:
        """Whether the arrays of the call may be changed: at once, unless it was made with ``track`` (features AR-36)."""
        return self._tracker is None or self._tracker.done

    def wait_for_send(self, timeout: float | None = None) -> None:
        """Wait until ``sent``, at most ``timeout`` seconds (None or negative: as long as it takes).

        Raises
        ------
        TimeoutError
            It is not sent in time.
        """
        if self._tracker is None:
            return
        self._client.refuse_io_thread()
        if not self._tracker.wait(timeout):
            raise TimeoutError("Still waiting to be sent")

    #: The name in seed 004.
    wait_on_send = wait_for_send

    def _listen(self, timeout: float | None, finished: Callable[[], bool], show: bool = False) -> bool:
        """Wait for ``finished``, which can change with every message; show output as it comes."""
        deadline = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        listener: SimpleQueue[None] = SimpleQueue()
        self._listeners.append(listener)
        try:
            while True:
                if show:
                    self._show_new()
                self._answer_prompts()
                if finished():
                    if show:
                        self._show_new()
                    return True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                try:
                    listener.get(timeout=left)
                except Empty:
                    return finished()
        finally:
            self._listeners.remove(listener)

    def _refuse_to_wait_for_myself(self) -> None:
        """Waiting is impossible in the thread that would end it, and in the cell that the engine is busy with."""
        if self.done():
            return
        self._client.refuse_io_thread()
        if here.engine is None or threading.current_thread() is not threading.main_thread():
            return
        directory, engine = here.engine
        if directory == self._client.directory and any(p.engine_id == engine and not p.done for p in self._parts):
            raise RuntimeError(
                f"this cell runs on engine {engine} and would wait for a call to engine {engine}, that is for itself: "
                "use block=False, or targets without it"
            )

    def _wait_showing(self, timeout: float | None = None) -> bool:
        """Wait and, in IPython, show what the engines print meanwhile, to the end of their output."""
        if not interactive():
            return self.wait(timeout)
        self._refuse_to_wait_for_myself()
        done = self._listen(timeout, self.done, show=True)
        if done:
            self._show_rest()
        return done

    def _show_rest(self) -> None:
        """In IPython, show what has not been shown, to the end of the output."""
        if interactive():
            self._listen(OUTPUT_TIMEOUT, lambda: all(part.settled for part in self._parts), show=True)

    def _show_new(self) -> None:
        """Show what has arrived: output as it comes, results in the order of the engines."""
        while self._shown < len(self._arrived):
            part, (msg_type, content, _) = self._arrived[self._shown]
            self._shown += 1
            if msg_type != "execute_result":
                self._printer.show(part.engine_id, msg_type, content)
        while self._results_shown < len(self._parts) and (part := self._parts[self._results_shown]).done:
            self._results_shown += 1
            if part.execute_result is not None:
                self._printer.show(part.engine_id, "execute_result", part.execute_result)
        for part in self._parts:
            if part.dropped and not part.dropped_shown:
                part.dropped_shown = True
                self._printer.show(part.engine_id, "stream", {"name": "stderr", "text": part.notice})

    def _answer_prompts(self) -> None:
        """In IPython, put to the user what the code that runs has asked."""
        while self._prompts and interactive():
            part, content = self._prompts.popleft()
            if not part.done:
                self._printer.end_line()
                self._client.reply_input(part.msg_id, answer(part.engine_id, content))

    # -- the result ---------------------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None, return_exceptions: bool = False) -> Any:
        """Wait for the result and return it.

        Parameters
        ----------
        timeout
            Seconds; None or negative: as long as it takes.
        return_exceptions
            Put exceptions in the place of the results that failed instead of raising.

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
        """
        if not self._wait_showing(timeout):
            raise TimeoutError("Result not ready.")
        if return_exceptions:
            return self._assemble(self._results(return_exceptions=True))
        if self._exception is not None:
            # Each time from here, or the traceback would grow with every get().
            self._exception.__traceback__ = None
            raise self._exception
        return self.result()

    def result(self, timeout: float | None = None) -> Any:
        """As ``Future.result``: the value, or the exception raised."""
        self.wait(timeout)
        super().result(0)
        self._show_rest()
        with self._lock:
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
        """Whether no engine raised.

        Raises
        ------
        NotReadyError
            It is not ready; a RuntimeError and an AssertionError.
        """
        if not self.done():
            raise NotReadyError("Cannot check successful() if not done.")
        return self.exception() is None

    def get_dict(self, timeout: float | None = None) -> dict[int, Any]:
        """The results by engine id.

        Raises
        ------
        ValueError
            Two calls ran on one engine.
        """
        values = self.get(timeout)
        engines = [part.engine_id for part in self._parts]
        if len(set(engines)) < len(engines):
            twice = next(engine for engine in engines if engines.count(engine) > 1)
            raise ValueError(f"Cannot build dict, {engines.count(twice)} jobs ran on engine #{twice}")
        return {engines[0]: values} if self._single else dict(zip(engines, values, strict=True))

    def _results(self, return_exceptions: bool = False) -> list[Any]:
        return [part.error if return_exceptions and part.error else self._read(part) for part in self._parts]

    def _read(self, part: Part) -> Any:
        if part.method == "execute":
            return ExecuteReply(part)
        return unpack(list(map(raw, part.frames)), namespace=self._client.namespace()) if part.frames else None

    def _bare(self, values: list[Any]) -> Any:
        """A list with one value for each engine, or the bare value of the single one."""
        return values[0] if self._single else values

    _assemble = _bare

    def __await__(self) -> Generator[Any, None, Any]:
        self._refuse_to_wait_for_myself()
        yield from asyncio.wrap_future(self).__await__()
        return self.result()

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Any]:
        """The results in order, each as soon as it is there.

        Raises
        ------
        TypeError
            The result is a single one.
        """
        if self._single:
            raise TypeError("AsyncResults with a single result are not iterable.")
        self._refuse_to_wait_for_myself()
        for part in self._parts:
            self._listen(None, lambda part=part: part.done, show=interactive())
            yield from self._items(part)

    def _items(self, part: Part) -> Iterator[Any]:
        if part.error is not None:
            raise part.error
        yield self._read(part)

    def __getitem__(self, key: Any) -> Any:
        """Results by index or slice when ready, metadata by name at any time (features AR-12, AR-13)."""
        if isinstance(key, str):
            return self._bare([part.metadata()[key] for part in self._parts])
        if isinstance(key, int | slice):
            return self.get()[key]
        raise TypeError(f"Invalid key type {type(key)}, must be 'int','slice', or 'str'")

    # -- what is known of it ------------------------------------------------------------------------------------------

    @property
    def msg_ids(self) -> list[str]:
        """One id for each engine."""
        return [part.msg_id for part in self._parts]

    @property
    def metadata(self) -> Metadata | list[Metadata]:
        """The metadata of the single call, or a list with that of each."""
        return self._bare([part.metadata() for part in self._parts])

    @property
    def stdout(self) -> Any:
        """What the engines printed: a string, or a list of strings. Waits for the end of output once it is ready."""
        self._output_is_complete()
        return self._bare([part.text("stdout") for part in self._parts])

    @property
    def stderr(self) -> Any:
        """As ``stdout``, for the error stream."""
        self._output_is_complete()
        return self._bare([part.text("stderr") for part in self._parts])

    @property
    def outputs(self) -> Any:
        """The display_data contents of each engine."""
        self._output_is_complete()
        return self._bare([part.displays for part in self._parts])

    def _output_is_complete(self) -> None:
        if self.done():
            self.wait_for_output()

    @property
    def engine_id(self) -> Any:
        """The engine, or the list of engines, that the call went to."""
        return self._bare([part.engine_id for part in self._parts])

    @property
    def engine_uuid(self) -> Any:
        return self._bare([part.engine_uuid for part in self._parts])

    @property
    def status(self) -> Any:
        """"ok", "error" or "aborted", None before."""
        return self["status"]

    @property
    def progress(self) -> int:
        """How many calls (items, for a map) are done."""
        return sum(part.size for part in self._parts if part.done)

    @property
    def elapsed(self) -> float:
        """Seconds from the submission to now, or to the arrival of the last result."""
        if not self._parts:
            return 0.0
        end = max(part.received or 0.0 for part in self._parts) if self.done() else time.time()
        return end - min(part.submitted for part in self._parts)

    def abort(self) -> None:
        """Take back what has not started: it fails with TaskAborted.

        Raises
        ------
        RuntimeError
            Everything is done.
        """
        if self.done():
            raise RuntimeError("Can't abort, I am already done!")
        self._client.abort(self)

    def display_outputs(self) -> None:
        """Show again what the engines printed and displayed, and their results.

        Raises
        ------
        TimeoutError
            It is not ready.
        """
        if not self.done():
            raise TimeoutError("result not ready")
        self.wait_for_output()
        self._shown = self._results_shown = 0
        self._printer = Printer()
        self._show_new()


class AsyncMapResult(AsyncResult):
    """The future of a map or of a gather: the parts of all engines joined into one sequence, in the order of the input.

    An item that failed costs its own result: the others are there with ``get(return_exceptions=True)``.
    """

    def __init__(
        self,
        client: Client,
        parts: Sequence[Part],
        fname: str,
        join: Callable[[list[Any]], Any] | None = None,
        return_exceptions: bool = False,
    ):
        self._join = join
        self._return_exceptions = return_exceptions
        super().__init__(client, parts, fname, single=False)
        if not self._parts:
            self._value, self._assembled = self._assemble([]), True

    def _error(self) -> CompositeError | None:
        quiet = self._return_exceptions and self._join is None
        return None if quiet else composite_error(self._errors(), self._fname)

    def get(self, timeout: float | None = None, return_exceptions: bool = False) -> Any:
        """As ``AsyncResult.get``; exceptions stand in the place of the items that failed."""
        return super().get(timeout, return_exceptions or self._return_exceptions)

    def _results(self, return_exceptions: bool = False) -> list[Any]:
        if self._join is not None:
            return super()._results(return_exceptions)
        return [self._filled(part) for part in self._parts]

    def _filled(self, part: Part) -> list[Any]:
        if part.error is not None:
            return [part.error] * part.size
        values = list(self._read(part))
        for index, error in part.failures.items():
            values[index] = error
        return values

    def _assemble(self, values: list[Any]) -> Any:
        if self._join is not None:
            return self._join(values)
        return [item for part in values for item in part]

    def __len__(self) -> int:
        return sum(part.size for part in self._parts)

    def _items(self, part: Part) -> Iterator[Any]:
        if self._join is not None:
            yield from self._join([*super()._items(part)])
            return
        for item in self._filled(part):
            if isinstance(item, PxkernelError) and not self._return_exceptions:
                raise item
            yield item
