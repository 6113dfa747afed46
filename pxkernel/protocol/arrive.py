"""What the receiver does with functions and classes that travelled: the callables which a pickle of `travel` names.

The order matters: an object is built first and filled afterwards, so that whatever it leads to can lead back to it.
"""

import builtins
import functools
import hashlib
import importlib
import importlib.util
import linecache
import marshal
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

VALUE, MODULE, BLOB = "value", "module", "blob"
Item = tuple[str, str, Any]

# Classes defined in this process, and classes that came from another one. By id: a metaclass may forbid hashing.
originals: "weakref.WeakValueDictionary[int, type]" = weakref.WeakValueDictionary()
arrivals: "weakref.WeakValueDictionary[int, type]" = weakref.WeakValueDictionary()


class Travelled:
    """What came to one engine along with functions, and why the rest did not; the engine keeps one for its lifetime."""

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        self._known: dict[str, tuple[Callable[[], Any], bytes | None]] = {}

    def owns(self, name: str, value: object) -> bool:
        """Whether `value`, now bound to `name`, is what travelled under that name."""
        known = self._known.get(name)
        return known is not None and known[0]() is value

    def is_current(self, name: str, digest: bytes) -> bool:
        """Whether what travelled under that name came from exactly this pickle."""
        return name in self._known and self._known[name][1] == digest

    def remember(self, name: str, value: object, digest: bytes | None = None) -> None:
        # A weak reference where the type allows it: once the user deletes or rebinds the name, nothing here may keep a
        # function with a large closure alive. What allows none (int, list, dict) is small: only small data travels.
        try:
            ref: Callable[[], Any] = weakref.ref(value)
        except TypeError:
            ref = functools.partial(_itself, value)
        self._known[name] = ref, digest
        self.skipped.pop(name, None)

    def forget(self, *names: str) -> None:
        """After a push: bound on purpose, these names are the user's, even if the very object travelled before."""
        for name in names:
            self._known.pop(name, None)
            self.skipped.pop(name, None)

    def forget_all(self) -> None:
        """After the namespace was emptied."""
        self._known.clear()
        self.skipped.clear()


def missing_name_hint(name: str, travelled: Travelled) -> str | None:
    """What to add to a NameError about `name`, if the notebook has it and it could not travel."""
    reason = travelled.skipped.get(name)
    return None if reason is None else f"`{name}` {reason}"


class _Receiver(threading.local):
    namespace: dict[str, Any] | None = None
    travelled: Travelled | None = None


# The callables named in a pickle get no context from the unpickler, and two threads may unpack at once.
_receiver = _Receiver()


def load_for(namespace: dict[str, Any] | None, travelled: Travelled | None, load: Callable[[], Any]) -> Any:
    """Run the unpickling `load` with functions of the notebook arriving in `namespace`."""
    before = _receiver.namespace, _receiver.travelled
    _receiver.namespace, _receiver.travelled = namespace, travelled
    try:
        return load()
    finally:
        _receiver.namespace, _receiver.travelled = before


def receiver() -> tuple[dict[str, Any] | None, Travelled | None]:
    """What ``load_for`` was given for the unpickling that runs."""
    return _receiver.namespace, _receiver.travelled


def receiver_namespace() -> dict[str, Any]:
    """The namespace in which functions of the notebook arrive."""
    return vars(sys.modules["__main__"]) if _receiver.namespace is None else _receiver.namespace


def _itself(value: Any) -> Any:
    return value


# --- functions


def build_function(
    packed: bytes | types.CodeType,
    where: dict[str, Any] | tuple[str, bytes | None] | None = None,
    closure: tuple[types.CellType, ...] | None = None,
    source: tuple[str, str] | None = None,
) -> types.FunctionType:
    if source is not None:
        _show_source(*source)
    return types.FunctionType(_load_code(packed), _globals(where), None, None, closure)


def _load_code(packed: bytes | types.CodeType) -> types.CodeType:
    if isinstance(packed, types.CodeType):
        return packed
    if packed[:4] != importlib.util.MAGIC_NUMBER:
        here = "{}.{}".format(*sys.version_info)
        raise pickle.UnpicklingError(f"this function was compiled by another version of Python; here runs {here}")
    return marshal.loads(packed[4:])


def _globals(where: dict[str, Any] | tuple[str, bytes | None] | None) -> dict[str, Any]:
    if where is None:
        where = receiver_namespace()
    if isinstance(where, dict):
        # Without them a function runs, but numpy's imports from C fail with a KeyError.
        where.setdefault("__builtins__", builtins)
        return where
    name, spare = where
    try:
        return vars(importlib.import_module(name))
    except Exception:  # importing runs foreign code: whatever it raises, the spare is the second choice
        space = {"__name__": name, "__builtins__": builtins}
    if spare is not None:
        try:
            items = pickle.loads(spare)
        except Exception:
            return space
        for item in items:
            _install(space, Travelled(), item)
    return space


def _show_source(filename: str, text: str) -> None:
    entry = linecache.cache.get(filename)
    if entry is not None and len(entry) == 4 and (entry[1] is not None or "".join(entry[2]) == text):
        return  # a file of this host, or the same lines
    # Without an mtime `linecache.checkcache` keeps it although no such file exists.
    linecache.cache[filename] = len(text), None, text.splitlines(keepends=True), filename


def finish_function(func: types.FunctionType, state: tuple[Any, ...]) -> types.FunctionType:
    attributes, own, contents, items, skipped = state
    for name, value in (attributes or {}).items():
        setattr(func, name, value)
    if own:
        func.__dict__.update(own)
    for index, value in (contents or {}).items():
        func.__closure__[index].cell_contents = value
    travelled = Travelled() if _receiver.travelled is None else _receiver.travelled
    for item in items or ():
        _install(func.__globals__, travelled, item)
    for name, reason in skipped or ():
        if name not in func.__globals__:
            travelled.skipped[name] = reason
    return func


def fill_cell(cell: types.CellType, contents: tuple[Any]) -> types.CellType:
    (cell.cell_contents,) = contents
    return cell


def _install(space: dict[str, Any], travelled: Travelled, item: Item) -> None:
    name, kind, payload = item
    if kind == MODULE:
        return _install_module(space, travelled, name, *payload)
    if name in space and not travelled.owns(name, space[name]):
        return
    if kind == VALUE:
        space[name] = payload
        travelled.remember(name, payload)
        return
    digest = hashlib.blake2b(payload, digest_size=16).digest()
    if name in space and travelled.is_current(name, digest):
        return  # the notebook's has not changed: what the engine did to its own (a cache, a list) stays
    try:
        value = pickle.loads(payload)
    except Exception as error:  # foreign code runs here; the function may never touch the name
        travelled.skipped[name] = f"exists in your notebook and cannot be rebuilt here: {error}"
        return
    space[name] = value
    travelled.remember(name, value, digest)


def _install_module(space: dict[str, Any], travelled: Travelled, name: str, target: str, inner: list[str]) -> None:
    bound = space.get(name)
    if name not in space or (travelled.owns(name, bound) and getattr(bound, "__name__", None) != target):
        try:
            bound = importlib.import_module(target)
        except Exception as error:  # a module may raise anything while it is imported
            travelled.skipped[name] = f"is the module {target} in your notebook, which cannot be imported here: {error}"
            return
        space[name] = bound
        travelled.remember(name, bound)
    if getattr(bound, "__name__", None) != target:
        return
    for module in inner:
        if module not in sys.modules:
            try:
                importlib.import_module(module)
            except Exception:  # the AttributeError that follows names it
                return


# --- classes


def finish_class(cls: type, state: tuple[Callable[[type, Any], Any], Any]) -> type:
    # A class that comes home with an instance is the one defined here; what the engine knows of it may be older.
    if originals.get(id(cls)) is not cls:
        arrivals[id(cls)] = cls
        setter, content = state
        setter(cls, content)
    return cls
