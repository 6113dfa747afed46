"""GrowingMapResult: the future of a balanced map whose tasks are submitted as others finish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import PxkernelError
from ..protocol.times import duration
from .chunks import Chunks
from .mapresult import AsyncMapResult
from .records import Part

if TYPE_CHECKING:
    from .client import Client

#: ``submit(tasks, make)``: send these tasks, as (payload, items) pairs; ``make`` takes the client and their parts.
Submit = Callable[[Sequence[tuple[Sequence[Any], int]], Callable[["Client", list[Part]], Any]], Any]


class GrowingMapResult(AsyncMapResult):
    """The future of a map with ``chunksize="auto"``.

    Parameters
    ----------
    chunks
        What has not been submitted.
    submit
        Called in the I/O thread when the next tasks may go.
    """

    def __init__(
        self,
        client: Client,
        parts: Sequence[Part],
        fname: str,
        chunks: Chunks,
        submit: Submit,
        return_exceptions: bool,
        ordered: bool,
    ):
        self._chunks = chunks
        self._submit_tasks = submit
        self._growing = threading.RLock()
        self._length = chunks.left + sum(part.size for part in parts)
        super().__init__(client, parts, fname, None, return_exceptions, ordered)

    def __len__(self) -> int:
        return self._length

    def _numbers(self) -> Iterator[int]:
        number = 0
        # Before a part is done, those that follow it are there.
        while number < len(self._parts) or self._chunks.left:
            yield number
            number += 1

    def _finish_part(self, part: Part, record: dict[str, Any], frames: Sequence[Any]) -> None:
        with self._growing:
            if "completed" in record:
                self._chunks.measured(part.size, duration(record))
            on_the_way = len(self._waiting) - 1
            tasks = []
            while self._chunks.left and on_the_way + len(tasks) < self._chunks.most_ahead:
                tasks.append(self._chunks.take())
            self._grow(tasks)
        super()._finish_part(part, record, frames)

    def _grow(self, tasks: Sequence[tuple[Sequence[Any], int]]) -> None:
        if not tasks:
            return
        try:
            self._submit_tasks(tasks, self._take_in)
        except (PxkernelError, RuntimeError) as error:
            # There is no cluster any more, or the client was closed.
            self._give_up(sum(size for _, size in tasks) + self._chunks.clear(), "died", str(error))

    def _take_in(self, client: Client, parts: list[Part]) -> GrowingMapResult:
        self._add_parts(parts)
        return self

    def _submit_rest(self) -> None:
        with self._growing:
            self._grow(list(self._chunks.take_all()))

    def _withdraw(self) -> None:
        with self._growing:
            self._give_up(self._chunks.clear(), "aborted", "it was aborted before it was submitted")

    def _give_up(self, items: int, status: str, reason: str) -> None:
        if items:
            part = Part(f"{self._parts[0].msg_id}-rest", None, "", "apply", "", items, time.time())
            part.settled = True
            self._add_parts([part])
            super()._finish_part(part, {"status": status, "reason": reason, "quiet": True}, ())
