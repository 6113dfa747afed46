"""Splitting sequences over engines, and joining the parts."""

import pickle
import random
import sys
from array import array
from collections import deque
from itertools import count

import numpy as np
import pytest

from pxkernel.protocol import copying, partition
from pxkernel.protocol.partition import bounds, chunk_bounds, columns, join, split


def test_the_first_parts_are_one_longer():
    assert [stop - start for start, stop in bounds(10, 4)] == [3, 3, 2, 2]


def test_parts_may_be_empty():
    assert bounds(2, 4) == [(0, 1), (1, 2), (2, 2), (2, 2)]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_bounds_cover_everything_once(length, parts):
    found = bounds(length, parts)
    assert len(found) == parts
    assert [i for start, stop in found for i in range(start, stop)] == list(range(length))


# ---- split


def test_blocks():
    assert split([0, 1, 2, 3, 4], 2) == [[0, 1, 2], [3, 4]]


def test_round_robin():
    assert split([0, 1, 2, 3, 4], 2, "r") == [[0, 2, 4], [1, 3]]


@pytest.mark.parametrize("seq, expected", [((1, 2, 3), [(1, 2), (3,)]), ("abc", ["ab", "c"]), (b"abc", [b"ab", b"c"])])
def test_parts_keep_the_type(seq, expected):
    assert split(seq, 2) == expected


@pytest.mark.parametrize("dist, expected", [("b", [[0, 1], [2, 3]]), ("r", [[0, 2], [1, 3]])])
def test_a_range_becomes_lists(dist, expected):
    assert split(range(4), 2, dist) == expected


def test_arrays_are_split_by_rows():
    parts = split(np.arange(6).reshape(3, 2), 2)
    assert [part.tolist() for part in parts] == [[[0, 1], [2, 3]], [[4, 5]]]


def test_parts_of_arrays_keep_the_dtype():
    assert split(np.zeros(3, np.int8), 2)[0].dtype == np.int8


@pytest.mark.parametrize(
    "value", [{1, 2}, {"a": 1}, {}, 5, None, (i for i in range(3)), np.array(5)], ids=lambda v: type(v).__name__
)
def test_what_is_no_sequence(value):
    with pytest.raises(TypeError, match="a sequence is needed to scatter"):
        split(value, 2)


@pytest.mark.parametrize("dist", ["x", "", "blocks", None])
def test_an_unknown_distribution(dist):
    with pytest.raises(ValueError, match="dist must be"):
        split([1], 2, dist)
    with pytest.raises(ValueError, match="dist must be"):
        join([[1]], dist)


# ---- join


@pytest.mark.parametrize("dist", ["b", "r"])
@pytest.mark.parametrize("seq", [list(range(7)), [], ["a"], "abcdefg"], ids=repr)
@pytest.mark.parametrize("parts", [1, 3, 10])
def test_join_is_the_inverse_of_split(seq, parts, dist):
    assert join(split(seq, parts, dist), dist) == seq


@pytest.mark.parametrize("dist", ["b", "r"])
def test_tuples_become_one_list(dist):
    assert join(split((1, 2, 3), 2, dist), dist) == [1, 2, 3]


def test_ranges_become_one_list():
    assert join([range(2), range(2, 4)]) == [0, 1, 2, 3]


@pytest.mark.parametrize("dist", ["b", "r"])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("array", [np.arange(5), np.arange(6.0).reshape(3, 2), np.zeros(0, np.int8)], ids=str)
def test_arrays_come_back(array, parts, dist):
    joined = join(split(array, parts, dist), dist)
    np.testing.assert_array_equal(joined, array)
    assert joined.dtype == array.dtype


def test_random_sequences_come_back():
    rng = random.Random(0)
    for _ in range(200):
        seq = [rng.random() for _ in range(rng.randrange(50))]
        parts, dist = rng.randrange(1, 12), rng.choice("br")
        assert join(split(seq, parts, dist), dist) == seq
        np.testing.assert_array_equal(join(split(np.array(seq), parts, dist), dist), np.array(seq))


@pytest.mark.parametrize(
    "parts", [[1, 2], [[1], 2], [[1], "b"], [np.array(1), np.array(2)], [None], [{"a": 1}, {"b": 2}]], ids=repr
)
@pytest.mark.parametrize("dist", ["b", "r"])
def test_parts_that_are_no_sequences_stay_parts(parts, dist):
    assert join(parts, dist) == parts


def test_lists_are_joined_where_there_is_no_numpy(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy")
    assert join([[1], [2, 3]]) == [1, 2, 3]


def test_nothing_joins_to_nothing():
    assert join([]) == []


# ---- large arrays


@pytest.fixture
def two_threads(monkeypatch):
    """What is copied by threads; arrays of so few bytes are."""
    copied = []

    def copy_each(copy, items, threads):
        copied.extend(items)
        return copying.copy_each(copy, items, threads)

    monkeypatch.setattr(copying, "cores", lambda: 2)
    monkeypatch.setattr(copying, "SHARE", 8)
    monkeypatch.setattr(partition, "copy_each", copy_each)
    return copied


@pytest.mark.parametrize("dist", ["b", "r"])
@pytest.mark.parametrize("shape", [(10,), (7, 3), (9, 2, 2)])
@pytest.mark.parametrize("dtype", ["f8", "i2", "c16"])
def test_large_arrays_are_joined_by_threads(two_threads, dist, shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    joined = join([pickle.loads(pickle.dumps(part)) for part in split(array, 3, dist)], dist)
    assert two_threads
    assert joined.dtype == array.dtype and np.array_equal(joined, array)


@pytest.mark.parametrize(
    "parts",
    [
        [np.zeros(10), np.zeros(10, "f4")],
        [np.zeros(10, ">f8"), np.zeros(10, ">f8")],
        [np.asfortranarray(np.zeros((3, 4))), np.asfortranarray(np.ones((3, 4)))],
        [np.array([1, None] * 5), np.array([2, "a"] * 5)],
        [np.ma.masked_array(np.arange(9.0), mask=[1, 0, 0] * 3)] * 2,
        [np.zeros(9, [("a", "f8"), ("b", "i4")])] * 2,
        [np.zeros(10, "M8[s]"), np.ones(10, "M8[s]")],
    ],
    ids=["dtypes", "byte order", "columns first", "objects", "masked", "records", "dates"],
)
def test_other_large_arrays_are_left_to_numpy(two_threads, parts):
    joined, expected = join(parts), np.concatenate(parts)
    assert not two_threads
    assert type(joined) is type(expected) and joined.dtype == expected.dtype
    assert joined.flags.f_contiguous == expected.flags.f_contiguous
    assert np.array_equal(joined, expected)


def test_large_arrays_that_do_not_fit_together(two_threads):
    with pytest.raises(ValueError, match="dimension"):
        join([np.zeros((5, 2)), np.zeros((5, 3))])


# ---- the arguments of a map


class Rows:
    """Like a table: a slice has rows, iterating gives the names of the columns."""

    def __getitem__(self, key):
        return Rows()

    def __len__(self):
        return 5

    def __iter__(self):
        return iter("ab")


def test_columns_are_what_iterating_gives():
    """MAP-01: of a table, which can be sliced, that is not its slices."""
    assert columns([Rows()]) == ([["a", "b"]], 2)
    assert columns([deque([1, 2, 3])]) == ([[1, 2, 3]], 3)
    assert columns([{"a": 1}, {"b": 2}.items()]) == ([["a"], [("b", 2)]], 1)


@pytest.mark.parametrize("sequence", [[1, 2], (1, 2), "ab", b"ab", range(2), array("d", [1, 2]), np.zeros((2, 3))])
def test_what_can_be_sliced_is_not_copied(sequence):
    assert columns([sequence])[0][0] is sequence


def test_columns_end_with_the_shortest():
    """MAP-04: also where others never end, whichever comes first."""
    assert columns([count(), "abc"]) == ([[0, 1, 2], "abc"], 3)
    assert columns(["abc", count(), (x for x in "de")]) == (["abc", [0, 1, 2], ["d", "e"]], 2)
    assert columns([count(), (x for x in "de")]) == ([[0, 1], ["d", "e"]], 2)
    assert columns([iter(()), count()]) == ([[], []], 0)


@pytest.mark.parametrize("value", [5, None, np.array(5)])
def test_what_cannot_be_mapped_over_is_named(value):
    """MAP-01"""
    with pytest.raises(TypeError, match="sequence 1 to map onto is none: "):
        columns([[1], value])
    with pytest.raises(TypeError, match="must have some sequences"):
        columns([])


def test_chunks_of_one_size():
    """MAP-02"""
    assert chunk_bounds(5, 2) == [(0, 2), (2, 4), (4, 5)]
    assert chunk_bounds(0, 2) == []
    for bad in (0, -1, 1.5, "x", None, True):
        with pytest.raises(ValueError, match="chunksize must be a positive int"):
            chunk_bounds(5, bad)
