"""Queries, results of others, and control, with real kernels (features HUB, CTL, AMR-02, AMR-03, RC-22)."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import pxkernel as px
from pxkernel.client.hub import AsyncHubResult

SOON = 20


@pytest.fixture
def other(cluster4):
    """Another client of the same cluster."""
    with px.Client(cluster4.directory + "/cluster.json") as client:
        yield client


@pytest.fixture
def busy(cluster4, tmp_path, wait_for):
    """Engine 0 is busy until the returned function is called; it returns the AsyncResult."""
    mark, end = tmp_path / "busy", tmp_path / "end"

    def work(mark, end):
        mark.touch()
        while not end.exists():
            time.sleep(0.01)
        return "done"

    result = cluster4[0].apply_async(work, mark, end)
    wait_for(mark.exists)

    def finish():
        end.touch()
        return result

    finish.result = result
    yield finish
    finish().wait(SOON)


def kept(client, wait_for, *results):
    """Wait until the controller has put these results into its store: their output has come, too."""
    ids = [msg_id for result in results for msg_id in result.msg_ids]
    client.wait(list(results), SOON)
    wait_for(lambda: set(client.result_status(ids)["completed"]) == set(ids))
    return ids


# ---- results of others


def test_a_result_of_another_client(cluster4, other):
    """AMR-03, HUB-15: value, output and metadata, also after the first client has it."""

    def speak(x):
        print("said", x)
        return np.arange(x)

    mine = cluster4[:2].apply_async(speak, 3)
    mine.get(SOON)
    theirs = other.get_result(mine.msg_ids)
    assert isinstance(theirs, AsyncHubResult) and "unknown" in repr(theirs)
    assert [list(array) for array in theirs.get(SOON)] == [[0, 1, 2]] * 2
    assert theirs.stdout == ["said 3\n"] * 2
    assert theirs.engine_id == [0, 1] and theirs.engine_uuid == mine.engine_uuid and theirs.msg_ids == mine.msg_ids
    assert theirs[0][0] == 0 and theirs.status == ["ok", "ok"]
    for here, there in zip(mine.metadata, theirs.metadata, strict=True):
        assert (there.started, there.completed) == (here.started, here.completed)
        assert abs(there.submitted - here.submitted) < timedelta(seconds=5)


def test_the_parts_of_a_map_have_its_errors(cluster4, other):
    """MAP-06, AR-37, AMR-03: also in the results that were split, and in those of another client."""
    mine = cluster4[:2].map_async(lambda x: 1 / x, [1, 0, 2, 4])
    assert isinstance(mine.exception(SOON), px.CompositeError)
    for result in (other.get_result(mine.msg_ids), px.AsyncResult.join(*mine.split())):
        with pytest.raises(px.CompositeError):
            result.get(SOON)
        first, second = result.get(SOON, return_exceptions=True)
        assert first[0] == 1.0 and isinstance(first[1], ZeroDivisionError) and second == [0.5, 0.25]
        with pytest.raises(ZeroDivisionError):
            list(result)
    assert isinstance(cluster4.results[mine.msg_ids[0]][1], ZeroDivisionError)


def test_a_single_result_comes_bare(cluster4, other):
    ar = cluster4[1].apply_async(lambda: 5)
    assert ar.get(SOON) == 5
    assert other.get_result(ar.msg_ids[0]).get(SOON) == 5
    assert other.get_result(ar.msg_ids).get(SOON) == [5]


def test_a_result_that_is_not_there_yet(cluster4, other, busy):
    """AMR-02: nothing polls; it comes by itself, once for each who waits."""
    theirs, again = (other.get_result(busy.result.msg_ids[0], block=False) for _ in range(2))
    assert not theirs.ready() and not theirs.wait(0) and other.outstanding == set()
    busy()
    assert theirs.get(SOON) == again.get(SOON) == "done"


def test_a_result_of_a_client_that_has_gone(cluster4, other):
    """HUB-15: what it has submitted and what was started is kept for the others."""
    with px.Client(cluster4.directory + "/cluster.json") as gone:
        finished = gone[2].apply_async(lambda: "finished")
        finished.get(SOON)
        running = gone[2].apply_async(time.sleep, 0.3)
        waiting = gone[2].apply_async(lambda: "never")
        # In the order of their arrival: when this is answered, the first one runs.
        assert gone.hub_history()[-1] == waiting.msg_ids[0]
    assert other.get_result(finished.msg_ids[0]).get(SOON) == "finished"
    assert other.get_result(running.msg_ids[0]).get(SOON) is None
    with pytest.raises(px.TaskAborted, match="client left"):
        other.get_result(waiting.msg_ids[0]).get(SOON)


def test_a_failure_of_another_client(cluster4, other):
    """A remote error stays what it is."""
    ar = cluster4[:2].apply_async(lambda: 1 / 0)
    ar.wait(SOON)
    with pytest.raises(ZeroDivisionError):
        other.get_result(ar.msg_ids[0]).get(SOON)
    with pytest.raises(px.CompositeError) as caught:
        other.get_result(ar.msg_ids).get(SOON)
    assert [engine["engine_id"] for *_, engine in caught.value.elist] == [0, 1]


def test_cells_of_another_client(cluster4, other):
    """Their outputs and their results come along."""
    ar = cluster4[3].execute("print('hello')\n6 * 7", silent=False)
    ar.get(SOON)
    theirs = other.get_result(ar.msg_ids[0])
    assert repr(theirs.get(SOON)) == repr(ar.get()) and ": 42" in repr(ar.get())
    assert theirs.stdout == "hello\n" and theirs.metadata.execute_input == "print('hello')\n6 * 7"
    silent = cluster4[3].execute("print('quiet')")
    silent.get(SOON)
    theirs = other.get_result(silent.msg_ids, block=True)
    assert theirs.stdout == ["quiet\n"]


def test_own_results(cluster4):
    """RC-22: the AsyncResult itself while somebody holds it, an AsyncHubResult later."""
    ar = cluster4[:2].apply_async(lambda: 7)
    assert cluster4.get_result(ar) is ar and cluster4.get_result(ar.msg_ids) is ar
    one = cluster4.get_result(ar.msg_ids[1])
    assert one is not ar and one.get(SOON) == 7
    assert cluster4.get_result().get(SOON) == cluster4.get_result(-1).get(SOON) == 7
    assert cluster4.get_result([-1, ar.msg_ids[0], ar]).get(SOON) == [7] * 4
    ids = ar.msg_ids
    del ar
    again = cluster4.get_result(ids, block=True)
    assert again.ready() and again.get() == [7, 7]


def test_unknown_and_wrong_results(cluster4, wait_for, hold):
    """RC-22; and nothing can be asked in a callback, which would wait for itself."""
    with pytest.raises(px.RemoteError, match="No such message: nope") as caught:
        cluster4.get_result("nope")
    assert isinstance(caught.value, KeyError)
    with pytest.raises(TypeError, match=r"Expected msg_id, int, or AsyncResult, got 1\.5"):
        cluster4.get_result(1.5)
    with pytest.raises(IndexError, match="there is no call with index 1000000"):
        cluster4.get_result(10**6)
    # It must not be done before they are added: then they are called here.
    asked, errors = hold(cluster4[0]), []
    asked.add_done_callback(lambda ar: errors.append(pytest.raises(RuntimeError, cluster4.hub_history)))
    asked.add_done_callback(lambda ar: errors.append(pytest.raises(RuntimeError, cluster4.get_result, [0])))
    hold.release()
    asked.get(SOON)
    wait_for(lambda: len(errors) == 2)


def test_a_map_of_another_client(cluster4, other):
    ar = cluster4[:2].map_async(lambda x: x**2, range(4))
    ar.get(SOON)
    assert other.get_result(ar.msg_ids).get(SOON) == [[0, 1], [4, 9]]


def test_a_large_result_is_read_often(cluster4, other):
    """Reading spends credit and gives it back: much more than one client's credit goes through."""
    ar = cluster4[0].apply_async(np.zeros, 2_000_000)
    ar.get(SOON)
    reads = [other.get_result(ar.msg_ids[0]) for _ in range(10)]
    assert all(read.get(SOON).nbytes == 16_000_000 for read in reads)


# ---- status


def test_queue_status(cluster4, busy):
    """HUB-01, while an engine is busy."""
    before = cluster4.queue_status(0)
    waiting = [cluster4[0].apply_async(abs, -1) for _ in range(3)]
    status = cluster4.queue_status()
    assert list(status) == [0, 1, 2, 3, "unassigned"] and status["unassigned"] == 0
    assert status[0]["queue"] == 4 and status[1] == {**status[1], "queue": 0, "tasks": 0}
    assert cluster4.queue_status(0) == status[0] and cluster4.queue_status([0, 1]).keys() == {0, 1, "unassigned"}
    verbose = cluster4.queue_status(0, verbose=True)
    assert verbose["queue"] == [*busy.result.msg_ids, *(ar.msg_ids[0] for ar in waiting)]
    busy()
    assert [ar.get(SOON) for ar in waiting] == [1, 1, 1]
    after = cluster4.queue_status(0)
    assert after["completed"] == before["completed"] + 4 and after["queue"] == 0
    assert cluster4.queue_status(0, verbose=True)["completed"][-1] == waiting[-1].msg_ids[0]
    with pytest.raises(IndexError, match="No such engine: 9"):
        cluster4.queue_status(9)


def test_result_status(cluster4, other, busy):
    """HUB-02, from both clients."""
    done, failed = cluster4[1].apply_async(lambda: 3), cluster4[1].apply_async(lambda: 1 / 0)
    failed.wait(SOON)
    ids = [*done.msg_ids, *busy.result.msg_ids]
    expected = {"status": "ok", "pending": busy.result.msg_ids, "completed": done.msg_ids}
    assert cluster4.result_status(ids) == other.result_status(ids) == expected
    assert other.result_status(ids, status_only=False) == {**expected, done.msg_ids[0]: 3}
    with pytest.raises(ZeroDivisionError):
        other.result_status(failed, status_only=False)
    with pytest.raises(KeyError, match="No such message: zz"):
        cluster4.result_status("zz")
    assert cluster4.result_status(-1)["completed"] == failed.msg_ids


def test_hub_history(cluster4, other):
    """HUB-03: of all clients, in the order of submission."""
    first = cluster4[:2].apply_async(lambda: 1)
    first.get(SOON)
    second = other[0].apply_async(lambda: 1)
    second.get(SOON)
    assert cluster4.hub_history()[-3:] == other.hub_history()[-3:] == first.msg_ids + second.msg_ids


# ---- the database


def test_db_query(cluster4, other):
    """HUB-04, HUB-05, HUB-11: fields, datetimes and operators over the wire."""
    start = datetime.now(UTC)
    view = cluster4[:2]
    view.label = "query-test"
    ar = view.apply_async(lambda: (print("x"), 5)[1])
    ar.get(SOON)
    failed = cluster4[0].execute("1/0")
    failed.wait(SOON)
    records = other.db_query({"submitted": {"$gte": start}, "label": {"$glob": "query-*"}})
    assert [record["msg_id"] for record in records] == ar.msg_ids
    record = records[0]
    assert start <= record["submitted"] <= record["received"] <= datetime.now(UTC)
    assert record["started"] == ar.metadata[0].started and record["stdout"] == "x\n" and record["status"] == "ok"
    assert (record["engine_id"], record["engine_uuid"]) == (0, ar.engine_uuid[0])
    assert record["header"]["date"] == record["submitted"] and "buffers" not in record
    naive = datetime.now() + timedelta(hours=1)
    assert len(cluster4.db_query({"msg_id": {"$in": ar.msg_ids}, "completed": {"$lt": naive}}, keys="label")) == 2
    assert cluster4.db_query({"msg_id": ar.msg_ids[1]}, keys=["label"]) == [
        {"msg_id": ar.msg_ids[1], "label": "query-test"}
    ]
    assert cluster4.db_query({"engine_id": 1, "label": "query-test"}, "msg_id") == [{"msg_id": ar.msg_ids[1]}]
    (error,) = cluster4.db_query({"msg_id": failed.msg_ids[0]}, ["error", "execute_input", "status"])
    assert (error["error"]["ename"], error["execute_input"], error["status"]) == ("ZeroDivisionError", "1/0", "error")


def test_db_query_with_payloads(cluster4):
    ar = cluster4[0].execute("x = 1")
    ar.get(SOON)
    (record,) = cluster4.db_query({"msg_id": ar.msg_ids[0]}, keys=["buffers", "result_buffers"])
    assert record["buffers"] == [b"x = 1"] and isinstance(record["result_buffers"], list)


@pytest.mark.parametrize("query, keys", [({"nosuch": 1}, None), ({"label": {"$le": 1}}, None), ({}, ["nosuch"])])
def test_a_bad_query(cluster4, query, keys):
    with pytest.raises(KeyError, match="no such (field|operator)"):
        cluster4.db_query(query, keys)


@pytest.mark.parametrize("keys", [5, object()])
def test_what_are_no_keys(cluster4, keys):
    """HUB-04"""
    with pytest.raises(TypeError, match="keys must be the name of a field, several of them, or None"):
        cluster4.db_query({}, keys)


@pytest.mark.parametrize("value", [object(), b"x", {"$lt": abs}, {"$in": [1j]}])
def test_a_query_that_cannot_be_sent(cluster4, value):
    """HUB-04: refused at the call; the client goes on."""
    with pytest.raises(TypeError, match="a query is made of texts, numbers, datetimes"):
        cluster4.db_query({"engine_id": value})
    assert cluster4.db_query({"engine_id": np.int64(77)}) == cluster4.db_query({"engine_id": np.float32(77)}) == []


def test_a_pending_call_in_the_database(cluster4, busy):
    (record,) = cluster4.db_query({"completed": None, "engine_id": 0}, keys=["started", "msg_id"])
    assert record == {"msg_id": busy.result.msg_ids[0], "started": None}


# ---- again


def test_resubmit(cluster4, other, notebook):
    """HUB-06: with what was sent then, under new ids, also by another client and also what has failed."""
    count = notebook("calls = 0\ndef count(by):\n    global calls\n    calls += by\n    return calls")
    cluster4[:].push({"calls": 10}, block=True)
    first = cluster4[:2].apply_async(count["count"], 5)
    assert first.get(SOON) == [15, 15]
    again = cluster4.resubmit(first.msg_ids)
    assert isinstance(again, AsyncHubResult) and again.get(SOON) == [20, 20]
    assert set(again.msg_ids).isdisjoint(first.msg_ids) and again.engine_id == [0, 1]
    assert cluster4.history[-2:] == again.msg_ids and cluster4.get_result(again.msg_ids) is again
    assert other.resubmit(first.msg_ids[0]).get(SOON) == 25
    assert other.resubmit(again.msg_ids[1], block=True).get() == 25
    (record,) = cluster4.db_query({"msg_id": first.msg_ids[1]}, keys="resubmitted")
    assert record["resubmitted"] == again.msg_ids[1]


def test_resubmit_a_balanced_call(cluster4):
    """HUB-06: on the same terms, such as the call to whose engine it goes."""
    view = cluster4.load_balanced_view()
    first = view.apply_async(os.getpid)
    with view.temp_flags(follow=first):
        second = view.apply_async(os.getpid)
    assert second.get(SOON) == first.get(SOON)
    for _ in range(4):
        again = cluster4.resubmit(second.msg_ids[0])
        assert again.get(SOON) == first.get() and again.engine_id == first.engine_id


def test_resubmit_what_runs(cluster4, busy):
    """In-flight calls may be submitted again, and wait for their turn."""
    again = cluster4.resubmit(busy.result.msg_ids[0])
    assert not again.ready() and again.msg_ids[0] in cluster4.outstanding
    assert busy().get(SOON) == again.get(SOON) == "done"


def test_resubmit_what_is_unknown(cluster4):
    before = cluster4.hub_history()
    with pytest.raises(KeyError, match=r"No such msg\(s\): \['bad'\]"):
        cluster4.resubmit([before[-1], "bad"])
    with pytest.raises(TypeError, match="metadata"):
        cluster4.resubmit(before[-1], metadata={"x": 1})
    assert cluster4.hub_history() == before


def test_resubmit_without_the_engine():
    """A call whose engine is gone runs on another one."""
    with px.Cluster(n=2) as rc:
        ar = rc[1].apply_async(lambda: 3)
        assert ar.get(SOON) == 3
        rc[1].apply_async(os._exit, 1).wait(SOON)
        again = rc.resubmit(ar.msg_ids[0])
        assert again.get(SOON) == 3 and again.engine_id == 0


# ---- forgetting


def test_purge(cluster4, other, busy, wait_for):
    """HUB-07 to HUB-09."""
    one, two, three = (cluster4[engine].apply_async(lambda: 1) for engine in (1, 2, 3))
    ids = kept(other, wait_for, one, two, three)
    cluster4.purge_results(one)
    with pytest.raises(KeyError):
        other.get_result(ids[0])
    assert other.get_result(ids[1]).get(SOON) == 1
    cluster4.purge_results(targets=2)
    with pytest.raises(KeyError):
        cluster4.get_result(ids[1])
    other.purge_hub_results([ids[2], "unknown"])
    assert cluster4.get_result(ids[2]) is three
    cluster4.purge_local_results(ids[2])
    with pytest.raises(KeyError):
        cluster4.get_result(ids[2])
    with pytest.raises(RuntimeError, match="Can't purge outstanding tasks"):
        cluster4.purge_results(busy.result)
    with pytest.raises(RuntimeError, match="Can't purge outstanding tasks"):
        cluster4.purge_everything()
    with pytest.raises(IndexError, match="msg pending"):
        other.purge_hub_results(busy.result.msg_ids)
    for purge in (cluster4.purge_results, cluster4.purge_local_results, cluster4.purge_hub_results):
        with pytest.raises(ValueError, match="at least one of `targets` and `jobs`"):
            purge()
    cluster4.purge_hub_results("all")
    assert cluster4.hub_history() == busy.result.msg_ids


def test_purge_the_engine_0(cluster4, wait_for):
    """HUB-07: 0 is an engine; HUB-08: purging by targets works."""
    ar = cluster4[0].apply_async(lambda: 1)
    kept(cluster4, wait_for, ar)
    cluster4.purge_local_results(targets=0)
    assert cluster4.get_result(ar.msg_ids[0]) is not ar
    cluster4.purge_results(targets=0)
    assert cluster4.db_query({"engine_id": 0}) == []


def test_purge_everything(cluster4):
    """HUB-10."""
    cluster4[:].apply_async(lambda: 1).get(SOON)
    cluster4.purge_everything()
    assert cluster4.history == [] and cluster4.hub_history() == []


# ---- stores


@pytest.mark.parametrize("place", ["", ":{path}"])
def test_sqlite(place, tmp_path):
    """HUB-13: in a file, which later clusters can open if it is named."""
    store = "sqlite" + place.format(path=tmp_path / "tasks.db")
    with px.Cluster(n=1, store=store) as rc:
        ar = rc[0].apply_async(lambda: (print("hi"), 4)[1])
        assert ar.get(SOON) == 4 and rc.get_result([-1]).get(SOON) == [4]
        assert rc.db_query({"msg_id": ar.msg_ids[0]}, "stdout")[0]["stdout"] == "hi\n"
    if place:
        with px.Cluster(n=1, store=store) as rc:
            again = rc.get_result(ar.msg_ids[0])
            assert again.get(SOON) == 4 and again.stdout == "hi\n"
            assert rc.resubmit(ar.msg_ids[0]).get(SOON) == 4


def test_no_store():
    """HUB-14: results cannot be asked for again; what is not finished can, and the status is known."""
    with px.Cluster(n=1, store="none") as rc:
        ar = rc[0].apply_async(lambda: 4)
        assert ar.get(SOON) == 4 and rc.get_result(ar.msg_ids[0]) is ar
        for ask in (rc.hub_history, lambda: rc.db_query({}), lambda: rc.get_result([0]), lambda: rc.resubmit(0)):
            with pytest.raises(px.NoData, match="keeps no results"):
                ask()
        assert rc.queue_status(0)["completed"] == 1
        rc.purge_everything()


def test_a_small_store(wait_for):
    """HUB-12; decision 11: the oldest delivered results are forgotten, and a client still gets all of its own."""
    with px.Cluster(n=1, store_limit=100_000) as rc:
        results = [rc[0].apply_async(bytes, 10_000) for _ in range(40)]
        assert all(len(ar.get(SOON)) == 10_000 for ar in results)
        kept(rc, wait_for, results[-1])
        assert 1 <= len(rc.hub_history()) <= 9 and rc.hub_history()[-1] == results[-1].msg_ids[0]
        rc.purge_local_results("all")
        with pytest.raises(KeyError, match="No such message"):
            rc.get_result(0)
        large = rc[0].apply_async(bytes, 50_000)
        assert len(large.get(SOON)) == 50_000
        kept(rc, wait_for, large)
        rc.purge_local_results(large)
        with pytest.raises(px.EngineError, match="not kept any more"):
            rc.get_result(large.msg_ids[0]).get(SOON)


def test_a_store_that_cannot_be_opened(tmp_path):
    """HUB-13: the cluster does not start, and says why."""
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    with pytest.raises(px.ClusterError, match=r"the store .*other\.db cannot be opened: file is not a database"):
        px.Cluster(n=1, store=f"sqlite:{tmp_path / 'other.db'}").start_cluster_sync()


@pytest.mark.parametrize("store, limit, error", [("mongodb", 1, ValueError), ("memory", -1, ValueError), (5, 1, TypeError)])
def test_a_bad_store(store, limit, error):
    with pytest.raises(error, match="store"):
        px.Cluster(n=1, store=store, store_limit=limit)


# ---- balanced calls


def test_balanced_calls(cluster4, busy):
    """HUB-01, HUB-04, HUB-06: they are told from direct ones, and are balanced again."""
    view = cluster4.load_balanced_view(targets=[0])
    view.label = "balanced"
    waiting = view.apply_async(os.getpid)
    status = cluster4.queue_status([0])
    assert (status[0]["queue"], status[0]["tasks"], status["unassigned"]) in [(1, 1, 0), (1, 0, 1)]
    verbose = cluster4.queue_status([0], verbose=True)
    assert verbose[0]["tasks"] + verbose["unassigned"] == waiting.msg_ids
    assert [record["queue"] for record in cluster4.db_query({"label": "balanced"}, "queue")] == ["task"]
    again = cluster4.resubmit(waiting.msg_ids[0])
    busy()
    pid = cluster4[0].apply_sync(os.getpid)
    assert waiting.get(SOON) == again.get(SOON) == pid
    assert [record["queue"] for record in cluster4.db_query({"label": "balanced"}, "queue")] == ["task"] * 2


# ---- control


def test_abort(cluster4, busy):
    """CTL-03, CTL-06: with ``block`` the controller has seen to it; only some engines, if so wanted."""
    zero, one = (cluster4[engine].apply_async(time.sleep, 0) for engine in (0, 1))
    queued = cluster4[0].apply_async(os.getpid)
    assert cluster4.abort([zero, one, queued], targets=1, block=True) is None
    assert not zero.ready() and one.wait(SOON)
    future = cluster4.abort(queued)
    assert future.result(SOON) is None
    with pytest.raises(px.TaskAborted, match="before it started"):
        queued.get(SOON)
    cluster4[0].abort(zero, block=True)
    several = cluster4[:2].apply_async(os.getpid)
    cluster4.abort(several.msg_ids[0], block=True)
    assert isinstance(several.get(SOON, return_exceptions=True)[1], int)
    busy()
    assert zero.wait(SOON) and cluster4[0].apply_sync(abs, -1) == 1
    with pytest.raises(TypeError):
        cluster4.abort(1.5)


def test_abort_what_waits_here(cluster4, busy):
    """CTL-03: over its credit a client keeps calls to itself; they can be aborted, too."""
    first = [cluster4[0].apply_async(len, bytes(40_000_000)) for _ in range(4)]
    last = cluster4[0].apply_async(os.getpid)
    cluster4.abort(first[3:] + [last], block=True)
    for result in (first[3], last):
        with pytest.raises(px.TaskAborted):
            result.get(SOON)
    busy()
    assert [result.get(SOON) for result in first[:3]] == [40_000_000] * 3


def test_clear(cluster4, busy):
    """CTL-04, CTL-06: the namespaces are empty, before what waits runs."""
    cluster4[:].push({"mine": 1}, block=True, targets=[1, 2, 3])
    cluster4[1].execute("5", silent=False).get(SOON)
    pushing, there = cluster4[0].push({"mine": 1}), cluster4[0].pull("'mine' in globals()")
    clearing = cluster4.clear()
    assert not clearing.ready() and not pushing.ready()
    busy()
    assert clearing.get(SOON) == [None] * 4
    assert there.get(SOON) is True
    view = cluster4[:]
    assert view["'mine' in globals()"] == [True, False, False, False]
    assert cluster4[1]["Out, In"] == ({}, [""])
    assert cluster4.clear(targets=0, block=True) is None
    assert view["'mine' in globals()"] == [False] * 4
    assert cluster4[:].apply_sync(lambda: 2) == [2] * 4


def test_helpers_travel_again_after_a_clear(cluster4, notebook):
    names = notebook("def helper():\n    return 1\n\ndef f():\n    return helper()")
    assert cluster4[0].apply_sync(names["f"]) == 1
    cluster4.clear(0, block=True)
    assert cluster4[0].apply_sync(names["f"]) == 1


def test_spin(cluster4):
    """RC-29: kept for old code."""
    assert cluster4.spin() is cluster4.spin_thread(1) is cluster4.stop_spin_thread() is None


def test_send_signal(cluster4, busy, tmp_path, wait_for):
    """CTL-01, CTL-02: to some engines, busy or not; an idle engine ignores SIGINT."""
    pids = cluster4[1:].apply_sync(os.getpid)
    assert cluster4.send_signal("SIGINT", block=True) is None
    with pytest.raises(px.RemoteError) as caught:
        busy.result.get(SOON)
    assert caught.value.ename == "KeyboardInterrupt"
    assert cluster4[1:].apply_sync(os.getpid) == pids
    mark = tmp_path / "mark"

    def listen(mark):
        import signal

        signal.signal(signal.SIGUSR2, lambda *_: mark.touch())

    cluster4[1].apply_sync(listen, mark)
    future = cluster4.send_signal(signal.SIGUSR2, targets=1)
    assert future.result(SOON) is None
    wait_for(mark.exists)
    assert cluster4.send_signal(0).result(SOON) is None
    with pytest.raises(AttributeError, match="there is no signal 'SIGNOPE'"):
        cluster4.send_signal("SIGNOPE")
    with pytest.raises(ValueError):
        cluster4.send_signal(999)
    with pytest.raises(IndexError):
        cluster4.send_signal("SIGINT", targets=9)


def test_shutdown(wait_for, processes):
    """CTL-05: one engine, all of them, again, and the hub."""
    cluster = px.Cluster(n=3)
    with cluster as rc, px.Client(rc.directory + "/cluster.json") as other:
        pids = rc[:].apply_sync(os.getpid)
        assert rc.shutdown(1, block=True) is None
        wait_for(lambda: rc.ids == other.ids == [0, 2])
        assert pids[1] not in [process.pid for process in processes()]
        rc[0].push({"x": 1}, block=True)
        rc.shutdown([0], restart=True, block=True)
        wait_for(lambda: rc.ids == [0, 2])
        assert rc[0]["'x' in globals()"] is False and rc[0].apply_sync(os.getpid) != pids[0]
        with pytest.raises(ValueError, match="hub=True"):
            rc.shutdown(0, hub=True)
        rc.shutdown().result(SOON)
        wait_for(lambda: rc.ids == [])
        assert rc.queue_status() == {"unassigned": 0}
        assert rc.shutdown(block=True) is None
        rc.shutdown(hub=True, block=True)
        assert not cluster.running
        with pytest.raises(RuntimeError, match="closed"):
            rc.ask("history")
        wait_for(lambda: other._lost is not None)
        with pytest.raises(px.EngineError, match="no cluster any more"):
            other.hub_history()
