"""Clients on other machines: when something is sent to them (SEC-05)."""

import pytest

from pxkernel.controller.remote import INTERVAL, RemoteClients, listen_for_others
from pxkernel.controller.settings import Settings
from pxkernel.protocol.messages import Ack


@pytest.fixture
def sent():
    return []


@pytest.fixture
def remote(sent):
    return RemoteClients(lambda client, message: sent.append((client, message)))


def test_nobody(remote, sent):
    assert remote.wait(0.0) is None
    remote.check(0.0)
    assert sent == []


def test_now_and_then(remote, sent):
    remote.add("a")
    assert remote.wait(100.0) == 0.0
    remote.check(100.0)
    remote.check(100.0 + INTERVAL / 2)
    assert sent == [("a", Ack(0))] and remote.wait(100.0 + INTERVAL / 2) == INTERVAL / 2
    remote.check(100.0 + INTERVAL)
    assert len(sent) == 2


def test_who_is_found_to_be_gone_is_forgotten():
    remote = RemoteClients(lambda client, message: remote.remove(client))
    remote.add("a")
    remote.add("b")
    remote.check(1.0)
    assert remote.wait(1.0) is None
    remote.remove("never there")


def listen(ip, port):
    return port or 4711, "key"


@pytest.mark.parametrize(
    "options, url",
    [
        ({"ip": "10.0.0.1"}, "tcp://10.0.0.1:4711"),
        ({"ip": "10.0.0.1", "port": 99, "location": "me"}, "tcp://me:99"),
        ({"ip": "*"}, "tcp://HOST:4711"),
        ({"ip": "0.0.0.0"}, "tcp://HOST:4711"),
        ({"ip": "localhost"}, "tcp://localhost:4711"),
        ({"ip": "eth0"}, "tcp://HOST:4711"),
        ({"ip": "eth0", "location": "10.0.0.2"}, "tcp://10.0.0.2:4711"),
    ],
)
def test_where_others_find_the_controller(monkeypatch, options, url):
    monkeypatch.setattr("socket.gethostname", lambda: "HOST")
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    found = listen_for_others(listen, Settings("id", "default", "d", "s", **options))
    assert found == {"url": url, "curve_serverkey": "key"}


def test_a_controller_of_this_machine_only():
    assert listen_for_others(None, Settings("id", "default", "d", "s")) == {}
