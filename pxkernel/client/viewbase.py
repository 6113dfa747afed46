"""View: what all views of engines have in common: ``apply``, ``map``, waiting (features VW)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from ..protocol.pack import pack_block, pack_call
from ..protocol.standins import Reference
from . import representation
from .asyncresult import AsyncResult
from .executor import ViewExecutor
from .flags import Flags
from .jobs import call_at
from .mapresult import AsyncMapResult
from .records import Part
from .remotefunction import ParallelFunction, RemoteFunction, parallel, remote
from .stopping import stop

if TYPE_CHECKING:
    from .client import Client
    from .targets import Targets


class View(Flags, ABC):
    """Some engines of a cluster, and how calls go to them.

    A subclass says how in ``_apply`` and ``map``, and adds flags of its own.

    Attributes
    ----------
    targets
        The engines: an id, a list of ids, a slice or "all".
    block
        Whether calls wait for their result.
    track
        Whether arrays are sent without a copy also when the call does not wait; ``ar.sent`` says when they may be changed.
    label
        A text that is kept with each call.
    time_limit
        Seconds that each task may run; None: any number. One that runs longer is interrupted and fails with
        TimeLimitExceeded. If it cannot be interrupted, as a long call of a C library, it fails three seconds later, and its
        engine is busy until it ends. A call is one task on each engine; so is a block of items of ``DirectView.map``.
    history
        The ids of the calls made through this view, in the order of submission.
    """

    #: Whether calls go to one engine of the targets instead of to all.
    balances: ClassVar[bool] = False

    def __init__(self, client: Client, targets: Targets = "all", *, block: bool = False):
        super().__init__(targets, block)
        self.client = client
        self._executor: ViewExecutor | None = None
        self.history: list[str] = []

    def __repr__(self) -> str:
        text = str(self.targets)
        return f"<{type(self).__name__} {text if len(text) <= 16 else text[:12] + '...]'}>"

    def _repr_html_(self) -> str:
        """With what the engines are doing."""
        return representation.engines(self, lambda: self.client.top(self.targets, representation.PATIENCE))

    def __len__(self) -> int:
        return len(self.client.resolve(self.targets)[0])

    # -- calling functions --------------------------------------------------------------------------------------------

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``f(*args, **kwargs)`` on the engines: on every target of a DirectView, on one of a LoadBalancedView.

        A function defined in the notebook sees the engine's namespace as its globals; what it uses that the engine does
        not have travels along.

        Returns
        -------
        An AsyncResult, or with ``block`` the value (one target) or the list of values in the order of the targets.

        Raises
        ------
        TypeError, pickle.PicklingError
            The function or an argument cannot be sent; the text names it.
        RemoteError, CompositeError
            With ``block``: it failed there.
        """
        return self._apply(f, args, kwargs, self.block)

    def apply_async(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """As ``apply``, never blocking."""
        return self._apply(f, args, kwargs, False)  # type: ignore[no-any-return]

    def apply_sync(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As ``apply``, always blocking."""
        return self._apply(f, args, kwargs, True)

    @abstractmethod
    def _apply(self, f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], block: bool | None) -> Any:
        """Called by ``apply`` and its relatives; ``block`` None means the view's."""

    def _resolve(self, targets: Targets = None) -> tuple[list[int], bool]:
        """As ``Client.resolve``, by default of this view's targets.

        Raises
        ------
        IndexError
            There are none.
        """
        engines, single = self.client.resolve(self._or_own(targets))
        if not engines:
            raise IndexError("this view has no engines")
        return engines, single

    def _submit(
        self,
        kind: str,
        calls: Sequence[tuple[Sequence[Any], Sequence[int]]],
        make: Callable[[Client, list[Part]], Any],
        block: bool | None,
        *,
        track: bool | None = None,
        label: str | None = None,
        time_limit: float | None = None,
        bare: bool = True,
        **options: Any,
    ) -> Any:
        """Submit calls and, if the view blocks, wait for the result; None means the view's flag.

        An interrupt while it blocks interrupts the calls on the engines. ``bare`` is whether it then returns the value and
        not the AsyncResult. The options are those of ``Client.submit``.
        """
        blocking = self.block if block is None else block
        tracked = self.track if track is None else track
        options["label"] = self.label if label is None else label
        options["time_limit"] = self.time_limit if time_limit is None else time_limit
        # Else the caller may write to its arrays before they are on the way.
        copy = not blocking and not tracked
        made: list[AsyncResult] = []

        def remembered(client: Client, parts: list[Part]) -> AsyncResult:
            made.append(make(client, parts))
            return made[0]

        try:
            result = self.client.submit(kind, calls, remembered, track=tracked, copy=copy, **options)
            self.history += result.msg_ids
            value = result.get() if blocking else None
        except KeyboardInterrupt:
            if blocking and made:
                stop(made[0])
            raise
        return value if blocking and bare else result

    @staticmethod
    def get_blocking(result: AsyncResult) -> Any:
        """Wait for a call of which nobody has the AsyncResult: an interrupt here interrupts it there."""
        try:
            return result.get()
        except KeyboardInterrupt:
            stop(result)
            raise

    # -- mapping ------------------------------------------------------------------------------------------------------

    def _submit_map(
        self,
        f: Callable[..., Any],
        columns: Sequence[Any],
        blocks: Iterable[tuple[int | None, tuple[int, int]]],
        block: bool | None,
        *,
        return_exceptions: bool,
        ordered: bool = True,
        **options: Any,
    ) -> Any:
        """Submit a map in blocks of items: (engine, (start, end)), the engine None for a balanced one.

        The options are those of ``_submit``.
        """
        name, of = name_of(f, "map"), uuid4().hex
        calls, sizes = [], []
        for engine, (start, end) in blocks:
            if start < end:
                calls.append((pack_block(f, [column[start:end] for column in columns], start, of), [engine]))
                sizes.append(end - start)

        def make(client: Client, parts: list[Part]) -> AsyncMapResult:
            return AsyncMapResult(client, parts, name, return_exceptions=return_exceptions, ordered=ordered)

        return self._submit("map", calls, make, block, sizes=sizes, **options)

    def _submit_parts(
        self,
        f: Callable[..., Any],
        parts: Iterable[tuple[int | None, Sequence[Any]]],
        join: Callable[[list[Any]], Any],
        return_exceptions: bool,
        **options: Any,
    ) -> Any:
        """Submit the calls of a ParallelFunction: (engine, arguments), which are parts of its sequences.

        Returns
        -------
        An AsyncMapResult, or with ``block`` the joined results.
        """
        name = name_of(f, "parallel")
        calls = [(pack_call(f, arguments), [engine]) for engine, arguments in parts if len(arguments[0])]

        def make(client: Client, parts: list[Part]) -> AsyncMapResult:
            return AsyncMapResult(client, parts, name, join=join, return_exceptions=return_exceptions)

        return self._submit("apply", calls, make, None, **options)

    @abstractmethod
    def _apply_to_parts(
        self, f: Callable[..., Any], sequences: Sequence[Any], *, dist: str, chunksize: int | None, return_exceptions: bool
    ) -> Any:
        """Called by ParallelFunction: ``f`` once for each part of the sequences, which are of one length."""

    @abstractmethod
    def map(self, f: Callable[..., Any], /, *sequences: Any, block: bool | None = None, **options: Any) -> Any:
        """``list(map(f, *sequences))`` on the engines."""

    def map_async(self, f: Callable[..., Any], /, *sequences: Any, **options: Any) -> AsyncMapResult:
        """As ``map``, never blocking (features MAP-03).

        Raises
        ------
        TypeError
            ``block`` is given, or what ``map`` raises.
        """
        _refuse_block(options, "map_async")
        return self.map(f, *sequences, block=False, **options)  # type: ignore[no-any-return]

    def map_sync(self, f: Callable[..., Any], /, *sequences: Any, **options: Any) -> list[Any]:
        """As ``map``, always blocking (features MAP-03).

        Raises
        ------
        TypeError
            ``block`` is given, or what ``map`` raises.
        """
        _refuse_block(options, "map_sync")
        return self.map(f, *sequences, block=True, **options)  # type: ignore[no-any-return]

    def imap(self, f: Callable[..., Any], /, *sequences: Any, **options: Any) -> Iterator[Any]:
        """Iterate over ``map_async``: the results in order, each block as soon as it is there."""
        return iter(self.map_async(f, *sequences, **options))

    # -- decorators ---------------------------------------------------------------------------------------------------

    def remote(self, block: bool | None = None, **flags: Any) -> Callable[[Callable[..., Any]], RemoteFunction]:
        """Make a function one that runs on this view's engines (features RF-01; seeds: "Remote function decorators").

        Parameters
        ----------
        block
            Whether calls wait; None: what the view says now.
        flags
            Other flags of the view, for these calls only.
        """
        return remote(self, self.block if block is None else block, **flags)

    def parallel(
        self, dist: str = "b", block: bool | None = None, **options: Any
    ) -> Callable[[Callable[..., Any]], ParallelFunction]:
        """Make a function of sequences one that gets a part of them on each engine (features RF-03).

        Parameters
        ----------
        dist
            How sequences are split: "b", contiguous blocks, or "r", like cards.
        block
            Whether calls wait; None: what the view says now.
        options
            ``ordered``, ``chunksize``, ``return_exceptions`` as in ``pxkernel.parallel``, and other flags of the view.
        """
        return parallel(self, dist, self.block if block is None else block, **options)

    @property
    def executor(self) -> ViewExecutor:
        """These engines as a ``concurrent.futures.Executor``, the same until it is shut down (features EXE-01)."""
        if self._executor is None or self._executor.is_shut_down:
            self._executor = ViewExecutor(self)
        return self._executor

    # -- what became of the calls -------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> set[str]:
        """The ids of the calls of this view that have no result yet."""
        return self.client.outstanding.intersection(self.history)

    def wait(self, jobs: Any = None, timeout: float | None = None) -> bool:
        """As ``Client.wait``; without ``jobs``, for everything that was called through this view."""
        return self.client.wait(self.outstanding if jobs is None else jobs, timeout)

    def abort(self, jobs: Any = None, targets: Targets = None, block: bool | None = None) -> Any:
        """As ``Client.abort``; without ``jobs``, everything that was called through this view (features VW-16)."""
        blocking = self.block if block is None else block
        return self.client.abort(self.outstanding if jobs is None else jobs, targets=targets, block=blocking)

    @property
    def results(self) -> Mapping[str, Any]:
        """The client's results by message id (features VW-14)."""
        return self.client.results

    def get_result(self, indices_or_msg_ids: Any = None, block: bool | None = None, owner: bool = False) -> Any:
        """As ``Client.get_result``; indices are those of this view's ``history``, None is the last call (features VW-15).

        Raises
        ------
        IndexError
            This view has made no such call.
        """
        jobs = self._own_ids(-1 if indices_or_msg_ids is None else indices_or_msg_ids)
        return self.client.get_result(jobs, block=self.block if block is None else block, owner=owner)

    def queue_status(self, targets: Targets = None, verbose: bool = False) -> Any:
        """As ``Client.queue_status``, by default of this view's targets (features VW-17)."""
        return self.client.queue_status(self._or_own(targets), verbose=verbose)

    def purge_results(self, jobs: Any = (), targets: Targets = None) -> None:
        """As ``Client.purge_results``, by default of this view's targets (features VW-17)."""
        # 0 is the index of a call.
        everything = jobs is None or (isinstance(jobs, Collection) and not jobs)
        self.client.purge_results(jobs=self._own_ids(jobs), targets=self._or_own(targets) if everything else targets)

    def _own_ids(self, jobs: Any) -> Any:
        """The jobs with indices into this view's history replaced by what they mean."""
        if isinstance(jobs, int):
            return call_at(self.history, jobs)
        if isinstance(jobs, list | tuple):
            return [call_at(self.history, job) if isinstance(job, int) else job for job in jobs]
        return jobs

    def shutdown(self, targets: Targets = None, restart: bool = False, hub: bool = False, block: bool | None = None) -> Any:
        """As ``Client.shutdown``, by default of this view's targets (features VW-17)."""
        blocking = self.block if block is None else block
        return self.client.shutdown(self._or_own(targets), restart=restart, hub=hub, block=blocking)

    def _or_own(self, targets: Targets) -> Targets:
        return self.targets if targets is None else targets

    def spin(self) -> None:
        """Nothing: results arrive by themselves (features VW-21)."""


def name_of(f: Callable[..., Any], method: str) -> str:
    """The name of a function, for the result's repr; refuses what ``method`` cannot call.

    Raises
    ------
    TypeError
        It is no callable and no Reference.
    """
    if not callable(f) and not isinstance(f, Reference):
        raise TypeError(f"{method} needs a function to call, not {f!r}")
    return getattr(f, "__name__", None) or type(f).__name__


def _refuse_block(options: Mapping[str, Any], method: str) -> None:
    if "block" in options:
        raise TypeError(f"{method} doesn't take a `block` keyword argument.")
