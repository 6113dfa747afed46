"""Jobs: calls named by their AsyncResult, any Future, a message id or an index, and waiting for them (features RC-16 to
RC-20)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from typing import Any
from weakref import WeakValueDictionary

from .asyncresult import AsyncResult
from .deadlines import check_interval, deadline, left
from .progress import Progress
from .records import Metadata, Part


class Jobs:
    """What Client inherits to wait for calls and to look them up.

    Attributes
    ----------
    history
        The ids of all calls, in the order of submission.
    """

    history: list[str]
    _session: str
    _submitted: int
    _pending: dict[str, tuple[AsyncResult, Part]]
    _known: WeakValueDictionary[str, AsyncResult]

    @property
    def outstanding(self) -> set[str]:
        """The ids of the calls that have no result yet."""
        # What is only read has another name than its task.
        return {task for task, (_, part) in list(self._pending.items()) if not part.done and part.msg_id == task}

    @property
    def results(self) -> Mapping[str, Any]:
        """The results by message id: of calls that are done and whose AsyncResult somebody still holds (features RC-20).

        A call that failed has its error as result. ``get_result`` finds the others in the controller.
        """
        return _Calls(self._known, lambda result, part: part.error or result._read(part), only_done=True)

    @property
    def metadata(self) -> Mapping[str, Metadata]:
        """The metadata by message id: of calls whose AsyncResult somebody still holds (features RC-20)."""
        return _Calls(self._known, lambda _, part: part.metadata())

    def wait(self, jobs: Any = None, timeout: float | None = None) -> bool:
        """Wait for calls.

        Parameters
        ----------
        jobs
            An AsyncResult or any Future, a message id, an index into ``history``, or an iterable of these. None: all
            that are outstanding.
        timeout
            Seconds; None or negative: as long as it takes.

        Returns
        -------
        bool
            Whether all are done. Remote errors are not raised.

        Raises
        ------
        KeyError, IndexError, TypeError
            A message id is unknown, an index is out of range, a job is none of the above.
        """
        return _wait(self._jobs(jobs), deadline(timeout))

    def wait_interactive(self, jobs: Any = None, interval: float = 1.0, timeout: float | None = None) -> None:
        """As ``wait``, with a progress bar (features RC-17).

        Parameters
        ----------
        interval
            Seconds between two looks.

        Raises
        ------
        ValueError
            ``interval`` is not positive.
        KeyError, IndexError, TypeError
            As ``wait``.
        """
        check_interval(interval)
        found, end = self._jobs(jobs), deadline(timeout)
        sizes = [len(job) if isinstance(job, AsyncResult) else 1 for job in found]

        def done() -> int:
            return sum(
                size if job.done() else job.progress if isinstance(job, AsyncResult) else 0
                for job, size in zip(found, sizes, strict=True)
            )

        bar = Progress(sum(sizes), "jobs", after=0)
        try:
            bar.show(done())
            while not _wait(found, min(end, time.monotonic() + interval)) and time.monotonic() < end:
                bar.show(done())
        finally:
            bar.close(done())

    def _jobs(self, jobs: Any) -> list[Future[Any]]:
        if jobs is None:
            outstanding = self.outstanding
            found = [result for task, (result, _) in list(self._pending.items()) if task in outstanding]
            return list({id(result): result for result in found}.values())
        if isinstance(jobs, Future | str | int) or not isinstance(jobs, Iterable):
            jobs = [jobs]
        return [job for job in map(self._job, jobs) if job is not None]

    def _job(self, job: Any) -> Future[Any] | None:
        if isinstance(job, Future):
            return job
        if isinstance(job, int):
            job = call_at(self.history, job)
        if not isinstance(job, str):
            raise TypeError(f"expected an AsyncResult, a Future, a message id or an index, got {job!r}")
        if job in self._known:
            return self._known[job]
        session, _, number = job.partition(":")
        if session == self._session and number.isdigit() and int(number) < self._submitted:
            return None  # done, and nobody holds its result any more
        raise KeyError(f"no such message: {job}")

    def _ids_of(self, jobs: Any) -> list[str]:
        """The message ids that ``jobs`` names, no others of the same call; those of ``outstanding`` for None."""
        if jobs is None:
            return list(self.outstanding)
        msg_ids: list[str] = []
        for job in [jobs] if isinstance(jobs, Future | str | int) else jobs:
            self._job(job)  # does it exist?
            if isinstance(job, int):
                job = self.history[job]
            if isinstance(job, AsyncResult):
                msg_ids += job.msg_ids
            elif isinstance(job, str):
                msg_ids.append(job)
        return msg_ids

    def _taken_back(self, jobs: Any) -> list[str]:
        """The message ids of jobs of which nothing more is to be submitted."""
        for job in self._jobs(jobs):
            if isinstance(job, AsyncResult):
                job._withdraw()
        return self._ids_of(jobs)


def call_at(history: Sequence[str], index: int) -> str:
    """The id of the call with an index.

    Raises
    ------
    IndexError
        There is none.
    TypeError
        The index is a bool.
    """
    if isinstance(index, bool):
        raise TypeError(f"expected an AsyncResult, a Future, a message id or an index, got {index!r}")
    if not -len(history) <= index < len(history):
        raise IndexError(f"there is no call with index {index}: there have been {len(history)}")
    return history[index]


class _Calls(Mapping[str, Any]):
    """Something about each call that is known, by message id."""

    def __init__(
        self,
        known: WeakValueDictionary[str, AsyncResult],
        read: Callable[[AsyncResult, Part], Any],
        only_done: bool = False,
    ):
        self._known = known
        self._read = read
        self._only_done = only_done

    def __repr__(self) -> str:
        return f"<{len(self)} calls: {list(self)}>"

    def __getitem__(self, msg_id: str) -> Any:
        result = self._known[msg_id]
        part = _part(result, msg_id)
        if self._only_done and not part.done:
            raise KeyError(msg_id)
        return self._read(result, part)

    def __iter__(self) -> Iterator[str]:
        calls = list(self._known.items())
        return (msg_id for msg_id, result in calls if not self._only_done or _part(result, msg_id).done)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _part(result: AsyncResult, msg_id: str) -> Part:
    return next(part for part in result._parts if part.msg_id == msg_id)


def _wait(jobs: list[Future[Any]], end: float) -> bool:
    for job in jobs:
        if isinstance(job, AsyncResult):
            if not job.wait(left(end)):
                return False
        elif not job.done() and not futures.wait([job], left(end)).done:
            return False
    return True
