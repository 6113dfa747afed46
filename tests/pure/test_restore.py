"""What is known of engines that wait for a new controller, and what it does with them (CTL-08)."""

import contextlib
import json
import os
import shutil
import socket
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pxkernel.cluster.restore import find
from pxkernel.controller.enginerecord import EngineRecord
from pxkernel.controller.restore import EngineFiles
from pxkernel.controller.settings import Settings
from pxkernel.core import EngineJoined
from pxkernel.core.events import TasksFinished
from pxkernel.cluster.restore import _alone
from pxkernel.engine import succession
from pxkernel.engine.succession import Succession
from pxkernel.errors import ClusterError
from pxkernel.protocol import clusterfile, enginefiles
from pxkernel.protocol.enginefiles import (
    EngineFile,
    StillNeeded,
    check_deserted,
    read_all,
    takeover,
    waiting,
    waiting_clusters,
)
from pxkernel.protocol.processes import _identity_elsewhere, identity

ME = os.getpid()


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    directory = Path(tempfile.mkdtemp(prefix="restore-"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(directory))
    monkeypatch.setattr(succession, "POLL", 0.001)
    yield directory
    shutil.rmtree(directory)


def make(name):
    directory, sockets = clusterfile.prepare(name)
    file = clusterfile.ClusterFile(name, str(directory), str(sockets), f"ipc://{sockets}/controller", "ab" * 32, 1, None)
    file.write()
    clusterfile.write_private(directory / clusterfile.SETTINGS, "{}")
    return file


@pytest.fixture
def cluster():
    """The file of a cluster that can be restored and whose controller has ended."""
    return make("x")


def engine(number, pid=ME, process=identity(ME)):
    return EngineFile(number, 0, "u", pid, process, True, "0", {"A": None}, None, {"key": "k"})


@contextlib.contextmanager
def controller(cluster, pid=2):
    """A new controller in the place of the one that has ended."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(cluster.address.removeprefix("ipc://"))
        listener.listen()
        new = replace(cluster, controller_pid=pid)
        new.write()
        yield new
    os.unlink(cluster.address.removeprefix("ipc://"))


# -- files ------------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(cluster):
    for number in (10, 2):
        engine(number).write(cluster.directory)
    assert read_all(cluster.directory) == [engine(2), engine(10)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path(cluster.directory).glob("engine-*.json")} == {0o600}
    enginefiles.remove(cluster.directory, 2)
    enginefiles.remove(cluster.directory, 7)
    assert read_all(cluster.directory) == [engine(10)]


@pytest.mark.parametrize("content", ["", "{", "[]", "5", '{"id": 1}'])
def test_what_is_no_engine_file_is_passed_over(cluster, content):
    engine(0).write(cluster.directory)
    Path(cluster.directory, "engine-1.json").write_text(content)
    assert [found.id for found in read_all(cluster.directory)] == [0]


def test_a_number_that_is_used_again_is_another_process(cluster):
    """Nobody signals a stranger, nor takes it for an engine."""
    for number, found in enumerate([engine(0), engine(1, process=f"{ME} 17 yesterday"), engine(2, pid=2**22 + 1)]):
        assert found.alive == (number == 0)
        found.write(cluster.directory)
    assert [found.id for found in waiting(cluster)] == [0]
    assert waiting_clusters() == waiting_clusters("default") == [cluster] and waiting_clusters("other") == []


def test_engines_that_have_a_controller_do_not_wait(cluster):
    engine(0).write(cluster.directory)
    with controller(cluster) as new:
        assert waiting(cluster) == waiting(new) == waiting_clusters() == []
    assert waiting(replace(cluster, host="elsewhere")) == []
    Path(cluster.directory, clusterfile.SETTINGS).unlink()
    assert waiting(cluster) == []


def test_one_takes_over(cluster):
    with takeover(cluster.directory) as first, takeover(cluster.directory) as second:
        assert (first, second) == (True, False)
    with takeover(cluster.directory) as third:
        assert third
    with takeover(cluster.directory + "/nowhere") as nobody:
        assert not nobody


def test_a_cluster_that_was_started_can_be_read_about(cluster):
    with pytest.raises(ClusterError, match="not running any more.*pxcluster start --restore"):
        clusterfile.find("x")


def test_what_waits_is_not_cleaned_away(cluster):
    assert clusterfile.clean([cluster.directory]) == [] and cluster.path.exists()
    assert clusterfile.clean() == ["x"] and not cluster.path.exists()


def test_the_controller_keeps_the_files(cluster):
    record = EngineRecord(3, set_id="0", info={"pid": ME, "key": "k"}, environment={"A": "b"})
    settings = Settings("x", "default", cluster.directory, cluster.sockets)
    EngineFiles(settings).keep(record)
    assert read_all(cluster.directory) == []
    files = EngineFiles(replace(settings, restore_timeout=1.0))
    # Nobody can take over what an earlier kernel of another process, or one without a process here, was.
    files.keep(EngineRecord(4, adopted=True, info={"pid": ME}))
    files.keep(EngineRecord(5, info={"pid": None}))
    files.keep(EngineRecord(6, info={"pid": 2**22 + 1}))
    files.keep(record)
    (kept,) = read_all(cluster.directory)
    assert (kept.id, kept.uuid, kept.environment, kept.alive) == (3, record.uuid, {"A": "b"}, True)
    assert json.loads(Path(cluster.directory, "engine-3.json").read_text())["info"] == {"pid": ME, "key": "k"}
    assert files.inherited == [] and EngineFiles(replace(settings, restored=True)).inherited == [kept]
    files.drop(record)
    assert read_all(cluster.directory) == []


# -- from controller to controller ------------------------------------------------------------------------------------


def test_the_next_controller_is_dialled(cluster):
    dialled = []
    with controller(cluster) as new:
        assert Succession(100, dialled.append).next(cluster) == new and dialled == [new]


def test_what_does_not_work_is_tried_again(cluster, monkeypatch):
    """Whoever has too many files open cannot read, connect or dial."""
    failures = [OSError(24, "Too many open files"), ConnectionRefusedError(), ClusterError("it cannot be read")]
    read = succession.read

    def failing(*args):
        if failures:
            raise failures.pop()
        return read(*args)

    monkeypatch.setattr(succession, "read", failing)
    with controller(cluster) as new:
        dialled = []

        def dial(file):
            dialled.append(file)
            if len(dialled) == 1:
                raise ConnectionRefusedError

        assert Succession(100, dial).next(cluster) == new and dialled == [new, new]


def test_whoever_cannot_even_give_up_ends(cluster, monkeypatch):
    @contextlib.contextmanager
    def takeover(directory):
        raise OSError(24, "Too many open files")
        yield

    monkeypatch.setattr(succession, "takeover", takeover)
    assert Succession(0.01, pytest.fail).next(cluster) is None and Path(cluster.directory).exists()


def test_when_the_time_is_over_the_cluster_is_removed(cluster):
    replace(cluster, controller_pid=3).write()  # it did not come to listen
    assert Succession(0.01, pytest.fail).next(cluster) is None
    assert not Path(cluster.directory).exists()


def test_while_somebody_takes_over_nobody_gives_up(cluster, monkeypatch):
    with contextlib.ExitStack() as stack:
        stack.enter_context(takeover(cluster.directory))

        def sleep(seconds):
            # It takes longer than the engines have time.
            if time_left.pop() == 0:
                stack.enter_context(controller(cluster))

        time_left = [0, 1, 2]
        monkeypatch.setattr(succession.time, "sleep", sleep)
        assert Succession(0.0, lambda file: None).next(cluster).controller_pid == 2


@pytest.mark.parametrize("key", ["cd" * 32, None])
def test_another_cluster_in_its_place_is_not_its_own(cluster, key):
    if key is None:
        shutil.rmtree(cluster.directory)
    else:
        replace(cluster, key=key).write()
    assert Succession(100, pytest.fail).next(cluster) is None
    assert Path(cluster.directory).exists() == (key is not None)


def test_a_start_removes_nothing_that_engines_wait_in(cluster):
    """Also if their controller seemed to live when they were looked for."""
    engine(0).write(cluster.directory)
    with pytest.raises(StillNeeded, match="engines of the cluster 'x' wait"):
        clusterfile.prepare("x", check=check_deserted)
    assert waiting(cluster) == [engine(0)]
    enginefiles.remove(cluster.directory, 0)
    engine(1, process="another").write(cluster.directory)
    assert clusterfile.prepare("x", check=check_deserted)[0] == Path(cluster.directory)


def test_the_lock_of_a_later_cluster_is_another_one(cluster):
    with takeover(cluster.directory) as ours:
        assert ours
        # It has ended, and another one of its name has been started.
        shutil.rmtree(cluster.directory)
        clusterfile.prepare("x")
        with takeover(cluster.directory) as later:
            assert later


def test_nobody_takes_over_a_later_cluster(cluster):
    engine(0).write(cluster.directory)
    with _alone(cluster):
        pass
    later = replace(cluster, key="cd" * 32)
    later.write()
    with pytest.raises(ClusterError, match="somebody else"), _alone(cluster):
        pass


# -- the core ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["apply", "cell"])
def test_nothing_is_sent_before_what_was_inherited_is_over(empty, kind):
    empty.clients("a")
    empty.handle(EngineJoined(0, running="old:1"))
    empty.engines(1)
    assert empty.sent(empty.submit("a", 0, "t", kind=kind)) == []
    assert empty.sent(empty.balanced("a", "u")) == ["u"]
    assert empty.sent(empty.handle(TasksFinished(0, [("another", 0, 0.0, False, "failed")]))) == []
    assert empty.sent(empty.handle(TasksFinished(0, [("old:1", 0, 0.0, False, "failed")]))) == ["t"]


@pytest.mark.parametrize("known", [identity, _identity_elsewhere])
def test_the_identity_of_a_process(known):
    """With and without a /proc."""
    assert known(ME) == known(ME) != known(os.getppid()) is not None
    assert known(2**22 + 1) is None


# -- which cluster is meant -------------------------------------------------------------------------------------------


@pytest.fixture
def others(cluster):
    """Clusters beside it whose engines wait as well."""
    files = [cluster, make("y")]
    for file in files:
        engine(0).write(file.directory)
    return files


def test_nothing_runs_but_clusters_wait(others):
    """Each is named with its own command."""
    ways = "`pxcluster start --restore --cluster-id x` or `pxcluster start --restore --cluster-id y`"
    with pytest.raises(FileNotFoundError, match=f"no cluster is running.*; {ways} takes over"):
        clusterfile.find()


def test_several_wait_and_none_is_named(others):
    with pytest.raises(ClusterError, match="several clusters wait.*'x' .pxcluster start --restore --cluster-id x.*'y'"):
        find(None, None)
    assert find(others[1].path, None) == others[1]
    default = make("")
    engine(0).write(default.directory)
    assert find(None, None) == default


def test_the_only_one_that_waits_is_found(cluster):
    engine(0).write(cluster.directory)
    assert find(None, None) == cluster


def test_the_environment_names_the_one_that_waits(others, monkeypatch):
    monkeypatch.setenv(clusterfile.ENVIRONMENT, "y")
    assert find(None, None) == others[1]
    monkeypatch.setenv(clusterfile.ENVIRONMENT, "z")
    with pytest.raises(FileNotFoundError):
        find(None, None)


def test_one_that_waits_is_not_meant_as_long_as_several_run(cluster):
    """``pxcluster stop`` without a name would end its engines."""
    engine(0).write(cluster.directory)
    with controller(make("a")), controller(make("b")), pytest.raises(ClusterError, match="several clusters are running"):
        find(None, None)
