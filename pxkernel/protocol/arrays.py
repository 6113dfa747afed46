"""How numpy's arrays travel: out of band, and private and writable on arrival (features SER-08 to SER-11).

A writable array with its bytes in one piece travels well by itself: numpy hands its memory over. These reducers are for
the others, which numpy copies into the pickle or sends so that they arrive read-only: read-only arrays, strided ones, dates,
masked arrays, matrices and records. What holds Python objects is left to numpy. Who has no numpy has no arrays, and only who
receives one needs numpy: this module does not import it.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

#: What is smaller is left to numpy when that changes nothing but the way it travels.
_SMALL = 4096
#: dtype.kind of dates and durations: numpy exports no buffer of them.
_DATES = "mM"


def reducer(kind: type) -> Any:
    """The function that reduces arrays of exactly this type, None if numpy does it or it is no array."""
    if not str(kind.__module__).startswith("numpy"):
        return None
    numpy = sys.modules["numpy"]
    if kind is numpy.ndarray:
        return reduce_array
    if kind is numpy.ma.MaskedArray:
        return _reduce_masked
    return _reduce_subclass if kind in (numpy.matrix, numpy.recarray) else None


def reduce_array(array: Any) -> Any:
    """For exact ndarrays."""
    flags, dtype = array.flags, array.dtype
    if dtype.hasobject or not dtype.itemsize:
        return NotImplemented
    if flags.writeable and (array.nbytes < _SMALL or (flags.forc and dtype.kind not in _DATES)):
        return NotImplemented
    return _in_pieces(array)


def is_numeric(dtype: Any) -> bool:
    """Whether this is one of numpy's own types of numbers; ``isbuiltin`` alone denies it of one that has been unpickled."""
    return dtype.kind in "biufc" and dtype.isbuiltin != 2


def _in_pieces(array: Any) -> Any:
    if not array.flags.forc:
        array = array.copy()
    order = "C" if array.flags.c_contiguous else "F"
    # As plain bytes, because dates do not export a buffer.
    flat = array.reshape(-1, order=order).view("u1")
    return rebuild_array, (pickle.PickleBuffer(flat), array.dtype, array.shape, order)


def rebuild_array(buffer: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    import numpy

    array = numpy.ndarray(shape, dtype, buffer, order=order)
    # What came inside the pickle is read-only; what came beside it is ours already, and need not be aligned.
    return array if array.flags.writeable and array.flags.aligned else array.copy(order="K")


def _reduce_subclass(array: Any) -> Any:
    base = array.view(sys.modules["numpy"].ndarray)
    if array.nbytes < _SMALL and array.flags.writeable or array.dtype.hasobject or not array.dtype.itemsize:
        return NotImplemented
    return rebuild_subclass, (type(array), base, array.dtype)


def rebuild_subclass(kind: type, base: Any, dtype: Any) -> Any:
    found = base.view(kind)
    found.dtype = dtype
    return found


def _reduce_masked(array: Any) -> Any:
    numpy = sys.modules["numpy"]
    data = array.data
    if type(data) is not numpy.ndarray or data.dtype.hasobject or not data.dtype.itemsize:
        return NotImplemented
    mask = None if array.mask is numpy.ma.nomask else array.mask
    return rebuild_masked, (data, mask, array.fill_value, array.hardmask)


def rebuild_masked(data: Any, mask: Any, fill_value: Any, hardmask: bool) -> Any:
    import numpy

    masked = numpy.ma.nomask if mask is None else mask
    return numpy.ma.MaskedArray(data, mask=masked, fill_value=fill_value, hard_mask=hardmask)
