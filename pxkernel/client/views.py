"""Views: how a Client makes views of its engines, by index or by name (features RC-05 to RC-13)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from .balanced import LoadBalancedView
from .executor import ViewExecutor
from .view import BroadcastView, DirectView

if TYPE_CHECKING:
    from .targets import Targets

_View = TypeVar("_View", bound=DirectView)


class Views(ABC):
    """What Client inherits to be indexed like a list of engines.

    Attributes
    ----------
    block
        Whether views that are made from now on block.
    """

    block: bool

    @property
    @abstractmethod
    def ids(self) -> list[int]:
        """The ids of the engines, sorted."""

    @abstractmethod
    def resolve(self, targets: Targets) -> tuple[list[int], bool]:
        """The engine ids that ``targets`` means now, and whether it is a single one."""

    def __iter__(self) -> Iterator[DirectView]:
        return (self[engine] for engine in self.ids)

    def __getitem__(self, key: SupportsIndex | slice | Iterable[SupportsIndex]) -> DirectView:
        """A view: of one engine for an int, else of several, as they are now (features RC-06 to RC-08).

        Raises
        ------
        IndexError
            There is no such engine.
        NoEnginesRegistered
            ``rc[:]`` and there is no engine at all.
        """
        # An int, the commonest, is asked for first: protocols are slow.
        if isinstance(key, str) or not isinstance(key, int | slice | Iterable | SupportsIndex):
            raise TypeError(f"key by int/slice/iterable of ints only, not {type(key)}")
        targets, single = self.resolve(key)
        return DirectView(self, targets[0] if single else targets, block=self.block)

    def direct_view(self, targets: Targets = "all", **flags: Any) -> DirectView:
        """A view of ``targets`` (features RC-09).

        Parameters
        ----------
        targets
            An id, a slice or a list of ids: the engines that this means now. None: all that there are now. "all": those
            that there are at each call.
        flags
            As for ``view.set_flags``.

        Raises
        ------
        IndexError, TypeError, NoEnginesRegistered
            As ``resolve``.
        KeyError
            There is no such flag.
        """
        return self._view(DirectView, targets, flags)

    def load_balanced_view(self, targets: Targets = None, **flags: Any) -> LoadBalancedView:
        """A view whose calls go each to one engine, to that with the least to do (features RC-10, LB).

        Parameters
        ----------
        targets
            The engines that they may go to, as they are now; None or "all": any.
        flags
            As for ``view.set_flags``.

        Raises
        ------
        IndexError, TypeError, NoEnginesRegistered
            As ``resolve``.
        KeyError
            There is no such flag.
        """
        found = None if targets is None or targets == "all" else self.resolve(targets)[0]
        return LoadBalancedView(self, found, block=self.block).set_flags(**flags)

    def broadcast_view(self, targets: Targets = "all", is_coalescing: bool = False, **flags: Any) -> BroadcastView:
        """As ``direct_view``, which sends a call to many engines only once anyway (features RC-11, BV-01 to BV-04)."""
        view = self._view(BroadcastView, targets, flags)
        view.is_coalescing = is_coalescing
        return view

    def _view(self, kind: type[_View], targets: Targets, flags: dict[str, Any]) -> _View:
        if not isinstance(targets, str) or targets != "all":
            ids, single = self.resolve(targets)
            targets = ids[0] if single else ids
        return kind(self, targets, block=self.block).set_flags(**flags)

    def activate(self, targets: Targets = "all", suffix: str = "") -> DirectView:
        """A blocking view that the magics use, ``%px`` or with a suffix ``%px<suffix>`` (features RC-13; seeds 001 and 002).

        Outside of IPython there is only a warning.
        """
        view = self.direct_view(targets, block=True)
        view.activate(suffix)
        return view

    def executor(self, targets: Targets = None) -> ViewExecutor:
        """The engines as a ``concurrent.futures.Executor``, calls go to the one that has least to do (features EXE-01).

        Parameters
        ----------
        targets
            As in ``load_balanced_view``.
        """
        return self.load_balanced_view(targets).executor
