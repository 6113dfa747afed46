"""A cluster that changes while it runs: engine sets, restarts, scaling, signals, start-up code, environment (CLU, ENG)."""

import asyncio
import json
import os
import signal
import threading
import time

import psutil
import pytest

import pxkernel as px

SOON = 15


def touch_and_sleep(mark):
    mark.touch()
    time.sleep(100)


def where(name):
    import os

    return os.environ.get(name)


@pytest.fixture(scope="module")
def pool(nothing_is_left):
    """A cluster of two engines that tests add to and take from; the first two stay."""
    cluster = px.Cluster(n=2, environment=lambda engine: {"PX_RANK": str(engine)}, on_start="import os\nstarts = 1")
    with cluster.start_and_connect_sync() as rc:
        yield cluster, rc
    cluster.stop_cluster_sync()


@pytest.fixture
def cluster(pool):
    return pool[0]


@pytest.fixture
def rc(pool, wait_for):
    cluster, rc = pool
    yield rc
    if "more" in cluster.engines:
        cluster.stop_engines_sync("more")
    cluster.scale_sync(2)
    wait_for(lambda: rc.ids == [0, 1])


# -- engine sets ------------------------------------------------------------------------------------------------------


def test_the_rank_of_an_engine(cluster, rc):
    """ENG-07: the engine knows its id, and so does whoever scatters the ids; ENG-04: it knows its cluster."""
    rc[:].execute("number = get_ipython().kernel.engine_id", block=True)
    assert rc[:].pull("number", block=True) == rc.ids
    rc[:].scatter("rank", rc.ids, flatten=True, block=True)
    assert rc[:].pull("rank", block=True) == rc.ids
    assert rc[:].apply_sync(where, "PXKERNEL_CLUSTER") == [str(cluster.cluster_file)] * 2


def test_the_first_set(cluster, rc):
    """CLU-06: sets by name, with what their processes have printed (CLU-28)."""
    assert list(cluster.engines) == ["0"]
    first = cluster.engine_set
    assert (first.id, first.n, first.ids, first.state) == ("0", 2, [0, 1], "running")
    assert [engine["pid"] for engine in first.engines] == rc[:].apply_sync(os.getpid)
    assert cluster.controller.state == "running" and psutil.pid_exists(cluster.controller.pid)


def test_start_and_stop_engines(cluster, rc):
    """CLU-08, CLU-12: a set of its own joins, works, and ends without touching the others."""
    pids = rc[:].apply_sync(os.getpid)
    assert cluster.start_engines_sync(2, "more") == "more"
    rc.wait_for_engines(timeout=SOON)
    added = cluster.engines["more"].ids
    assert rc.ids == [0, 1, *added] and min(added) > 1
    assert rc[added].apply_sync(where, "PX_RANK") == [str(engine) for engine in added]
    assert rc[added].pull("starts", block=True) == [1, 1]
    processes = [psutil.Process(rc.engine_info(engine)["pid"]) for engine in added]
    pending = rc[added[0]].apply_async(time.sleep, 100)
    cluster.stop_engines_sync("more")
    assert not any(process.is_running() for process in processes)
    with pytest.raises(px.EngineError, match=f"engine {added[0]} was stopped"):
        pending.get(SOON)
    assert list(cluster.engines) == ["0"] and rc[[0, 1]].apply_sync(os.getpid) == pids
    with pytest.raises(IndexError, match=f"engine {added[0]} was stopped"):
        rc[added[0]]


def test_what_an_engine_costs_the_controller(cluster, rc):
    """Issue 5, point 5: no thread of its own, and few open files."""
    controller, added = psutil.Process(cluster.controller.pid), 4
    files, threads = controller.num_fds(), controller.num_threads()
    cluster.start_engines_sync(added, "more")
    rc.wait_for_engines(2 + added, timeout=SOON)
    assert controller.num_fds() - files <= 12 * added
    assert controller.num_threads() - threads < added


def test_sets_and_engines_that_do_not_exist(cluster, rc):
    for call in (cluster.stop_engines_sync, cluster.restart_engines_sync):
        with pytest.raises(KeyError, match="nobody"):
            call("nobody")
    with pytest.raises(KeyError, match="nobody"):
        cluster.signal_engines_sync(signal.SIGUSR1, "nobody")
    for call in (cluster.stop_engine_sync, cluster.restart_engine_sync):
        with pytest.raises(IndexError, match=r"^No such engine: 99$"):
            call(99)
    with pytest.raises(IndexError, match="No such engine: 99"):
        cluster.signal_engine_sync(signal.SIGINT, 99)
    with pytest.raises(ValueError, match="12345"):
        cluster.signal_engine_sync(12345, 0)
    with pytest.raises(ValueError, match="number of engines, not -1"):
        cluster.scale_sync(-1)
    with pytest.raises(ValueError, match="number of engines, not 'x'"):
        cluster.start_engines_sync("x")
    with pytest.raises(ValueError, match="engine_set_id must be the name of an engine set, not ''"):
        cluster.start_engines_sync(1, "")
    assert rc.ids == [0, 1] and list(cluster.engines) == ["0"]


def test_scale(cluster, rc):
    """CLU-18: the engines with the highest ids go first, new ones join the last set; ids are never used twice."""
    added = cluster.scale_sync(4)
    rc.wait_for_engines(4, timeout=SOON)
    assert rc.ids == [0, 1, *added] and cluster.engine_set.n == 4
    assert cluster.scale_sync(3) == added[1:]
    again = cluster.scale_sync(4)
    assert again[0] > added[1]
    assert cluster.scale_sync(4) == []
    assert sorted(cluster.scale_sync(2)) == [added[0], *again]


def test_one_engine_is_stopped(cluster, rc):
    """CLU-17."""
    (added,) = cluster.scale_sync(3)
    rc.wait_for_engines(3, timeout=SOON)
    cluster.stop_engine_sync(added)
    with pytest.raises(IndexError, match="was stopped"):
        rc[added]
    with pytest.raises(IndexError, match=f"No such engine: {added}: engine {added} was stopped"):
        cluster.restart_engine_sync(added)
    # Nobody waits for an engine that was stopped.
    rc.wait_for_engines(timeout=SOON)


def test_another_process_adds_engines(cluster, rc, run_python):
    """CLI-04 of the peer made orphans of the engines that it found."""
    other = run_python(f"""
        import pxkernel as px
        cluster = px.Cluster.from_file({str(cluster.cluster_file)!r})
        try:
            cluster.start_engines_sync(1, "more")
        except ValueError as error:
            print(error)
        print(cluster.start_engines_sync(1, "more", environment={{"PX_RANK": "last"}}))
    """)
    assert other.stdout.splitlines() == [
        "the engines of this cluster have different environments: say which new ones get, environment=",
        "more",
    ], other.stderr
    rc.wait_for_engines(3, timeout=SOON)
    assert rc[-1].apply_sync(where, "PX_RANK") == "last" and list(cluster.engines) == ["0", "more"]


# -- restarts ---------------------------------------------------------------------------------------------------------


def test_restart_engines(cluster, rc):
    """CLU-15: the same ids and new kernels, which are ready; environment and start-up code as before."""
    before, views = rc[:].apply_sync(os.getpid), [rc[0], rc[:]]
    uuids = [rc.engine_info(engine)["uuid"] for engine in rc.ids]
    rc[:].push({"a": 5}, block=True)
    cluster.restart_engines_sync()
    assert rc.ids == [0, 1]
    after = views[1].apply_sync(os.getpid)
    assert not set(before) & set(after)
    assert rc[:].apply_sync(where, "PX_RANK") == ["0", "1"] and rc[:].pull("starts", block=True) == [1, 1]
    assert [rc.engine_info(engine)["pid"] for engine in rc.ids] == after
    assert not set(uuids) & {rc.engine_info(engine)["uuid"] for engine in rc.ids}
    with pytest.raises(NameError):
        views[0].pull("a", block=True)
    cell = rc[:].execute("print('hi'); 6 * 7", silent=False)
    assert cell.get(SOON)[0].data["text/plain"] == "42" and cell.stdout == ["hi\n"] * 2


def test_what_was_sent_to_the_old_kernel_never_runs_in_the_new_one(cluster, rc, wait_for, tmp_path):
    """CLU-17: it fails and says why; the other engine is not touched."""
    mark = tmp_path / "runs"
    running = rc[0].apply_async(touch_and_sleep, mark)
    waiting = [rc[0].apply_async((tmp_path / f"waits{number}").touch) for number in range(5)]
    cell, other = rc[0].execute("1", silent=False), rc[1].apply_async(os.getpid)
    wait_for(mark.exists)
    cluster.restart_engine_sync(0)
    for result in (running, *waiting, cell):
        with pytest.raises(px.EngineError, match="engine 0 was restarted"):
            result.get(SOON)
    assert rc[0].apply_async(lambda: "new").get(SOON) == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    assert other.get(SOON) == rc.engine_info(1)["pid"]


def test_what_is_submitted_during_a_restart_runs_on_the_new_kernel(cluster, rc):
    old = rc[0].apply_sync(os.getpid)
    restart = threading.Thread(target=cluster.restart_engine_sync, args=[0])
    restart.start()
    results = []
    while restart.is_alive():
        results.append(rc[0].apply_async(os.getpid))
        restart.join(0.02)
    new = rc[0].apply_sync(os.getpid)
    pids = []
    for result in results:
        try:
            pids.append(result.get(SOON))
        except px.EngineError as error:
            assert "engine 0 was restarted" in str(error)
    assert new != old and pids[-1] == new and set(pids) <= {old, new}
    assert pids == sorted(pids, key=[old, new].index)


def test_a_dead_engine_is_restarted(cluster, rc, wait_for):
    with pytest.raises(px.EngineError, match=r"died \(exit code 3\)"):
        rc[1].apply_async(os._exit, 3).get(SOON)
    wait_for(lambda: rc.ids == [0])
    assert cluster.engine_set.n == 1 and [e["state"] for e in cluster.engine_set.engines] == ["running", "dead"]
    cluster.restart_engine_sync(1)
    wait_for(lambda: rc.ids == [0, 1])
    assert rc[1].apply_sync(where, "PX_RANK") == "1"


def test_a_new_kernel_is_killed_while_it_starts(cluster, rc, wait_for):
    """kill -9 during a restart: the restart fails and says so, what waits fails, and the next restart works."""
    outcome = []

    def restart():
        try:
            cluster.restart_engine_sync(0)
        except px.EngineError as error:
            outcome.append(str(error))

    rc[:].apply_sync(os.getpid)
    old = rc.engine_info(0)["pid"]
    thread = threading.Thread(target=restart)
    thread.start()

    def newer():
        pid = cluster.engine_set.engines[0]["pid"]
        return pid if pid != old else None

    psutil.Process(wait_for(newer)).kill()
    thread.join(SOON)
    assert not thread.is_alive()
    if outcome:
        assert "engine 0 died (by SIGKILL)" in outcome[0]
    wait_for(lambda: rc.ids == [1])
    cluster.restart_engine_sync(0)
    wait_for(lambda: rc.ids == [0, 1])
    assert rc[0].apply_sync(lambda: 1) == 1


def test_restarts_that_overtake_each_other(cluster, rc, wait_for):
    """A storm: several restarts of the same engines at once, with work before, between and after."""
    errors = []

    def restart(engine):
        try:
            cluster.restart_engine_sync(engine)
        except Exception as error:
            errors.append(error)

    results = [rc[:].apply_async(time.sleep, 0.01) for _ in range(20)]
    threads = [threading.Thread(target=restart, args=[engine]) for engine in (0, 1, 0)]
    for thread in threads:
        thread.start()
        results += [rc[:].apply_async(os.getpid) for _ in range(5)]
    for thread in threads:
        thread.join(3 * SOON)
    assert not errors and not any(thread.is_alive() for thread in threads)
    assert rc.wait(results, SOON)
    after = rc[:].apply_sync(os.getpid)
    assert all(psutil.Process(pid).is_running() for pid in after)
    wait_for(lambda: [engine["state"] for engine in cluster.engine_set.engines] == ["running", "running"])


def test_balanced_work_goes_on_through_a_restart(cluster, rc):
    """What ran on the old kernels fails, unless it may be retried; what waited for any engine runs on the new ones."""
    view = rc.load_balanced_view()
    once = [view.apply_async(time.sleep, 0.02) for _ in range(40)]
    with view.temp_flags(retries=3):
        again = [view.apply_async(pow, 2, number) for number in range(40)]
    cluster.restart_engines_sync()
    assert [result.get(SOON) for result in again] == [2**number for number in range(40)]
    failures = []
    for result in once:
        try:
            result.get(SOON)
        except px.EngineError as error:
            failures.append(str(error))
    assert len(failures) < len(once) and all("was restarted" in failure for failure in failures)


# -- signals ----------------------------------------------------------------------------------------------------------


def test_signal_engines(cluster, rc, wait_for, tmp_path):
    """CLU-16: SIGINT ends what runs, and idle engines ignore it; one engine alone is CLU-17."""
    result = rc[0].apply_async(touch_and_sleep, tmp_path / "mark")
    wait_for((tmp_path / "mark").exists)
    cluster.signal_engines_sync(signal.SIGINT)
    with pytest.raises(px.RemoteError, match="KeyboardInterrupt"):
        result.get(SOON)
    cluster.signal_engine_sync(signal.SIGINT, 1)
    assert rc[:].apply_async(lambda: 1).get(SOON) == [1, 1]


def test_a_signal_that_ends_an_engine(cluster, rc, wait_for):
    (added,) = cluster.scale_sync(3)
    rc.wait_for_engines(3, timeout=SOON)
    cluster.signal_engine_sync(signal.SIGKILL, added)
    wait_for(lambda: rc.ids == [0, 1])
    with pytest.raises(IndexError, match=rf"engine {added} died \(by SIGKILL\)"):
        rc[added]
    cluster.stop_engine_sync(added)


# -- both forms -------------------------------------------------------------------------------------------------------


def test_every_method_has_both_forms():
    """CLU-19."""
    forms = {name for name in dir(px.Cluster) if name.endswith("_sync")}
    assert forms >= {
        f"{name}_sync"
        for name in (
            "start_controller start_engines start_cluster start_and_connect connect_client stop_engines stop_engine "
            "stop_controller stop_cluster restart_engines restart_engine signal_engines signal_engine scale wait"
        ).split()
    }
    for name in forms:
        twin = getattr(px.Cluster, name.removesuffix("_sync"))
        assert asyncio.iscoroutinefunction(twin) and twin.__doc__ and twin.__name__ == name.removesuffix("_sync")


def test_the_awaitable_forms(nothing_is_left):
    """CLU-07, CLU-09, CLU-13: each step by itself."""

    async def main():
        cluster = px.Cluster(n=1)
        assert cluster.engines == {} and cluster.engine_set is None and cluster.controller is None
        assert await cluster.start_controller() is cluster
        assert cluster.controller.state == "running" and cluster.engines == {}
        with pytest.raises(px.ClusterError, match="running already"):
            await cluster.start_controller()
        assert await cluster.start_cluster() is cluster
        rc = await cluster.connect_client()
        rc.wait_for_engines(timeout=SOON)
        assert rc.ids == [0]
        await cluster.restart_engine(0)
        await cluster.signal_engines(signal.SIGINT)
        assert await rc[0].apply_async(lambda: 1) == 1
        await cluster.stop_engine(0)
        assert cluster.engines == {}
        await cluster.stop_controller()
        await cluster.stop_controller()
        assert cluster.controller is None
        rc.close()

    asyncio.run(main())


# -- start-up code and environment ------------------------------------------------------------------------------------


def test_a_function_as_start_up_code(notebook, wait_for):
    """ENG-05: it runs in the engine's namespace, with what it uses, before the engine is ready, and after a restart."""
    names = notebook("""
        def helper():
            return 41

        async def start():
            global rank
            rank = helper() + 1
    """)
    cluster = px.Cluster(n=1, on_start=names["start"], environment={"PX_A": "a b"}, preload=["json.tool", "no_such_module"])
    with cluster as rc:
        assert rc[0].pull("rank", block=True) == 42 and rc[0].apply_sync(where, "PX_A") == "a b"
        cluster.restart_engine_sync(0)
        assert rc[0].pull("rank", block=True) == 42
        assert rc[0].apply_sync(lambda: "json.tool" in __import__("sys").modules)


@pytest.mark.parametrize("on_start", ["1 / 0", "def f(:", lambda: 1 / 0])
def test_start_up_code_that_fails(on_start):
    with pytest.raises(px.EngineError, match="on_start failed: (ZeroDivisionError: division by zero|SyntaxError)"):
        px.Cluster(n=1, on_start=on_start).start_and_connect_sync()


def test_a_restart_whose_start_up_code_fails(tmp_path):
    code = f"import os\nif os.path.exists({str(tmp_path / 'mark')!r}):\n    raise ValueError('not again')"
    cluster = px.Cluster(n=1, on_start=code)
    with cluster as rc:
        (tmp_path / "mark").touch()
        with pytest.raises(px.EngineError, match="(?s)1 engine could not be restarted.*on_start failed: ValueError: not again"):
            cluster.restart_engine_sync(0)
        (tmp_path / "mark").unlink()
        cluster.restart_engine_sync(0)
        rc.wait_for_engines(1, timeout=SOON)
        assert rc[0].apply_sync(lambda: 1) == 1


def test_a_variable_is_removed_and_threads_are_the_users(monkeypatch):
    """LAU-07, LAU-08."""
    monkeypatch.setenv("PX_GONE", "here")
    arguments = ["--IPKernelApp.exec_lines=from_line=8"]
    with px.Cluster(n=1, environment={"PX_GONE": None, "OMP_NUM_THREADS": "3"}, engine_args=arguments) as rc:
        assert rc[0].pull("from_line", block=True) == 8
        assert rc[0].apply_sync(where, "PX_GONE") is None
        assert rc[0].apply_sync(where, "OMP_NUM_THREADS") == "3"
        assert rc[0].apply_sync(where, "OPENBLAS_NUM_THREADS") is None


@pytest.mark.parametrize(
    "options, error",
    [
        ({"environment": {"A": 1}}, "the value of A must be a string or None, not 1"),
        ({"environment": {"A=": "1"}}, "'A=' is no name of a variable"),
        ({"environment": "A=1"}, "environment must be a mapping"),
        ({"on_start": 5}, "on_start must be source code or a function, not 5"),
        ({"preload": "json"}, "preload must be a list of strings, not 'json'"),
        ({"preload": ["a b"]}, "preload must be a list of names of modules, and 'a b' is none"),
        ({"engine_args": "--x"}, "engine_args must be a list of strings, not '--x'"),
        ({"engines": object}, "engines must be the name of a provisioner"),
        ({"foo": 1}, "unexpected keyword argument 'foo'"),
    ],
)
def test_what_is_refused_at_the_call(options, error):
    """CLU-01, CLU-02: unknown keywords are errors, and launcher classes do not exist."""
    with pytest.raises(TypeError, match=error):
        px.Cluster(n=1, **options)


def test_an_environment_function_that_returns_nonsense():
    cluster = px.Cluster(n=1, environment=lambda engine: {"A": engine})
    with pytest.raises(TypeError, match="environment for engine 0: the value of A must be a string or None, not 0"):
        cluster.start_cluster_sync()
    assert not cluster.running
    with pytest.raises(ValueError, match="controller must be 'local'"):
        px.Cluster(controller="mpi")


# -- description and profile ------------------------------------------------------------------------------------------


def test_to_dict_and_from_dict(cluster, rc):
    """CLU-23."""
    description = json.loads(json.dumps(cluster.to_dict()))
    assert description["cluster"]["cluster_id"] == cluster.cluster_id
    assert [engine["id"] for engine in description["engines"]["sets"]["0"]["engines"]] == [0, 1]
    same = px.Cluster.from_dict(description)
    assert same.running and same.cluster_file == cluster.cluster_file and not same.shutdown_atexit
    other = px.Cluster.from_dict(px.Cluster(n=3, cluster_id="planned", profile="mine").to_dict())
    assert (other.n, other.cluster_id, other.profile, other.running) == (3, "planned", "mine", False)


def test_a_profile(nothing_is_left, monkeypatch):
    """CLU-03, CLU-04, RC-02: one id in two profiles; the engines read the profile's own start-up files."""
    startup = nothing_is_left.parent / "ipython" / "profile_mine" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("from_profile = 7\n")
    with px.Cluster(n=1, cluster_id="x", profile="mine") as rc, px.Cluster(n=0, cluster_id="x"):
        assert rc[0].pull("from_profile", block=True) == 7
        found = px.Cluster.from_file(profile="mine")
        assert found.cluster_file == rc.cluster.cluster_file
        assert px.Cluster.from_file(cluster_id="x", profile="mine").cluster_file == found.cluster_file
        assert px.Cluster.from_file(cluster_id="x").cluster_file != found.cluster_file
        assert "profile='mine'" in repr(found)
        with pytest.raises(FileNotFoundError, match="no cluster of the profile 'other' is running"):
            px.Cluster.from_file(profile="other")
    with pytest.raises(px.ClusterError, match="'a/b' cannot be a profile"):
        px.Cluster(profile="a/b")
