"""AsyncMapResult: the future of a map or of a gather."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from ..errors import CompositeError, PxkernelError, composite_error
from .asyncresult import AsyncResult
from .records import Part

if TYPE_CHECKING:
    from .client import Client


class AsyncMapResult(AsyncResult):
    """The future of a map or of a gather: the parts of all engines joined into one sequence, in the order of the input.

    An item that failed costs its own result: the others are there with ``get(return_exceptions=True)``.
    """

    _type_name = "AsyncMapResult"
    _unit = "items"

    def __init__(
        self,
        client: Client,
        parts: Sequence[Part],
        fname: str,
        join: Callable[[list[Any]], Any] | None = None,
        return_exceptions: bool = False,
        ordered: bool = True,
    ):
        self._join = join
        self._return_exceptions = return_exceptions
        self.ordered = ordered or join is not None
        super().__init__(client, parts, fname, single=False)
        if not self._parts:
            self._value, self._assembled = self._assemble([]), True

    def _error(self) -> CompositeError | None:
        quiet = self._return_exceptions and self._join is None
        return None if quiet else composite_error(self._errors(), self._fname)

    def get(
        self, timeout: float | None = None, return_exceptions: bool | None = None, return_when: str | None = None
    ) -> Any:
        """As ``AsyncResult.get``; exceptions stand in the place of the items that failed."""
        return super().get(timeout, return_exceptions or self._return_exceptions, return_when)

    def _child(self, part: Part) -> AsyncResult:
        return AsyncResult(self._client, [part], self._fname, single=False)

    @classmethod
    def _joined(cls, first: AsyncResult, parts: list[Part]) -> Self:
        return cls(first._client, parts, first._fname)

    def _nth(self, number: int) -> Part | None:
        if self.ordered:
            return super()._nth(number)
        return self._finished[number] if number < len(self._finished) else None

    def _results(self, return_exceptions: bool = False) -> list[Any]:
        if self._join is not None:
            return super()._results(return_exceptions)
        return [self._filled(part) for part in self._parts]

    def _filled(self, part: Part) -> list[Any]:
        if part.error is not None:
            return [part.error] * part.size
        return list(self._read(part))

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
