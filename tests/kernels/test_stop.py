"""Within ten seconds after the end of a cluster, however it ends, nothing of it is left (issue 2, point 8)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

import pxkernel as px

SOON = 10

#: Starts a cluster, says what it is made of, and ends as it is told.
OWNER = """
import json, os, sys
import pxkernel as px

cluster = px.Cluster(n=2, **{options})
rc = cluster.start_and_connect_sync()
{more}
engines = [rc.engine_info(engine)["pid"] for engine in rc.ids]
file = json.loads(cluster.cluster_file.read_text())
print(json.dumps(dict(controller=file["controller_pid"], engines=engines, file=str(cluster.cluster_file))), flush=True)
sys.stdin.readline()
"""


class Owner:
    """A process that has started a cluster of two engines."""

    def __init__(self, more="", **options):
        source = OWNER.format(options=options, more=textwrap.dedent(more))
        self.process = subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        said = json.loads(self.process.stdout.readline())
        self.controller, self.engines, self.file = said["controller"], said["engines"], said["file"]

    def end(self, kill=False):
        if kill:
            self.process.kill()
        self.process.communicate("\n", timeout=SOON)


@pytest.fixture
def owner():
    owners = []

    def start(*args, **options):
        owners.append(Owner(*args, **options))
        return owners[-1]

    yield start
    for owner in owners:
        if owner.process.returncode is None:
            owner.end(kill=True)


@pytest.fixture
def gone(processes, nothing_is_left, wait_for):
    """Wait until nothing is left; fails after ten seconds."""

    def gone():
        wait_for(lambda: not processes() and not list((nothing_is_left / "pxkernel").glob("*")), SOON)

    yield gone
    # One failure is enough.
    for process in processes():
        process.kill()
    wait_for(lambda: not processes())
    shutil.rmtree(nothing_is_left / "pxkernel", ignore_errors=True)


@pytest.fixture
def cluster():
    cluster = px.Cluster(n=2)
    yield cluster
    cluster.stop_cluster_sync()


def busy(mark):
    mark.touch()
    while True:
        pass


def deaf(mark):
    """Not even KeyboardInterrupt and SIGTERM end it."""
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            mark.touch()
            while True:
                pass
        except BaseException:
            continue


def asleep(mark):
    mark.touch()
    time.sleep(1e4)


def with_children(mark):
    import os
    import subprocess

    processes = [subprocess.Popen(["sleep", "10000"]) for _ in range(2)]
    mark.write_text(" ".join(str(process.pid) for process in processes))
    return os.getpid()


@pytest.mark.parametrize("work", [None, busy, asleep, deaf, with_children])
def test_stop(cluster, gone, wait_for, tmp_path, work):
    with cluster.start_and_connect_sync() as rc:
        if work is not None:
            rc[0].apply_async(work, tmp_path / "mark")
            wait_for((tmp_path / "mark").exists)
        start = time.monotonic()
        cluster.stop_cluster_sync()
        assert time.monotonic() - start < SOON
    gone()


def test_with(gone):
    with px.Cluster(n=2) as rc:
        assert rc.ids == [0, 1]
    gone()


@pytest.mark.parametrize("language", ["python", "silence"])
def test_stop_before_the_engines_are_ready(gone, kernelspec, language):
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    if language == "silence":
        # It has no extension that would notice the end of the cluster.
        argv = [sys.executable, "-c", "import signal; signal.pause()", "{connection_file}"]
    cluster = px.Cluster(n=4, kernel_name=kernelspec("slow", argv, language=language))
    cluster.start_cluster_sync()
    cluster.stop_cluster_sync()
    gone()


def test_stop_from_another_process(owner, gone, run_python):
    started = owner()
    run_python(f"import pxkernel as px; px.Cluster.from_file({started.file!r}).stop_cluster_sync()")
    started.end()
    assert started.process.returncode == 0
    gone()


CHILDREN = """
rc[0].execute("import subprocess; children = [subprocess.Popen(['sleep', '10000']) for _ in range(2)]", block=True)
"""
BUSY = """
rc[0].apply_async(lambda: exec("while True: pass"))
rc[1].apply_async(lambda: __import__("time").sleep(1e4))
"""


@pytest.mark.parametrize("more", ["", BUSY, CHILDREN], ids=["idle", "busy", "children"])
@pytest.mark.parametrize("kill", [False, True], ids=["ends", "killed"])
def test_the_owner_ends(owner, gone, kill, more):
    """CLU-25"""
    owner(more).end(kill)
    gone()


@pytest.mark.parametrize("more", ["", BUSY, CHILDREN], ids=["idle", "busy", "children"])
def test_owner_and_controller_are_killed_at_once(owner, gone, more):
    started = owner(more)
    os.kill(started.controller, signal.SIGKILL)
    started.end(kill=True)
    gone()


def test_the_controller_is_killed(cluster, gone, wait_for):
    """CLU-35: Calls fail at once; the engines live as long as their owner, who can still stop the cluster."""
    with cluster.start_and_connect_sync() as rc:
        pending = [rc[:].apply_async(time.sleep, 100) for _ in range(3)]
        engines = [psutil.Process(rc.engine_info(engine)["pid"]) for engine in rc.ids]
        controller = json.loads(cluster.cluster_file.read_text())["controller_pid"]
        start = time.monotonic()
        os.kill(controller, signal.SIGKILL)
        for result in pending:
            with pytest.raises(px.CompositeError) as caught:
                result.get(SOON)
            assert {ename for ename, *_ in caught.value.elist} == {"EngineError"}
            assert "controller has ended" in str(caught.value)
        assert time.monotonic() - start < 5
        with pytest.raises(px.EngineError, match="no cluster any more.*controller has ended"):
            rc[0]
        assert all(engine.is_running() for engine in engines)
        # A process closes its sockets before it has ended.
        wait_for(lambda: not cluster.running)
        cluster.stop_cluster_sync()
    gone()


def test_the_controller_is_killed_and_the_cluster_is_started_again(cluster, gone, wait_for):
    """CLU-09, CLU-24: with the same id; the engines of the first time end, and take nothing of the second along."""
    with cluster.start_and_connect_sync() as rc:
        engines = [psutil.Process(pid) for pid in rc[:].apply_sync(os.getpid)]
        os.kill(cluster.controller.pid, signal.SIGKILL)
        wait_for(lambda: not cluster.running, SOON)

    def alive(engine):
        return engine.is_running() and engine.status() != psutil.STATUS_ZOMBIE

    with cluster.start_and_connect_sync() as rc:
        wait_for(lambda: not any(map(alive, engines)), SOON)
        assert cluster.running and rc[:].apply_sync(lambda: 1) == [1, 1]
    cluster.stop_cluster_sync()
    gone()


def test_the_controller_is_killed_and_the_owner_ends_later(owner, gone):
    started = owner()
    os.kill(started.controller, signal.SIGKILL)
    started.end()
    assert started.process.returncode == 0
    gone()


def test_the_controller_of_a_detached_cluster_is_killed(owner, gone):
    started = owner(shutdown_atexit=False)
    started.end()
    os.kill(started.controller, signal.SIGKILL)
    gone()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_controller_is_told_to_end(cluster, gone, signum):
    with cluster.start_and_connect_sync():
        os.kill(json.loads(cluster.cluster_file.read_text())["controller_pid"], signum)
        gone()


def test_local_engines(gone, wait_for, tmp_path):
    with px.Cluster(n=2, engines="local") as rc:
        rc[0].apply_async(busy, tmp_path / "mark")
        wait_for((tmp_path / "mark").exists)
    gone()


def test_the_owner_of_local_engines_is_killed(owner, gone):
    owner(BUSY, engines="local").end(kill=True)
    gone()


def test_children_of_a_dead_engine(cluster, gone, wait_for, tmp_path):
    with cluster.start_and_connect_sync() as rc:
        rc[0].apply_sync(with_children, tmp_path / "mark")
        rc[0].apply_async(os._exit, 3)
        wait_for(lambda: rc.ids == [1])
        cluster.stop_cluster_sync()
    gone()


def test_a_detached_cluster_outlives_its_process(owner, gone):
    """CLU-22, CLU-25"""
    started = owner(shutdown_atexit=False)
    started.end()
    cluster = px.Cluster.from_file(started.file)
    with cluster.connect_client_sync() as rc:
        rc.wait_for_engines(2)
        assert rc[:].apply_sync(os.getpid) == started.engines
    cluster.stop_cluster_sync()
    gone()


# -- pxcluster --------------------------------------------------------------------------------------------------------


def pxcluster(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "pxkernel.cli", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, **options,
    )  # fmt: skip


def test_pxcluster_in_the_background(gone):
    nothing = pxcluster("list")
    assert nothing.returncode == 0 and len(nothing.stdout.splitlines()) == 1, nothing
    started = pxcluster("start", "-n", "2", "--daemonize")
    assert started.returncode == 0, started.stderr
    listed = pxcluster("list")
    assert listed.returncode == 0 and "2" in listed.stdout, listed
    with px.Client() as rc:
        rc.wait_for_engines(2)
        assert rc[:].apply_sync(lambda: 1) == [1, 1]
    again = pxcluster("start", "-n", "2", "--daemonize")
    assert again.returncode != 0 and "running already" in again.stderr and "Traceback" not in again.stderr
    assert pxcluster("stop").returncode == 0
    gone()
    stopped = pxcluster("stop")
    assert stopped.returncode != 0 and "no cluster" in stopped.stderr and "Traceback" not in stopped.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_pxcluster_in_the_foreground(gone, wait_for, signum):
    process = subprocess.Popen(
        [sys.executable, "-m", "pxkernel.cli", "start", "-n", "1"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:

        def found():
            try:
                return px.Client()
            except (FileNotFoundError, px.ClusterError):
                return None

        with wait_for(found, 30) as rc:
            rc.wait_for_engines(1)
    finally:
        process.send_signal(signum)
        output, _ = process.communicate(timeout=20)
        process.stdout.close()
    assert "Traceback" not in output
    gone()


def test_a_kernel_ends_in_an_order_in_which_nobody_waits(tmp_path):
    """The control thread is not left behind in a flush that nobody makes: a signal would have to end it seconds later."""
    file = tmp_path / "threads"
    with px.Cluster(n=1) as rc:
        rc[0].execute(
            f"""
            import sys, threading

            def slow_down(kernel, flush):
                publishing_ends = threading.Event()
                end = kernel.iopub_thread.stop

                def stop():
                    with open({str(file)!r}, "a") as file:
                        file.write(str(kernel.control_thread.is_alive()))
                    publishing_ends.set()
                    end()

                def flush_late():
                    if threading.current_thread() is kernel.control_thread:
                        publishing_ends.wait(0.3)
                    flush()

                kernel.iopub_thread.stop, sys.stdout.flush = stop, flush_late

            slow_down(get_ipython().kernel, sys.stdout.flush)
            """,
            block=True,
        )
    assert file.read_text().startswith("False")
