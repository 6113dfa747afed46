"""Python objects to payload frames and back.

    frames = [head, long byte strings ..., buffers ...]

`head` is a pickle (protocol 5). Buffers are what it keeps out of band: arrays, memoryviews. Long byte strings are cut
out of the stream itself: the pickler hands each of them to its file in one piece, so they need neither a copy nor a
reducer (none is ever asked about `bytes`). A head with such cuts begins with `_CUT` and a table of where they were.

A call whose arguments need no reducer has a head of two pickles, that of the function first: it begins with `_CALL` and
the length of the first one.

Only clients and engines unpack. The controller routes frames and looks into none.
"""

import itertools
import pickle
import reprlib
import struct
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pxkernel.protocol import prepared, travel
from pxkernel.protocol.arrays import is_numeric
from pxkernel.protocol.arrive import Travelled, load_for, missing_name_hint

__all__ = [
    *("Frame", "Travelled", "detached", "missing_name_hint"),
    *("pack", "pack_block", "pack_call", "pack_items", "pack_result", "unpack"),
]

Frame = bytes | bytearray | memoryview

# A frame costs a few µs on every hop; copying less than this costs less.
_BUFFER_FLOOR = 4096
# The pickler flushes ordinary data in pieces of 64 kB to 128 kB: only longer ones are single byte strings for certain.
_CUT_FLOOR = 256 * 1024
_CUT = b"\x01"  # a pickle begins with 0x80
_CALL = b"\x02"
_CALL_START = struct.Struct("<cI")
_PLAIN = frozenset({type(None), bool, int, float, complex, str})


def pack(obj: Any, *, namespace: dict[str, Any] | None = None) -> list[Frame]:
    """The frames of any object. `namespace` is the user's here, should its `__name__` not say `__main__`."""
    if _is_plain(obj):
        return _pack_plain(obj)
    for careful in (False, True):
        stream: list[Any] = _Stream()
        buffers = []
        pickler = travel.Pickler(stream, _keeper(buffers), namespace=namespace, careful=careful)
        try:
            pickler.dump(obj)
            break
        except Exception:
            # A function that merely came along may be to blame: then the next round leaves it at home.
            if careful or not pickler.carries:
                raise
    return [*_cut(stream), *buffers]


def _is_plain(obj: Any, depth: int = 3) -> bool:
    """What no reducer is needed for: starting cloudpickle's pickler costs ten times as much as these themselves."""
    kind = type(obj)
    if kind in _PLAIN:
        return kind is not str or len(obj) < _BUFFER_FLOOR
    if kind is tuple or kind is list:
        return not obj or depth > 0 and len(obj) < 32 and all([_is_plain(item, depth - 1) for item in obj])
    if kind is dict:
        pairs = obj.items()
        return not obj or depth > 0 and len(obj) < 32 and all([type(k) is str and _is_plain(v, depth - 1) for k, v in pairs])
    if kind.__name__ == "ndarray" and kind.__module__ == "numpy":
        return bool(obj.flags.writeable and obj.flags.forc and is_numeric(obj.dtype))
    return False


def _pack_plain(obj: Any) -> list[Frame]:
    buffers: list[memoryview] = []
    return [pickle.dumps(obj, 5, buffer_callback=_keeper(buffers)), *buffers]


def detached(frames: Sequence[Frame]) -> list[Frame]:
    """The frames with their buffers copied: what becomes of the objects they were made from does not reach them."""
    return [frames[0], *map(bytes, frames[1:])]


def unpack(
    frames: Sequence[Frame], *, namespace: dict[str, Any] | None = None, travelled: Travelled | None = None
) -> Any:
    """The object in `frames`. Functions of a notebook run in `namespace` (default: this process's `__main__`).

    A read-only buffer is copied, so that an array is private and writable; a writable one is handed over as it is.
    """
    head = frames[0]
    if memoryview(head)[:1] == _CALL:
        return load_for(namespace, travelled, lambda: _unpack_call(frames))
    if memoryview(head)[:1] != _CUT:
        buffers = [_writable(frame) for frame in frames[1:]]
        return load_for(namespace, travelled, lambda: pickle.loads(head, buffers=buffers))
    stream = _Rejoined(frames)
    buffers = [_writable(frame) for frame in frames[stream.frames :]]
    return load_for(namespace, travelled, pickle.Unpickler(stream, buffers=buffers).load)


def pack_call(
    f: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None, *, namespace: dict[str, Any] | None = None
) -> list[Frame]:
    """The frames of `(f, args, kwargs)`; the error of a call that cannot travel names the argument to blame."""
    args, kwargs = tuple(args), kwargs or {}
    try:
        return _pack_call(f, args, kwargs, namespace)
    except Exception as error:
        suspects = [_suspect(f)]
        suspects += [(f"argument {index}", arg) for index, arg in enumerate(args)]
        suspects += [(f"argument {name}", arg) for name, arg in kwargs.items()]
        raise _refusal(suspects, error, namespace) from None


def _pack_call(
    f: Any, args: tuple[Any, ...], kwargs: dict[str, Any], namespace: dict[str, Any] | None = None
) -> list[Frame]:
    if _is_plain(args, 2) and _is_plain(kwargs, 2):
        function = prepared.pickle_of(f, namespace, lambda: _in_one_piece(pack(f, namespace=namespace)))
        if function is not None:
            head, *buffers = _pack_plain((args, kwargs))
            return [b"".join([_CALL_START.pack(_CALL, len(function)), function, head]), *buffers]
    return pack((f, args, kwargs), namespace=namespace)


def pack_block(f: Any, columns: Sequence[Any], start: int, of: str) -> list[Frame]:
    """The frames of the call of `f` for each item of a block of the map `of`; the error names the item to blame.

    `columns` has a slice of each sequence; the first item is the one with index `start`.
    """
    try:
        return _pack_call(f, tuple(columns), {"map": of})
    except Exception as error:
        suspects = [_suspect(f), *(_items_to_blame(columns, start) if columns else ())]
        raise _refusal(suspects, error, None) from None


def pack_items(columns: Sequence[Any], start: int) -> list[Frame]:
    """The frames of some items of a map without its function; as `pack_block`."""
    try:
        return pack(list(columns))
    except Exception as error:
        raise _refusal(_items_to_blame(columns, start), error, None) from None


def _in_one_piece(frames: Sequence[Frame]) -> bytes | None:
    return bytes(frames[0]) if len(frames) == 1 and frames[0][:1] != _CUT else None


def _unpack_call(frames: Sequence[Frame]) -> tuple[Any, Any, Any]:
    head = memoryview(frames[0])
    _, length = _CALL_START.unpack_from(head)
    start = _CALL_START.size
    function = pickle.loads(head[start : start + length])
    args, kwargs = pickle.loads(head[start + length :], buffers=[_writable(frame) for frame in frames[1:]])
    return function, args, kwargs


def pack_result(obj: Any, *, namespace: dict[str, Any] | None = None) -> list[Frame]:
    """The frames of what a call returned."""
    try:
        return pack(obj, namespace=namespace)
    except Exception as error:
        raise _refusal([("the result", obj)], error, namespace) from None


# --- frames


class _Stream(list[Any]):
    """A file for a pickler that keeps every write apart."""

    write = list.append


def _keeper(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        small = raw.nbytes < _BUFFER_FLOOR
        if not small:
            buffers.append(raw)
        return small

    return keep_in_band


def _cut(stream: list[Any]) -> list[Frame]:
    if len(stream) == 1:
        return [stream[0]]
    rest, cuts, places, size = [], [], [], 0
    for piece in stream:
        if len(piece) < _CUT_FLOOR:
            rest.append(piece)
            size += len(piece)
        else:
            # A bytearray may change its length, which an exported buffer would forbid its owner.
            cuts.append(piece if type(piece) is bytes else bytes(piece))
            places.append(size)
    if not cuts:
        return [b"".join(rest)]
    table = struct.pack(f"<I{len(places)}Q", len(places), *places)
    return [b"".join([_CUT, table, *rest]), *cuts]


class _Rejoined:
    """The file that an unpickler reads a cut stream from. Byte strings are read straight into their final place."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        head = memoryview(frames[0])
        (count,) = struct.unpack_from("<I", head, 1)
        places = struct.unpack_from(f"<{count}Q", head, 5)
        rest = head[5 + 8 * count :]
        self.frames = 1 + count
        self._pieces: list[memoryview] = []
        for start, end, cut in zip((0, *places), places, frames[1 : 1 + count], strict=False):
            self._pieces += [rest[start:end], memoryview(cut)]
        self._pieces.append(rest[places[-1] :])
        self._pieces.reverse()

    def readinto(self, target: Any) -> int:
        wanted, done = memoryview(target).cast("B"), 0
        while done < len(wanted) and self._pieces:
            piece = self._pieces.pop()
            part = piece[: len(wanted) - done]
            wanted[done : done + len(part)] = part
            done += len(part)
            if len(part) < len(piece):
                self._pieces.append(piece[len(part) :])
        return done

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        return bytes(data[: self.readinto(data)])

    def readline(self) -> bytes:
        raise pickle.UnpicklingError("a pickle of protocol 5 has no lines")


def _writable(frame: Frame) -> Frame:
    view = memoryview(frame)
    return bytearray(view) if view.readonly else view


# --- naming what cannot travel


def _suspect(f: Any) -> tuple[str, Any]:
    return f"function {getattr(f, '__name__', '')}".rstrip(), f


def _items_to_blame(columns: Sequence[Any], start: int) -> list[tuple[str, Any]]:
    """The first item of a map that cannot travel, found by halving."""
    low, high = 0, len(columns[0])
    while high - low > 1:
        middle = (low + high) // 2
        if _failure([column[low:middle] for column in columns], None) is None:
            low = middle
        else:
            high = middle
    item = [column[low] for column in columns]
    return [(f"item {start + low}", item[0] if len(item) == 1 else item)]


def _refusal(suspects: list[tuple[str, Any]], error: Exception, namespace: dict[str, Any] | None) -> Exception:
    kind = TypeError if isinstance(error, TypeError) else pickle.PicklingError
    for name, obj in suspects:
        found = _failure(obj, namespace)
        if found is not None:
            name, obj, found = _culprit(name, obj, found, namespace)
            return kind(f"cannot send {name} ({_short(obj)}): {found}")
    return kind(f"cannot send {suspects[0][0]}: {error}")


def _failure(obj: Any, namespace: dict[str, Any] | None) -> Exception | None:
    try:
        travel.Pickler(travel.Nowhere(), namespace=namespace, careful=True).dump(obj)
    except Exception as error:
        return error
    return None


def _culprit(
    name: str, obj: Any, error: Exception, namespace: dict[str, Any] | None, depth: int = 0
) -> tuple[str, Any, Exception]:
    """Follow the error into the object, to the smallest part that cannot travel on its own."""
    # What is nested too deeply has only smaller parts with the same complaint; a long list is not worth a long search.
    if depth < 8 and not isinstance(error.__cause__, RecursionError):
        for step, part in itertools.islice(_parts(obj), 1000):
            found = _failure(part, namespace)
            if found is not None:
                return _culprit(name + step, part, found, namespace, depth + 1)
    return name, obj, error


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, (list, tuple, set, frozenset)):
        yield from ((f"[{index}]", part) for index, part in enumerate(obj))
    elif isinstance(obj, dict):
        yield from ((f"[{reprlib.repr(key)}]", part) for key, part in obj.items())
    elif isinstance(obj, types.FunctionType):
        for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=False):
            try:
                yield f", closure variable {name}", cell.cell_contents
            except ValueError:
                continue
        yield from ((f", default value {index}", part) for index, part in enumerate(obj.__defaults__ or ()))
        yield from ((f", default of {name}", part) for name, part in (obj.__kwdefaults__ or {}).items())
    elif isinstance(obj, types.MethodType):
        yield ", the object of the method", obj.__self__
    elif hasattr(type(obj), "func") and hasattr(type(obj), "keywords"):  # functools.partial
        yield from ((", its function", obj.func), (", its arguments", obj.args), (", its arguments", obj.keywords))
    attributes = getattr(obj, "__dict__", None)
    if isinstance(attributes, (dict, types.MappingProxyType)):
        yield from ((f".{name}", part) for name, part in attributes.items() if not name.startswith("__"))


_repr = reprlib.Repr()
_repr.maxother = _repr.maxstring = 80


def _short(obj: Any) -> str:
    return " ".join(_repr.repr(obj).split())
