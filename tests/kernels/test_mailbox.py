"""Results that go straight from an engine to its client (protocol.mailbox)."""

import os
import signal
import stat
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import pxkernel as px
from pxkernel.client import connection, mailed
from pxkernel.errors import ProtocolError
from pxkernel.protocol import mailbox as module
from pxkernel.protocol.mailbox import LONGEST, Mailbox, Mailer
from pxkernel.protocol.stream import only_message, pieces


def in_one_piece(*frames):
    ((message, _, _),) = pieces(frames)
    return message


# -- mailboxes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path):
    box = Mailbox(str(tmp_path), "client")
    yield box
    box.close()


@pytest.fixture
def mailer(tmp_path):
    mailer = Mailer(str(tmp_path))
    yield mailer
    mailer.close()


@pytest.mark.parametrize("frames", [[], [b""], [b"a"], [b"a", b"", b"bc"], [b"x" * (LONGEST - 12)]])
def test_a_message_arrives_whole(box, mailer, frames):
    assert mailer.send("client", in_one_piece(*frames))
    assert box.receive() == [frames]
    assert box.receive() == []


def test_a_full_mailbox_takes_no_more_and_loses_nothing(box, mailer):
    sent = 0
    while mailer.send("client", in_one_piece(b"%d" % sent)):
        sent += 1
        assert sent < 100_000
    assert sent
    assert box.receive() == [[b"%d" % number] for number in range(sent)]
    assert mailer.send("client", in_one_piece(b"again"))


def test_what_is_too_long_is_not_sent(box, mailer):
    assert not mailer.send("client", in_one_piece(b"x" * LONGEST))
    assert box.receive() == []


def test_junk_is_dropped_and_hides_nothing(box, mailer):
    for message in (b"", in_one_piece(b"first"), b"junk", in_one_piece(b"second")):
        assert mailer.send("client", message)
    assert box.receive() == [[b"first"], [b"second"]]


def test_nobody_there(box, mailer):
    assert not mailer.send("another", in_one_piece(b"a"))
    box.close()
    assert not mailer.send("client", in_one_piece(b"a"))


def test_nobody_reads_it_any_more(box, mailer):
    box._socket.close()
    assert not mailer.send("client", in_one_piece(b"a"))


@pytest.mark.parametrize("junk", [b"", b"abc", b"\1\0\0\0", in_one_piece(b"ab")[:-1], in_one_piece(b"ab") + b"c", b"\xff" * 80])
def test_junk_is_no_message(junk):
    with pytest.raises(ProtocolError, match="a message"):
        only_message(junk)


def test_only_its_user_may_write_and_nothing_is_left(box, tmp_path):
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    box.close()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_client_leaves_is_removed(box, tmp_path):
    module.remove(str(tmp_path), "another")
    assert list(tmp_path.iterdir())
    module.remove(str(tmp_path), "client")
    assert not list(tmp_path.iterdir())
    module.remove(str(tmp_path), "client")


def test_what_all_of_them_leave_is_removed(box, tmp_path):
    Mailbox(str(tmp_path), "another")._socket.close()
    (tmp_path / "map").touch()
    module.remove_all(str(tmp_path))
    assert list(tmp_path.iterdir()) == [tmp_path / "map"]


def test_a_client_cannot_name_another_file(tmp_path):
    (tmp_path / "mail-x").mkdir()
    (tmp_path / "precious").touch()
    module.remove(str(tmp_path), "x/../precious")
    assert (tmp_path / "precious").exists()


def test_a_forked_process_has_no_mailbox(box, mailer, tmp_path):
    if (pid := os.fork()) == 0:
        box.close()
        os._exit(int(box.fileno() >= 0 or mailer._socket.fileno() >= 0))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert mailer.send("client", in_one_piece(b"a"))
    assert box.receive() == [[b"a"]]


# -- with engines -----------------------------------------------------------------------------------------------------


def came(rc):
    """The last tasks of the engines of a cluster whose results came by mail."""
    return mailed._last[rc.directory].values()


@pytest.fixture
def idle(cluster4, wait_for):
    """Nothing is under way: what a test calls next is alone."""
    wait_for(lambda: not cluster4._pending)


@pytest.fixture
def came_by_mail(cluster4, idle):
    """Whether the result of a call has come straight from its engine."""

    def check(result):
        result.get()
        return result.msg_ids[-1] in came(cluster4)

    return check


def quiet():
    return 7


def test_a_small_result_of_one_engine_comes_by_mail(cluster4, came_by_mail):
    result = cluster4[1].apply_async(quiet)
    assert came_by_mail(result) and result.get() == 7
    assert result.metadata.engine_id == 1
    assert result.metadata.engine_uuid == cluster4.engine_info(1)["uuid"]
    assert result.metadata.completed >= result.metadata.started
    assert result.wait_for_output(0)


def test_code_that_awaits_and_source_code_as_well(cluster4, came_by_mail):
    async def later():
        import asyncio

        await asyncio.sleep(0.01)
        return 8

    assert came_by_mail(cluster4[2].apply_async(later))
    assert not cluster4._pending
    assert came_by_mail(cluster4[2].execute("x = 1", block=False))


def prints():
    print("text")


def fails():
    raise ValueError("no")


def large():
    return b"x" * LONGEST


def array():
    return np.ones(1_000_000)


@pytest.mark.parametrize("function", [prints, fails, large, array])
def test_what_goes_the_usual_way(cluster4, idle, function):
    result = cluster4[0].apply_async(function)
    result.wait(10)
    assert result.done() and result.msg_ids[0] not in came(cluster4)


def test_maps_with_failing_items_balanced_calls_time_limits_and_several_engines(cluster4, idle):
    view = cluster4[0]
    for result in (
        view.map_async(lambda x: 1 / x, [1, 0]),
        cluster4[:2].apply_async(quiet),
        cluster4.load_balanced_view().apply_async(quiet),
    ):
        result.wait(10)
        assert result.done() and not set(result.msg_ids) & set(came(cluster4))
    with view.temp_flags(time_limit=20):
        result = view.apply_async(quiet)
    assert result.get() == 7 and result.msg_ids[0] not in came(cluster4)


def test_a_full_mailbox_costs_no_result(cluster4, came_by_mail, hold, wait_for):
    """The thread that reads it is busy while results come, and it is full."""
    busy, go = threading.Event(), threading.Event()

    def occupy(_):
        busy.set()
        go.wait(20)

    hold(cluster4[0]).add_done_callback(occupy)
    hold.release()
    assert busy.wait(10)
    mailer = Mailer(cluster4._file.sockets)
    while mailer.send(cluster4.session, in_one_piece(b"junk")):
        pass
    mailer.close()
    views = [cluster4[engine] for engine in cluster4.ids]
    results = [views[number % 4].apply_async(lambda n: n, number) for number in range(50)]
    with px.Client(cluster4.cluster_id) as other:
        wait_for(lambda: not any(other.queue_status(engine)["queue"] for engine in other.ids))
    go.set()
    assert [result.get(20) for result in results] == list(range(50))
    assert results[0].msg_ids[0] not in came(cluster4)
    assert came_by_mail(cluster4[0].apply_async(quiet))


def test_junk_in_the_mailbox_is_dropped(cluster4, came_by_mail, capfd):
    mailer = Mailer(cluster4._file.sockets)
    for junk in (b"", b"junk", in_one_piece(b"x" * 100), in_one_piece()):
        mailer.send(cluster4.session, junk)
    mailer.close()
    assert came_by_mail(cluster4[0].apply_async(quiet))
    assert not capfd.readouterr().err


def test_without_its_mailbox_a_client_gets_its_results(cluster4):
    with px.Client(cluster4.cluster_id) as rc:
        Path(rc._connection.mailbox._path).unlink()
        assert rc[0].apply_sync(quiet) == 7


def test_the_controller_has_it_as_well(cluster4, came_by_mail):
    result = cluster4[3].apply_async(quiet)
    assert came_by_mail(result)
    (record,) = cluster4.db_query({"msg_id": result.msg_ids[0]})
    assert record["status"] == "ok" and record["engine_id"] == 3 and "mailed" not in str(record)
    with px.Client(cluster4.cluster_id) as other:
        assert other.get_result(result.msg_ids[0]).get() == 7


# -- nothing is overtaken ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [quiet, prints, fails, large])
def test_a_call_is_done_before_the_next_one_of_its_engine(cluster4, idle, function):
    for _ in range(50):
        first, second = cluster4[0].apply_async(function), cluster4[0].apply_async(quiet)
        assert second.get() == 7
        assert first.done()
        first.wait_for_output()


def test_of_many_calls_the_first_one_only_comes_by_mail(cluster4, idle, hold):
    results = [hold(cluster4[0], 7), *(cluster4[0].apply_async(quiet) for _ in range(19))]
    hold.release()
    assert [result.get() for result in results] == [7] * 20
    assert not {result.msg_ids[0] for result in results[1:]} & set(came(cluster4))


def test_what_is_done_again_is_known_before_it_ends(cluster4, idle):
    for _ in range(30):
        result = cluster4[1].apply_async(quiet)
        assert result.get() == 7
        assert cluster4.resubmit(result.msg_ids).get(10) == [7]


def test_callbacks_that_call_leave_time_for_questions(cluster4, idle):
    """Each result is followed by a call at once: the thread that reads the mailbox has no end of it."""
    over, calls = threading.Event(), []

    def again(_):
        time.sleep(0.002)
        calls.append(None)
        if len(calls) < 500 and not over.is_set():
            cluster4[0].apply_async(quiet).add_done_callback(again)
        else:
            over.set()

    cluster4[0].apply_async(quiet).add_done_callback(again)
    for _ in range(3):
        cluster4.queue_status()
    assert not over.is_set(), f"the questions were answered after {len(calls)} calls"
    over.set()


def test_a_result_comes_before_the_end_of_the_cluster(wait_for, tmp_path):
    """The thread that receives is held up from before the result until the cluster has stopped."""

    def slow(mark):
        import time

        while not mark.exists():
            time.sleep(0.01)
        return 7

    with px.Cluster(n=1) as rc:
        other = px.Client(rc.cluster_id)
        result = rc[0].apply_async(slow, tmp_path / "mark")
        wait_for(lambda: other.queue_status()[0]["queue"] == 1)
        with rc._connection._sending:
            # It has seen what was to be seen, and waits for its turn to send.
            rc._connection._wake()
            (tmp_path / "mark").touch()
            wait_for(lambda: other.queue_status()[0]["completed"] == 1)
            pid = rc._file.controller_pid
            other.shutdown(hub=True)
            wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert result.get(10) == 7
        other.close()


def test_kernels_are_not_told(cluster4, idle):
    result = cluster4[0].execute("get_ipython().get_parent()['content']", silent=False, block=False)
    assert "stop_on_error" in repr(result.get()) and "mailbox" not in repr(result.get())


# -- before the controller knows it -----------------------------------------------------------------------------------


def slow_reports(seconds):
    """On an engine: what has been mailed is reported ``seconds`` later."""
    import time

    from pxkernel.engine.extension import _channel

    mailer = _channel._reporter._mailer
    mail = mailer.send

    def mail_and_wait(client, message):
        done = mail(client, message)
        if done:
            time.sleep(seconds)
        return done

    mailer.send = mail_and_wait


def reports_as_ever():
    from pxkernel.engine.extension import _channel

    del _channel._reporter._mailer.send


@pytest.fixture
def late(cluster4, idle):
    """An engine whose controller hears of its results half a second after the client."""
    view = cluster4[0]
    view.apply_sync(slow_reports, 0.5)
    cluster4.queue_status()
    yield view
    view.apply_sync(reports_as_ever)


def test_no_answer_contradicts_what_the_client_has_seen(cluster4, late):
    for _ in range(2):
        result = late.apply_async(quiet)
        begun = time.monotonic()
        assert result.get() == 7
        assert time.monotonic() - begun < 0.4, "it did not come by mail"
        assert cluster4.queue_status(0)["queue"] == 0
        (record,) = cluster4.db_query({"msg_id": result.msg_ids[0]})
        assert record["status"] == "ok"


def test_nor_one_that_another_client_of_this_process_gets(cluster4, late):
    with px.Client(cluster4.cluster_id) as other:
        result = late.apply_async(quiet)
        assert result.get() == 7
        (record,) = other.db_query({"msg_id": result.msg_ids[0]})
        assert record["status"] == "ok"


def test_what_is_submitted_next_is_not_held_up_by_other_engines(cluster4, late):
    assert late.apply_sync(quiet) == 7
    begun = time.monotonic()
    assert cluster4[1].apply_sync(quiet) == 7
    assert time.monotonic() - begun < 0.4


def test_a_client_that_leaves_before_the_report(cluster4, late):
    with px.Client(cluster4.cluster_id) as other:
        result = other[0].apply_async(quiet)
        assert result.get() == 7
    (record,) = cluster4.db_query({"msg_id": result.msg_ids[0]})
    assert record["status"] == "ok"


def dies_before_the_report(how):
    import os

    from pxkernel.engine.extension import _channel

    mailer = _channel._reporter._mailer
    mail = mailer.send

    def mail_and_die(client, message):
        if mail(client, message):
            os.kill(os.getpid(), how)
        return True

    # This call has output: it is not mailed itself.
    print("from now on")
    mailer.send = mail_and_die


@pytest.fixture
def cluster2():
    with px.Cluster(n=2) as rc:
        yield rc


def test_an_engine_that_dies_between_the_two(cluster2, wait_for):
    cluster2[0].apply_sync(dies_before_the_report, signal.SIGKILL)
    wait_for(lambda: not cluster2._pending)
    assert cluster2[0].apply_sync(quiet) == 7
    wait_for(lambda: cluster2.ids == [1])
    assert cluster2[1].apply_sync(quiet) == 7
    assert cluster2.queue_status()["unassigned"] == 0


def test_an_engine_that_is_stopped_between_the_two_holds_up_questions_for_a_second_only(cluster2, wait_for):
    pid = cluster2.engine_info(0)["pid"]
    cluster2[0].apply_sync(dies_before_the_report, signal.SIGSTOP)
    wait_for(lambda: not cluster2._pending)
    assert cluster2[0].apply_sync(quiet) == 7
    try:
        wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        begun = time.monotonic()
        status = cluster2.queue_status()
        assert time.monotonic() - begun < 5
        assert status[0]["queue"] == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: cluster2.queue_status()[0]["queue"] == 0)


# -- nothing is left --------------------------------------------------------------------------------------------------


CONNECT = """
import os, pxkernel as px
rc = px.Client({name!r})
assert rc[0].apply_sync(os.getpid)
{end}
"""


def test_a_client_that_cannot_connect_leaves_no_mailbox(cluster4, monkeypatch):
    def no_descriptor():
        raise OSError("too many open files")

    folder = Path(cluster4._file.sockets)
    before = set(folder.iterdir())
    monkeypatch.setattr(connection, "probe", no_descriptor)
    with pytest.raises(OSError, match="too many"):
        px.Client(cluster4.cluster_id)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("end", ["rc.close()", "", "os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_no_mailbox_is_left(cluster4, run_python, wait_for, end):
    folder = Path(cluster4._file.sockets)
    before = set(folder.iterdir())
    script = run_python(CONNECT.format(name=cluster4.cluster_id, end=end), check=False)
    assert script.returncode in (0, -signal.SIGKILL), script.stderr
    wait_for(lambda: set(folder.iterdir()) <= before)
