"""Large copies that several threads make (issue 5, point 2)."""

import threading

import pytest

from pxkernel.protocol import copying
from pxkernel.protocol.copying import MOST_THREADS, SHARE, copy_each, shares


@pytest.mark.parametrize(
    ("cores", "length", "expected"),
    [
        (4, 0, 1),
        (4, 2 * SHARE - 1, 1),
        (4, 2 * SHARE, 2),
        (2, 100 * SHARE, 2),
        (1, 100 * SHARE, 1),
        (64, 100 * SHARE, MOST_THREADS),
    ],
)
def test_a_thread_for_each_processor_if_there_is_enough_to_copy(monkeypatch, cores, length, expected):
    monkeypatch.setattr(copying, "cores", lambda: cores)
    assert shares(length) == expected


def test_the_copies_are_in_order_and_made_at_the_same_time():
    together = threading.Barrier(3)

    def copy(item, stopped):
        together.wait(30)
        return item * 2, threading.current_thread(), stopped.is_set()

    made = copy_each(copy, [1, 2, 3], threads=3)
    assert [value for value, _, _ in made] == [2, 4, 6]
    assert len({thread for _, thread, _ in made}) == 3
    assert not any(stopped for _, _, stopped in made)


@pytest.mark.parametrize(("items", "threads"), [([1, 2, 3], 1), ([1], 3)])
def test_what_one_thread_does_needs_no_other(items, threads):
    made = copy_each(lambda item, stopped: threading.current_thread(), items, threads)
    assert set(made) == {threading.current_thread()}


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_when_one_fails_the_others_are_told_and_waited_for(kind):
    began, ended = threading.Event(), threading.Event()

    def copy(item, stopped):
        if item == "fails":
            began.wait(30)
            raise kind("it")
        began.set()
        assert stopped.wait(30)
        ended.set()

    with pytest.raises(kind, match="it"):
        copy_each(copy, ["fails", "runs"], threads=2)
    assert ended.is_set()
