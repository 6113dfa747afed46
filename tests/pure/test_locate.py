"""Which cluster the arguments of a Client mean (features RC-01 to RC-03)."""

import json
import socket
import threading
from dataclasses import asdict

import pytest

from pxkernel.client.locate import locate
from pxkernel.errors import ClusterError
from pxkernel.protocol import clusterfile
from pxkernel.protocol.clusterfile import ClusterFile


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "r"))
    monkeypatch.delenv("PXKERNEL_CLUSTER", raising=False)


@pytest.fixture
def start(tmp_path):
    """Write the file of a cluster and listen where its controller would."""
    listening = []

    def begin(cluster_id, profile="default"):
        directory, sockets = clusterfile.prepare(cluster_id, profile)
        controller = socket.socket(socket.AF_UNIX)
        controller.bind(str(sockets / "s"))
        controller.listen()
        listening.append((controller, ClusterFile(
            cluster_id=cluster_id, profile=profile, directory=str(directory), sockets=str(sockets),
            address=f"ipc://{sockets / 's'}", key="00ff", controller_pid=1, owner_pid=None,
        )))  # fmt: skip
        listening[-1][1].write()
        return listening[-1][1]

    yield begin
    for controller, file in listening:
        controller.close()
        file.remove()


def find(info=None, profile=None, cluster_id=None, timeout=0):
    return locate(info, profile, cluster_id, timeout)


def test_by_name_path_and_content(start):
    """RC-01, RC-02"""
    file = start("one")
    content = json.loads(file.path.read_text())
    assert content == asdict(file)
    for info in ("one", file.path, str(file.path), content, None):
        assert find(info) == file
    assert find(cluster_id="one") == find(cluster_id="one", profile="default") == find(profile="default") == file


def test_profiles_are_apart(start):
    """RC-02"""
    ours, theirs = start("one"), start("one", "mpi")
    assert find(cluster_id="one") == ours
    assert find(cluster_id="one", profile="mpi") == find(profile="mpi") == theirs
    default = start("", "mpi")
    assert find(profile="mpi") == find(cluster_id="", profile="mpi") == default


def test_what_is_not_there(tmp_path):
    """RC-02, RC-03"""
    with pytest.raises(FileNotFoundError, match="nope.json: is the cluster running?"):
        find(tmp_path / "nope.json")
    with pytest.raises(FileNotFoundError, match="no cluster is running"):
        find()
    with pytest.raises(FileNotFoundError, match="nosuch"):
        find(cluster_id="nosuch")


def test_what_is_no_cluster(start):
    """RC-03"""
    file = start("one")
    with pytest.raises(ValueError, match=r"single urls \('tcp://127.0.0.1:5555'\) cannot be specified"):
        find("tcp://127.0.0.1:5555")
    with pytest.raises(ClusterError, match="connection_info is not a cluster file: it has no address, cluster_id, contr"):
        find({"key": "x"})
    with pytest.raises(ClusterError, match="it has newer, which says nothing here"):
        find({**asdict(file), "newer": 1})
    with pytest.raises(TypeError, match="connection_info names a cluster already"):
        find(file.path, cluster_id="one")
    with pytest.raises(ClusterError, match="curve_serverkey is no key"):
        find({**asdict(file), "url": "tcp://a:1", "curve_serverkey": "xx"})
    with pytest.raises(ClusterError, match="'one' runs on elsewhere and listens there only"):
        find({**asdict(file), "host": "elsewhere", "address": "ipc:///nowhere"})
    with pytest.raises(ClusterError, match="not running any more"):
        find({**asdict(file), "address": "ipc:///nowhere"})


@pytest.mark.parametrize(
    "arguments, named",
    [({"info": 5}, "connection_info"), ({"info": True}, "connection_info"), ({"cluster_id": 5}, "cluster_id"),
     ({"profile": 5}, "profile"), ({"timeout": "x"}, "timeout"), ({"timeout": None}, "timeout")],
)  # fmt: skip
def test_what_names_no_cluster(arguments, named):
    """RC-01, RC-03: at once, and nobody is awaited."""
    with pytest.raises(TypeError, match=named):
        find(**{"timeout": 60, **arguments})


def test_a_named_cluster_is_awaited(start, capsys):
    """RC-02: said once."""
    found = []
    waiting = threading.Thread(target=lambda: found.append(find(cluster_id="late", timeout=20)))
    waiting.start()
    file = start("late")
    waiting.join(20)
    assert found == [file]
    with pytest.raises(FileNotFoundError):
        find(cluster_id="never", timeout=0.3)
    lines = [line for line in capsys.readouterr().out.splitlines() if "never" in line]
    assert lines == ["Waiting for the cluster 'never' of the profile 'default'"]
