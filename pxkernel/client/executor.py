"""ViewExecutor: the engines of a view as a ``concurrent.futures.Executor`` (features EXE).

    with view.executor as executor:
        for result in executor.map(f, range(100), timeout=60): ...

    await asyncio.get_running_loop().run_in_executor(view.executor, f, 1)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .asyncresult import AsyncResult
from .deadlines import deadline

if TYPE_CHECKING:
    from .viewbase import View


class ViewExecutor(futures.Executor):
    """Calls functions on the engines of a view; it never stops engines.

    What it submits is an AsyncResult, hence a Future: with a LoadBalancedView or a view of one engine its result is bare,
    with a view of several engines it is a list.
    """

    def __init__(self, view: View):
        #: The view that calls go to.
        self.view = view
        self._calls: WeakSet[AsyncResult] = WeakSet()
        self._is_shut_down = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.view!r}>"

    @property
    def _max_workers(self) -> int:
        """How many engines there are; others than us look at it, joblib and Dask among them."""
        return len(self.view)

    @property
    def is_shut_down(self) -> bool:
        """Whether it takes no more calls."""
        return self._is_shut_down

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """``view.apply_async(fn, *args, **kwargs)`` (features EXE-02).

        Raises
        ------
        RuntimeError
            The executor was shut down.
        """
        return self._submitted(lambda: self.view.apply_async(fn, *args, **kwargs))

    def map(  # type: ignore[override]
        self, fn: Callable[..., Any], /, *iterables: Any, timeout: float | None = None, chunksize: int | None = None
    ) -> Iterator[Any]:
        """``map(fn, *iterables)``, everything submitted at once (features EXE-03).

        Parameters
        ----------
        timeout
            Seconds from now until the last result; None: as long as it takes.
        chunksize
            Items that travel together; None: as the view's ``map`` chooses.

        Returns
        -------
        An iterator of the results in the order of the input. An item that failed raises its error in its place. What
        has not started when the iterator is closed, or when the time is over, is cancelled.

        Raises
        ------
        TimeoutError
            By the iterator: the time is over.
        ValueError
            ``chunksize`` is less than 1.
        RuntimeError
            The executor was shut down.
        """
        end = deadline(timeout)
        options = {} if chunksize is None else {"chunksize": chunksize}
        return _results(self._submitted(lambda: self.view.map_async(fn, *iterables, **options)), end)

    def _submitted(self, submit: Callable[[], AsyncResult]) -> Any:
        # Under the lock, so that nothing is submitted that shutdown() does not see.
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            call = submit()
            self._calls.add(call)
        return call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the engines go on (features EXE-04).

        Parameters
        ----------
        wait
            Return when everything that was submitted is done.
        cancel_futures
            Cancel what has not started; what could be cancelled is known a moment later.
        """
        with self._lock:
            self._is_shut_down = True
            calls = list(self._calls)
        if cancel_futures:
            for call in calls:
                if not call.done():
                    call._begin_cancel()
        if wait:
            futures.wait(calls)


def _results(call: AsyncResult, end: float) -> Iterator[Any]:
    try:
        yield from call._iterate(end)
    finally:
        if not call.done():
            call._begin_cancel()
