"""How functions and classes of the notebook travel, and what goes with them.

The laws:

1. A function whose globals are a `__main__` runs on the other side with the receiver's namespace as its globals.
2. A function made inside an importable module (a lambda, a nested function) runs there with that module's globals.
3. The names that its code reads travel along when the receiver has no such name: functions and classes of the notebook
   by value, modules by name, other data by value up to `DATA_LIMIT` bytes pickled, larger data never.
4. What the receiver's user bound wins. What travelled earlier is replaced by a newer version.
5. Nothing that merely travels along can make a call fail: on either side it is left out, and `Travelled` knows why.

    function ──▶ (build_function, (code, where, cells, source), state, finish_function)
                                     │                             └─ defaults, cell contents, names: after the function
                                     │                                exists, so that recursion finds it
                                     └─ None: the receiver's namespace, (module, spare): that module's, dict: its own
"""

import dis
import functools
import importlib.util
import io
import linecache
import marshal
import pickle
import re
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cloudpickle

from pxkernel.protocol import arrays, arrive, arrow
from pxkernel.protocol.arrive import BLOB, MODULE, VALUE, Item
from pxkernel.protocol.reducers import HOMELESS, REDUCERS
from pxkernel.protocol.standins import LastResort, can_map, reduce_canned

DATA_LIMIT = 64 * 1024
SOURCE_LIMIT = 256 * 1024

_MAINS = frozenset({"__main__", "__mp_main__"})
_ATOMS = frozenset({type(None), bool, int, float, complex, type(...)})
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
# Every kernel has its own of these, so a copy could only do harm.
_NEVER = re.compile(r"__.*__|_{1,3}|_i{1,3}|_i?\d+|_[iod]h|In|Out|get_ipython|exit|quit|open").fullmatch
_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})


# --- the code of a function: read once per code object


class _Facts(NamedTuple):
    ref: Any
    packed: bytes | types.CodeType
    names: tuple[str, ...]
    words: frozenset[str]
    doc: str | None


# Keyed by id and guarded by a weak reference, because code objects compare equal across different files.
_facts_of: dict[int, _Facts] = {}


def _facts(code: types.CodeType) -> _Facts:
    facts = _facts_of.get(id(code))
    if facts is not None and facts.ref() is code:
        return facts
    family = list(_family(code))
    steps = (step for part in family for step in dis.get_instructions(part))
    names = dict.fromkeys(step.argval for step in steps if step.opname in _LOADS)
    try:
        packed: bytes | types.CodeType = importlib.util.MAGIC_NUMBER + marshal.dumps(code)
    except ValueError:  # constants that only code.replace() can have put there
        packed = code
    bare = types.FunctionType(code, {}, None, None, tuple(types.CellType() for _ in code.co_freevars))
    key = id(code)
    # A bound method of the dict: at exit, code objects outlive the names of this module.
    facts = _facts_of[key] = _Facts(
        weakref.ref(code, functools.partial(_facts_of.pop, key)),
        packed,
        tuple(name for name in names if not _NEVER(name)),
        frozenset(word for part in family for word in part.co_names),
        bare.__doc__,
    )
    return facts


def _family(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _family(const)


def names_read(code: types.CodeType) -> tuple[str, ...]:
    """The global names that a code object and those inside it read, without those that every kernel has of its own."""
    return _facts(code).names


def is_users(space: dict[str, Any], namespace: dict[str, Any] | None) -> bool:
    """Whether these globals are the user's: the receiver's namespace takes their place."""
    return space is namespace or space.get("__name__") in _MAINS


# --- sending


class TooLarge(Exception):
    """Raised by `Bounded` inside a pickler, to stop it."""


class Bounded(list[Any]):
    """A file for a pickler that refuses what is not small data."""

    size = 0

    def write(self, data: Any) -> None:
        self.size += len(data)
        if self.size > DATA_LIMIT:
            raise TooLarge
        self.append(bytes(data))


class Pickler(cloudpickle.CloudPickler):
    """cloudpickle's pickler with the laws above for functions.

    `careful` tries everything that would travel along before it is written: only worth its price after a failure.
    """

    def __init__(
        self,
        file: Any,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
        *,
        namespace: dict[str, Any] | None = None,
        careful: bool = False,
        parent: "Pickler | None" = None,
        by_value: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.carries = False
        self._namespace = namespace
        self._careful = careful
        self._by_value = by_value | cloudpickle.list_registry_pickle_by_value()
        self._verdicts: dict[int, str | None] = parent._verdicts if parent else {}
        self._seen: set[tuple[int, str]] = set(parent._seen) if parent else set()
        self._cells: dict[int, types.CellType] = {}
        self._privates: dict[int, dict[str, Any]] = {}
        self._files: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is types.FunctionType:
            return NotImplemented if self._has_home(obj) else self.reduce_function(obj)
        if kind is types.CellType:
            return self._reduce_cell(obj)
        if kind in can_map:
            return reduce_canned(obj)
        if kind in REDUCERS:
            return REDUCERS[kind](obj)
        if kind in HOMELESS:
            return NotImplemented if self._has_home(obj) else HOMELESS[kind](obj)
        if (reduce := arrays.reducer(kind) or arrow.reducer(kind)) is not None:
            return reduce(obj)
        if issubclass(kind, type):
            if self._has_home(obj):
                return NotImplemented
            reduced = super().reducer_override(obj)
            by_value = isinstance(reduced, tuple) and len(reduced) == 6
            return self.reduce_class(obj, reduced) if by_value else reduced
        if LastResort.reduce is not None and kind not in self.dispatch_table:
            return LastResort.reduce(obj)
        return NotImplemented

    def reduce_class(self, cls: type, reduced: tuple[Any, ...]) -> Any:
        make, args, state, _, _, setter = reduced
        if arrive.arrivals.get(id(cls)) is not cls:
            arrive.originals[id(cls)] = cls
        return make, args, (setter, state), None, None, arrive.finish_class

    def reduce_function(self, func: types.FunctionType) -> Any:
        code, space = func.__code__, func.__globals__
        facts = _facts(code)
        where = self._where(func, facts)
        contents = {}
        for index, cell in enumerate(func.__closure__ or ()):
            if id(cell) not in self._cells:
                self._cells[id(cell)] = cell
                try:
                    contents[index] = cell.cell_contents
                except ValueError:
                    pass
        items, skipped = ([], []) if isinstance(where, tuple) else self._used(facts, space)
        home = "__main__" if where is None else space.get("__name__")
        attributes = _attributes(func, facts, home)
        state = (attributes, func.__dict__ or None, contents or None, items or None, skipped or None)
        args: list[Any] = [facts.packed, where, func.__closure__, self._source(code.co_filename)]
        while args[-1] is None:
            args.pop()
        if not any(state):
            return arrive.build_function, tuple(args)
        return arrive.build_function, tuple(args), state, None, None, arrive.finish_function

    def _reduce_cell(self, cell: types.CellType) -> Any:
        # A function fills its own cells in its state; empty ones in its arguments are what lets a closure find itself
        # and two closures share a variable.
        if id(cell) in self._cells:
            return types.CellType, ()
        try:
            return types.CellType, (), (cell.cell_contents,), None, None, arrive.fill_cell
        except ValueError:
            return types.CellType, ()

    def _has_home(self, obj: Any) -> bool:
        """Whether the receiver can import `obj` by its name."""
        name = obj.__module__
        if not isinstance(name, str) or name in _MAINS or name not in sys.modules:
            return False
        if self._by_value and self._is_by_value(name):
            return False
        found: Any = sys.modules[name]
        for part in getattr(obj, "__qualname__", "").split("."):
            found = getattr(found, part, None)
        return found is obj

    def _is_by_value(self, name: str) -> bool:
        return any(name == module or name.startswith(module + ".") for module in self._by_value)

    def _where(self, func: types.FunctionType, facts: _Facts) -> Any:
        space = func.__globals__
        if is_users(space, self._namespace):
            return None
        name = space.get("__name__")
        module = sys.modules.get(name) if isinstance(name, str) else None
        if getattr(module, "__spec__", None) and vars(module) is space and not self._is_by_value(name):
            return name, None if _is_installed(module) else self._spare(name, facts, space)
        if id(space) not in self._privates:
            kept = ("__name__", "__package__", "__path__", "__file__")
            self._privates[id(space)] = {key: space[key] for key in kept if key in space}
        return self._privates[id(space)]

    def _spare(self, module: str, facts: _Facts, space: dict[str, Any]) -> bytes | None:
        """What to use should the receiver not have the module: a file beside the notebook may not be on every host."""
        sink = Bounded()
        inner = self._nested(sink, self._by_value | {module})
        try:
            inner.dump(inner._used(facts, space)[0])
        except Exception:
            return None
        return b"".join(sink)

    def _nested(self, file: Any, by_value: frozenset[str]) -> "Pickler":
        return Pickler(file, namespace=self._namespace, careful=True, parent=self, by_value=by_value)

    def _source(self, filename: str) -> tuple[str, str] | None:
        if filename in self._files:
            return None
        self._files.add(filename)
        entry = linecache.cache.get(filename)
        # No mtime means no file: the lines of a notebook cell, which nobody else can read anywhere.
        if entry is None or len(entry) != 4 or entry[1] is not None or entry[0] > SOURCE_LIMIT:
            return None
        return filename, "".join(entry[2])

    def _used(self, facts: _Facts, space: dict[str, Any]) -> tuple[list[Item], list[tuple[str, str]]]:
        """The names that the code reads, as far as its globals have them and nobody in this pickle carries them yet."""
        items, skipped = [], []
        for name in facts.names:
            if name not in space:
                continue
            # A module is named again: the next function may reach another of its submodules.
            if (id(space), name) in self._seen and not isinstance(space[name], types.ModuleType):
                continue
            self._seen.add((id(space), name))
            try:
                items.append(self._item(name, space[name], facts.words))
            except _Stays as reason:
                skipped.append((name, str(reason)))
        return items, skipped

    def _item(self, name: str, value: Any, words: frozenset[str]) -> Item:
        kind = type(value)
        if kind in _ATOMS:
            return name, VALUE, value
        if issubclass(kind, types.ModuleType):
            if value.__name__ in _MAINS or sys.modules.get(value.__name__) is not value:
                raise _Stays("is a module without a name to import it by")
            return name, MODULE, (value.__name__, list(_submodules(value, words)))
        size = _known_size(value)
        if size is not None and size > DATA_LIMIT:
            raise _too_large(name, f"a {size / 1e6:.1f} MB {kind.__name__}")
        if kind in _CONTAINERS and len(value) > DATA_LIMIT:  # an item takes a byte at least
            raise _too_large(name, _describe(value))
        if kind is not types.FunctionType or self._has_home(value):
            blob = self._probe(name, value)
            if blob is not None:
                return name, BLOB, blob
        self.carries = True
        if self._careful:
            self._try(name, value)
        return name, VALUE, value

    def _probe(self, name: str, value: Any) -> bytes | None:
        """The pickle of small data, or None if it holds functions or classes that must share this pickle's memory."""
        if isinstance(value, io.IOBase):  # cloudpickle would read the whole file and send its text
            raise _cannot_travel(name, value, "open files stay where they are")
        sink = Bounded()
        probe = _Probe(sink, namespace=self._namespace, by_value=self._by_value)
        try:
            probe.dump(value)
        except TooLarge:
            raise _too_large(name, _describe(value)) from None
        except Exception as error:
            raise _cannot_travel(name, value, error) from None
        return None if probe.holds_code else b"".join(sink)

    def _try(self, name: str, value: Any) -> None:
        # While it is being tried, what leads back to it takes it for sendable; each value is tried once.
        if id(value) not in self._verdicts:
            self._verdicts[id(value)] = None
            try:
                self._nested(Nowhere(), self._by_value).dump(value)
            except Exception as error:
                self._verdicts[id(value)] = str(_cannot_travel(name, value, error))
        if self._verdicts[id(value)] is not None:
            raise _Stays(self._verdicts[id(value)])


class _Probe(Pickler):
    """Measures data: code that would travel by value is noted and costs nothing here."""

    holds_code = False

    def reduce_function(self, func: types.FunctionType) -> Any:
        self.holds_code = True
        return int, ()

    def reduce_class(self, cls: type, reduced: tuple[Any, ...]) -> Any:
        self.holds_code = True
        return int, ()


class Nowhere:
    """A file for a pickler that only tries."""

    def write(self, data: Any) -> None:
        pass


class _Stays(Exception):
    """Why a name does not travel: the text after the name."""


def _too_large(name: str, what: str) -> _Stays:
    text = f"exists in your notebook ({what}) and is too large to travel with a function"
    return _Stays(f"{text}: push it with dview.push(dict({name}={name}))")


def _cannot_travel(name: str, value: Any, why: object) -> _Stays:
    return _Stays(f"exists in your notebook (a {type(value).__name__}) and cannot travel with a function: {why}")


def _known_size(value: Any) -> int | None:
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    array = getattr(sys.modules.get("numpy"), "ndarray", ())
    return value.nbytes if isinstance(value, (memoryview, array)) else None


def _describe(value: Any) -> str:
    items = f" of {len(value):,} items" if type(value) in _CONTAINERS else ""
    return f"a {type(value).__name__}{items}, over {DATA_LIMIT // 1024} kB pickled"


def _submodules(module: types.ModuleType, words: frozenset[str]) -> Iterator[str]:
    """`import scipy.sparse` binds only `scipy`: name what the code may reach through it."""
    if hasattr(module, "__path__"):
        for word in sorted(words):
            inner = sys.modules.get(f"{module.__name__}.{word}")
            if isinstance(inner, types.ModuleType):
                yield inner.__name__
                yield from _submodules(inner, words)


def _is_installed(module: types.ModuleType) -> bool:
    if module.__name__.partition(".")[0] == __name__.partition(".")[0]:
        return True  # without it nobody could unpack at all
    file = getattr(module, "__file__", None)
    return file is None or file.startswith(_INSTALLED) or "site-packages" in file


_INSTALLED = tuple({sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")})


def _attributes(func: types.FunctionType, facts: _Facts, home: Any) -> dict[str, Any] | None:
    """What the code object alone does not say of a function; most lambdas need nothing."""
    code, found = func.__code__, {}
    expected = (code.co_name, code.co_qualname, home, facts.doc, None, None)
    for name, value in zip(_SLOTS, expected, strict=True):
        if getattr(func, name) != value:
            found[name] = getattr(func, name)
    for name in ("__annotations__", "__type_params__"):
        value = getattr(func, name, None)
        if value:
            found[name] = value
    return found or None


_SLOTS = ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__")
