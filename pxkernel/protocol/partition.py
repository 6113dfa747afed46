"""Splitting a sequence over engines, and joining the parts (features DV-10, DV-11, MAP-01).

Parts are contiguous ("b", the default) or dealt out like cards ("r"). They keep the type of the sequence where slicing
does: lists, tuples, strings, arrays (by rows). A ``range`` becomes lists, as every seed shows it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

from .arrays import is_numeric
from .copying import copy_each, shares

_MISSING = object()
#: A slice of one of these has the items that iterating over it gives. That of a table, for example, has not.
_SLICED = (list, tuple, str, bytes, bytearray, memoryview, range, array)


def check_dist(dist: str) -> None:
    """Raises ValueError unless ``dist`` is "b" or "r"."""
    if dist not in ("b", "r"):
        raise ValueError(f"dist must be 'b' (blocks) or 'r' (round robin), not {dist!r}")


def bounds(length: int, parts: int) -> list[tuple[int, int]]:
    """The ``(start, stop)`` of each of ``parts`` contiguous parts; the first ones are one longer.

    >>> bounds(5, 4)
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    base, extra = divmod(length, parts)
    starts = [i * base + min(i, extra) for i in range(parts + 1)]
    return list(zip(starts, starts[1:], strict=False))


def chunk_bounds(length: int, chunksize: Any) -> list[tuple[int, int]]:
    """The ``(start, stop)`` of contiguous parts of ``chunksize`` items; the last one may be shorter.

    Raises
    ------
    ValueError
        ``chunksize`` is no positive int.
    """
    if not isinstance(chunksize, int) or isinstance(chunksize, bool) or chunksize < 1:
        raise ValueError(f"chunksize must be a positive int (or 'auto', for a balanced map), not {chunksize!r}")
    return [(start, min(start + chunksize, length)) for start in range(0, length, chunksize)]


def columns(sequences: Sequence[Any]) -> tuple[list[Any], int]:
    """The arguments of a map as sequences that can be sliced, and the length of the shortest (features MAP-01, MAP-04).

    Of iterables without a length as much is taken as the shortest of the others has.

    Raises
    ------
    TypeError
        There is no sequence, or one cannot be iterated over.
    """
    if not sequences:
        raise TypeError("must have some sequences to map onto!")
    found = [sequence if _can_be_sliced(sequence) else _iterable(sequence, index) for index, sequence in enumerate(sequences)]
    lengths = [len(sequence) for sequence in found if hasattr(sequence, "__len__")]
    if not lengths:
        rows = list(zip(*found, strict=False))
        return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in found], len(rows)
    taken = [sequence if _can_be_sliced(sequence) else list(islice(sequence, min(lengths))) for sequence in found]
    return taken, min(map(len, taken))


def _can_be_sliced(sequence: Any) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(sequence, numpy.ndarray):
        return sequence.ndim > 0
    return isinstance(sequence, _SLICED)


def _iterable(sequence: Any, index: int) -> Iterable[Any]:
    try:
        iterator = iter(sequence)
    except TypeError as error:
        raise TypeError(f"sequence {index} to map onto is none: {error}") from None
    # What has a length keeps it; of a mapping that are its keys.
    return sequence if hasattr(sequence, "__len__") else iterator


def split(seq: Any, parts: int, dist: str = "b") -> list[Any]:
    """``seq`` in ``parts`` parts.

    Raises
    ------
    TypeError
        ``seq`` has no length or cannot be sliced (a generator, a set, a dict).
    ValueError
        ``dist`` is neither "b" nor "r".
    """
    check_dist(dist)
    if isinstance(seq, range):
        seq = list(seq)
    try:
        length = len(seq)
        if dist == "r":
            return [seq[i::parts] for i in range(parts)]
        return [seq[start:stop] for start, stop in bounds(length, parts)]
    except (TypeError, KeyError) as error:
        raise TypeError(f"a sequence is needed to scatter, not {type(seq).__name__}: {error}") from None


def join(parts: Sequence[Any], dist: str = "b") -> Any:
    """The inverse of ``split``: lists and tuples become one list, arrays one array, strings one string.

    Parts of other or of mixed types (left by ``flatten=True``) come back as a list of the parts.
    """
    check_dist(dist)
    parts = list(parts)
    # Who has no numpy has no arrays.
    if parts and (numpy := sys.modules.get("numpy")) is not None:
        if all(isinstance(part, numpy.ndarray) and part.ndim for part in parts):
            return _join_arrays(numpy, parts, dist)
    if parts and all(isinstance(part, str) for part in parts):
        return "".join(_deal(parts) if dist == "r" else parts)
    if all(isinstance(part, list | tuple | range) for part in parts):
        return list(_deal(parts)) if dist == "r" else list(chain.from_iterable(parts))
    return parts


def join_results(results: Sequence[Any], dist: str = "b") -> Any:
    """What a function returned for each part, joined: as ``join``, but a string is a result and no sequence.

    Where exceptions stand in the place of results, sequences become the elements of one list beside them.
    """
    if any(isinstance(result, str) for result in results):
        return list(results)
    if any(isinstance(result, BaseException) for result in results):
        return list(chain.from_iterable(result if isinstance(result, list | tuple) else [result] for result in results))
    return join(results, dist)


def _deal(parts: Sequence[Any]) -> Any:
    return (item for row in zip_longest(*parts, fillvalue=_MISSING) for item in row if item is not _MISSING)


def _join_arrays(numpy: Any, parts: list[Any], dist: str) -> Any:
    joined = _concatenate(numpy, [part for part in parts if len(part)] or parts[:1])
    if dist == "b":
        return joined
    dealt = numpy.empty_like(joined)
    for index, part in enumerate(parts):
        dealt[index :: len(parts)] = part
    return dealt


def _concatenate(numpy: Any, parts: list[Any]) -> Any:
    """As numpy's own; large plain arrays by several threads."""
    first = parts[0]
    threads = shares(sum(part.nbytes for part in parts))
    plain = all(
        type(part) is numpy.ndarray
        and part.flags.c_contiguous
        and part.dtype.isnative
        and (part.dtype, part.shape[1:]) == (first.dtype, first.shape[1:])
        for part in parts
    )
    if threads < 2 or not plain or not is_numeric(first.dtype):
        return numpy.concatenate(parts)
    joined = numpy.empty((sum(map(len, parts)), *first.shape[1:]), first.dtype)
    pieces, end = [], 0
    for part in parts:
        start, end = end, end + len(part)
        pieces += zip(*(numpy.array_split(array, threads) for array in (joined[start:end], part)), strict=True)
    copy_each(lambda piece, _: numpy.copyto(*piece), pieces, threads)
    return joined
