"""pxcluster (CLI-01 to CLI-06) and ClusterManager (CLU-32 to CLU-34); the rest of it is in test_stop.py."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

import pxkernel as px
from pxkernel.cli import main
from pxkernel.protocol import clusterfile

SOON = 15


@pytest.fixture(scope="module")
def started(nothing_is_left, answer):
    """A cluster that was started in the background, in a profile of its own."""
    row = answer("start", "-n", "1", "--daemonize", "--profile", "mine", "--cluster-id", "x", "--ip", "127.0.0.1")
    yield row
    px.Cluster.from_file(row["cluster_file"]).stop_cluster_sync()


def test_start_tells_what_it_has_started(started):
    """CLI-02: --daemonize, --profile, --cluster-id, --ip, JSON."""
    assert (started["cluster_id"], started["profile"], started["engines"]) == ("x", "mine", [0])
    assert started["url"].startswith("tcp://127.0.0.1:") and started["owner_pid"] is None
    assert started["engine_sets"] == {"0": [0]} and os.path.exists(started["cluster_file"])


def test_the_same_cluster_again(started, pxcluster):
    again = pxcluster("start", "-n", "1", "--profile", "mine", "--cluster-id", "x")
    assert again.returncode == 10 and "running already" in again.stderr and "Traceback" not in again.stderr


def test_list(started, answer, pxcluster):
    """CLI-05."""
    with px.Cluster(n=0) as rc:
        rows = {row["cluster_id"]: row for row in answer("list")}
        assert set(rows) == {"x", rc.cluster.cluster_id} and rows[rc.cluster.cluster_id]["owner_pid"] == os.getpid()
        assert [row["cluster_id"] for row in answer("list", "--profile", "mine")] == ["x"]
    text = pxcluster("list").stdout.splitlines()
    assert text[0].split() == ["PROFILE", "CLUSTER", "ID", "ENGINES", "CONTROLLER", "CLUSTER", "FILE"]
    assert text[1].split()[:3] == ["mine", "'x'", "1"] and len(text) == 2


def test_engines_are_added_and_nothing_becomes_an_orphan(started, answer):
    """CLI-04: the peer loses controller and engines here; CLI-09: this is how an engine is started."""
    assert answer("engines", "-n", "2", "--profile", "mine", "--set", "more") == {"engine_set": "more", "engines": [1, 2]}
    (row,) = answer("list")
    assert row == {**started, "engines": [0, 1, 2], "engine_sets": {"0": [0], "more": [1, 2]}}
    cluster = px.Cluster.from_file(profile="mine")
    with cluster.connect_client_sync() as rc:
        assert rc[:].apply_sync(lambda: 1) == [1, 1, 1]
    cluster.stop_engines_sync("more")
    assert answer("list") == [started]


@pytest.mark.parametrize("command", [["engines"], ["stop"], ["stop", "nobody"], ["engines", "--cluster-id", "nobody"]])
def test_no_such_cluster(started, command, pxcluster):
    """CLI-03: exit code 11."""
    done = pxcluster(*command, "--profile", "other")
    assert done.returncode == 11 and "cluster" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [[], ["nonsense"], ["start", "-n", "many"], ["start", "--nonsense"]])
def test_usage(command, pxcluster):
    """CLI-01."""
    done = pxcluster(*command)
    assert done.returncode == 2 and done.stderr.startswith("usage: pxcluster")


def test_what_cannot_be_started(pxcluster):
    done = pxcluster("start", "-n", "-1")
    assert done.returncode == 1 and done.stderr == "pxcluster: n is the number of engines, not -1\n"
    done = pxcluster("start", "-n", "99999999999", "--daemonize")
    assert done.returncode == 1 and done.stderr == "pxcluster: n is the number of engines, at most 10000, not 99999999999\n"
    assert pxcluster("--version").stdout.strip() == px.__version__


@pytest.mark.parametrize("profile", ["../x", ""])
@pytest.mark.parametrize("command", [["start"], ["list"], ["stop"], ["stop", "--all"], ["engines"]])
def test_what_is_no_profile(command, profile, capsys):
    """CLI-03 to CLI-05: it is not just one without clusters."""
    assert main([*command, "--profile", profile]) == 1
    assert capsys.readouterr().err.startswith(f"pxcluster: {profile!r} cannot be a profile: ")


def test_stop_by_name_and_all(started, answer, pxcluster):
    """CLI-03; CLI-08: a controller without engines is ``start -n 0``."""
    for name in ("a", "b"):
        answer("start", "-n", "0", "--daemonize", "--cluster-id", name)
    both = pxcluster("stop", "a", "--all")
    assert (both.returncode, both.stdout) == (2, "") and "--all stops every cluster" in both.stderr
    stopped = pxcluster("stop", "a", "a")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped 'a'\n")
    assert pxcluster("stop", "--all", "--profile", "default").stdout == "stopped 'b'\n"
    nothing = pxcluster("stop", "--all", "--profile", "default")
    assert (nothing.returncode, nothing.stdout) == (0, "no clusters to stop\n")
    assert [row["cluster_id"] for row in answer("list")] == ["x"]


def test_clean(started, nothing_is_left, wait_for, answer, pxcluster):
    """CLI-06, CLU-34: what runs is left alone."""
    dead = nothing_is_left / "pxkernel" / "dead"
    shutil.copytree(os.path.dirname(started["cluster_file"]), dead, ignore=shutil.ignore_patterns("controller", "k*"))
    content = json.loads((dead / "cluster.json").read_text())
    gone = {"address": f"ipc://{dead}/controller", "directory": str(dead), "sockets": str(dead), "url": None}
    (dead / "cluster.json").write_text(json.dumps({**content, **gone, "curve_serverkey": None}))
    done = pxcluster("clean")
    assert done.returncode == 0 and "1 dead cluster\n  dead\n1 cluster left running" in done.stdout
    assert not dead.exists() and answer("list") == [started]


def test_options_of_start(started, pxcluster):
    """CLI-08, CLI-09: the store, the scheme, start-up code; it says how to connect."""
    options = ("--scheme", "lru", "--store", "none", "--store-limit", "1000", "--preload", "json", "--on-start", "told = 5")
    begun = pxcluster("start", "-n", "1", "--daemonize", "--cluster-id", "o", *options)
    assert begun.returncode == 0 and begun.stdout.startswith("1 engine is running; ")
    assert begun.stdout.endswith("connect to them with: pxkernel.Client('o')\n")
    try:
        with px.Client("o") as rc:
            assert rc[0]["told"] == 5
            with pytest.raises(px.NoData):
                rc.db_query({})
    finally:
        assert pxcluster("stop", "o").returncode == 0
    refused = pxcluster("start", "--daemonize", "--cluster-id", "o", "--scheme", "x")
    assert refused.returncode == 1 and refused.stderr.startswith("pxcluster: scheme must be one of leastload, ")


def test_signals_are_passed_on(wait_for):
    """CLI-02: SIGUSR1 to the command reaches the engines."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pxkernel.cli", "start", "-n", "1", "--cluster-id", "front"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        while "Ctrl-C" not in process.stdout.readline():
            pass

        def listen():
            import signal

            global seen
            seen = []
            signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))

        with px.Client("front") as rc:
            rc[0].apply_sync(listen)
            process.send_signal(signal.SIGUSR1)
            wait_for(lambda: rc[0].apply_sync(lambda: seen) == [1])
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=SOON)
        process.stdout.close()
    assert process.returncode == 0 and "Traceback" not in output


# -- ClusterManager ---------------------------------------------------------------------------------------------------


def test_the_manager_finds_what_runs(started):
    """CLU-32."""
    manager = px.ClusterManager()
    assert set(manager.load_clusters()) == {"mine:x"}
    assert manager.get_cluster("mine:x").running
    with px.Cluster(n=0, cluster_id="soon-gone"):
        assert set(manager.load_clusters()) == {"mine:x", "default:soon-gone"}
        assert set(px.ClusterManager().load_clusters(profiles=["default", "other"])) == {"default:soon-gone"}
    assert set(manager.load_clusters()) == {"mine:x"}
    assert set(manager.load_clusters(profile="other", init_default_clusters=True)) == {"mine:x", "other:"}
    with pytest.raises(TypeError, match="not both"):
        manager.load_clusters(profile="a", profiles=["b"])


def test_the_manager_makes_and_forgets_clusters(started):
    """CLU-33."""
    manager = px.ClusterManager()
    key, cluster = manager.new_cluster(n=1, cluster_id="q")
    assert key == "default:q" and manager.get_cluster(key) is cluster
    with pytest.raises(KeyError, match="Cluster default:q already exists!"):
        manager.new_cluster(cluster_id="q")
    # What has not been started does not go away.
    assert manager.load_clusters()[key] is cluster
    manager.remove_cluster(key)
    for call in (manager.get_cluster, manager.remove_cluster):
        with pytest.raises(KeyError):
            call(key)


def test_clean_leaves_what_is_being_started(nothing_is_left):
    directory, _ = clusterfile.prepare("starting")
    try:
        assert "starting" not in clusterfile.clean() and directory.exists()
    finally:
        shutil.rmtree(directory)
