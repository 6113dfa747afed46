"""Namespaces: moving objects to the namespaces of engines and back (seeds: "Moving Python objects around"; features DV-05 to
DV-13)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..engine import namespace as remote
from ..protocol import partition
from ..protocol.pack import pack_call
from .asyncresult import AsyncResult
from .mapresult import AsyncMapResult
from .records import Part
from .viewbase import View

if TYPE_CHECKING:
    from .client import Client
    from .targets import Targets


class Namespaces(View):
    """What DirectView inherits to push and pull, scatter and gather, and to be used like a dict."""

    @abstractmethod
    def _apply(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        block: bool | None,
        targets: Targets = None,
        track: bool | None = None,
    ) -> Any: ...

    def push(self, ns: Mapping[str, Any], targets: Targets = None, block: bool | None = None, track: bool | None = None) -> Any:
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
        _check_names(ns)
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
            if not isinstance(names, Iterable):
                raise TypeError(f"names must be strs, not {names!r}")
            names = list(names)
            _check_names(names)
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

        Raises
        ------
        TypeError
            ``key`` is no string, or ``seq`` cannot be split.
        ValueError
            ``dist`` is neither.
        """
        _check_names([key])
        engines, single = self._resolve(targets)
        parts = partition.split(seq, len(engines), dist)
        if flatten:
            parts = [part[0] if len(part) == 1 else part for part in parts]
        calls = [(pack_call(remote.push, ({key: part},), {}), [engine]) for part, engine in zip(parts, engines, strict=True)]
        return self._submit("apply", calls, lambda c, p: AsyncResult(c, p, "scatter", single), block, track=track)

    def gather(self, key: str, dist: str = "b", targets: Targets = None, block: bool | None = None) -> Any:
        """The parts that ``scatter`` made, joined again.

        Returns
        -------
        An AsyncMapResult, or with ``block`` the joined list, array or string; parts of other types come as a list.

        Raises
        ------
        TypeError, ValueError
            ``key`` is no string; ``dist`` is neither "b" nor "r".
        """
        _check_names([key])
        partition.check_dist(dist)
        engines, _ = self._resolve(targets)
        payload = pack_call(remote.pull, (key,), {})

        def make(client: Client, parts: list[Part]) -> AsyncMapResult:
            return AsyncMapResult(client, parts, "gather", join=lambda values: partition.join(values, dist))

        return self._submit("apply", [(payload, engines)], make, block)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"names must be strs, not {name!r}")
