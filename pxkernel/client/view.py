"""DirectView: the engines that a call goes to, and the ways to call them (seeds 000 to 004; features VW and DV)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..protocol import partition, serialize
from ..protocol.pack import pack_call
from .asyncresult import AsyncResult
from .flags import seconds
from .imports import SyncImports
from .namespaces import Namespaces
from .viewbase import name_of

if TYPE_CHECKING:
    from .client import Client
    from .records import Part
    from .targets import Targets


class DirectView(Namespaces):
    """Some engines of a cluster, each of which gets every call (seeds: "Creating a DirectView").

    Attributes
    ----------
    targets
        An engine id (results come bare), a list of ids (results come in a list), or "all".
    timeout
        The same as ``time_limit``: a direct call waits for nothing else.
    block, track, label, time_limit, history
        As in every View.
    """

    _flags: ClassVar[frozenset[str]] = Namespaces._flags | {"timeout"}

    @property
    def timeout(self) -> float | None:
        return self.time_limit

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._time_limit = seconds(value, "timeout") or None

    def __iter__(self) -> Iterator[DirectView]:
        """A view of each engine by itself."""
        return (self.client[engine] for engine in self.client.resolve(self.targets)[0])

    #: ``"a" in view`` would look among the engines.
    __contains__ = None

    # -- calling functions --------------------------------------------------------------------------------------------

    def _apply(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        block: bool | None,
        targets: Targets = None,
        track: bool | None = None,
    ) -> Any:
        name = name_of(f, "apply")
        engines, single = self._resolve(targets)
        payload = pack_call(f, tuple(args), dict(kwargs))
        return self._submit(
            "apply", [(payload, engines)], lambda c, p: AsyncResult(c, p, name, single), block, track=track
        )

    # -- running code -------------------------------------------------------------------------------------------------

    def execute(
        self,
        code: str,
        silent: bool = True,
        targets: Targets = None,
        block: bool | None = None,
        label: str | None = None,
    ) -> AsyncResult:
        """Run source code on every target, as a cell: magics and ``!commands`` work (features DV-01).

        Parameters
        ----------
        silent
            Count no execution and publish no result; False makes it a cell like any other.
        targets, block, label
            For this call, instead of the view's.

        Returns
        -------
        AsyncResult
            Also with ``block``; its values are ExecuteReply objects.

        Raises
        ------
        TypeError
            ``code`` is no string.
        RemoteError, CompositeError
            With ``block``: it failed there.
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be text, not {type(code)}")
        return self._execute(code, silent, targets, block, "execute", label=label)

    def _execute(
        self,
        code: str,
        silent: bool,
        targets: Targets,
        block: bool | None,
        fname: str,
        *,
        made: Callable[[AsyncResult], None] | None = None,
        label: str | None = None,
        time_limit: float | None = None,
    ) -> AsyncResult:
        """``made`` is for who waits by himself: it gets the result before anything is sent, as Ctrl-C may come any time."""
        engines, single = self._resolve(targets)

        def make(client: Client, parts: list[Part]) -> AsyncResult:
            result = AsyncResult(client, parts, fname, single)
            if made is not None:
                made(result)
            return result

        result: AsyncResult = self._submit(
            "execute" if silent else "cell",
            [([code.encode()], engines)],
            make,
            block if made is None else False,
            label=label,
            time_limit=time_limit,
            bare=False,
            method="execute",
            code=code,
        )
        return result

    def run(
        self,
        filename: str | os.PathLike[str],
        targets: Targets = None,
        block: bool | None = None,
        label: str | None = None,
    ) -> AsyncResult:
        """Run a file of this machine on every target; returns what ``execute`` does.

        Raises
        ------
        FileNotFoundError
            There is no such file here.
        """
        return self.execute(Path(filename).read_text() + "\n", targets=targets, block=block, label=label)

    def clear(self, targets: Targets = None, block: bool | None = None) -> Any:
        """As ``Client.clear``, by default of this view's targets: empty their namespaces (features DV-18)."""
        return self.client.clear(self._or_own(targets), block=self.block if block is None else block)

    def sync_imports(self, local: bool = True, quiet: bool = False) -> SyncImports:
        """``with view.sync_imports():``, imports that happen on the engines as well (seeds: "Remote imports").

        For the import statements in the block itself, not for what they import in turn. Aliases and dotted names arrive as
        they are written.

        Parameters
        ----------
        local
            Whether they also happen here.
        quiet
            Whether nothing is printed.

        Raises
        ------
        ImportError
            At the statement: it fails here.
        RemoteError, CompositeError
            At the end of the block: it failed there.
        """
        return SyncImports(lambda code: self._execute(code, True, None, False, "remote_import"), local, quiet)

    @property
    def importer(self) -> SyncImports:
        """``sync_imports()``, for ``with view.importer:`` (features DV-17)."""
        return self.sync_imports()

    # -- pickling -----------------------------------------------------------------------------------------------------

    def use_dill(self) -> AsyncResult:
        """Send by dill what pickle refuses, here and on the targets (features SER-07, DV-21).

        Raises
        ------
        ImportError
            There is no dill here; at the result's ``get``: on an engine.
        """
        serialize.use_dill()
        return self.apply_async(serialize.use_dill)

    def use_cloudpickle(self) -> AsyncResult:
        """End what ``use_dill`` began. Functions and classes travel by value always (features SER-07, DV-21)."""
        serialize.use_cloudpickle()
        return self.apply_async(serialize.use_cloudpickle)

    def use_pickle(self) -> AsyncResult:
        """As ``use_cloudpickle`` (features SER-07, DV-21)."""
        return self.use_cloudpickle()

    # -- mapping ------------------------------------------------------------------------------------------------------

    def map(
        self,
        f: Callable[..., Any],
        /,
        *sequences: Any,
        block: bool | None = None,
        track: bool | None = None,
        return_exceptions: bool = False,
        label: str | None = None,
        chunksize: int | None = None,
    ) -> Any:
        """``list(map(f, *sequences))``, one contiguous block of items for each target (features MAP-01).

        An item that fails costs its own result only. Sequences of unequal length are cut to the shortest.

        Parameters
        ----------
        chunksize
            Items in a block; the blocks go to the targets in turn. None: one block for each target.

        Returns
        -------
        An AsyncMapResult, or with ``block`` the list of results in the order of the input.

        Raises
        ------
        TypeError
            There is no sequence, or ``f`` cannot be called.
        ValueError
            ``chunksize`` is no positive int.
        CompositeError
            With ``block``: one member for every item that failed.
        """
        name_of(f, "map")
        columns, length = partition.columns(sequences)
        engines, _ = self._resolve()
        if chunksize is None:
            bounds = partition.bounds(length, len(engines))
        else:
            bounds = partition.chunk_bounds(length, chunksize)
        blocks = zip(cycle(engines), bounds, strict=False)
        return self._submit_map(f, columns, blocks, block, return_exceptions=return_exceptions, track=track, label=label)

    def _apply_to_parts(
        self, f: Callable[..., Any], sequences: Sequence[Any], *, dist: str, chunksize: int | None, return_exceptions: bool
    ) -> Any:
        """``f`` once for each target that gets a part of the sequences (features RF-03)."""
        engines, _ = self._resolve()
        columns = [partition.split(sequence, len(engines), dist) for sequence in sequences]
        parts = zip(engines, zip(*columns, strict=True), strict=True)
        return self._submit_parts(f, parts, lambda values: partition.join_results(values, dist), return_exceptions)

    def activate_first(self) -> None:
        """Called for each new Client in IPython: ``%px`` uses this view if it has none that can be used (features RC-14)."""
        from ..magics import activate_first

        activate_first(self)

    def activate(self, suffix: str = "") -> None:
        """Make ``%px`` and its relatives use this view (``%px<suffix>`` and so on with a suffix)."""
        # The one way from the API to the magics: they import everything below them.
        from ..magics import activate

        activate(self, suffix)


class BroadcastView(DirectView):
    """A DirectView: one message to all engines is what every view sends here (features BV-01).

    Attributes
    ----------
    is_coalescing
        Kept for programs that ask for it. Results are never merged into one: each engine's has its own place.
    """

    is_coalescing = False
