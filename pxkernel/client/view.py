"""DirectView: the engines that a call goes to, and the ways to call them (seeds 000 to 004; features VW and DV)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine import namespace as remote
from ..protocol import partition
from ..protocol.pack import pack_call
from .asyncresult import AsyncResult
from .imports import SyncImports
from .mapresult import AsyncMapResult
from .records import Part
from .viewbase import View, name_of

if TYPE_CHECKING:
    from .client import Client, Targets


class DirectView(View):
    """Some engines of a cluster, each of which gets every call (seeds: "Creating a DirectView").

    Attributes
    ----------
    targets
        An engine id (results come bare), a list of ids (results come in a list), or "all".
    block, track, label, history
        As in every View.
    """

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

    def _resolve(self, targets: Targets) -> tuple[list[int], bool]:
        engines, single = self.client.resolve(self.targets if targets is None else targets)
        if not engines:
            raise IndexError("this view has no engines")
        return engines, single

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
        wait: bool = True,
        label: str | None = None,
    ) -> AsyncResult:
        engines, single = self._resolve(targets)
        result: AsyncResult = self._submit(
            "execute" if silent else "cell",
            [([code.encode()], engines)],
            lambda c, p: AsyncResult(c, p, fname, single),
            False,
            label=label,
            method="execute",
            code=code,
        )
        if wait and (self.block if block is None else block):
            self.get_blocking(result)
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

    # -- moving objects -----------------------------------------------------------------------------------------------

    def push(
        self, ns: Mapping[str, Any], targets: Targets = None, block: bool | None = None, track: bool | None = None
    ) -> Any:
        """Bind names on every target.

        Parameters
        ----------
        ns
            The values by name. A name may be any assignment target, for example ``"a.b"``.
        targets, block, track
            For this call, instead of the view's.

        Returns
        -------
        An AsyncResult, or with ``block`` None for each target.

        Raises
        ------
        TypeError
            ``ns`` is no mapping from strings, or a value cannot be sent.
        """
        if not isinstance(ns, Mapping):
            raise TypeError(f"Must be a dict, not {type(ns)}")
        for name in ns:
            if not isinstance(name, str):
                raise TypeError(f"names must be strs, not {name!r}")
        return self._apply(remote.push, (dict(ns),), {}, block, targets, track)

    def pull(self, names: str | Sequence[str], targets: Targets = None, block: bool | None = None) -> Any:
        """The values of names (or of any expressions) on every target.

        Parameters
        ----------
        names
            A string gives a value for each target, a sequence of strings a list of values for each target.

        Raises
        ------
        TypeError
            A name is no string.
        RemoteError, CompositeError
            With ``block``: NameError, a target does not have it.
        """
        if not isinstance(names, str):
            names = list(names)
            for name in names:
                if not isinstance(name, str):
                    raise TypeError(f"names must be strs, not {name!r}")
        return self._apply(remote.pull, (names,), {}, block, targets)

    def update(self, ns: Mapping[str, Any]) -> Any:
        """``push(ns)``."""
        return self.push(ns)

    def get(self, key_s: str | Sequence[str]) -> Any:
        """``pull(key_s, block=True)``."""
        return self.pull(key_s, block=True)

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.push({key: value})

    def scatter(
        self,
        key: str,
        seq: Any,
        dist: str = "b",
        flatten: bool = False,
        targets: Targets = None,
        block: bool | None = None,
        track: bool | None = None,
    ) -> Any:
        """Split a sequence over the targets and bind each part as ``key`` (seeds: "Scatter and gather").

        Parameters
        ----------
        seq
            Anything with a length that can be sliced; the parts have its type, those of a range are lists.
        dist
            "b": contiguous blocks, the first ones one longer. "r": like cards.
        flatten
            Bind the bare element where a part has just one.
        targets, block, track
            For this call, instead of the view's.

        Returns
        -------
        An AsyncResult, or with ``block`` None for each target.
        """
        engines, single = self._resolve(targets)
        parts = partition.split(seq, len(engines), dist)
        if flatten:
            parts = [part[0] if len(part) == 1 else part for part in parts]
        calls = [
            (pack_call(remote.push, ({key: part},), {}), [engine]) for part, engine in zip(parts, engines, strict=True)
        ]
        return self._submit("apply", calls, lambda c, p: AsyncResult(c, p, "scatter", single), block, track=track)

    def gather(self, key: str, dist: str = "b", targets: Targets = None, block: bool | None = None) -> Any:
        """The parts that ``scatter`` made, joined again.

        Returns
        -------
        An AsyncMapResult, or with ``block`` the joined list, array or string; parts of other types come as a list.
        """
        engines, _ = self._resolve(targets)
        payload = pack_call(remote.pull, (key,), {})

        def make(client: Client, parts: list[Part]) -> AsyncMapResult:
            return AsyncMapResult(client, parts, "gather", join=lambda values: partition.join(values, dist))

        return self._submit("apply", [(payload, engines)], make, block)

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
            ``chunksize`` is less than 1.
        CompositeError
            With ``block``: one member for every item that failed.
        """
        name = name_of(f, "map")
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, not {chunksize!r}")
        columns, length = partition.columns(sequences)
        engines, _ = self._resolve(None)
        calls, sizes = [], []
        if chunksize is None:
            blocks = partition.bounds(length, len(engines))
        else:
            blocks = [(start, min(start + chunksize, length)) for start in range(0, length, chunksize)]
        for engine, (start, stop) in zip(cycle(engines), blocks, strict=False):
            if start < stop:
                calls.append((pack_call(f, tuple(column[start:stop] for column in columns), {}), [engine]))
                sizes.append(stop - start)

        def make(client: Client, parts: list[Part]) -> AsyncMapResult:
            return AsyncMapResult(client, parts, name, return_exceptions=return_exceptions)

        return self._submit("map", calls, make, block, sizes=sizes, track=track, label=label)

    def _apply_to_parts(
        self,
        f: Callable[..., Any],
        sequences: Sequence[Any],
        *,
        dist: str = "b",
        return_exceptions: bool = False,
        **_balancing: Any,
    ) -> Any:
        """``f`` once for each target that gets a part of the sequences; ``ParallelFunction`` calls it.

        Returns
        -------
        An AsyncMapResult, or with ``block`` the joined results.
        """
        name = name_of(f, "parallel")
        engines, _ = self._resolve(None)
        columns = [partition.split(sequence, len(engines), dist) for sequence in sequences]
        calls = [
            (pack_call(f, parts, {}), [engine])
            for engine, *parts in zip(engines, *columns, strict=True)
            if len(parts[0])
        ]

        def make(client: Client, parts: list[Part]) -> AsyncMapResult:
            return AsyncMapResult(
                client,
                parts,
                name,
                join=lambda values: partition.join_results(values, dist),
                return_exceptions=return_exceptions,
            )

        return self._submit("apply", calls, make, None)

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
