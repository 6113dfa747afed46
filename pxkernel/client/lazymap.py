"""LazyMap: a map over any iterable, also an endless one, that takes its input as results come (features MAP-08, MAP-09)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any

from .asyncresult import AsyncResult


class LazyMap(Iterator[Any]):
    """The iterator that ``imap`` returns.

    The input is taken in the thread that iterates, at the call and whenever it asks for a result: as many items as keep
    ``most`` calls going, and no more than twice as many as it reads. An error of the input is raised here, after the
    results of what came before it.

    Parameters
    ----------
    submit
        Called with the arguments of each item; its AsyncResult has a single value.
    arguments
        The arguments of the items.
    most
        How many calls may be without a result; 0: any number, all of the input is taken at once.
    ordered
        Whether results come in the order of the input; if not, those that are there first come first.
    return_exceptions
        Give the exceptions of calls that failed instead of raising them.
    """

    def __init__(
        self,
        submit: Callable[..., AsyncResult],
        arguments: Iterable[tuple[Any, ...]],
        most: int,
        ordered: bool,
        return_exceptions: bool,
    ):
        self._submit = submit
        self._arguments = iter(arguments)
        self._most = most
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        #: What has not been given to the user: in the order of the input, or as far as it is done in that in which it was.
        self._waiting: deque[AsyncResult] = deque()
        self._running: set[AsyncResult] = set()
        #: The calls that are done and have not been noted; filled by the I/O thread.
        self._done: SimpleQueue[AsyncResult] = SimpleQueue()
        self._exhausted = False
        self._error: Exception | None = None
        self._fill()

    def __repr__(self) -> str:
        state = "all submitted" if self._exhausted else "taking input"
        return f"<{type(self).__name__}: {state}, {len(self._running)} running>"

    def cancel(self) -> None:
        """Take no more input; the results of what has been submitted still come."""
        self._exhausted = True

    def _fill(self, somebody_waits: bool = False) -> None:
        while not self._exhausted and self._may_submit(somebody_waits):
            try:
                result = self._submit(*next(self._arguments))
            except StopIteration:
                self._exhausted = True
            except Exception as error:
                self._exhausted, self._error = True, error
            else:
                if self._ordered:
                    self._waiting.append(result)
                self._running.add(result)
                result.add_done_callback(self._done.put)

    def _may_submit(self, somebody_waits: bool) -> bool:
        if not self._most:
            return True
        # Results wait for a slow reader in bounded number; if it is the reader who waits, no engine is idle meanwhile.
        unread = len(self._waiting) + (0 if self._ordered else len(self._running))
        return len(self._running) < self._most and (somebody_waits or unread < 2 * self._most)

    def __next__(self) -> Any:
        self._note_done()
        self._fill()
        while (result := self._next_done()) is None:
            if not self._running and not self._waiting:
                error, self._error = self._error, None
                raise error or StopIteration
            self._note(self._done.get())
            self._fill(somebody_waits=True)
        return result.get(return_exceptions=self._return_exceptions)

    def _note_done(self) -> None:
        while not self._done.empty():
            self._note(self._done.get())

    def _note(self, result: AsyncResult) -> None:
        self._running.discard(result)
        if not self._ordered:
            self._waiting.append(result)

    def _next_done(self) -> AsyncResult | None:
        if self._waiting and self._waiting[0] not in self._running:
            return self._waiting.popleft()
        return None
