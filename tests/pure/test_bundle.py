"""Several packed objects as one payload."""

import numpy
import pytest

from pxkernel.protocol.bundle import bundle, unbundle
from pxkernel.protocol.pack import pack, unpack


@pytest.mark.parametrize(
    "objects", [[], [1], [None, "x", [1, 2]], [numpy.arange(5000), 1, numpy.arange(9000.0)], ["x" * 2**20, b"y" * 2**20]]
)
def test_a_bundle_gives_back_its_objects(objects):
    back = [unpack(frames) for frames, _ in unbundle(bundle((pack(obj), 1) for obj in objects))]
    assert all(numpy.array_equal(a, b) for a, b in zip(back, objects, strict=True))


def test_how_many_items_each_object_has_is_known_before_it_is_unpacked():
    payload = bundle([(pack(abs), 0), ([b"no pickle"], 3), (pack([[1, 2]]), 2)])
    assert [items for _, items in unbundle(payload)] == [0, 3, 2]


def test_buffers_are_not_copied():
    array = numpy.arange(5000)
    _, buffer = bundle([(pack(array), 1)])
    assert numpy.shares_memory(numpy.frombuffer(buffer, array.dtype), array)
