"""The pickles of functions that are sent again and again.

A function is pickled once, and its pickle is sent again as long as all that went into it is the same: its code, defaults
and name, and what the names that it reads and its closure are bound to. That can be told of constants, of modules and of
functions for which the same holds. Whatever could change in place (a list, an instance, a class) is pickled every time.
"""

import sys
import types
import weakref
from collections.abc import Callable, Iterator
from operator import is_
from typing import Any, NamedTuple

import cloudpickle

from pxkernel.protocol import travel

_CONSTANTS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})
_BUILTIN = types.BuiltinFunctionType
_ABSENT = object()
#: So many functions at most: what a pickle was made of is kept alive with it.
_LIMIT = 1000


class _Prepared(NamedTuple):
    ref: weakref.ref[types.FunctionType]
    namespace: dict[str, Any] | None
    #: What the pickle was made of, in the order of ``_parts``.
    parts: list[Any]
    pickle: bytes


_prepared: dict[int, _Prepared] = {}


class _Changes(Exception):
    """Something that the function uses may change without notice."""


def pickle_of(f: Any, namespace: dict[str, Any] | None, make: Callable[[], bytes | None]) -> bytes | None:
    """The pickle of ``f`` if it can be kept: the one that was kept, or a new one.

    Parameters
    ----------
    f
        Anything that is to be called; only functions of a notebook can be kept.
    namespace
        The user's, as for ``pack``.
    make
        Makes the pickle; None if it is not in one piece. What it raises is raised here.
    """
    if type(f) is not types.FunctionType or cloudpickle.list_registry_pickle_by_value():
        return None
    known = _prepared.get(id(f))
    try:
        parts = _parts(f, namespace, set())
    except _Changes:
        return None
    if known is not None and known.namespace is namespace and known.ref() is f and _same(parts, known.parts):
        return known.pickle
    pickle = make()
    if pickle is None or len(pickle) > travel.DATA_LIMIT:
        return None
    if len(_prepared) >= _LIMIT:
        _prepared.clear()
    key = id(f)
    _prepared[key] = _Prepared(weakref.ref(f, lambda _: _prepared.pop(key, None)), namespace, parts, pickle)
    return pickle


def _same(new: list[Any], old: list[Any]) -> bool:
    return len(new) == len(old) and (all(map(is_, new, old)) or all(map(_is_same, new, old)))


def _is_same(new: Any, old: Any) -> bool:
    return new is old or (type(new) is type(old) is int and new == old)


def _parts(f: types.FunctionType, namespace: dict[str, Any] | None, seen: set[int]) -> list[Any]:
    """Everything that goes into the pickle of a function, as objects to be compared by identity."""
    seen.add(id(f))
    space = f.__globals__
    if f.__dict__ or f.__kwdefaults__ or getattr(f, "__type_params__", ()) or not travel.is_users(space, namespace):
        raise _Changes
    parts = [f.__code__, f.__name__, f.__qualname__, f.__module__, f.__doc__]
    parts += map(_constant, f.__defaults__ or ())
    for name, value in f.__annotations__.items():
        parts += (name, value)
    for cell in f.__closure__ or ():
        parts += _value(_contents(cell), namespace, seen)
    for name in travel.names_read(f.__code__):
        parts += _value(space.get(name, _ABSENT), namespace, seen)
    return parts


def _constant(value: Any) -> Any:
    if type(value) not in _CONSTANTS:
        raise _Changes
    return value


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise _Changes from None


def _value(value: Any, namespace: dict[str, Any] | None, seen: set[int]) -> Iterator[Any]:
    yield value
    kind = type(value)
    if kind in _CONSTANTS or value is _ABSENT or id(value) in seen:
        return
    if kind is types.ModuleType:
        # Which of its submodules a function reaches depends on what has been imported.
        if hasattr(value, "__path__"):
            yield len(sys.modules)
    elif kind is types.FunctionType:
        yield from _parts(value, namespace, seen)
    elif kind is not _BUILTIN or not isinstance(value.__self__, types.ModuleType):
        raise _Changes
