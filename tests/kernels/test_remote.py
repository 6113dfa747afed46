"""A controller that listens for other machines (SEC-01 to SEC-05): here they are this one, by a file that says otherwise."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import zmq

import pxkernel as px
from pxkernel.protocol import clusterfile
from pxkernel.protocol.messages import Hello
from pxkernel.protocol.sockets import notice_the_end
from pxkernel.protocol.wire import Codec

SOON = 15


@pytest.fixture(scope="module")
def cluster(nothing_is_left):
    cluster = px.Cluster(n=2, controller_ip="127.0.0.1")
    cluster.start_and_connect_sync().close()
    yield cluster
    cluster.stop_cluster_sync()


@pytest.fixture
def copied(cluster, tmp_path):
    """The cluster file as on another machine, which may have another content."""

    def copy(cluster=cluster, **changes):
        content = json.loads(cluster.cluster_file.read_text())
        path = tmp_path / "copied.json"
        path.write_text(json.dumps({**content, "host": "elsewhere", **changes}))
        return path

    return copy


def content_of(cluster):
    return json.loads(cluster.cluster_file.read_text())


def test_the_cluster_file_says_where(cluster):
    """SEC-01: mode 0600; one address, and the key by which the controller is known."""
    content = content_of(cluster)
    assert content["url"].startswith("tcp://127.0.0.1:") and len(content["curve_serverkey"]) == 40
    assert content["host"] == socket.gethostname()
    assert cluster.cluster_file.stat().st_mode & 0o777 == 0o600


def test_one_port(cluster):
    """SEC-05: the controller's own, and no other."""
    listening = [
        c.laddr
        for c in psutil.Process(cluster.controller.pid).net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    ]
    assert [f"tcp://{ip}:{port}" for ip, port in listening] == [content_of(cluster)["url"]]


def test_a_client_with_a_copied_file(cluster, copied, capsys):
    """SEC-03: work, output and large arrays travel both ways, over TCP."""
    import numpy

    path = copied()
    with px.Client(path) as rc:
        rc.wait_for_engines(2)
        url = content_of(cluster)["url"]
        connections = psutil.Process().net_connections("tcp")
        assert url in {f"tcp://{c.raddr.ip}:{c.raddr.port}" for c in connections if c.status == psutil.CONN_ESTABLISHED}
        array = numpy.arange(2_000_000)
        back = rc[:].apply_sync(lambda a: a + 1, array)
        assert all((part == array + 1).all() for part in back)
        result = rc[:].execute("print('hi')", silent=False)
        assert result.get(SOON) and result.stdout == ["hi\n"] * 2
        rc.console(0)
        assert capsys.readouterr().out.startswith("on elsewhere: jupyter console --existing /")
    found = px.Cluster.from_file(path)
    assert found.running and found.engine_set.ids == [0, 1]
    with found.connect_client_sync() as rc:
        assert rc[:].apply_sync(lambda: 1) == [1, 1]


def eavesdropper(cluster, serverkey):
    """A DEALER with what the test gives it, and the signed Hello of somebody who has the cluster's key."""
    content = content_of(cluster)
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    if serverkey is not None:
        dealer.curve_serverkey = serverkey
        dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
    dealer.connect(content["url"])
    hello = Hello("client", "eavesdropper", os.getpid(), None, {"remote": True})
    dealer.send_multipart(Codec(bytes.fromhex(content["key"])).encode(hello))
    return context, dealer


@pytest.mark.parametrize("key, answered", [("none", False), ("another", False), ("right", True)])
def test_without_the_controllers_key_nothing_is_answered(cluster, key, answered):
    """SEC-03: not even to a message that is signed."""
    keys = {
        "none": None,
        "another": zmq.curve_keypair()[0],
        "right": content_of(cluster)["curve_serverkey"].encode(),
    }
    context, dealer = eavesdropper(cluster, keys[key])
    try:
        assert bool(dealer.poll(SOON * 1000 if answered else 500)) == answered
    finally:
        context.destroy()


@pytest.mark.parametrize("changes", [{"key": "00" * 32}, {"curve_serverkey": zmq.curve_keypair()[0].decode()}])
def test_a_file_with_another_key(copied, changes):
    """SEC-02, SEC-03."""
    with pytest.raises((px.TimeoutError, px.ClusterError), match="did not answer in 1 s|has another key than this file"):
        px.Client(copied(**changes), timeout=1.0)


def test_files_of_clusters_that_cannot_be_reached(cluster, copied):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(px.ClusterError, match=f"on elsewhere cannot be reached at tcp://127.0.0.1:{port}"):
        px.Client(copied(url=f"tcp://127.0.0.1:{port}"))
    with pytest.raises(px.ClusterError, match="runs on elsewhere and listens there only: start it with controller_ip="):
        px.Client(copied(url=None, curve_serverkey=None, address="ipc:///nowhere"))
    for nonsense in ({"url": "http://x"}, {"url": None}, {"curve_serverkey": None}, {"url": 5}):
        with pytest.raises(px.ClusterError, match="is not a cluster file"):
            px.Client(copied(**nonsense))


def test_a_kernel_elsewhere_cannot_join(copied, run_python):
    """Its own sockets would have to be reachable."""
    other = run_python(
        """
        from types import SimpleNamespace
        from pxkernel.engine import load_ipython_extension
        try:
            load_ipython_extension(SimpleNamespace(kernel=object()))
        except Exception as error:
            print(error)
        """,
        env={"PXKERNEL_CLUSTER": str(copied())},
    )
    assert other.stdout == "a kernel can only join a cluster of its own machine, and this one runs on elsewhere\n"


CLIENT = """
import sys
import pxkernel as px
rc = px.Client({path!r})
runs = rc[0].apply_async(lambda: __import__("time").sleep(1e4))
waits = rc[0].apply_async(lambda: open({mark!r}, "w").close())
assert rc.queue_status()[0]["queue"] == 2
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_remote_client_that_is_killed(cluster, copied, wait_for, tmp_path):
    """Nobody sees the end of its process; what it has left in the queues goes all the same."""
    source = textwrap.dedent(CLIENT).format(path=str(copied()), mark=str(tmp_path / "mark"))
    process = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
    finally:
        process.kill()
        process.communicate(timeout=SOON)
    with cluster.connect_client_sync() as rc:
        wait_for(lambda: rc.queue_status()[0]["queue"] == 1, SOON)
        cluster.signal_engine_sync(signal.SIGINT, 0)
        assert rc[0].apply_async(lambda: 1).get(SOON) == 1
    assert not (tmp_path / "mark").exists()


@pytest.fixture
def other():
    """A cluster that a test may end."""
    cluster = px.Cluster(n=1, controller_ip="127.0.0.1", controller_location="localhost")
    cluster.start_and_connect_sync().close()
    yield cluster
    cluster.stop_cluster_sync()


def test_the_controller_is_killed(other, copied):
    with px.Client(copied(other)) as rc:
        pending = rc[0].apply_async(time.sleep, 100)
        psutil.Process(other.controller.pid).kill()
        # Its socket may still accept when the connection breaks.
        with pytest.raises(px.EngineError, match="the controller has ended|the connection to the controller was lost"):
            pending.get(SOON)


def test_a_cluster_is_stopped_from_elsewhere(other, copied):
    assert content_of(other)["url"].startswith("tcp://localhost:")
    px.Cluster.from_file(copied(other)).stop_cluster_sync()
    assert not other.running


def test_a_port_that_is_taken(cluster):
    port = int(content_of(cluster)["url"].rpartition(":")[2])
    with pytest.raises(px.ClusterError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
        px.Cluster(n=1, controller_ip="127.0.0.1", controller_port=port).start_cluster_sync()


@pytest.mark.parametrize("options", [{"controller_port": 1}, {"controller_location": "x"}])
def test_a_port_or_a_location_alone(options):
    with pytest.raises(ValueError, match="are for a controller with a controller_ip"):
        px.Cluster(**options)
    with pytest.raises(ValueError, match="controller_port must be a number below 65536, not 70000"):
        px.Cluster(controller_ip="127.0.0.1", controller_port=70000)


def test_a_dead_link_is_noticed():
    """SEC-05, CTL-07: also with data on its way, of which the operating system's own limit is a quarter of an hour."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        notice_the_end(socket)
        idle = socket.tcp_keepalive_idle + 9 * socket.tcp_keepalive_intvl
        assert socket.tcp_keepalive == 1 and socket.tcp_maxrt == 1000 * idle


def test_copies_of_the_cluster_file_stay_valid(tmp_path):
    """CTL-08: ``controller_reuse`` keeps the keys and the port, without it both are new."""
    options = {"n": 1, "cluster_id": "reused", "controller_ip": "127.0.0.1"}
    copy = tmp_path / "copy.json"
    with px.Cluster(**options, controller_reuse=True) as rc:
        content = json.loads((Path(rc.directory) / "cluster.json").read_text())
        copy.write_text(json.dumps({**content, "host": "elsewhere"}))
    with px.Cluster(**options, controller_reuse=True), px.Client(copy) as other:
        other.wait_for_engines(1)
        assert other[0].apply_sync(lambda: 7) == 7
    keys = clusterfile.keys_of("reused")
    keys.unlink()
    with px.Cluster(**options), pytest.raises((TimeoutError, px.ClusterError)):
        px.Client(copy, timeout=1)
    assert not keys.exists()
    with pytest.raises(ValueError, match="controller_reuse"):
        px.Cluster(controller_reuse=True)
