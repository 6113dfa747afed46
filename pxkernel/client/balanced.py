"""LoadBalancedView: each call goes to the engine that has least to do (seed 004; features LB)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ..protocol import here, partition
from ..protocol.pack import pack_call
from .asyncresult import AsyncResult
from .chunks import Chunks
from .dependency import Dependency, as_dependency
from .flags import seconds
from .growing import GrowingMapResult
from .lazymap import LazyMap
from .mapresult import AsyncMapResult
from .records import Part
from .viewbase import View, name_of

if TYPE_CHECKING:
    from .client import Client
    from .targets import Targets


class LoadBalancedView(View):
    """Any engine, or any of some: the controller chooses for each call.

    Attributes
    ----------
    targets
        The engines that calls may go to: an id, a list of ids or a slice. None or "all": any.
    after
        Calls that must have succeeded before a call of this view starts: an AsyncResult, a message id, a collection of
        these, or a Dependency. None: nothing.
    follow
        In the same forms, calls to whose engine a call of this view goes.
    timeout
        Seconds that a call may wait for what it depends on and for an engine; 0 or None: for ever. How long it may run
        is its ``time_limit``.
    retries
        How often a call that has failed, or whose engine has died, runs again, on any engine.
    time_limit
        As in every View. What has exceeded it has failed, and runs again if there are ``retries``. The tasks of a map have
        one item each then.
    block, track, label, history
        As in every View.

    A call can wait for other calls, direct or balanced ones, of any client. What cannot be had any more is not waited
    for: the call fails with ImpossibleDependency. An engine that makes balanced calls gets none of them itself.
    """

    _flags: ClassVar[frozenset[str]] = View._flags | {"after", "follow", "timeout", "retries"}
    balances = True

    def __init__(self, client: Client, targets: Targets = None, *, block: bool = False):
        super().__init__(client, targets, block=block)
        self._after: Dependency | None = None
        self._follow: Dependency | None = None
        self._timeout = 0.0
        self._retries = 0

    # -- flags --------------------------------------------------------------------------------------------------------

    @property
    def after(self) -> Dependency | None:
        return self._after

    @after.setter
    def after(self, value: Any) -> None:
        self._after = as_dependency(value)

    @property
    def follow(self) -> Dependency | None:
        return self._follow

    @follow.setter
    def follow(self, value: Any) -> None:
        self._follow = as_dependency(value)

    @property
    def timeout(self) -> float:
        return self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._timeout = seconds(value, "timeout")

    @property
    def retries(self) -> int:
        return self._retries

    @retries.setter
    def retries(self, value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"retries must be an int, not {value!r}")
        if value < 0:
            raise ValueError(f"Invalid retries: {value}")
        self._retries = value

    def _terms(self, f: Callable[..., Any], kind: str) -> dict[str, Any]:
        """The fields of ``core.Terms`` for a call of ``f``.

        Raises
        ------
        IndexError, NoEnginesRegistered
            There is none of the engines.
        """
        engines, _ = self._resolve()
        family = f"{kind} {getattr(f, '__module__', '')}.{getattr(f, '__qualname__', type(f).__qualname__)}"
        terms: dict[str, Any] = {"family": family}
        if self.targets is not None and self.targets != "all":
            terms["targets"] = engines
        if here.engine is not None and here.engine[0] == self.client.directory:
            # It may be about to wait for the result, and would wait for itself.
            terms["avoid"] = here.engine[1]
        for name, rule in (("after", self._after), ("follow", self._follow)):
            if rule:
                terms[name] = [sorted(rule), rule.all, rule.success, rule.failure]
        if self._timeout:
            terms["timeout"] = self._timeout
        if self._retries:
            terms["retries"] = self._retries
        return terms

    # -- calling functions --------------------------------------------------------------------------------------------

    def _apply(self, f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], block: bool | None) -> Any:
        name = name_of(f, "apply")
        payload = pack_call(f, tuple(args), dict(kwargs))

        def make(client: Client, parts: list[Part]) -> AsyncResult:
            return AsyncResult(client, parts, name, single=True)

        return self._submit("apply", [(payload, [None])], make, block, terms=self._terms(f, "apply"))

    # -- mapping ------------------------------------------------------------------------------------------------------

    def map(
        self,
        f: Callable[..., Any],
        /,
        *sequences: Any,
        block: bool | None = None,
        chunksize: int | str = "auto",
        ordered: bool = True,
        return_exceptions: bool = False,
        label: str | None = None,
    ) -> Any:
        """``list(map(f, *sequences))``, in chunks that go to one engine each (features MAP-02).

        An item that fails costs its own result only. Sequences of unequal length are cut to the shortest.

        Parameters
        ----------
        chunksize
            Items for one task. "auto": few at first, then as many as take some tens of milliseconds; one, if there are
            ``retries`` or a ``time_limit``.
        ordered
            Whether iterating over the result keeps the order of the input; if not, it gives what is there first. The list
            of all results is always in order.
        return_exceptions
            Put exceptions in the place of the results that failed.
        label
            A text that is kept with each task; None: the view's.

        Returns
        -------
        An AsyncMapResult, or with ``block`` the list of results in the order of the input.

        Raises
        ------
        TypeError
            There is no sequence, or ``f`` cannot be called.
        ValueError
            ``chunksize`` is neither "auto" nor a positive int.
        CompositeError
            With ``block``: one member for every item that failed.
        """
        name = name_of(f, "map")
        columns, length = partition.columns(sequences)
        terms = self._terms(f, "map")
        if chunksize == "auto":
            chunks = Chunks(f, columns, length, len(self), single=bool(self.retries or self.time_limit))
            return self._map_growing(name, chunks, terms, block, return_exceptions, ordered, label)
        blocks = ((None, bounds) for bounds in partition.chunk_bounds(length, chunksize))
        options = {"return_exceptions": return_exceptions, "ordered": ordered, "terms": terms, "label": label}
        return self._submit_map(f, columns, blocks, block, **options)

    def _map_growing(
        self,
        name: str,
        chunks: Chunks,
        terms: dict[str, Any],
        block: bool | None,
        return_exceptions: bool,
        ordered: bool,
        label: str | None,
    ) -> Any:
        label, limit = self.label if label is None else label, self.time_limit

        def submit(tasks: Sequence[tuple[Sequence[Any], int]], make: Callable[[Client, list[Part]], Any]) -> AsyncMapResult:
            """Later tasks go with the flags of the first ones."""
            calls = [(payload, [None]) for payload, _ in tasks]
            sizes = [size for _, size in tasks]

            def noted(client: Client, parts: list[Part]) -> Any:
                self.history += [part.msg_id for part in parts]
                return make(client, parts)

            return self.client.submit(  # type: ignore[no-any-return]
                "chunk", calls, noted, sizes=sizes, label=label, terms=terms, time_limit=limit
            )

        def make(client: Client, parts: list[Part]) -> GrowingMapResult:
            return GrowingMapResult(client, parts, name, chunks, submit, return_exceptions, ordered)

        first = [chunks.take() for _ in range(min(chunks.most_ahead, chunks.left))]
        result = submit(first, make)
        return self.get_blocking(result) if (self.block if block is None else block) else result

    def imap(
        self,
        f: Callable[..., Any],
        /,
        *sequences: Iterable[Any],
        ordered: bool = True,
        max_outstanding: int | str = "auto",
        return_exceptions: bool = False,
    ) -> LazyMap:
        """Iterate over the results of ``f`` for each item, taking the input only as fast as results come (features MAP-08).

        Parameters
        ----------
        sequences
            Any iterables, also endless ones; the first items are taken, and submitted, at this call.
        ordered
            Whether results come in the order of the input; if not, those that are there first come first.
        max_outstanding
            How many calls may be without a result; "auto": as many as there are engines, 0: any number.
        return_exceptions
            Give the exceptions of calls that failed instead of raising them.

        Returns
        -------
        LazyMap
            An iterator. Its ``cancel()`` ends the input. An error of the input is raised after the results of what came
            before it.

        Raises
        ------
        TypeError
            There is no sequence, or ``f`` cannot be called.
        ValueError
            ``max_outstanding`` is neither "auto" nor an int of at least 0.
        """
        name_of(f, "imap")
        if not sequences:
            raise TypeError("must have some sequences to map onto!")
        most = len(self) if max_outstanding == "auto" else max_outstanding
        if not isinstance(most, int) or isinstance(most, bool) or most < 0:
            raise ValueError(f"max_outstanding must be 'auto' or an int of at least 0, not {max_outstanding!r}")
        # With the flags that the view has now, whatever becomes of them.
        submit = partial(copy(self).apply_async, f)
        return LazyMap(submit, zip(*sequences, strict=False), most, ordered, return_exceptions)

    def _apply_to_parts(
        self, f: Callable[..., Any], sequences: Sequence[Any], *, dist: str, chunksize: int | None, return_exceptions: bool
    ) -> Any:
        """``f`` once for each ``chunksize`` elements of the sequences, by default for each (features RF-07)."""
        bounds = partition.chunk_bounds(len(sequences[0]), 1 if chunksize is None else chunksize)
        columns = [list(sequence) if isinstance(sequence, range) else sequence for sequence in sequences]
        parts = ((None, [column[start:stop] for column in columns]) for start, stop in bounds)
        terms = self._terms(f, "parallel")
        return self._submit_parts(f, parts, partition.join_results, return_exceptions, terms=terms)

    def register_joblib_backend(self, name: str = "pxkernel", make_default: bool = False) -> None:
        """Have joblib run on this view's engines, ``joblib.parallel_config(name)`` (features JOB-02).

        Raises
        ------
        ModuleNotFoundError
            joblib is not installed.
        """
        # joblib is optional.
        from ..joblib import register_view

        register_view(self, name, make_default)
