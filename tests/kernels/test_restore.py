"""A new controller takes over the engines of one that was killed (CTL-08)."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

import pxkernel as px
from pxkernel.protocol import clusterfile
from pxkernel.protocol.enginefiles import takeover

SOON = 15


def kill_controller(cluster, wait_for):
    controller = psutil.Process(cluster.controller.pid)
    controller.kill()
    wait_for(lambda: not cluster.running, SOON)


def runs(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def start():
    """``start(**options)`` starts a cluster that can be restored: itself, and a client."""
    clusters = []

    def start(n=2, **options):
        cluster = px.Cluster(n=n, controller_restore=True, **options)
        clusters.append(cluster)
        return cluster, cluster.start_and_connect_sync()

    yield start
    for cluster in clusters:
        cluster.stop_cluster_sync()


@pytest.fixture
def gone(processes, nothing_is_left, wait_for):
    """Wait until nothing is left; for the tests before those that share a cluster."""
    return lambda: wait_for(lambda: not processes() and not list((nothing_is_left / "pxkernel").glob("*")), SOON)


#: Says that it runs, and goes on as long as there is a file.
WORK = """
import pathlib, time
mark = pathlib.Path({!r})
mark.touch()
while mark.exists():
    time.sleep(0.01)
worked = "to the end"
"""


# -- ends -------------------------------------------------------------------------------------------------------------


def test_a_taken_over_engine_that_dies_is_told(start, wait_for, gone):
    """Its exit code is unknown, its last words are not."""
    cluster, rc = start()
    rc.close()
    kill_controller(cluster, wait_for)
    with cluster.start_and_connect_sync() as rc:
        crash = rc[1].apply_async(lambda: __import__("ctypes").string_at(0))
        with pytest.raises(px.EngineError, match=r"(?s)engine 1 died \(exit code unknown\).*Segmentation fault"):
            crash.get(SOON)
        cluster.restart_engine_sync(1)
        wait_for(lambda: rc.ids == [0, 1], SOON)
        assert rc[:].apply_sync(lambda: 1) == [1, 1]
        engine = rc.engine_info(0)["pid"]
    cluster.stop_cluster_sync()
    assert not runs(engine)
    gone()


def busy(mark):
    mark.touch()
    while True:
        pass


@pytest.fixture
def left_alone(start, wait_for, tmp_path):
    """A cluster whose controller was killed while engine 0 ran a function, and for which none comes in time."""

    def leave(function):
        cluster, rc = start(restore_timeout=1)
        rc[0].apply_async(function, tmp_path / "mark")
        wait_for((tmp_path / "mark").exists, SOON)
        rc.close()
        kill_controller(cluster, wait_for)
        return cluster

    return leave


def test_the_time_is_over(left_alone, gone):
    """Nothing is left of engines for which no controller comes, busy or not."""
    cluster = left_alone(busy)
    gone()
    # Nothing to take over: a start like any other.
    with cluster.start_and_connect_sync() as rc:
        assert not cluster.restored and rc.ids == [0, 1]


def stuck(mark):
    """In C code that holds the GIL."""
    import ctypes

    mark.touch()
    ctypes.PyDLL(None).sleep(1000)


def test_the_time_is_over_for_one_that_is_stuck_as_well(left_alone, gone):
    """Another engine ends it, which notices nothing."""
    left_alone(stuck)
    gone()


def test_stop_without_a_controller(start, wait_for, gone, monkeypatch):
    """Also an engine that is stopped."""
    monkeypatch.setattr("pxkernel.cluster.restore.END_TIMEOUT", 3.0)
    cluster, rc = start()
    pids = rc[:].apply_sync(os.getpid)
    rc.close()
    kill_controller(cluster, wait_for)
    os.kill(pids[1], signal.SIGSTOP)
    cluster.stop_cluster_sync()
    wait_for(lambda: not any(map(runs, pids)))
    gone()


def test_the_owner_ends_as_well(run_python, wait_for, gone):
    """At its orderly end it takes the engines that wait along; when it is killed they wait for their time."""
    source = """
    import os, signal
    import pxkernel as px
    cluster = px.Cluster(n=1, controller_restore=True, restore_timeout=2)
    rc = cluster.start_and_connect_sync()
    os.kill(cluster.controller.pid, signal.SIGKILL)
    """
    run_python(source)
    gone()
    run_python(source + "\n    os.kill(os.getpid(), signal.SIGKILL)", check=False)
    gone()


def test_whoever_takes_over_is_the_owner(run_python, wait_for):
    """The end of the process that has started the first controller is not that of the cluster any more."""
    run_python(
        f"""
        import os, signal, subprocess
        import pxkernel as px
        cluster = px.Cluster(n=1, controller_restore=True, cluster_id="passed-on")
        rc = cluster.start_and_connect_sync()
        os.kill(cluster.controller.pid, signal.SIGKILL)
        rc.close()
        start = [{sys.executable!r}, "-m", "pxkernel.cli", "start", "--restore", "--daemonize", "--cluster-id", "passed-on"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
        assert cluster.controller.state == "running"
        """
    )
    cluster = px.Cluster.from_file(cluster_id="passed-on")
    assert cluster.running and cluster.engine_set.ids == [0]
    cluster.stop_cluster_sync()


# -- who may take over ------------------------------------------------------------------------------------------------


def test_starts_beside_engines_that_wait(start, wait_for):
    cluster, rc = start(cluster_id="kept")
    rc[:].push({"a": 1}, block=True)
    rc.close()
    with pytest.raises(px.ClusterError, match="running already"):
        px.Cluster(n=1, cluster_id="kept", controller_restore=True).start_cluster_sync()
    kill_controller(cluster, wait_for)
    with pytest.raises(px.ClusterError, match=r"engines \[0, 1\].*controller_restore=True.*pxcluster stop"):
        px.Cluster(n=1, cluster_id="kept").start_cluster_sync()
    with pytest.raises(px.ClusterError, match="not running any more.*pxcluster start --restore"):
        px.Client("kept")
    with takeover(cluster.cluster_file.parent) as ours:
        assert ours
        for attempt in (cluster.start_cluster_sync, cluster.start_controller_sync):
            with pytest.raises(px.ClusterError, match="somebody else"):
                attempt()
    # Another process, which knows nothing but the name.
    found = px.Cluster.from_file(cluster_id="kept")
    assert not found.running and found.waiting == [0, 1]
    with found.start_and_connect_sync() as rc:
        assert rc[:]["a"] == [1, 1] and cluster.running
        found.stop_cluster_sync()


def test_the_manager_knows_clusters_that_wait(start, wait_for):
    """CLU-33, CTL-08: whether it has known them before or not."""
    cluster, rc = start(n=1, cluster_id="managed")
    rc.close()
    manager = px.ClusterManager()
    known = manager.load_clusters()["default:managed"]
    kill_controller(cluster, wait_for)
    assert manager.load_clusters()["default:managed"] is known
    other = px.ClusterManager().load_clusters()["default:managed"]
    assert other.waiting == [0]
    cluster.stop_cluster_sync()
    assert manager.load_clusters() == {}


def test_a_new_controller_that_cannot_start_ends_nothing(start, wait_for, tmp_path):
    cluster, rc = start()
    rc[:].push({"a": 1}, block=True)
    rc.close()
    kill_controller(cluster, wait_for)
    settings = cluster.cluster_file.parent / clusterfile.SETTINGS
    good = settings.read_text()
    settings.write_text(json.dumps({**json.loads(good), "store": f"sqlite:{tmp_path}/no/such/folder"}))
    with pytest.raises(px.ClusterError, match="store"):
        cluster.start_cluster_sync()
    settings.write_text("{")
    with pytest.raises(px.ClusterError, match="does not say how the cluster was started"):
        cluster.start_cluster_sync()
    settings.write_text(good)
    with cluster.start_and_connect_sync() as rc:
        assert rc[:]["a"] == [1, 1]


def test_an_engine_that_does_not_answer_comes_later(start, wait_for):
    cluster, rc = start()
    rc[:].push({"a": 1}, block=True)
    pids = rc[:].apply_sync(os.getpid)
    rc.close()
    kill_controller(cluster, wait_for)
    os.kill(pids[1], signal.SIGSTOP)
    cluster.engine_timeout = 1
    with cluster.start_and_connect_sync() as rc:
        wait_for(lambda: rc.ids == [0], SOON)
        assert [engine["state"] for engine in cluster.engine_set.engines] == ["running", "starting"]
        os.kill(pids[1], signal.SIGCONT)
        rc.wait_for_engines(2, timeout=SOON)
        assert rc[:]["a"] == [1, 1]


def test_a_kernel_without_the_extension(start, wait_for, kernelspec, gone):
    """Its variables stay; nobody but the cluster ends it."""
    bash = kernelspec("bash", [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"], language="bash")
    cluster, rc = start(n=1, kernel_name=bash)
    rc[0].execute("x=5", silent=False).get(SOON)
    rc.close()
    kill_controller(cluster, wait_for)
    with cluster.start_and_connect_sync() as rc:
        shown = rc[0].execute("echo $x", silent=False)
        assert shown.get(SOON) and shown.stdout == "5\n"
    kill_controller(cluster, wait_for)
    assert cluster.waiting == [0] and "engines wait" in repr(cluster)
    cluster.stop_cluster_sync()
    gone()


def test_without_the_option_nothing_is_kept():
    """What becomes of such engines is in test_stop.py."""
    with px.Cluster(n=1) as rc:
        directory = rc.cluster.cluster_file.parent
        assert not list(directory.glob("settings.json")) and not list(directory.glob("engine-*.json"))
        assert rc.cluster.waiting == [] and not rc.cluster.restored


# -- pxcluster --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_pxcluster_restore(gone, wait_for, answer, pxcluster):
    """``start --restore`` again takes over; ``list``, ``clean`` and ``stop`` know of engines that wait."""
    first = answer("start", "-n", "2", "--restore", "--daemonize")
    assert "restored" not in first
    with px.Client() as rc:
        rc[:].push({"a": 3}, block=True)
        pids = rc[:].apply_sync(os.getpid)
    os.kill(first["controller_pid"], signal.SIGKILL)
    wait_for(lambda: not runs(first["controller_pid"]))
    (row,) = answer("list")
    assert (row["waiting"], row["engines"], row["controller_pid"]) == ([0, 1], [], first["controller_pid"])
    assert pxcluster("list").stdout.splitlines()[1].split()[:4] == ["default", "''", "2", "ended"]
    cleaned = pxcluster("clean")
    assert cleaned.returncode == 0 and "1 cluster left running; --force" in cleaned.stdout
    refused = pxcluster("start", "-n", "1", "--daemonize")
    assert refused.returncode == 1 and "pxcluster start --restore" in refused.stderr and "Traceback" not in refused.stderr
    with pytest.raises(FileNotFoundError, match="pxcluster start --restore"):
        px.Client()
    # Two at once: one of them takes over.
    command = [sys.executable, "-m", "pxkernel.cli", "start", "--restore", "--daemonize", "-o", "json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted((process.communicate(timeout=40), process.returncode)[::-1] for process in both)
    (code, (text, _)), (other, (_, error)) = said
    assert code == 0 and other in (1, 10) and "Traceback" not in error
    second = json.loads(text)
    assert second["engines"] == second["restored"] == [0, 1] and second["cluster_file"] == first["cluster_file"]
    with px.Client() as rc:
        assert rc[:]["a"] == [3, 3] and rc[:].apply_sync(os.getpid) == pids
    assert pxcluster("start", "--restore").returncode == 10
    os.kill(second["controller_pid"], signal.SIGKILL)
    wait_for(lambda: not runs(second["controller_pid"]))
    stopped = pxcluster("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped ''\n") and not any(map(runs, pids))
    gone()
    assert pxcluster("stop").returncode == 11


def test_pxcluster_in_the_foreground(gone, wait_for, pxcluster):
    """The command ends and says how to go on; its engines wait."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pxkernel.cli", "start", "-n", "1", "--restore"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        while "Ctrl-C" not in process.stdout.readline():
            pass
        with px.Client() as rc:
            pid = rc[0].apply_sync(os.getpid)
        os.kill(clusterfile.find().controller_pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=SOON)
    assert process.returncode == 1 and "engines [0] wait for a new one" in output and "Traceback" not in output
    again = pxcluster("start", "--restore", "--daemonize")
    assert "restored: engines [0]" in again.stdout
    with px.Client() as rc:
        assert rc[0].apply_sync(os.getpid) == pid
    controller = clusterfile.find().controller_pid
    os.kill(controller, signal.SIGKILL)
    wait_for(lambda: not runs(controller))
    cleaned = pxcluster("clean", "--force")
    assert cleaned.returncode == 0 and cleaned.stdout.startswith("stopped ''\n") and not runs(pid)
    gone()


@pytest.mark.timeout(120)
def test_a_takeover_that_is_interrupted_is_put_back(start, wait_for):
    """Engines that were to be rescued are not ended: the command says that they wait again, and how to go on."""
    cluster, rc = start(cluster_id="rescued")
    rc[:].push({"a": 1}, block=True)
    pids = rc[:].apply_sync(os.getpid)
    rc.close()
    kill_controller(cluster, wait_for)
    # The takeover waits for it.
    os.kill(pids[1], signal.SIGSTOP)
    unused = " with the settings of the first start, without -n, --store-limit"
    for number, under_way, more, how in (
        (signal.SIGINT, lambda: True, [], ""),
        (signal.SIGTERM, lambda: cluster.running, ["-n", "8", "--store-limit", "9"], unused),
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "pxkernel.cli", "start", "--restore", "--cluster-id", "rescued", "-o", "json", *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with process:
            assert process.stderr.readline() == f"taking over engines [0, 1]{how}\n"
            wait_for(under_way, SOON)
            process.send_signal(number)
            output, error = process.communicate(timeout=40)
        assert (process.returncode, output) == (130, ""), error
        assert error.splitlines() == [
            "pxcluster: interrupted: engines [0, 1] wait for a new controller: "
            "pxcluster start --restore --cluster-id rescued takes them over, pxcluster stop ends them"
        ]
        assert not cluster.running and cluster.waiting == [0, 1]
    os.kill(pids[1], signal.SIGCONT)
    with cluster.start_and_connect_sync() as rc:
        assert rc[:]["a"] == [1, 1] and rc[:].apply_sync(os.getpid) == pids


# -- a cluster of four, whose controller is killed while engine 1 works and engine 3 dies ------------------------------


@pytest.fixture(scope="module")
def before(nothing_is_left, tmp_path_factory, wait_for):
    """The cluster, and what was known before its controller was killed."""
    cluster = px.Cluster(n=4, controller_restore=True, controller_ip="127.0.0.1", environment={"A": "b"})
    with cluster.start_and_connect_sync() as rc:
        rc[:].push({"a": 5}, block=True)
        rc[:].scatter("part", range(8), block=True)
        pids = rc[:].apply_sync(os.getpid)
        copy = tmp_path_factory.mktemp("copy") / "cluster.json"
        copy.write_text(cluster.cluster_file.read_text())
        mark = copy.with_name("mark")
        under_way = rc[1].execute(WORK.format(str(mark)))
        behind = rc[1].execute("never = 1")
        wait_for(mark.exists, SOON)
        kill_controller(cluster, wait_for)
        for lost in (under_way, behind):
            with pytest.raises(px.EngineError, match="has ended; pxcluster start --restore --cluster-id .* takes its engines"):
                lost.get(SOON)
        with pytest.raises(px.EngineError, match="controller has ended"):
            rc[0]
    assert cluster.waiting == [0, 1, 2, 3] and all(map(runs, pids))
    os.kill(pids[3], signal.SIGKILL)
    wait_for(lambda: cluster.waiting == [0, 1, 2], SOON)
    yield cluster, pids, mark, copy
    cluster.stop_cluster_sync()


@pytest.fixture(scope="module")
def restored(before):
    cluster, *_ = before
    with cluster.start_and_connect_sync() as rc:
        yield cluster, rc


@pytest.mark.timeout(120)
def test_the_same_engines_with_the_same_names(before, restored, wait_for):
    """Ids, processes, engine sets and data; what ran goes on, is not disturbed, and leaves its effect."""
    (_, pids, mark, _), (cluster, rc) = before, restored
    assert cluster.restored and cluster.running and cluster.waiting == []
    # Engine 1 has been taken over while it works.
    assert rc.ids == [0, 1, 2] and [rc.engine_info(engine)["pid"] for engine in rc.ids] == pids[:3]
    assert [row["state"] for row in rc.top()] == ["idle", "busy", "idle"]
    later = rc[1].apply_async(os.getpid)
    assert rc[[0, 2]].apply_sync(os.getpid) == [pids[0], pids[2]]
    # What can go elsewhere does not wait for it.
    assert set(rc.load_balanced_view().map_sync(lambda _: os.getpid(), range(6))) <= {pids[0], pids[2]}
    assert not later.done()
    mark.unlink()
    assert later.get(SOON) == pids[1]
    assert rc[1]["worked"] == "to the end"
    with pytest.raises(NameError, match="never"):
        rc[1]["never"]
    assert rc[:]["a"] == [5] * 3 and rc[:]["part"] == [[0, 1], [2, 3], [4, 5]]
    assert rc[:].apply_sync(lambda: __import__("os").environ["A"]) == ["b"] * 3


def test_one_that_has_died_meanwhile_is_not_there(restored):
    cluster, rc = restored
    with pytest.raises(IndexError, match="engine 3 ended before the cluster was restored"):
        rc[3]
    assert cluster.engine_set.ids == [0, 1, 2, 3] and cluster.engine_set.n == 3


def test_everything_works_on_them(restored, tmp_path, wait_for, notebook):
    """Output, balanced maps, prompts of the interpreter, stacks, interrupts."""
    _, rc = restored
    times_a = notebook("def times_a(x): return x * a")["times_a"]
    shown = rc[:].execute("print('hi', a)", silent=False)
    assert shown.get(SOON) and shown.stdout == ["hi 5\n"] * 3
    assert rc[:].apply(print, "x").get(SOON) == [None] * 3
    assert rc.load_balanced_view().map_sync(times_a, range(6)) == [0, 5, 10, 15, 20, 25]
    mark = tmp_path / "mark"
    busy = rc[0].execute(WORK.format(str(mark)))
    wait_for(mark.exists, SOON)
    assert "in <module>" in rc.stacks(0)[0]
    rc.send_signal(signal.SIGINT, targets=0)
    with pytest.raises(px.RemoteError, match="KeyboardInterrupt"):
        busy.get(SOON)
    cell = rc[0].execute("import time; time.sleep(100)", silent=False)
    wait_for(lambda: rc.top()[0]["state"] == "busy", SOON)
    rc.send_signal("SIGINT", targets=0)
    with pytest.raises(px.RemoteError, match="KeyboardInterrupt"):
        cell.get(SOON)
    assert rc[0]["a"] == 5


def test_a_client_with_a_copy_of_the_old_file(before, restored):
    """CTL-08, SEC-03: key, port and CURVE key are those of the first controller."""
    copy = before[3]
    copy.write_text(json.dumps({**json.loads(copy.read_text()), "host": "elsewhere"}))
    with px.Client(copy) as rc:
        assert rc.wait_for_engines(3) is None and rc[0]["a"] == 5


@pytest.mark.timeout(120)
def test_killed_once_more(before, restored, wait_for, tmp_path):
    """Cells and tasks that run, or await, are inherited and can be interrupted; then engines are restarted and so on."""
    (_, pids, *_), (cluster, _) = before, restored
    marks = [tmp_path / str(engine) for engine in range(3)]
    awaiting = WORK.replace("time.sleep(0.01)", "await asyncio.sleep(0.01)").replace("import", "import asyncio,")
    with cluster.connect_client_sync() as rc:
        for engine, source, silent in ((0, WORK, False), (1, awaiting, False), (2, awaiting, True)):
            rc[engine].execute("worked = 'no'", block=True)
            rc[engine].execute(source.format(str(marks[engine])), silent=silent)
        wait_for(lambda: all(mark.exists() for mark in marks), SOON)
        kill_controller(cluster, wait_for)
    with cluster.start_and_connect_sync() as rc:
        assert rc.ids == [0, 1, 2] and [row["state"] for row in rc.top()] == ["busy"] * 3
        later = [rc[engine].execute("after = worked", silent=False) for engine in rc.ids]
        for engine in (0, 1):
            cluster.signal_engine_sync("SIGINT", engine)
        assert later[0].get(SOON) and later[1].get(SOON) and not later[2].done()
        marks[2].unlink()
        assert later[2].get(SOON) and rc[:]["after"] == ["no", "no", "to the end"]
        assert rc[:].apply_sync(os.getpid) == pids[:3]
        cluster.restart_engines_sync()
        wait_for(lambda: rc.ids == [0, 1, 2, 3], SOON)
        assert not set(rc[:].apply_sync(os.getpid)) & set(pids)
        assert rc[:].apply_sync(lambda: __import__("os").environ["A"]) == ["b"] * 4
        cluster.stop_engine_sync(0)
        assert cluster.start_engines_sync(1) == "1"
        wait_for(lambda: rc.ids == [1, 2, 3, 4], SOON)
        assert not any(map(runs, pids))
        crash = rc[1].apply_async(lambda: __import__("ctypes").string_at(0))
        with pytest.raises(px.EngineError, match="engine 1 died"):
            crash.get(SOON)
