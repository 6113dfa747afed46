"""Types that the standard picklers refuse, weaken, or send by a name of `__main__` which the receiver does not have.

Each has its two halves side by side: `reduce_...` for the sender, `rebuild_...` for the receiver.
"""

import dataclasses
import functools
import pickle
import typing
from collections.abc import Callable
from typing import Any

from pxkernel.protocol.standins import Reference, reduce_reference


def _reduce_view(view: memoryview) -> Any:
    if view.format.lstrip("@") not in _FORMATS:
        raise TypeError(f"cannot send a memoryview of format {view.format!r}: send the object behind it")
    data: Any = view
    if not view.c_contiguous:
        data = view.tobytes() if view.readonly else bytearray(view.tobytes())
    # memoryview.cast refuses a shape with a zero in it
    shape = view.shape if view.ndim != 1 and view.nbytes else None
    return rebuild_view, (pickle.PickleBuffer(data), view.format, shape)


_FORMATS = frozenset("cbB?hHiIlLqQnNfdP")


def rebuild_view(buffer: Any, form: str, shape: tuple[int, ...] | None) -> memoryview:
    view = memoryview(buffer).cast("B")
    return view.cast(form) if shape is None else view.cast(form, shape)


def _reduce_cached_property(found: Any) -> Any:
    return rebuild_cached_property, (found.func, found.attrname)  # by itself it holds a lock, before Python 3.12


def rebuild_cached_property(func: Callable[..., Any], name: str | None) -> Any:
    found = functools.cached_property(func)
    found.attrname = name
    return found


def _reduce_lru_cache(cached: Any) -> Any:
    return rebuild_lru_cache, (cached.__wrapped__, cached.cache_parameters()), cached.__dict__


def rebuild_lru_cache(func: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(func)


def _reduce_new_type(found: Any) -> Any:
    return typing.NewType, (found.__qualname__, found.__supertype__), {"__module__": found.__module__}


def _reduce_type_parameter(found: Any) -> Any:
    return type(found), (found.__name__,)


def _reduce_missing(_: Any) -> Any:
    return "MISSING"  # by name: a copy would be one more default value


REDUCERS: dict[type, Callable[[Any], Any]] = {
    Reference: reduce_reference,
    memoryview: _reduce_view,
    functools.cached_property: _reduce_cached_property,
    type(dataclasses.MISSING): _reduce_missing,
}
# Only when their module cannot be imported: then their own way would name an attribute of `__main__`.
HOMELESS: dict[type, Callable[[Any], Any]] = {
    type(functools.cache(_reduce_missing)): _reduce_lru_cache,
    typing.NewType: _reduce_new_type,
    typing.ParamSpec: _reduce_type_parameter,
    typing.TypeVarTuple: _reduce_type_parameter,
}
