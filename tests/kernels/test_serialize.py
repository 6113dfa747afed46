"""What arrives is what was sent, at every size (features SER)."""

import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import pxkernel as px


@pytest.fixture
def one(cluster4):
    return cluster4[0]


# ---- nobody else's changes reach it


def test_what_a_task_returns_is_what_it_was_then(one, notebook):
    """SER-10: the next task may change the very array that is on its way home."""
    names = notebook("def get():\n    return array\n\ndef fill(value):\n    array.fill(value)")
    get, fill = names["get"], names["fill"]
    one.execute("import numpy; array = numpy.zeros(200_000)", block=True)
    for _ in range(50):
        # Short tasks, so that several of them are on the engine at once.
        results = [(one.apply_async(get), one.apply_async(fill, 1), one.apply_async(fill, 0)) for _ in range(5)]
        assert [result.get(20).any() for result, _, _ in results] == [False] * 5


@pytest.mark.parametrize("size", [10, 2_000, 200_000])
def test_what_is_sent_is_what_it_was_at_the_call(one, size):
    """SER-10"""
    array = np.zeros(size)
    results = []
    for _ in range(20):
        array.fill(0)
        results.append(one.apply_async(lambda a: a.any(), array))
        array.fill(1)
    assert not any(result.get(20) for result in results)
    assert all(result.sent for result in results)


def test_tracked_sends(one):
    """VW-22, AR-36: without a copy; `sent` tells when the array may be changed."""
    array = np.zeros(2_000_000)
    with one.temp_flags(track=True):
        result = one.apply_async(lambda a: a.any(), array)
    assert result.wait_for_send() is None
    assert result.sent
    array.fill(1)
    assert not result.get(20)
    assert one.apply_async(len, "abc").sent
    assert one.apply_async(len, "abc").wait_on_send(0) is None


def test_a_tracked_send_that_takes_its_time(one):
    """AR-36"""
    # More than the controller has room for, while the engine is busy.
    array = np.zeros(4_000_000)
    with one.temp_flags(track=True):
        results = [one.apply_async(time.sleep, 30)]
        results += [one.apply_async(lambda a: a.any(), array) for _ in range(8)]
        assert not results[-1].sent
        with pytest.raises(TimeoutError, match="Still waiting to be sent"):
            results[-1].wait_for_send(0.01)
        one.client.interrupt(results[0])
        results[-1].wait_for_send(20)
    assert not any(result.get(20) for result in results[1:])


def test_what_is_given_up_is_not_in_use(cluster4):
    """AR-36: closing a client ends the wait for what it has not sent."""
    array = np.zeros(4_000_000)
    with px.Client(cluster4.cluster.cluster_file) as other:
        view = other[0].set_flags(track=True)
        first = view.apply_async(time.sleep, 30)
        results = [view.apply_async(len, array) for _ in range(8)]
        assert not results[-1].sent
        view.client.interrupt(first)
    results[-1].wait_for_send(20)
    assert results[-1].sent


# ---- it is the same, private and writable


#: In bytes: where arrays leave the pickle, where frames are no longer copied, where byte strings are cut out of the pickle.
BOUNDARIES = [0, 4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1_000_000]


@pytest.mark.parametrize("size", BOUNDARIES)
def test_arrays_at_every_size(one, size):
    """SER-08, SER-09: there and back, changed there and not here."""

    def change(array):
        before = array.copy()
        array += 1
        return before, array, array.flags.writeable

    array = np.arange(size, dtype="u1")
    for original in (array, array[::-1]):
        before = original.copy()
        sent, changed, writeable = one.apply_sync(change, original)
        assert np.array_equal(sent, before)
        assert np.array_equal(changed, before + np.uint8(1))
        assert np.array_equal(original, before)
        assert writeable and sent.flags.writeable and changed.flags.writeable
        changed += 1  # is possible


@pytest.mark.parametrize("size", BOUNDARIES)
def test_bytes_at_every_size(one, size):
    """SER-08, SER-11, SER-12, SER-01"""
    data = bytes(size)
    for value in (data, bytearray(data), memoryview(data), "x" * size, [data, {"key": data}]):
        back = one.apply_sync(lambda value: value, value)
        assert type(back) is type(value)
        assert back == value


def test_every_engine_has_its_own(cluster4, notebook):
    """SER-09: the engines of one call share no memory, neither do a pushed array and what is pulled."""
    view = cluster4[:]
    view.block = True
    for size in (10, 100_000):
        array = np.zeros(size)
        view["shared"] = array
        view.execute("shared += 1", targets=[1, 3])
        assert [part[-1] for part in view["shared"]] == [0, 1, 0, 1]
        first, second = view.pull("shared", targets=1), view.pull("shared", targets=1)
        first[:] = 7
        assert (second[-1], view["shared"][1][-1], array[-1]) == (1, 1, 0)


def test_dtypes_and_subclasses(one):
    """SER-11: over the wire, both ways; every kind and size is in tests/pure/test_arrays.py."""
    dates = np.arange(9_000).astype("M8[s]")
    masked = np.ma.masked_array(np.arange(9_000), np.arange(9_000) % 2 == 0, fill_value=5)
    records = np.rec.fromarrays([np.arange(9_000), np.arange(9_000) / 2], names="x,y")
    fortran = np.asfortranarray(np.arange(18_000, dtype=">i4").reshape(9_000, 2))
    objects = np.array([[1], "x", None] * 2_000, dtype=object)
    for array in (dates, records, fortran, objects, np.array(5.0), np.zeros((0, 3), "i2"), masked):
        back = one.apply_sync(lambda array: array, array)
        assert type(back) is type(array)
        assert (back.dtype, back.shape, back.flags.fnc) == (array.dtype, array.shape, array.flags.fnc)
        assert back.tolist() == array.tolist()
        assert back.flags.writeable
    back = one.apply_sync(lambda array: array, masked)
    assert (back.fill_value, back.mask.tolist()) == (5, masked.mask.tolist())


def test_tables(one):
    """SER-11: pandas and Arrow."""
    frame = pd.DataFrame({"x": np.arange(10_000), "y": [str(i) for i in range(10_000)]})

    def change(frame):
        frame["x"] += 1
        frame.loc[0, "y"] = "changed"
        return frame

    back = one.apply_sync(change, frame)
    assert (back.loc[0, "x"], back.loc[0, "y"], back.loc[9_999, "x"]) == (1, "changed", 10_000)
    assert (frame.loc[0, "x"], frame.loc[0, "y"]) == (0, "0")
    table = pa.table(frame)
    assert one.apply_sync(lambda table: table, table).equals(table)
