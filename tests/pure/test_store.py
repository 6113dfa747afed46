"""The stores of delivered results: what they keep, and what they forget (HUB-12, HUB-13, HUB-14; design, decision 11)."""

import json
import stat

import pytest

from pxkernel.controller.entries import FIELDS, OUTPUT_LIMIT, OVERHEAD, Entry
from pxkernel.controller.settings import Settings
from pxkernel.controller.sqlite import SQLiteStore
from pxkernel.controller.store import MemoryStore, NoStore, open_store
from pxkernel.errors import ClusterError
from pxkernel.kernels.channels import KernelMessage
from pxkernel.protocol.sharing import THRESHOLD, share, size

LIMIT = 20 * OVERHEAD


def entry(number, request=(b"request",), result=(b"result",), kind="apply"):
    return Entry(
        f"c:{number}", "c", kind, {"x": 1}, list(request), number, 100.0, "label", {"retries": 1}, 3, "uuid",
        record={"status": "ok", "started": 1_000_000, "completed": 2_000_000}, result=list(result), received=2.5, settled=True,
        delivered=True, time_limit=3.5, request_size=size(request), result_size=size(result),
    )  # fmt: skip


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    store = MemoryStore(LIMIT) if request.param == "memory" else SQLiteStore(tmp_path / "tasks.db", LIMIT)
    yield store
    store.close()


def ids(store):
    return [entry.id for entry in store.entries()]


def test_what_was_added_is_there(store):
    store.add(entry(0))
    store.add(entry(1))
    assert ids(store) == ["c:0", "c:1"]
    got = store.get("c:1")
    assert got.request == [b"request"] and got.result == [b"result"] and got.record["status"] == "ok"
    assert got == entry(1)
    assert store.get("c:9") is None


def test_entries_with_payloads(store):
    store.add(entry(0, request=[b"1", b"", b"22"], result=[]))
    (got,) = store.entries(payloads=True)
    assert got.request == [b"1", b"", b"22"] and got.result == []


def test_the_code_of_cells_is_there_without_payloads(store):
    store.add(entry(0, request=[b"x = 1"], kind="cell"))
    (got,) = store.entries()
    assert got.code == "x = 1"


def test_output_is_kept(store):
    task = entry(0)
    task.add_output(KernelMessage(3, "stream", {}, b'{"name": "stdout", "text": "hi"}', ()))
    task.add_output(KernelMessage(3, "display_data", {}, b'{"data": {}}', (b"png", b"")))
    store.add(task)
    got = store.get("c:0")
    assert got.text("stdout") == "hi"
    assert (got.outputs[1].msg_type, list(got.outputs[1].buffers)) == ("display_data", [b"png", b""])
    assert got.size == task.size


def test_over_the_budget_the_oldest_go(store):
    for number in range(50):
        store.add(entry(number))
        assert store.size <= LIMIT
    kept = ids(store)
    assert kept == [f"c:{number}" for number in range(50 - len(kept), 50)] and 15 < len(kept) <= 20


def test_large_results_drive_out_more(store):
    for number in range(15):
        store.add(entry(number))
    store.add(entry(15, result=[bytes(LIMIT // 4)]))
    assert ids(store)[-1] == "c:15" and len(ids(store)) < 16 and store.size <= LIMIT


def test_a_payload_that_is_too_large_is_not_kept_and_drives_out_nothing(store):
    for number in range(5):
        store.add(entry(number))
    large = entry(5, request=[b"1"], result=[bytes(LIMIT // 4 + 1)])
    store.add(large)
    store.add(entry(6, request=[bytes(LIMIT)]))
    assert ids(store) == [f"c:{number}" for number in range(7)]
    assert store.get("c:5").result is None and store.get("c:5").request == [b"1"]
    assert store.get("c:6").request is None and store.get("c:6").result == [b"result"]
    assert large.result is not None  # somebody may be reading it


def test_removing(store):
    for number in range(3):
        store.add(entry(number))
    before = store.size
    store.remove(["c:1", "unknown"])
    assert ids(store) == ["c:0", "c:2"] and store.size == before - entry(1).size
    store.remove(ids(store))
    assert store.size == 0


def test_adding_again_replaces(store):
    store.add(entry(0))
    again = entry(0)
    again.resubmitted = "c:7"
    store.add(again)
    assert ids(store) == ["c:0"] and store.get("c:0").resubmitted == "c:7" and store.size == again.size


def test_a_payload_that_tasks_share_is_counted_once():
    store, payload = MemoryStore(LIMIT), [bytes(OVERHEAD)]
    tasks = [entry(number) for number in range(4)]
    for task in tasks:
        task.request, task.request_size = payload, size(payload)
        store.add(task)
    assert store.size == sum(task.size for task in tasks) - 3 * OVERHEAD
    store.remove(["c:0", "c:2"])
    assert store.size == tasks[1].size + tasks[3].size - OVERHEAD
    store.remove(["c:1", "c:3"])
    assert store.size == 0 and not store._shared


def test_output_is_bounded():
    task = entry(0)
    message = KernelMessage(3, "stream", {}, json.dumps({"name": "stdout", "text": "x" * 100_000}).encode(), ())
    for _ in range(20):
        task.add_output(message)
    assert task.output_size <= OUTPUT_LIMIT and task.dropped == message.size * (20 - len(task.outputs))


# ---- the file


def test_what_is_in_shared_memory_is_on_disk(tmp_path):
    """Issue 5, point 2: a file must not point into memory."""
    frames = [b"head", bytes(THRESHOLD), b"tail" * 2000]
    kept = entry(0)
    kept.request = kept.result = share(frames)
    kept.request_size = kept.result_size = size(kept.request)
    store = SQLiteStore(tmp_path / "tasks.db", 100 * THRESHOLD)
    store.add(kept)
    assert store.size == kept.size > 2 * THRESHOLD
    del kept
    found = store.get("c:0")
    assert found.request == found.result == frames
    store.close()


def test_a_file_can_be_opened_again(tmp_path):
    first = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    assert first.first_number == 0
    first.add(entry(4))
    first.close()
    second = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    assert ids(second) == ["c:4"] and second.size == entry(4).size and second.first_number == 5
    second.close()


def test_the_times_in_a_file_of_an_older_version(tmp_path):
    """They were seconds."""
    first, old = SQLiteStore(tmp_path / "tasks.db", LIMIT), entry(0)
    old.record.update(started=1.5, completed=2.25)
    first.add(old)
    failed = entry(1)
    failed.record = {"status": "died", "reason": "it died"}
    first.add(failed)
    first.close()
    second = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    assert [FIELDS["completed"](found) for found in second.entries()] == [2.25, 2.5]
    assert second.get("c:0").record == {"status": "ok", "started": 1_500_000, "completed": 2_250_000}
    second.close()


def test_what_was_added_is_in_the_file_at_once(tmp_path):
    """A controller that is killed does not close it."""
    first = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    first.add(entry(0))
    second = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    assert ids(second) == ["c:0"]
    first.close()
    second.close()


def test_only_the_user_can_read_the_file(tmp_path):
    store = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    store.add(entry(0))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert "tasks.db" in modes and set(modes.values()) == {0o600}
    store.close()


def test_a_full_disk_does_not_stop_the_controller(tmp_path, capfd):
    store = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    store._db.execute("PRAGMA max_page_count = 1")
    store.add(entry(0, result=[bytes(LIMIT // 4)]))
    assert "task c:0 is not kept: database or disk is full" in capfd.readouterr().err
    assert ids(store) == [] and store.size == 0
    store.close()


def test_a_broken_disk_does_not_stop_the_controller(tmp_path, capfd):
    store = SQLiteStore(tmp_path / "tasks.db", LIMIT)
    store.add(entry(0))
    store._db.execute("DROP TABLE tasks")
    assert store.get("c:0") is None
    assert "task c:0 cannot be read: no such table" in capfd.readouterr().err
    store.close()


@pytest.mark.parametrize("name, reason", [("tasks.db", "not a database"), ("no/such/folder/tasks.db", "No such file")])
def test_a_file_that_cannot_be_opened(tmp_path, name, reason):
    (tmp_path / "tasks.db").write_bytes(b"something else" * 100)
    with pytest.raises(ClusterError, match=f"the store .*tasks.db cannot be opened: .*{reason}"):
        open_store(settings(tmp_path, f"sqlite:{tmp_path / name}"))


# ---- which one


def settings(tmp_path, store):
    return Settings("id", "default", str(tmp_path), str(tmp_path), store=store, store_limit=LIMIT)


def test_the_settings_choose(tmp_path):
    assert isinstance(open_store(settings(tmp_path, "memory")), MemoryStore)
    assert isinstance(open_store(settings(tmp_path, "none")), NoStore)
    open_store(settings(tmp_path, "sqlite")).close()
    open_store(settings(tmp_path, f"sqlite:{tmp_path / 'mine.db'}")).close()
    assert {path.name for path in tmp_path.iterdir()} == {"tasks.db", "mine.db"}


def test_no_store_keeps_nothing():
    store = NoStore()
    store.add(entry(0))
    assert store.get("c:0") is None and ids(store) == []
    store.remove(["c:0"])
