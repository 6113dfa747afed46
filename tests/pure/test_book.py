"""The book of the controller: an entry from its submission to the store, and results that are read again (HUB, AMR-02)."""

import errno
import mmap

import numpy as np
import pytest

from pxkernel.controller import spill
from pxkernel.controller.book import Book
from pxkernel.controller.spill import Spill
from pxkernel.controller.store import MemoryStore
from pxkernel.kernels.channels import KernelMessage
from pxkernel.protocol import sharing
from pxkernel.protocol.pack import pack_result, unpack

OK = {"status": "ok", "started": 1_000_000, "completed": 2_000_000}
QUIET = {**OK, "quiet": True}


class Recorded(Book):
    """A book that writes down which reads were announced."""

    def __init__(self, directory):
        self.announced = []
        self.store = MemoryStore(2**20)
        self.spill = Spill(directory, 100_000)
        uuid_of, ready = "uuid-{}".format, lambda *read: self.announced.append(read)
        super().__init__(self.store, uuid_of, ready, self.spill)

    def submit(self, *tasks, engine=0, label=None):
        self.submitted("c", "apply", {"label": label}, [b"request"], [(task, engine) for task in tasks])

    def kept(self):
        return [entry.id for entry in self.store.entries()]


@pytest.fixture
def book(tmp_path):
    return Recorded(tmp_path)


def test_an_entry_is_open_until_its_client_has_the_result(book):
    book.submit("c:1")
    book.finished("c:1", 0, QUIET, [b"result"])
    assert "c:1" in book.open and book.kept() == []
    book.delivered("c:1")
    assert "c:1" not in book.open and book.kept() == ["c:1"]


@pytest.mark.parametrize("first", ["settled", "delivered"])
def test_an_entry_is_open_until_its_output_is_there(book, first):
    book.submit("c:1")
    book.finished("c:1", 0, OK, [])
    getattr(book, first)("c:1")
    assert "c:1" in book.open
    getattr(book, "delivered" if first == "settled" else "settled")("c:1")
    assert book.kept() == ["c:1"]


def test_output_may_come_after_the_result(book):
    book.submit("c:1")
    book.finished("c:1", 0, OK, [])
    book.delivered("c:1")
    book.add_output("c:1", KernelMessage(0, "stream", {}, b'{"name": "stdout", "text": "late"}', ()))
    book.settled("c:1")
    assert book.get("c:1").text("stdout") == "late"
    book.add_output("c:1", KernelMessage(0, "stream", {}, b'{"name": "stdout", "text": "too late"}', ()))
    assert book.get("c:1").text("stdout") == "late"


def test_what_is_known_of_a_task(book):
    book.submit("c:1", engine=2, label="x")
    entry = book.open["c:1"]
    assert (entry.engine, entry.engine_uuid, entry.label, entry.number, entry.client) == (2, "uuid-2", "x", 0, "c")
    assert entry.submitted and entry.received is None
    book.finished("c:1", 3, OK, [])
    assert (entry.engine, entry.engine_uuid) == (3, "uuid-3") and entry.received >= entry.submitted


def test_a_task_that_runs_again_has_the_later_result(book):
    book.submit("c:1")
    book.finished("c:1", 0, QUIET, [b"first"])
    book.finished("c:1", 1, OK, [b"second"])
    book.delivered("c:1")
    assert "c:1" in book.open  # the output of the second run has not come
    book.settled("c:1")
    assert book.get("c:1").result == [b"second"]


def test_the_client_of_a_finished_task_left(book):
    book.submit("c:1")
    book.finished("c:1", 0, QUIET, [b"result"])
    book.left("c:1")
    assert book.get("c:1").record == QUIET and book.kept() == ["c:1"]


def test_the_client_of_a_task_that_waits_left(book):
    book.submit("c:1")
    book.left("c:1")
    assert book.get("c:1").record["status"] == "aborted" and book.kept() == ["c:1"]


def test_the_output_of_a_task_whose_client_left_still_comes(book):
    book.submit("c:1")
    book.finished("c:1", 0, OK, [])
    book.left("c:1")
    assert book.kept() == []
    book.settled("c:1")
    assert book.kept() == ["c:1"]


# ---- reading again


def test_a_kept_result_is_announced_at_once(book):
    book.submit("c:1")
    book.finished("c:1", 0, QUIET, [b"result", b"!"])
    book.delivered("c:1")
    book.read("d:read", "c:1")
    assert book.announced == [("d:read", 7)]
    entry, size = book.take("d:read")
    assert (entry.id, size) == ("c:1", 7)


def test_a_result_that_is_not_there_is_announced_when_it_is(book):
    book.submit("c:1")
    book.read("d:read", "c:1")
    book.read("e:read", "c:1")
    book.finished("c:1", 0, OK, [b"result"])
    book.delivered("c:1")
    assert book.announced == []
    book.settled("c:1")
    assert book.announced == [("d:read", 6), ("e:read", 6)]


def test_a_result_that_is_too_large_for_the_store_reaches_who_waits_for_it(tmp_path):
    seen = []

    def ready(read, size):
        seen.append((size, book.take(read)[0].result))

    book = Book(MemoryStore(100), lambda engine: "", ready, Spill(tmp_path, 10_000))
    book.submitted("c", "apply", {}, [b""], [("c:1", 0)])
    book.read("d:read", "c:1")
    book.finished("c:1", 0, QUIET, [bytes(1000)])
    book.delivered("c:1")
    assert seen == [(1000, [bytes(1000)])]
    assert book.get("c:1") is None


def test_an_unknown_task_cannot_be_read(book):
    with pytest.raises(KeyError, match="No such message: c:1"):
        book.read("d:read", "c:1")


def test_a_result_may_be_forgotten_before_it_is_delivered(book):
    book.submit("c:1")
    book.finished("c:1", 0, QUIET, [b"result"])
    book.delivered("c:1")
    book.read("d:read", "c:1")
    book.remove(["c:1"])
    assert book.take("d:read") == (None, 6)


def test_who_has_left_reads_nothing(book):
    book.submit("c:1")
    book.read("d:read", "c:1")
    book.left("d:read")
    book.finished("c:1", 0, QUIET, [])
    book.delivered("c:1")
    assert book.announced == []


# ---- changes


def test_purging_what_its_client_does_not_have_yet(book):
    book.submit("c:1")
    book.finished("c:1", 0, OK, [b"result"])
    book.remove(["c:1"])
    assert book.get("c:1") is None and list(book.entries()) == []
    assert book.open["c:1"].result == [b"result"]
    book.delivered("c:1")
    book.settled("c:1")
    assert book.kept() == []


def test_a_task_remembers_under_which_id_it_was_submitted_again(book):
    book.submit("c:1", "c:2")
    book.finished("c:1", 0, QUIET, [])
    book.delivered("c:1")
    book.resubmitted("c:1", "d:1")
    book.resubmitted("c:2", "d:2")
    assert [book.get(task).resubmitted for task in ("c:1", "c:2")] == ["d:1", "d:2"]


def test_entries_open_and_kept(book):
    book.submit("c:1", "c:2")
    book.finished("c:2", 0, QUIET, [])
    book.delivered("c:2")
    assert [entry.id for entry in book.entries()] == ["c:2", "c:1"]


# ---- results that nobody has yet, over the budget (design, decision 11)


def test_results_over_the_budget_go_to_the_disk(book, tmp_path):
    book.submit("c:1", "c:2", "c:3")
    result = [b"head", bytes(range(200)) * 400]
    for task in ("c:1", "c:2", "c:3"):
        book.finished(task, 0, QUIET, result)
    assert book.spill.held == 80_004 and book.open["c:1"].result is result
    for task in ("c:2", "c:3"):
        frames = book.open[task].result
        assert list(map(bytes, frames)) == result and all(type(frame.obj) is mmap.mmap for frame in frames)
    assert list(tmp_path.iterdir()) == [], "the files have no names"
    for task in ("c:1", "c:2", "c:3"):
        book.delivered(task)
    assert book.spill.held == 0
    assert [bytes(book.get(task).result[0]) for task in ("c:1", "c:2", "c:3")] == [b"head"] * 3


def test_a_small_result_stays_in_memory(book):
    book.submit("c:1", "c:2")
    book.finished("c:1", 0, QUIET, [bytes(99_000)])
    book.finished("c:2", 0, QUIET, [bytes(5000)])
    assert book.spill.held == 104_000 and type(book.open["c:2"].result[0]) is bytes


def test_a_task_that_runs_again_counts_once(book):
    book.submit("c:1")
    for _ in range(5):
        book.finished("c:1", 0, QUIET, [bytes(70_000)])
        assert type(book.open["c:1"].result[0]) is bytes
    book.left("c:1")
    assert book.spill.held == 0


def test_a_full_disk_costs_memory_and_no_result(book, monkeypatch, capsys):
    def full(payload, directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spill, "on_disk", full)
    book.submit("c:1", "c:2")
    for task in ("c:1", "c:2"):
        book.finished(task, 0, QUIET, [bytes(90_000)])
    assert book.open["c:2"].result == [bytes(90_000)] and book.spill.held == 180_000
    assert "a result of 90000 bytes stays in memory: [Errno 28] No space left" in capsys.readouterr().err


def test_shared_memory_goes_to_the_disk_as_frames(tmp_path):
    result = np.arange(300_000.0)
    shared = sharing.share(pack_result(result))
    frames = spill.on_disk(shared, tmp_path)
    assert sharing.size(frames) == sharing.size(shared) and not sharing.is_shared(frames)
    assert np.array_equal(unpack(frames), result)


def test_the_budget():
    """At least a quarter of the memory: most results are delivered at once."""
    assert spill.budget(0) == spill.budget(1000) > 2**20
    assert spill.budget(2**60) == 2**60
