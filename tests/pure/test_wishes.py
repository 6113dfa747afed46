"""Every argument of Cluster is checked when it is given, and the error names it (features CLU-01, CLU-02)."""

import pytest

import pxkernel as px

BAD = [
    ({"n": -1}, "n is the number"), ({"n": "4"}, "n is the number"), ({"n": True}, "n is the number"),
    ({"cluster_id": 5}, "cluster_id"), ({"profile": 5}, "profile"), ({"kernel_name": 5}, "kernel_name"),
    ({"engines": dict}, "engines .* launcher classes do not exist"), ({"engines": "mpi"}, "engines .*forkserver, local"),
    ({"controller": "mpi"}, "controller must be 'local'"), ({"engine_args": "abc"}, "engine_args"),
    ({"engine_args": 5}, "engine_args"), ({"engine_args": [5]}, "engine_args"), ({"transport": "udp"}, "transport"),
    ({"controller_ip": 5}, "controller_ip"), ({"controller_ip": "*", "controller_location": 5}, "controller_location"),
    ({"controller_ip": "::1"}, "controller_ip must be an IPv4 address"),
    ({"controller_ip": "*", "controller_location": "a b"}, "controller_location"),
    ({"controller_ip": "*", "controller_location": "a:1"}, "controller_location"),
    ({"controller_location": "x"}, "controller_location"), ({"controller_port": 99999}, "controller_port"),
    ({"controller_ip": "*", "controller_port": "99"}, "controller_port"), ({"controller_port": 1}, "controller_port"),
    ({"controller_ip": "*", "controller_port": True}, "controller_port"), ({"environment": "x"}, "environment"),
    ({"environment": {"A": 1}}, "environment"), ({"environment": {"": "x"}}, "environment"),
    ({"environment": {"A": "\0"}}, "environment"), ({"on_start": 5}, "on_start"), ({"preload": "scipy"}, "preload"),
    ({"preload": [1]}, "preload"), ({"preload": ["a b"]}, "preload"), ({"store": "x"}, "store"), ({"store": 5}, "store"),
    ({"store_limit": -1}, "store_limit"), ({"store_limit": "1"}, "store_limit"), ({"scheme": "x"}, "scheme"),
    ({"shutdown_atexit": "no"}, "shutdown_atexit"), ({"engine_timeout": "x"}, "engine_timeout"), ({"foo": 1}, "foo"),
    ({"controller_restore": 1}, "controller_restore"), ({"restore_timeout": "soon"}, "restore_timeout"),
    ({"restore_timeout": True}, "restore_timeout"), ({"restore_timeout": 0}, "restore_timeout"),
    ({"restore_timeout": -1}, "restore_timeout"), ({"restore_timeout": float("inf")}, "restore_timeout"),
    ({"restore_timeout": float("nan")}, "restore_timeout"),
]  # fmt: skip


@pytest.mark.parametrize("options, named", BAD)
def test_a_bad_argument_is_named(options, named):
    with pytest.raises((TypeError, ValueError), match=named):
        px.Cluster(**options)


@pytest.mark.parametrize("options, named", [bad for bad in BAD if len(bad[0]) == 1 and not bad[0].keys() & {"foo", "engines"}])
def test_attributes_are_checked_too(options, named):
    """CLU-01: what is changed after the construction, when it is set or at the latest at the start."""
    cluster = px.Cluster()
    ((name, value),) = options.items()
    if name in ("cluster_id", "profile", "controller"):
        return
    with pytest.raises((TypeError, ValueError), match=named):
        setattr(cluster, name, value)
        cluster.start_cluster_sync(0)


def test_a_directory_that_is_gone(tmp_path, monkeypatch):
    """ENG-04: engines start in the directory of their client; nothing is made when there is none."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "r"))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(px.ClusterError, match="the current directory does not exist any more"):
        px.Cluster(n=1).start_cluster_sync()
    assert list(tmp_path.iterdir()) == []


def test_no_place_is_none():
    """CLU-01: ipyparallel's default is an empty string."""
    cluster = px.Cluster(controller_ip="", controller_location="")
    assert cluster.controller_ip is None and cluster.controller_location is None


def test_good_values_stay_what_they_are():
    cluster = px.Cluster(n=3, engines="local", engine_args=("--a",), preload=("os.path",), controller_ip="*", controller_port=1)
    assert (cluster.n, cluster.provisioner, cluster.engine_args, cluster.preload) == (3, "local", ["--a"], ["os.path"])
    assert repr(cluster).endswith(", profile='default', n=3): not running>") and "n=" not in repr(px.Cluster())


@pytest.mark.parametrize(
    "options, named",
    [({"cluster_file": 5}, "cluster_file"), ({"cluster_id": 5}, "cluster_id"), ({"profile": 5}, "profile"),
     ({"cluster_file": "a", "profile": "b"}, "not both")],
)  # fmt: skip
def test_a_cluster_is_named_by_names(options, named):
    """CLU-22"""
    with pytest.raises(TypeError, match=named):
        px.Cluster.from_file(**options)


@pytest.mark.parametrize("description", [{}, 5, None, {"cluster": {"n": 1}}, {"cluster": 5}])
def test_no_description(description):
    """CLU-23"""
    with pytest.raises(TypeError, match="d must be what Cluster.to_dict"):
        px.Cluster.from_dict(description)


def test_a_description_of_what_can_be_started():
    """CLU-23: with more arguments."""
    before = px.Cluster(n=3, cluster_id="a", profile="b")
    after = px.Cluster.from_dict(before.to_dict(), engine_timeout=5)
    assert (after.n, after.cluster_id, after.profile, after.engine_timeout) == (3, "a", "b", 5)


@pytest.mark.parametrize(
    "call", ["restart_engines_sync", "scale_sync", "signal_engines_sync", "connect_client_sync", "start_engines_sync"]
)
def test_a_cluster_that_was_not_started(call):
    """CLU-08 to CLU-18: a clear error; to stop it is no error (CLU-12, CLU-14)."""
    cluster = px.Cluster(n=1)
    arguments = {"scale_sync": [1], "signal_engines_sync": [2]}.get(call, [])
    with pytest.raises(px.ClusterError, match="has not been started"):
        getattr(cluster, call)(*arguments)
    cluster.stop_engines_sync()
    cluster.stop_cluster_sync()
