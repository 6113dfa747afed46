"""Large payloads on one host: one copy, private to each receiver, gone with its last user (issue 5, point 2)."""

import errno
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas
import psutil
import pytest

import pxkernel as px
from pxkernel.client import connection
from pxkernel.controller.front import Front
from pxkernel.protocol import messages as m
from pxkernel.protocol import segments
from pxkernel.protocol.copying import shares
from pxkernel.protocol.sharing import ALONE, THRESHOLD, Shared, probe, share
from pxkernel.protocol.stream import Stream
from pxkernel.protocol.wire import Codec

#: More than the controller keeps of one delivered result.
LARGE = 70_000_000


@pytest.fixture
def one(cluster4):
    return cluster4[0].set_flags(block=True)


def memory_of(pid):
    """The inodes of the segments that a process has open or mapped."""
    found = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(link).startswith("/memfd:pxkernel"):
                    found.add(os.stat(link).st_ino)
            except OSError:
                continue
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if "/memfd:pxkernel" in line:
                found.add(int(line.split()[4]))
    except OSError:
        pass
    return found


@pytest.fixture
def memory(processes):
    """memory(): the inodes of all segments of this process, of the controller and of the engines."""
    return lambda: set().union(*(memory_of(pid) for pid in [os.getpid(), *(process.pid for process in processes())]))


@pytest.fixture
def all_gone(cluster4, memory, wait_for):
    """At the end of the test, what it has made is gone; the controller's memory of results is not what is tested."""
    cluster4.purge_results("all")
    before = memory()
    yield
    cluster4.wait()
    cluster4.purge_results("all")
    cluster4[:].execute("globals().pop('a', None)", block=True)
    wait_for(lambda: not memory() - before)


def echo(x):
    return x


# ---- what arrives


@pytest.mark.parametrize("size", [THRESHOLD - 8, THRESHOLD, THRESHOLD + 8, ALONE - 8, ALONE, 20_000_000])
def test_sizes_around_the_threshold(view, size):
    array = np.frombuffer(np.random.default_rng(size).bytes(size))
    view.push({"a": array})
    assert view.pull("a.tobytes()") == [array.tobytes()] * 4
    assert all(found.tobytes() == array.tobytes() for found in view.pull("a"))


def test_it_is_in_memory_once(view, cluster4, all_gone):
    view.push({"a": np.ones(2_000_000)})
    mine, *others = (memory_of(cluster4.engine_info(engine)["pid"]) for engine in cluster4.ids)
    assert len(mine) == 1
    assert others == [mine] * 3


def test_private_and_writable(view, all_gone):
    array = np.zeros(1_000_000)
    result = view.push({"a": array}, block=False)
    array.fill(7)
    result.get(20)
    view.execute("a += 1")
    view.scatter("rank", range(4), flatten=True)
    view.execute("a[rank] = -1")
    for rank, found in enumerate(view.pull("a")):
        assert found[rank] == -1
        assert np.delete(found, rank).tolist() == [1] * 999_999
        assert found.flags.writeable
    assert (array == 7).all()


def test_what_is_read_twice_is_private_each_time(view):
    result = view.apply_async(np.zeros, 500_000)
    for found in result:
        found.fill(1)
    assert not any(found.any() for found in result.get(20))


def test_scatter_and_gather(view, all_gone):
    array = np.arange(1_000_000)
    view.scatter("a", array)
    assert (view.gather("a") == array).all()


@pytest.mark.parametrize(
    "value",
    [
        bytes(range(256)) * 10_000,
        "wide äöü " * 200_000,
        [np.arange(50_000) + number for number in range(20)],
        {"a": b"x" * 1_000_000, "b": np.ones(200_000)},
    ],
    ids=["bytes", "str", "medium arrays", "mixed"],
)
def test_other_values(one, value):
    found = one.apply(echo, value)
    assert str(found) == str(value)
    assert found == value if not isinstance(value, list | dict) else len(found) == len(value)


def test_pandas_and_masked_arrays(one):
    frame = pandas.DataFrame({"x": np.arange(200_000), "y": np.ones(200_000), "z": ["text"] * 200_000})
    found = one.apply(echo, frame)
    pandas.testing.assert_frame_equal(found, frame)
    found.loc[0, "x"] = 5
    masked = np.ma.masked_greater(np.arange(300_000), 10)
    assert (one.apply(echo, masked) == masked).sum() == 11


def fork(array):
    child = os.fork()
    if not child:
        array[:] = 2
        os._exit(int(array.sum()) == 2_000_000)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), array.sum()


def test_user_code_that_forks(one, all_gone):
    one.push({"a": np.ones(1_000_000)})
    assert one.apply(fork, px.Reference("a")) == (1, 1_000_000)


# ---- how long it lives


def test_it_is_gone_with_its_last_user(view, one, memory, wait_for):
    before = memory()
    array = np.ones(LARGE // 8)
    view.push({"a": array})
    view.execute("a[0]")
    assert len(memory() - before) == shares(LARGE)
    cluster4_engines = view.apply_sync(os.getpid)
    view.execute("b = a[-1:]; del a")
    assert all(len(memory_of(pid)) == shares(LARGE) for pid in cluster4_engines)
    view.execute("del b")
    wait_for(lambda: memory() <= before)
    result = one.apply(echo, array)
    # The engine reports a task before it lets go of its arguments.
    wait_for(lambda: len(memory() - before) == shares(LARGE))
    del result
    wait_for(lambda: memory() <= before)


def test_a_small_array_does_not_keep_a_large_one(one, memory, wait_for):
    before = memory()
    one.push({"large": np.ones(LARGE // 8), "small": np.ones(50_000)})
    one.execute("del large")
    wait_for(lambda: memory() <= before)
    assert one.pull("small").sum() == 50_000


def test_the_memory_of_a_broadcast(view, cluster4, all_gone):
    """SER-17: One copy, however many engines read it: PSS counts what is shared by halves, quarters and so on."""

    def in_use():
        pids = [os.getpid(), *(cluster4.engine_info(engine)["pid"] for engine in cluster4.ids)]
        return sum(psutil.Process(pid).memory_full_info().pss for pid in pids)

    array = np.ones(12_500_000)
    view.execute("import numpy")
    before = in_use()
    view.push({"a": array})
    assert view.pull("float(a.sum())") == [12_500_000] * 4
    assert in_use() - before < 1.2 * array.nbytes


def test_many_results_do_not_use_up_the_descriptors(one, cluster4, all_gone):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    view = cluster4[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        results = [view.apply_async(np.full, 140_000, number) for number in range(200)]
        assert cluster4.wait(results, 40)
        assert psutil.Process().num_fds() < 256 - 64
        for number, result in enumerate(results):
            assert (result.get(20) == number).all()
        arrays = [result.get() for result in results]
        assert psutil.Process().num_fds() < 256 - 64
        pushed = [view.push({"a": array}) for array in arrays]
        assert psutil.Process().num_fds() < 256 - 64
        assert cluster4.wait(pushed, 40)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_the_controller_keeps(one, cluster4, all_gone):
    """Submitted again, and read as bytes."""
    array = np.arange(500_000)
    cluster4[0].apply_sync(echo, array)
    (task,) = cluster4.history[-1:]
    assert (cluster4.resubmit(task).get(20) == array).all()
    (record,) = cluster4.db_query({"msg_id": task}, keys=["buffers", "result_buffers"])
    assert array.tobytes() in map(bytes, record["buffers"])
    assert array.tobytes() in map(bytes, record["result_buffers"])


# ---- whoever dies


@pytest.fixture
def own_cluster():
    cluster = px.Cluster(n=1)
    with cluster.start_and_connect_sync() as client:
        yield client
    cluster.stop_cluster_sync()


def test_the_engine_dies(own_cluster, memory, wait_for):
    """A result outlives its engine: in the client that has it, and in the controller for those who fetch it later."""
    view = own_cluster[0]
    process = psutil.Process(view.apply_sync(os.getpid))
    view.execute("import numpy", block=True)
    here = view.apply_async(np.full, LARGE // 8, 3)
    kept = view.apply_async(np.full, 1_000_000, 4)
    assert own_cluster.wait([here, kept], 30)
    process.kill()
    wait_for(lambda: not own_cluster.ids)
    with px.Client(own_cluster.cluster.cluster_file) as other:
        assert other.get_result(kept.msg_ids[0], block=True).get(20).sum() == 4_000_000
    assert here.get(20).sum() == LARGE // 8 * 3
    own_cluster.purge_results("all")
    del here, kept
    # In the history of the client is nothing but ids.
    wait_for(lambda: not memory())


def test_the_controller_dies(own_cluster, memory, wait_for):
    view = own_cluster[0]
    view.push({"a": np.ones(1_000_000)}, block=True)
    busy = view.apply_async(time.sleep, 100)
    waiting = view.push({"b": np.ones(2_000_000)}, block=False)
    later = view.push({"b": np.ones(LARGE // 8)}, block=False)
    file = json.loads(Path(own_cluster.cluster.cluster_file).read_text())
    os.kill(file["controller_pid"], signal.SIGKILL)
    for result in (busy, waiting, later):
        with pytest.raises(px.EngineError, match="controller has ended"):
            result.get(20)
    assert not memory_of(os.getpid())
    own_cluster.cluster.stop_cluster_sync()
    wait_for(lambda: not memory())


def test_a_client_dies(cluster4, one, memory, wait_for):
    """What it has submitted and what it was to receive."""
    cluster4.purge_results("all")
    before = memory()
    # Behind tasks that are not short nothing waits inside an engine.
    one.apply(time.sleep, 0.1)
    busy = cluster4[0].apply_async(time.sleep, 100)
    source = f"""
        import os, sys, numpy, pxkernel
        rc = pxkernel.Client(sys.argv[1])
        rc[1].apply(numpy.ones, {LARGE // 8}).wait()
        rc[0].push(dict(a=numpy.ones({LARGE // 8})))
        rc[0].push(dict(a=numpy.ones({LARGE // 8})))
        print("submitted", flush=True)
        sys.stdin.read()
    """
    client = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), str(cluster4.cluster.cluster_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.stdout.readline() == "submitted\n"
        wait_for(lambda: len(memory() - before) >= 2)
    finally:
        client.kill()
        client.communicate()
    wait_for(lambda: memory() <= before)
    cluster4.interrupt(busy)
    assert busy.wait(20)
    assert one.apply(echo, 1) == 1


# ---- falling back


def test_a_client_elsewhere(cluster4, view, memory, monkeypatch):
    """It cannot open the memory of this host: its payloads and results go through the socket, also those that do not."""
    view.push({"a": np.ones(1_000_000)})
    kept = view.pull("a", block=False)
    assert kept.wait(20)
    monkeypatch.setattr(connection, "probe", lambda: None)
    with px.Client(cluster4.cluster.cluster_file) as other:
        before = memory()
        other[:].push({"b": np.full(1_000_000, 2)}, block=True)
        assert not memory() - before
        assert [found.sum() for found in other[:].pull(["a", "b"], block=True)[0]] == [1_000_000, 2_000_000]
        assert [found.sum() for found in other.get_result(kept.msg_ids, block=True).get(20)] == [1_000_000] * 4


@pytest.mark.parametrize("memory", ["ours", "of another host", None])
def test_an_engine_elsewhere(tmp_path, memory):
    """Who has proved that it can open our memory gets descriptors, everybody else gets bytes."""
    proof = probe()
    text = {"ours": proof[0].hex(), "of another host": (proof[0][:-1] + b"\0").hex()}.get(memory)
    codec, frames = Codec(bytes(32)), [b"\x80", bytes(THRESHOLD)]
    heard = []
    with selectors.DefaultSelector() as selector:

        def turn():
            for key, events in selector.select(0.01):
                key.data(events)

        def said(message):
            """What the engine gets to read of a message to it."""
            front.send(engine, message)
            while not (found := stream.receive()):
                turn()
            return codec.decode(found[0]).payloads[0]

        front = Front(tmp_path / "front", bytes(32), selector, lambda *what: heard.append(what), heard.append)
        stream = Stream.connect(front.address)
        stream.send(codec.encode(m.Hello("engine", "s", os.getpid(), 0, {"memory": text})))
        while not heard:
            turn()
        ((engine, _),) = heard
        assert front.shares(engine) == (memory == "ours")
        received = said(m.Run([["c:0", "apply", {}]], (share(frames),)))
        assert len(received) == (1 if memory == "ours" else 2)
        assert said(m.Answer(0, None, None, (share(frames),))) == frames
        stream.close()
        while len(heard) == 1:
            turn()
        assert heard[1] is engine and not front.send(engine, m.Refused("too late")) and not front.shares(engine)
        front.close()


def test_memory_is_short(one, memory, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = memory()
    monkeypatch.setattr(segments, "_write", no_space)
    one.execute(
        """
        from pxkernel.protocol import segments

        kept = segments._write

        def no_space(*_):
            raise OSError(28, "No space left on device")

        segments._write = no_space
        """
    )
    try:
        assert one.apply(echo, np.ones(1_000_000)).sum() == 1_000_000
        assert memory() <= before
    finally:
        one.execute("segments._write = kept")


def test_memory_that_is_gone_fails_its_task_only(one, monkeypatch):
    def forgetful(payload):
        shared = share(payload)
        return shared and Shared(shared, ())

    with monkeypatch.context() as patch:
        patch.setattr(connection, "share", forgetful)
        with pytest.raises(px.RemoteError, match="shared memory of process .* is gone"):
            one.apply(echo, np.ones(1_000_000))
    assert one.apply(echo, np.ones(1_000_000)).sum() == 1_000_000
