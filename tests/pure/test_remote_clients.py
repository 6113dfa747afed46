"""Clients on other machines: when something is sent to them (SEC-05)."""

from dataclasses import replace

import pytest

from pxkernel.controller.keys import Keys
from pxkernel.controller.remote import INTERVAL, RemoteClients, listen_for_others
from pxkernel.controller.settings import Settings
from pxkernel.errors import ClusterError
from pxkernel.protocol.messages import Ack


@pytest.fixture
def sent():
    return []


@pytest.fixture
def remote(sent):
    return RemoteClients(lambda client, message: sent.append((client, message)))


def test_nobody(remote, sent):
    assert remote.check(0.0) is None
    assert sent == []


def test_now_and_then(remote, sent):
    remote.add("a")
    assert remote.check(100.0) == 100.0 + INTERVAL
    assert remote.check(100.0 + INTERVAL / 2) == 100.0 + INTERVAL
    assert sent == [("a", Ack(0))]
    assert remote.check(100.0 + INTERVAL) == 100.0 + 2 * INTERVAL
    assert len(sent) == 2


def test_who_is_found_to_be_gone_is_forgotten():
    remote = RemoteClients(lambda client, message: remote.remove(client))
    remote.add("a")
    remote.add("b")
    assert remote.check(1.0) is None
    remote.remove("never there")


KEYS = Keys("00", "public", "secret")


def listen(ip, port, keys):
    return port or 4711


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
    found = listen_for_others(listen, Settings("id", "default", "d", "s", **options), KEYS)
    assert found == {"url": url, "curve_serverkey": "public"}


def test_a_controller_of_this_machine_only():
    assert listen_for_others(None, Settings("id", "default", "d", "s"), KEYS) == {}


def test_keys_stay_for_the_next_time(tmp_path):
    """CTL-08: what a copy of the cluster file has in it; 0600."""
    place = tmp_path / "keys"
    first, other = Keys.of(str(place)), Keys.of(str(place))
    assert first != other and not place.exists()
    options = Settings("id", "default", "d", "s", ip="10.0.0.1", keys=str(place))
    listen_for_others(listen, options, first)
    assert place.stat().st_mode & 0o777 == 0o600
    again = Keys.of(str(place))
    assert again == replace(first, port=4711)
    asked = []
    listen_for_others(lambda ip, port, keys: asked.append((port, keys)) or port, options, again)
    assert asked == [(4711, again)]


def test_a_file_that_has_no_keys(tmp_path):
    """CTL-08"""
    (tmp_path / "keys").write_text("{}")
    with pytest.raises(ClusterError, match="does not have the keys"):
        Keys.of(str(tmp_path / "keys"))
