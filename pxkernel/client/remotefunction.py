"""Functions that run on engines when they are called: ``@remote``, ``@parallel`` (seeds: "Remote function decorators")."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import types
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .mapresult import AsyncMapResult
    from .viewbase import View


def remote(view: View, block: bool | None = None, **flags: Any) -> Callable[[Callable[..., Any]], RemoteFunction]:
    """Make a function a RemoteFunction; ``view.remote`` is the same (features RF-01).

    Parameters
    ----------
    view
        Where it runs.
    block
        Whether calls wait; None: what the view says at the call.
    flags
        Other flags of the view, for these calls only.

    Raises
    ------
    KeyError
        There is no such flag.
    """
    return functools.partial(_wrap, RemoteFunction, view, {"block": block, **flags})


def parallel(
    view: View,
    dist: str = "b",
    block: bool | None = None,
    ordered: bool = True,
    *,
    chunksize: int | None = None,
    return_exceptions: bool = False,
    **flags: Any,
) -> Callable[[Callable[..., Any]], ParallelFunction]:
    """Make a function a ParallelFunction; ``view.parallel`` is the same (features RF-03).

    Parameters
    ----------
    view
        Where it runs.
    dist
        How sequences are split: "b", contiguous blocks, or "r", like cards.
    block
        Whether calls wait; None: what the view says at the call.
    ordered, chunksize
        With a LoadBalancedView, as in its ``map``: whether iteration over a result keeps the order of the input, and how
        many elements one task gets.
    return_exceptions
        Put exceptions in the place of the results that failed.
    flags
        Other flags of the view, for these calls only.

    Raises
    ------
    ValueError
        ``dist`` is neither "b" nor "r".
    KeyError
        There is no such flag.
    """
    options = {"ordered": ordered, "chunksize": chunksize, "return_exceptions": return_exceptions}
    return functools.partial(_wrap, ParallelFunction, view, {"dist": dist, "block": block, **options, **flags})


def _wrap(kind: Callable[..., Any], view: View, options: dict[str, Any], f: Callable[..., Any]) -> Any:
    return kind(view, f, **options)


class RemoteFunction:
    """A function whose calls are ``view.apply`` (features RF-01).

    Attributes
    ----------
    view, func
        Where it runs, and what.
    block
        Whether calls wait; None: what the view says at the call.
    flags
        Other flags of the view, for the calls of this function.
    """

    def __init__(self, view: View, f: Callable[..., Any], block: bool | None = None, **flags: Any):
        if not callable(f):
            raise TypeError(f"{type(self).__name__} needs a function, not {f!r}")
        if not hasattr(view, "set_flags"):
            raise TypeError(f"{type(self).__name__} needs a view, not {view!r}")
        functools.update_wrapper(self, f, updated=())
        if not hasattr(self, "__name__"):
            self.__name__ = type(f).__name__
        if f.__doc__:
            self.__doc__ = f"{type(self).__name__} wrapping:\n{f.__doc__}"
        try:
            self.__signature__ = inspect.signature(f)
        except (TypeError, ValueError):
            pass  # a function of C that does not say
        self.view = view
        self.func = f
        self.block = block
        self.flags = flags
        self._flagged()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.__name__} on {self.view!r}>"

    def _flagged(self) -> View:
        """The view with the flags of this function; the view itself keeps its own, also for other threads."""
        block = self.view.block if self.block is None else self.block
        return copy.copy(self.view).set_flags(block=block, **self.flags)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._flagged().apply(self.func, *args, **kwargs)


class ParallelFunction(RemoteFunction):
    """A function of sequences that are split over the engines (features RF-03 to RF-07).

    =================  ==============================  =======================
    call               ``pfunc(seq)``                  ``pfunc.map(seq)``
    =================  ==============================  =======================
    tasks              one per engine                  one per engine
    calls              one per engine                  one per element
    argument           a part of ``seq``               an element of ``seq``
    =================  ==============================  =======================

    On a LoadBalancedView there is one task per chunk of ``chunksize`` elements, and for ``pfunc(seq)`` a chunk is a
    single element if no size is given.

    Attributes
    ----------
    dist, ordered, chunksize, return_exceptions
        As for the decorator ``parallel``.
    """

    def __init__(
        self,
        view: View,
        f: Callable[..., Any],
        dist: str = "b",
        block: bool | None = None,
        chunksize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        **flags: Any,
    ):
        super().__init__(view, f, block, **flags)
        if dist not in ("b", "r"):
            raise ValueError(f"dist must be 'b' (blocks) or 'r' (round robin), not {dist!r}")
        if chunksize is not None and not view.balances:
            warnings.warn("`chunksize` is ignored unless load balancing", UserWarning, stacklevel=3)
        self.dist = dist
        self.chunksize = chunksize
        self.ordered = ordered
        self.return_exceptions = return_exceptions

    def __call__(self, /, *sequences: Any, **kwargs: Any) -> Any:
        """Split the sequences, call the function once for each part, and join what it returns.

        Lists and tuples are joined to one list, arrays to one array; other results come as a list with one for each part.

        Returns
        -------
        An AsyncMapResult, or if it blocks the joined results.

        Raises
        ------
        TypeError
            There are keyword arguments, or one that is no sequence.
        ValueError
            The sequences have different lengths.
        """
        if kwargs:
            raise TypeError(f"Unexpected keyword arguments: {kwargs}")
        if not sequences:
            raise TypeError("must have some sequences to map onto!")
        columns = [_sized(sequence, index) for index, sequence in enumerate(sequences)]
        lengths = [len(column) for column in columns]
        if len(set(lengths)) > 1:
            raise ValueError(f"all sequences must have equal length, but have {lengths}")
        options: dict[str, Any] = {"dist": self.dist, "chunksize": self.chunksize}
        return self._flagged()._apply_to_parts(self.func, columns, return_exceptions=self.return_exceptions, **options)

    def map(self, /, *sequences: Any) -> list[Any] | AsyncMapResult:
        """``view.map``: the function once for each element; sequences of unequal length are cut to the shortest.

        Returns
        -------
        An AsyncMapResult, or if it blocks the list of results.
        """
        options: dict[str, Any] = {"return_exceptions": self.return_exceptions}
        if self.view.balances:
            options["ordered"] = self.ordered
            if self.chunksize is not None:
                options["chunksize"] = self.chunksize
        return self._flagged().map(self.func, *sequences, **options)  # type: ignore[no-any-return]


def _sized(sequence: Any, index: int) -> Any:
    try:
        if hasattr(sequence, "__len__"):
            len(sequence)  # an array of no dimensions has none
            return sequence
        return list(sequence)
    except TypeError as error:
        raise TypeError(f"argument {index} is no sequence: {error}") from None


def interactive(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with ``__main__`` as its home, so that on an engine its globals are the user's (features RF-08).

    For functions of imported modules; those of a notebook have that home already. Closure and defaults stay. What is no
    function written in Python is returned as it is.
    """
    if not isinstance(f, types.FunctionType):
        return f
    main = sys.modules["__main__"].__dict__
    moved = types.FunctionType(f.__code__, main, f.__name__, f.__defaults__, f.__closure__)
    moved.__kwdefaults__ = f.__kwdefaults__
    functools.update_wrapper(moved, f)
    del moved.__wrapped__  # type: ignore[attr-defined]
    moved.__module__ = "__main__"
    return moved
