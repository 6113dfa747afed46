"""How a balanced map is cut into tasks (MAP-02)."""

import threading

import numpy
import pytest

from pxkernel.client.chunks import AHEAD, GRAINS, GROWTH, LEAST_SECONDS, MOST_AT_ONCE, TASK_SECONDS, Chunks, Grains
from pxkernel.protocol.bundle import unbundle
from pxkernel.protocol.pack import unpack


def chunks(length=1000, engines=4, **options):
    return Chunks(abs, [range(length)], length, engines, **options)


def items(payload):
    (function, args, kwargs), *grains = (unpack(frames) for frames, _ in unbundle(payload))
    assert (function, args, list(kwargs)) == (abs, (), ["map"])
    return [item for columns in grains for item in zip(*columns, strict=True)]


def play(waiting, pace):
    """Take everything, each task being done before the next is taken; the sizes."""
    sizes = []
    while waiting.left:
        payload, size = waiting.take()
        assert len(items(payload)) == size
        sizes.append(size)
        waiting.measured(size, size * pace)
    return sizes


def test_the_first_tasks_have_one_item():
    waiting = chunks()
    assert [waiting.take()[1] for _ in range(waiting.most_ahead)] == [1] * AHEAD * 4


def test_slow_items_stay_alone():
    assert set(play(chunks(100), 2 * TASK_SECONDS)) == {1}


def test_quick_items_go_together():
    sizes = play(chunks(100_000), 1e-5)
    assert max(sizes) * 1e-5 <= TASK_SECONDS * 1.1
    assert len(sizes) < 100
    assert all(later <= GROWTH * max(sizes[: index + 1]) for index, later in enumerate(sizes[1:]))


def test_the_last_tasks_are_small():
    """No engine works alone for long at the end."""
    sizes = play(chunks(1000), 0.001)
    assert sizes[-1] * 0.001 <= 2 * LEAST_SECONDS


def test_tasks_shrink_again_when_items_become_slow():
    waiting = chunks(100_000)
    for size in (1, 8, 64, 512):
        waiting.measured(size, size * 1e-5)
    quick = waiting.next_size()
    for _ in range(12):
        waiting.measured(1, 1.0)
    assert quick > 100 and waiting.next_size() == 1


def test_all_items_are_sent_once_in_order():
    waiting = chunks(257)
    waiting.measured(1, 1e-4)
    found = [item for payload, _ in waiting.take_all() for item in items(payload)]
    assert found == [(number,) for number in range(257)] and waiting.left == 0


def test_all_at_once_is_not_too_many_tasks():
    assert len(list(chunks(100_000).take_all())) <= MOST_AT_ONCE * 4
    assert len(list(chunks(100, single=True).take_all())) == 100


def test_with_retries_an_item_is_a_task():
    """LB-08: only what has failed runs again."""
    assert set(play(chunks(GRAINS + 500, single=True), 1e-6)) == {1}


def test_many_items_are_packed_together():
    waiting = Chunks(abs, [[[number] for number in range(10 * GRAINS)]], 10 * GRAINS, 4)
    assert waiting.take()[1] == 10
    assert chunks(10 * GRAINS).take()[1] == 1


@pytest.mark.parametrize(
    "column", [range(3, 303, 3), list(range(100)), [None, True, 1, 1.5, 2j, "text", b"bytes"] * 12, tuple("abc" * 40)]
)
def test_constants_are_packed_when_they_are_sent(column):
    """And what cannot change itself may be taken out of its list."""
    expected = [(item,) for item in column[:80]]
    waiting = Chunks(abs, [column], 80, 2)
    first, _ = waiting.take()
    if isinstance(column, list):
        column.clear()
    waiting.measured(1, 1e-4)
    rest = [item for payload, _ in waiting.take_all() for item in items(payload)]
    assert items(first) + rest == expected and waiting.take()[1] == 0


@pytest.mark.parametrize("item", [[1], {"a": 1}, numpy.int64(3), type("Number", (int,), {})(3), (1, [2])])
def test_anything_else_is_packed_at_once(item):
    waiting = Chunks(abs, [[1, item]], 2, 1)
    if isinstance(item, list):
        item.append("changed")
    assert [value for payload, _ in waiting.take_all() for value in items(payload)][0] == (1,)
    assert isinstance(waiting._items, Grains)


def test_several_columns_and_arrays():
    waiting = Chunks(abs, [["a", "b", "c"], numpy.arange(6).reshape(3, 2)], 3, 1)
    found = [item for payload, _ in waiting.take_all() for item in items(payload)]
    assert [name for name, _ in found] == ["a", "b", "c"]
    assert [list(row) for _, row in found] == [[0, 1], [2, 3], [4, 5]]


def test_what_becomes_of_items_later_does_not_matter():
    array = numpy.zeros((2, 5000))
    waiting = Chunks(abs, [array], 2, 1)
    array += 1
    assert all(not row.any() for payload, _ in waiting.take_all() for (row,) in items(payload))


def test_nothing_to_do():
    waiting = chunks(0)
    assert waiting.left == 0 and list(waiting.take_all()) == []


def test_clear():
    waiting = chunks(10)
    waiting.take()
    assert waiting.clear() == 9 and waiting.left == 0 and list(waiting.take_all()) == []


def test_an_item_that_cannot_travel_is_named():
    with pytest.raises(TypeError, match="cannot send item 2 .*: cannot pickle '_thread.lock'"):
        Chunks(abs, [[1, 2, threading.Lock()]], 3, 1)
    with pytest.raises(TypeError, match="cannot send function"):
        Chunks(threading.Lock().acquire, [[1]], 1, 1)
