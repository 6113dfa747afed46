"""How a process finds a running cluster."""

import json
import os
import subprocess
import shutil
import socket
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pxkernel.errors import ClusterError
from pxkernel.protocol import clusterfile
from pxkernel.protocol.clusterfile import ENVIRONMENT, ClusterFile, find, folder, prepare, read, running


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    """A runtime directory with a path short enough for Unix sockets."""
    directory = Path(tempfile.mkdtemp(prefix="files-"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(directory))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def make():
    """Make a cluster; unless it is stale, somebody listens at its address."""
    listeners = []

    def make(cluster_id="", stale=False):
        directory, sockets = prepare(cluster_id)
        address = sockets / "controller"
        if not stale:
            listeners.append(socket.socket(socket.AF_UNIX))
            listeners[-1].bind(str(address))
            listeners[-1].listen()
        file = ClusterFile(cluster_id, str(directory), str(sockets), f"ipc://{address}", "ab" * 32, 4711, None)
        file.write()
        return file

    yield make
    for listener in listeners:
        listener.close()


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# ---- writing


def test_what_is_written_is_read(make):
    file = make("x", stale=True)
    assert read(file.path) == file


@pytest.mark.parametrize("owner", [None, 12])
def test_the_owner_is_kept(make, owner):
    file = replace(make("x", stale=True), owner_pid=owner)
    file.write()
    assert read(file.path).owner_pid == owner


def test_only_the_user_can_read_it(make):
    old = os.umask(0)
    try:
        file = make("x", stale=True)
    finally:
        os.umask(old)
    assert mode(file.path) == 0o600
    assert mode(file.directory) == 0o700


def test_nothing_else_is_left_in_the_directory(make):
    assert sorted(os.listdir(make("x", stale=True).directory)) == ["cluster.json", "starter.pid"]


def test_a_key_is_not_shown_by_repr(make):
    file = make("x", stale=True)
    assert file.key not in repr(file)


def test_it_is_removed_with_everything(make):
    file = make("x", stale=True)
    (Path(file.directory) / "engine.log").touch()
    file.remove()
    assert not Path(file.directory).exists()


def test_it_can_be_removed_twice(make):
    file = make("x", stale=True)
    file.remove()
    file.remove()


# ---- names


def test_the_default_cluster_has_a_folder(runtime):
    assert folder("") == runtime / "pxkernel" / "default"


@pytest.mark.parametrize("name", ["a", "A-b_c.d", "0", "x" * 64])
def test_ids_are_folder_names(runtime, name):
    assert folder(name) == runtime / "pxkernel" / name


@pytest.mark.parametrize(
    "name", ["default", ".", "..", ".hidden", "-x", "a/b", "../x", "a b", "ä", "x" * 65, "a\n", "a\0", " "]
)
def test_ids_that_are_refused(name):
    with pytest.raises(ClusterError, match="cannot be a cluster id"):
        folder(name)


# ---- preparing


def test_the_sockets_lie_in_the_same_directory(runtime):
    assert prepare("x") == (runtime / "pxkernel" / "x", runtime / "pxkernel" / "x")


def test_sockets_lie_elsewhere_if_the_path_is_long(runtime, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime / ("long" * 25)))
    directory, sockets = prepare("x")
    try:
        assert directory.is_dir() and str(directory).startswith(str(runtime))
        assert len(os.fsencode(sockets)) <= clusterfile._LONGEST_SOCKET_DIRECTORY
        assert mode(sockets) == 0o700
    finally:
        os.rmdir(sockets)


def test_a_long_temporary_directory_is_not_used(runtime, monkeypatch):
    long = runtime / ("long" * 25)
    long.mkdir()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    _, sockets = prepare("x")
    try:
        assert sockets.parent == Path("/tmp")
    finally:
        os.rmdir(sockets)


def test_sockets_that_lie_elsewhere_are_removed(make, runtime, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime / ("long" * 25)))
    file = make("x")
    file.remove()
    assert not Path(file.sockets).exists()


def test_a_running_cluster_is_not_replaced(make):
    file = make("x")
    with pytest.raises(ClusterError, match="'x' is running already"):
        prepare("x")
    assert file.path.exists()


def test_a_stale_cluster_is_replaced(make):
    file = make("x", stale=True)
    directory, _ = prepare("x")
    assert directory == Path(file.directory) and not file.path.exists()


@pytest.mark.parametrize("text", [None, "not JSON", "{}"])
def test_a_broken_directory_is_replaced(runtime, text):
    directory = folder("x")
    directory.mkdir(parents=True)
    (directory / "old.log").touch()
    if text is not None:
        (directory / "cluster.json").write_text(text)
    prepare("x")
    assert os.listdir(directory) == ["starter.pid"]


def test_of_two_starts_at_once_only_one_succeeds(runtime):
    prepare("x")
    with pytest.raises(ClusterError, match="is being started"):
        prepare("x")


def test_a_start_whose_process_has_ended_is_replaced(runtime):
    directory, _ = prepare("x")
    ended = subprocess.Popen(["true"])
    ended.wait()
    (directory / "starter.pid").write_text(str(ended.pid))
    assert prepare("x")[0] == directory


def test_nothing_but_the_cluster_is_left(runtime):
    prepare("x")
    with pytest.raises(ClusterError):
        prepare("x")
    assert os.listdir(runtime / "pxkernel") == ["x"]


def test_a_directory_that_cannot_be_made(runtime):
    (runtime / "pxkernel").write_text("a file is in the way")
    with pytest.raises(ClusterError, match="cannot be made"):
        prepare("x")


# ---- reading


def test_a_file_that_is_not_there(runtime):
    with pytest.raises(FileNotFoundError, match="is the cluster running"):
        read(runtime / "cluster.json")


def test_a_path_through_a_file(make):
    with pytest.raises(FileNotFoundError, match="is the cluster running"):
        read(make("x", stale=True).path / "cluster.json")


def test_a_directory_is_no_cluster_file(runtime):
    with pytest.raises(ClusterError, match="cannot be read"):
        read(runtime)


NO_FILES = [b"", b"not JSON", b"[]", b"null", b"{}", b'{"cluster_id": "x"}', b"\xff\xfe\xff", b"[" * 100_000]


@pytest.mark.parametrize("text", NO_FILES, ids=lambda text: repr(text[:20]))
def test_a_file_that_is_none(runtime, text):
    (runtime / "cluster.json").write_bytes(text)
    with pytest.raises(ClusterError, match="is not a cluster file"):
        read(runtime / "cluster.json")


def test_a_file_with_unknown_fields_is_none(make):
    file = make("x", stale=True)
    file.path.write_text(json.dumps({**json.loads(file.path.read_text()), "more": 1}))
    with pytest.raises(ClusterError, match="is not a cluster file"):
        read(file.path)


@pytest.mark.parametrize(
    "field, value", [("key", "no hex"), ("key", None), ("address", 5), ("directory", None), ("controller_pid", "x")]
)
def test_a_file_with_a_wrong_value_is_none(make, field, value):
    file = make("x", stale=True)
    file.path.write_text(json.dumps({**json.loads(file.path.read_text()), field: value}))
    with pytest.raises(ClusterError, match="is not a cluster file"):
        read(file.path)


# ---- life


def test_a_cluster_whose_controller_listens_is_alive(make):
    assert make("x").alive()


def test_a_cluster_whose_controller_has_ended_is_not(make):
    assert not make("x", stale=True).alive()


def test_a_socket_on_which_nobody_listens_is_not_alive(make):
    file = make("x", stale=True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(file.address.removeprefix("ipc://"))
    assert not file.alive()


def test_an_address_that_cannot_be_is_not_alive(make):
    assert not replace(make("x", stale=True), address="ipc://" + "x" * 500).alive()


def test_running_clusters(make, runtime):
    make("b")
    make("a")
    make("stale", stale=True)
    broken = runtime / "pxkernel" / "broken"
    broken.mkdir()
    (broken / "cluster.json").write_text("not JSON")
    assert [file.cluster_id for file in running()] == ["a", "b"]


def test_no_cluster_has_ever_run():
    assert running() == []


# ---- finding


def test_a_cluster_is_found_by_id(make):
    file = make("x")
    make("y")
    assert find("x") == file


@pytest.mark.parametrize("kind", [str, Path])
def test_a_cluster_is_found_by_path(make, kind):
    file = make("x")
    assert find(kind(file.path)) == file


def test_a_relative_path_is_a_path(make, monkeypatch):
    file = make("x")
    monkeypatch.chdir(file.directory)
    assert find("cluster.json") == file


@pytest.mark.parametrize("as_path", [False, True])
def test_the_environment_names_the_cluster(make, monkeypatch, as_path):
    file = make("x")
    make("")
    monkeypatch.setenv(ENVIRONMENT, str(file.path) if as_path else "x")
    assert find() == file


def test_an_argument_counts_more_than_the_environment(make, monkeypatch):
    make("x")
    file = make("y")
    monkeypatch.setenv(ENVIRONMENT, "x")
    assert find("y") == file


def test_an_empty_environment_variable_names_nothing(make, monkeypatch):
    file = make("x")
    monkeypatch.setenv(ENVIRONMENT, "")
    assert find() == file


def test_the_default_cluster_is_found_first(make):
    make("a")
    file = make("")
    assert find() == file


def test_the_empty_id_is_the_default_cluster(make):
    make("a")
    file = make("")
    assert find("") == file


def test_the_only_running_cluster_is_found(make):
    make("stale", stale=True)
    file = make("x")
    assert find() == file


def test_no_cluster_runs():
    with pytest.raises(FileNotFoundError, match="no cluster is running.*pxcluster start"):
        find()


def test_several_clusters_run(make):
    make("b")
    make("a")
    with pytest.raises(ClusterError, match="several clusters are running, name one of them: 'a', 'b'"):
        find()


def test_a_cluster_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="is the cluster running"):
        find("x")


def test_a_cluster_that_has_ended(make):
    make("x", stale=True)
    with pytest.raises(ClusterError, match="not running any more .its controller was 4711."):
        find("x")


# ---- profiles and other machines


def test_one_id_in_two_profiles(make):
    """CLU-03: profile and id together are the key."""
    assert folder("x", "mine").name == "mine@x" and folder("", "mine").name == "mine@default"
    assert folder("x", "default") == folder("x")
    with pytest.raises(ClusterError, match="'a@b' cannot be a profile"):
        folder("x", "a@b")


def test_the_clusters_of_a_profile(make):
    make("x")
    with pytest.raises(FileNotFoundError, match="no cluster of the profile 'mine' is running"):
        find(profile="mine")
    assert find(profile="default").cluster_id == "x" and running("mine") == []
    with pytest.raises(FileNotFoundError, match="mine@x"):
        find("x", profile="mine")


def test_where_a_cluster_is_reached(make):
    """SEC-05: by its Unix socket on its own machine, elsewhere by TCP."""
    file = replace(make("x"), url="tcp://there:99", curve_serverkey="key")
    assert file.is_here and file.endpoint == file.address and file.alive()
    far = replace(file, host="elsewhere")
    assert not far.is_here and far.endpoint == "tcp://there:99"


def test_clean_removes_dead_clusters_only(make, runtime):
    """CLI-06."""
    make("alive")
    make("dead", stale=True)
    prepare("starting")
    assert clusterfile.clean() == ["dead"]
    assert sorted(path.name for path in clusterfile.runtime_directory().iterdir()) == ["alive", "starting"]


def test_a_later_cluster_in_its_place(make):
    """CLU-14, CLU-24: of the same names, after the death of a controller; what is left of the first one does it no harm."""
    first = make("x", stale=True)
    shutil.rmtree(first.directory)
    later = replace(make("x"), key="cd" * 32)
    later.write()
    assert first.path == later.path and later.alive() and later.is_current()
    assert not first.is_current() and not first.alive()
    first.remove()
    assert read(later.path) == later and later.alive()
    later.remove()
    assert not later.path.parent.exists()
    later.remove()


def test_a_directory_with_the_file_of_another_cluster(make, runtime):
    """CLU-34: copied by hand; it is removed, and nothing of the other one."""
    first = make("x", stale=True)
    copied = folder("y")
    shutil.copytree(first.directory, copied)
    directory, _ = prepare("y")
    assert directory == copied and not (copied / "cluster.json").exists() and read(first.path) == first
