"""Arrays: one rule at every size. What arrives is private and writable, the sender's is not changed, and dtype, order,
shape and values survive (features SER-08, SER-09, SER-11)."""

import pickle

import numpy as np
import pytest

from pxkernel.protocol.arrays import is_numeric
from pxkernel.protocol.pack import pack, unpack

#: In elements of 8 bytes: around the floor of out-of-band buffers, the pickler's own pieces, and the cut of byte strings.
SIZES = [1, 7, 511, 512, 513, 8_192, 8_193, 32_769]


def received(obj):
    """`obj` as it arrives: from frames of which none can be written to."""
    return unpack([bytes(frame) for frame in pack(obj)], namespace={"__name__": "__main__"})


def structured(count, last):
    array = np.zeros(count, [("a", "i4"), ("b", ">f8"), ("c", last)])
    array["a"] = array["b"] = array["c"] = np.arange(count)
    return array


def read_only(array):
    array.flags.writeable = False
    return array


ARRAYS = {
    "int64": lambda n: np.arange(n),
    "float32": lambda n: np.arange(n, dtype="f4"),
    "bool": lambda n: np.arange(n) % 3 == 0,
    "complex": lambda n: np.arange(n) * 1j,
    "byte-swapped": lambda n: np.arange(n, dtype=">i8"),
    "datetime64": lambda n: np.arange(n).astype("datetime64[s]"),
    "timedelta64": lambda n: np.arange(n).astype("timedelta64[ms]"),
    "text": lambda n: np.arange(n).astype("U7"),
    "bytes": lambda n: np.arange(n).astype("S7"),
    "structured": lambda n: structured(n, "S3"),
    "aligned structure": lambda n: np.zeros(n, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "subarrays": lambda n: np.ones(n, [("a", "i1", (2, 3))]),
    "objects": lambda n: np.array([[i] if i % 2 else str(i) for i in range(n)] + [None], dtype=object),
    "structured objects": lambda n: structured(n, "O"),
    "every other": lambda n: np.arange(2 * n)[::2],
    "backwards": lambda n: np.arange(n)[::-1],
    "Fortran": lambda n: np.asfortranarray(np.arange(4 * n).reshape(4, n)),
    "transposed": lambda n: np.arange(4 * n).reshape(n, 4).T,
    "axes moved": lambda n: np.arange(4 * n).reshape(2, 2, n).transpose(1, 2, 0),
    "broadcast": lambda n: np.broadcast_to(np.arange(n), (3, n)),
    "overlapping": lambda n: np.lib.stride_tricks.sliding_window_view(np.arange(n + 2), 3),
    "read-only": lambda n: read_only(np.arange(n)),
    "read-only dates": lambda n: read_only(np.arange(n).astype("datetime64[D]")),
    "read-only Fortran": lambda n: read_only(np.asfortranarray(np.arange(4 * n).reshape(4, n))),
    "read-only stride": lambda n: read_only(np.arange(2 * n))[::2],
    "read-only objects": lambda n: read_only(np.array([str(i) for i in range(n)], dtype=object)),
    "matrix": lambda n: np.arange(4 * n).reshape(4, n).view(np.matrix),
    "read-only matrix": lambda n: read_only(np.arange(n).reshape(1, n).view(np.matrix)),
    "records": lambda n: np.rec.fromarrays([np.arange(n), np.arange(n) / 2], names="x,y"),
    "read-only records": lambda n: read_only(np.rec.fromarrays([np.arange(n), np.arange(n) / 2], names="x,y")),
    "characters": lambda n: np.char.array([str(i) for i in range(n)]),
}


def assert_same(back, array):
    assert type(back) is type(array)
    assert (back.dtype, back.dtype.str, back.shape) == (array.dtype, array.dtype.str, array.shape)
    assert back.dtype.isalignedstruct == array.dtype.isalignedstruct
    assert back.dtype.type is array.dtype.type
    assert back.tolist() == array.tolist() if array.dtype.hasobject else np.array_equal(back, array)
    assert back.flags.writeable
    if array.flags.fnc:
        assert back.flags.fnc
    if array.flags.c_contiguous:
        assert back.flags.c_contiguous


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_kind_at_every_size(kind):
    """SER-09, SER-11"""
    for size in SIZES:
        array = ARRAYS[kind](size)
        before = array.copy(order="K"), array.flags.writeable
        alone, nested = received(array), received({"key": [(array,), array]})["key"]
        assert_same(alone, array)
        assert_same(nested[0][0], array)
        assert nested[0][0] is nested[1]
        assert_same(array.copy(order="K"), before[0])
        assert array.flags.writeable is before[1]


@pytest.mark.parametrize(
    "array",
    [
        np.array(5.0),
        np.broadcast_to(np.array(5.0), ()),
        np.array("2020-01-01", "M8[D]"),
        np.array([[1]], dtype=object).reshape(()),
        np.zeros((0, 3)),
        read_only(np.zeros((3, 0), "i2")),
        np.zeros((2, 0), "M8[s]"),
        np.zeros(3, "V0"),
        np.zeros((2, 0), "S0"),
    ],
    ids=repr,
)
def test_arrays_without_dimensions_or_elements(array):
    """SER-11"""
    assert_same(received(array), array)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make_mask", [lambda n: np.arange(n) % 3 == 0, lambda n: np.ma.nomask], ids=["mask", "no mask"])
def test_masked_arrays(size, make_mask):
    """SER-11"""
    array = np.ma.MaskedArray(np.arange(size), make_mask(size), fill_value=7, hard_mask=True)
    for original in (array, array[::2], array.reshape(1, -1)):
        back = received(original)
        assert type(back) is np.ma.MaskedArray
        assert (back.fill_value, back.hardmask, back.dtype) == (original.fill_value, True, original.dtype)
        assert (back.mask is np.ma.nomask) == (original.mask is np.ma.nomask)
        assert np.array_equal(back.data, original.data)
        assert np.array_equal(back.mask, original.mask)
        back.soften_mask()
        back[...] = 1
        back.mask = False
        assert back.sum() == original.size
    assert array.data[-1] == size - 1


def test_masked_records_and_objects():
    """SER-11"""
    records = np.ma.array([(1, 2.0), (3, 4.0)], mask=[(0, 1), (1, 0)], dtype=[("a", "i4"), ("b", "f8")])
    objects = np.ma.array([[1], "x", None], mask=[0, 1, 0], dtype=object)
    for array in (records, objects):
        back = received(array)
        assert (back.dtype, back.mask.tolist()) == (array.dtype, array.mask.tolist())
        assert back.tolist() == array.tolist()


@pytest.mark.parametrize(
    "make",
    [
        *(ARRAYS[kind] for kind in ("int64", "datetime64", "every other", "transposed", "axes moved", "read-only")),
        *(ARRAYS[kind] for kind in ("matrix", "records", "structured", "broadcast")),
        lambda n: np.ma.masked_array(np.arange(n), np.arange(n) % 3 == 0),
    ],
)
def test_memory_travels_out_of_band(make):
    """SER-08: the pickle itself stays small."""
    array = make(5_000)
    frames = pack([array])
    assert len(frames) > 1
    assert len(bytes(frames[0])) < 1_000 < array.nbytes <= sum(map(len, frames[1:]))


def test_memory_is_not_copied_to_be_sent():
    """SER-08: neither of a writable array nor of a read-only one."""
    array = np.zeros(100_000)
    for original in (array, read_only(array.view()), np.ma.masked_array(array), array.view("M8[s]")):
        frames = pack(original)
        array[0] += 1
        assert received_sum(frames[1]) == array[0]
        array[0] = 0


def received_sum(frame):
    return np.frombuffer(frame, "f8").sum()


def test_subclasses_of_the_user_are_left_to_themselves():
    class Tagged(np.ndarray):
        pass

    assert type(received(np.arange(1000).view(Tagged))) is Tagged


def test_who_has_no_array_needs_no_numpy(run_bare):
    assert run_bare("from pxkernel.protocol.pack import pack, unpack; unpack(pack([{1, 2}]))") == "False"


@pytest.fixture
def run_bare():
    import subprocess
    import sys

    def run(source):
        script = f"import sys; {source}; print('numpy' in sys.modules)"
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()

    return run


def test_numbers_are_told_from_what_only_looks_like_them():
    for kind in ("?", "i1", "u8", "f2", "f8", "c16", ">i4"):
        array = np.zeros(3, kind)
        assert is_numeric(array.dtype)
        assert is_numeric(pickle.loads(pickle.dumps(array)).dtype), "it has travelled"
    for kind in ("O", "S3", "U3", "M8[s]", "m8[s]", "V4", [("a", "f8")]):
        assert not is_numeric(np.zeros(3, kind).dtype)
