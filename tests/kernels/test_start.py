"""Starting clusters and connecting to them, and every way in which that fails (issue 2, points 2 and "Bad input")."""

import asyncio
import json
import os
import shutil
import sys
import threading
import time

import psutil
import pytest

import pxkernel as px

#: "Within seconds": far less than any of the time limits that would end a wait.
SOON = 15.0


@pytest.fixture
def soon():
    start = time.monotonic()
    yield
    assert time.monotonic() - start < SOON


@pytest.fixture
def cluster():
    """A cluster that a test may start, and need not stop."""
    cluster = px.Cluster(n=1)
    yield cluster
    cluster.stop_cluster_sync()


# -- starting and connecting ------------------------------------------------------------------------------------------


def test_each_step_by_itself():
    """CLU-05, CLU-11, CLU-14; CLU-24: the controller writes the cluster file and removes it."""
    cluster = px.Cluster(n=2)
    assert not cluster.running and "not running" in repr(cluster) and cluster.cluster_file is None
    with pytest.raises(px.ClusterError, match="has not been started: call start_cluster_sync"):
        cluster.connect_client_sync()
    assert cluster.start_cluster_sync() is cluster
    assert cluster.running and cluster.cluster_file.is_file()
    file = cluster.cluster_file
    with cluster.connect_client_sync() as rc:
        assert rc.cluster is cluster
        rc.wait_for_engines(2)
        assert rc.ids == [0, 1] and len(rc) == 2
        assert rc[:].apply_sync(os.getpid) == [rc.engine_info(engine)["pid"] for engine in rc.ids]
        with cluster.connect_client_sync() as second:
            second.wait_for_engines()
            second[0].push({"a": 5}, block=True)
        assert rc[0].pull("a", block=True) == 5
        cluster.stop_cluster_sync()
    assert not cluster.running and not file.exists()
    cluster.stop_cluster_sync()


def test_start_and_connect_sync_can_start_the_same_cluster_again():
    """CLU-10"""
    cluster = px.Cluster(n=2)
    for n in (None, 1):
        with cluster.start_and_connect_sync(n) as rc:
            assert rc.ids == list(range(n or 2))
            cluster.stop_cluster_sync()


def test_with_stops_the_cluster_also_after_an_error():
    """CLU-20"""
    cluster = px.Cluster(n=1)
    with pytest.raises(ZeroDivisionError):
        with cluster as rc:
            assert rc.ids == [0]
            1 / 0  # noqa: B018
    assert not cluster.running
    with pytest.raises(RuntimeError, match="Client cannot be used after it has been closed"):
        rc[0]


def test_nothing_is_left_in_this_process(wait_for):
    """A notebook kernel that starts cluster after cluster keeps no descriptor and no thread of them."""

    def use():
        with px.Cluster(n=1) as rc:
            rc[0].apply_sync(os.getpid)

    use()  # what is made once
    me = psutil.Process()
    files, threads = me.num_fds(), threading.active_count()
    use()
    wait_for(lambda: (me.num_fds(), threading.active_count()) <= (files, threads))


async def ticks_during(work):
    """How often the event loop had a turn while `work` ran, and its result."""
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.create_task(tick())
    result = await work
    ticker.cancel()
    return ticks, result


def test_awaitable_forms_leave_the_loop_free():
    """CLU-10, CLU-14"""

    async def main():
        cluster = px.Cluster(n=2)
        started, rc = await ticks_during(cluster.start_and_connect())
        assert rc.ids == [0, 1]
        assert await rc[:].apply_async(os.getpid) == [rc.engine_info(engine)["pid"] for engine in rc.ids]
        stopped, _ = await ticks_during(cluster.stop_cluster())
        assert not cluster.running
        rc.close()
        # A blocked loop has one or two turns. An unblocked one has 200 in a second.
        assert started > 20 and stopped > 5, (started, stopped)

    asyncio.run(main())


def test_the_other_awaitable_forms():
    """CLU-21"""

    async def main():
        cluster = px.Cluster(n=1)
        assert await cluster.start_cluster() is cluster
        rc = await cluster.connect_client()
        rc.wait_for_engines(1)
        await cluster.stop_cluster()
        rc.close()
        async with px.Cluster(n=1) as rc:
            assert rc.ids == [0]
            running = rc.cluster
        assert not running.running

    asyncio.run(main())


def test_no_engines_is_a_cluster_too():
    """RC-31: balanced calls, too, are refused at once."""
    with px.Cluster(n=0) as rc:
        assert rc.ids == [] and len(rc) == 0
        rc.wait_for_engines(0)
        rc.wait_for_engines()
        with pytest.raises(px.NoEnginesRegistered, match="wait_for_engines"):
            rc[:]
        with pytest.raises(px.NoEnginesRegistered):
            rc.load_balanced_view().apply_async(abs, -1)
        with pytest.raises(IndexError, match="No such engine: 0"):
            rc[0]


def test_waiting_for_more_engines_than_there_are(cluster4, soon):
    cluster4.wait_for_engines(4)
    with pytest.raises(px.TimeoutError, match=r"^5 engines not ready in 0.2 seconds. Currently ready: 4$"):
        cluster4.wait_for_engines(5, timeout=0.2)


def test_a_runtime_directory_with_a_long_path(tmp_path, monkeypatch):
    place = tmp_path / ("long" * 30)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(place))
    with px.Cluster(n=1) as rc:
        assert rc[0].apply_sync(os.getpid) == rc.engine_info(0)["pid"]
        assert rc.connection_file(0).is_relative_to(place)
        sockets = json.loads(rc.cluster.cluster_file.read_text())["sockets"]
        assert not sockets.startswith(str(place)) and os.stat(sockets).st_mode & 0o777 == 0o700
    assert not os.path.exists(sockets)
    assert list((place / "pxkernel").iterdir()) == []


def test_nobody_else_gets_in(cluster4, processes):
    """Directories 0700, files 0600, no TCP listener but ipykernel's own for the output of forked children."""
    folder = cluster4.cluster.cluster_file.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    readable = {path.name for path in folder.iterdir() if path.is_file() and path.stat().st_mode & 0o077}
    assert readable == set()
    (controller,) = (p for p in processes() if "pxkernel.controller" in p.cmdline())
    assert [c for c in controller.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
    for engine in cluster4.ids:
        listening = psutil.Process(cluster4.engine_info(engine)["pid"]).net_connections("inet")
        assert {c.laddr.ip for c in listening if c.status == psutil.CONN_LISTEN} <= {"127.0.0.1"}


# -- from another process ---------------------------------------------------------------------------------------------


def test_another_process_finds_the_cluster(cluster4, run_python):
    """CLU-22"""
    cluster4[:].push({"a": 5}, block=True)
    file, cluster_id = cluster4.cluster.cluster_file, cluster4.cluster.cluster_id
    for arguments in ("", repr(str(file)), f"cluster_id={cluster_id!r}"):
        other = run_python(f"""
            import pxkernel as px
            cluster = px.Cluster.from_file({arguments})
            assert cluster.running
            with cluster.connect_client_sync() as rc:
                rc.wait_for_engines()
                print(rc.ids, rc[:].apply_sync(lambda: a + 1))
        """)
        assert other.stdout == "[0, 1, 2, 3] [6, 6, 6, 6]\n", other.stderr
    other = run_python(
        "import pxkernel as px; rc = px.Client(); print(rc.ids)", env={"PXKERNEL_CLUSTER": cluster_id}
    )
    assert other.stdout == "[0, 1, 2, 3]\n", other.stderr
    assert cluster4.cluster.running and cluster4[:].apply_sync(lambda: 1) == [1] * 4


def test_a_client_that_never_closes_does_not_hold_up_its_process(cluster4, run_python):
    other = run_python("""
        import pxkernel as px
        rc = px.Client()
        ar = rc[:].apply_async(lambda: __import__("time").sleep(0.3))
        print(rc.ids)
    """)
    assert other.stdout == "[0, 1, 2, 3]\n" and other.stderr == ""
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


def test_several_clusters_and_none_named(cluster4, monkeypatch):
    with px.Cluster(n=0, cluster_id="second") as rc:
        ids = [cluster4.cluster.cluster_id, "second"]
        for find in (px.Client, px.Cluster.from_file):
            with pytest.raises(px.ClusterError, match="several clusters are running") as caught:
                find()
            assert all(repr(cluster_id) in str(caught.value) for cluster_id in ids)
        with px.Client("second") as second:
            assert second.ids == []
        monkeypatch.setenv("PXKERNEL_CLUSTER", cluster4.cluster.cluster_id)
        with px.Client() as first:
            assert first.ids == [0, 1, 2, 3]
        assert rc.ids == []
    with px.Cluster(n=0, cluster_id=""):
        monkeypatch.delenv("PXKERNEL_CLUSTER")
        # The default cluster is found before all others.
        assert px.Cluster.from_file().cluster_id == ""


# -- what fails -------------------------------------------------------------------------------------------------------


def test_what_is_no_number_of_engines_and_no_name():
    with pytest.raises(ValueError, match="number of engines, not -1"):
        px.Cluster(n=-1)
    with pytest.raises(ValueError, match="number of engines, not 'two'"):
        px.Cluster(n="two")
    for name in ("../up", "a b", "x" * 65, "default"):
        with pytest.raises(px.ClusterError, match="cannot be a cluster id"):
            px.Cluster(cluster_id=name)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        px.Cluster(nonsense="mine")


def test_starting_twice(cluster):
    cluster.start_cluster_sync()
    with pytest.raises(px.ClusterError, match="running already"):
        cluster.start_cluster_sync()
    twin = px.Cluster(n=1, cluster_id=cluster.cluster_id)
    with pytest.raises(px.ClusterError, match=f"{cluster.cluster_id}.* is running already"):
        twin.start_cluster_sync()
    twin.stop_cluster_sync()
    with cluster.connect_client_sync() as rc:
        rc.wait_for_engines(1)
        assert rc[0].apply_sync(lambda: 1) == 1


def test_a_kernelspec_that_does_not_exist(soon):
    with pytest.raises(px.EngineError) as caught:
        px.Cluster(n=2, kernel_name="no-such-kernel").start_and_connect_sync()
    assert "there is no kernelspec 'no-such-kernel'; installed are: " in str(caught.value)
    assert "python3" in str(caught.value)


@pytest.mark.parametrize("engines", [None, "local"])
def test_a_kernel_that_ends_at_once(kernelspec, soon, engines):
    """CLU-31"""
    code = "import sys; print('the disk is full', file=sys.stderr); sys.exit(4)"
    name = kernelspec("ends", [sys.executable, "-c", code, "{connection_file}"])
    with pytest.raises(px.EngineError, match="(?s)1 engine cannot become ready.*engine 0 died.*exit code 4") as caught:
        px.Cluster(n=1, kernel_name=name, engines=engines).start_and_connect_sync()
    assert "the disk is full" in str(caught.value)


def test_a_kernel_that_cannot_be_executed(kernelspec, soon):
    name = kernelspec("nothing", ["/no/such/program", "{connection_file}"])
    with pytest.raises(px.EngineError, match="/no/such/program"):
        px.Cluster(n=1, kernel_name=name).start_and_connect_sync()


def test_an_engine_that_cannot_load_the_extension(kernelspec, tmp_path, soon):
    (tmp_path / "zmq.py").write_text("raise RuntimeError('not today')")
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    name = kernelspec("broken", argv, env={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(px.EngineError, match="not today"):
        px.Cluster(n=1, kernel_name=name).start_and_connect_sync()


def test_engines_that_are_not_ready_in_time(kernelspec, soon):
    """CLU-30"""
    silent = [sys.executable, "-c", "import signal; signal.pause()", "{connection_file}"]
    name = kernelspec("pauses", silent, language="silence")
    with pytest.raises(px.TimeoutError, match="^1 engines not ready in 0.5 seconds. Currently ready: 0"):
        px.Cluster(n=1, kernel_name=name, engine_timeout=0.5).start_and_connect_sync()


def test_one_bad_engine_does_not_take_the_others_along(kernelspec, tmp_path):
    """The first process that makes the file fails, the other is an engine."""
    code = f"""
import os, sys
try:
    os.close(os.open({str(tmp_path / 'taken')!r}, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *sys.argv[1:]])
sys.exit("the first one fails")
"""
    name = kernelspec("half", [sys.executable, "-c", code, "-f", "{connection_file}", "--", "ipykernel_launcher"][:-2])
    cluster = px.Cluster(n=2, kernel_name=name)
    cluster.start_cluster_sync()
    try:
        with cluster.connect_client_sync() as rc:
            with pytest.raises(px.EngineError, match="the first one fails"):
                rc.wait_for_engines(2)
            rc.wait_for_engines(1)
            (alive,) = rc.ids
            assert rc[alive].execute("6 * 7", silent=False).get().data["text/plain"] == "42"
            with pytest.raises(IndexError, match=f"(?s)No such engine: {1 - alive}.*the first one fails"):
                rc[1 - alive]
    finally:
        cluster.stop_cluster_sync()


def test_a_controller_that_ends_at_once(cluster, tmp_path, monkeypatch, soon):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nprint('sitecustomize says no', file=sys.stderr, flush=True)\nos._exit(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(px.ClusterError, match=r"(?s)controller did not start \(exit code 7\).*sitecustomize says no"):
        cluster.start_cluster_sync()
    assert not cluster.running
    monkeypatch.delenv("PYTHONPATH")
    with cluster.start_and_connect_sync() as rc:
        assert rc.ids == [0]
        cluster.stop_cluster_sync()


def test_a_controller_with_a_traceback(cluster, tmp_path, monkeypatch, soon):
    (tmp_path / "zmq.py").write_text("raise RuntimeError('not today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(px.ClusterError, match="(?s)exit code 1.*RuntimeError: not today"):
        cluster.start_cluster_sync()


def test_a_runtime_directory_that_cannot_be_made(cluster, tmp_path, monkeypatch, soon):
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file" / "r"))
    with pytest.raises(px.ClusterError, match=f"{tmp_path}/file"):
        cluster.start_cluster_sync()


def test_cluster_files_that_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"no cluster is running .looked in {tmp_path}/pxkernel.*Cluster"):
        px.Client()
    with pytest.raises(FileNotFoundError, match="no cluster is running"):
        px.Cluster.from_file()
    missing = tmp_path / "missing.json"
    for find in (px.Client, px.Cluster.from_file):
        with pytest.raises(FileNotFoundError, match=f"no cluster file {missing}"):
            find(missing)
    with pytest.raises(FileNotFoundError, match="no cluster file .*nobody"):
        px.Cluster.from_file(cluster_id="nobody")
    with pytest.raises(TypeError, match="not both"):
        px.Cluster.from_file(missing, cluster_id="nobody")
    bad = tmp_path / "bad.json"
    for content in (
        b"no JSON", b"", b"[1, 2]", b'"text"', b"{}", b"\xff\xfe", b'{"cluster_id": "x", "surprise": 1}',
        b'{"cluster_id": 1, "directory": 2, "sockets": 3, "address": 4, "key": 5, "controller_pid": 6, "owner_pid": 7}',
    ):  # fmt: skip
        bad.write_bytes(content)
        for find in (px.Client, px.Cluster.from_file):
            with pytest.raises(px.ClusterError, match=f"{bad} is not a cluster file"):
                find(bad)


def test_a_stale_cluster_file(cluster, tmp_path, soon):
    cluster.start_cluster_sync()
    stale = shutil.copy(cluster.cluster_file, tmp_path / "stale.json")
    cluster.stop_cluster_sync()
    for find in (px.Client, px.Cluster.from_file):
        with pytest.raises(px.ClusterError, match="not running any more"):
            find(stale)
    with pytest.raises(FileNotFoundError):
        px.Client(cluster.cluster_id)


def test_the_files_of_a_dead_cluster_do_not_hold_up_its_successor(cluster):
    cluster.start_cluster_sync()
    folder = cluster.cluster_file.parent
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept, ignore=lambda _, names: [name for name in names if not name.endswith(".json")])
    cluster.stop_cluster_sync()
    kept.rename(folder)
    assert (folder / "cluster.json").is_file()
    cluster.start_cluster_sync()
    assert cluster.running


def test_a_cluster_file_with_another_key(cluster4, tmp_path, soon):
    content = json.loads(cluster4.cluster.cluster_file.read_text())
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({**content, "key": "00" * 32}))
    with pytest.raises((px.TimeoutError, px.ClusterError)):
        px.Client(wrong, timeout=1.0)
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


# -- after the end ----------------------------------------------------------------------------------------------------


def test_calls_after_close(cluster4, soon):
    with px.Client() as rc:
        view, pending = rc[:], rc[0].apply_async(time.sleep, 0.2)
        rc.wait_for_engines()
    with pytest.raises(px.EngineError, match="closed"):
        pending.get(5)
    for call in (
        lambda: view.apply_sync(os.getpid),
        lambda: view.apply_async(os.getpid),
        lambda: view.execute("1"),
        lambda: view.push({"a": 1}),
        lambda: view.map_sync(abs, [1]),
        lambda: rc[0],
        lambda: rc[:],
        lambda: rc.wait_for_engines(5),
        lambda: rc.abort(),
        lambda: rc.interrupt(),
    ):
        with pytest.raises(RuntimeError, match="Client cannot be used after it has been closed"):
            call()
    rc.close()
    assert rc.ids == []
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


def test_calls_after_the_cluster_has_stopped(cluster, soon, wait_for, tmp_path):
    with cluster.start_and_connect_sync() as rc:
        view = rc[:]
        marks = [tmp_path / str(number) for number in range(3)]
        # The second would start when the end of the cluster interrupts the first.
        pending = [view.apply_async(lambda mark: (mark.touch(), time.sleep(100)), mark) for mark in marks]
        wait_for(marks[0].exists)
        cluster.stop_cluster_sync()
        for result in pending:
            with pytest.raises(px.CompositeError) as caught:
                result.get(5)
            assert "engine 0 has ended: the cluster was stopped" in str(caught.value)
        assert [mark.exists() for mark in marks] == [True, False, False]
        wait_for(lambda: rc.ids == [])
        for call in (lambda: view.apply_sync(os.getpid), lambda: rc[0], lambda: rc.wait_for_engines(1)):
            with pytest.raises(px.EngineError, match="there is no cluster any more"):
                call()
    with pytest.raises(px.ClusterError):
        cluster.connect_client_sync()


def test_a_client_in_a_forked_process(cluster4):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            cluster4[:].apply_async(os.getpid)
        except BaseException as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        assert "cannot be used in a forked process" in answer.read()
    os.waitpid(pid, 0)
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


def test_ids_is_a_copy_and_sorted(cluster4):
    ids = cluster4.ids
    ids.clear()
    assert cluster4.ids == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "key, error, text",
    [
        (4, IndexError, "No such engine: 4; there are .0, 1, 2, 3."),
        (-5, IndexError, "No such engine: -5"),
        ([0, 9], IndexError, "No such engine: 9"),
        ("all", TypeError, "not <class 'str'>"),
        (1.5, TypeError, "not <class 'float'>"),
        (True, TypeError, "the id of an engine"),
        (["0"], TypeError, "the id of an engine is an integer, not .0."),
    ],
)
def test_engines_that_do_not_exist(cluster4, key, error, text):
    with pytest.raises(error, match=text):
        cluster4[key]
    assert cluster4[:].apply_sync(lambda: 1) == [1] * 4


def test_a_missing_interpreter_of_the_controller(cluster, monkeypatch, soon):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(px.ClusterError, match="/no/such/python"):
        cluster.start_cluster_sync()
