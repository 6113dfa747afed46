"""What an engine is: a stock kernel, with the notebook's surroundings (issue 2, point 3), and how it dies."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from jupyter_client import BlockingKernelClient

import pxkernel as px

SOON = 10


@pytest.fixture(scope="module")
def project(nothing_is_left, tmp_path_factory):
    """A folder with a module, an environment and an IPython configuration, and a cluster that was started there."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "only_here.py").write_text("answer = 42\n")
    (folder / "my_extension.py").write_text("def load_ipython_extension(shell):\n    shell.user_ns['loaded'] = True\n")
    profile = folder / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("c.InteractiveShellApp.extensions = ['my_extension']\n")
    (folder / "cwd").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "cwd")
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("PX_TEST_VARIABLE", "ä b\n")
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        with px.Cluster(n=2) as client:
            yield folder, client


# -- a stock kernel ---------------------------------------------------------------------------------------------------


def test_the_kernel_is_ipykernels_own(cluster4):
    """JUP-01"""

    def work():
        from IPython import get_ipython

        kernel = get_ipython().kernel
        return type(kernel).__module__, type(kernel).__qualname__, type(get_ipython()).__qualname__

    assert cluster4[:].apply_sync(work) == [("ipykernel.ipkernel", "IPythonKernel", "ZMQInteractiveShell")] * 4


def test_the_provisioner_is_found_by_entry_point(cluster4):
    """LAU-06"""
    from jupyter_client.provisioning import KernelProvisionerFactory

    assert "pxkernel-forkserver" in KernelProvisionerFactory.instance().get_provisioner_entries()
    names = [psutil.Process(cluster4.engine_info(engine)["pid"]).parent().cmdline() for engine in cluster4.ids]
    assert all("pxkernel.kernels._forkserver_main" in name for name in names)


def test_another_front_end_sees_the_same_namespace(cluster4, view):
    """ENG-02"""
    client = BlockingKernelClient(connection_file=str(cluster4.connection_file(1)))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SOON)
        view["a"] = 5
        reply = client.execute_interactive(
            "b = a + 1", user_expressions={"a": "a"}, timeout=SOON, output_hook=lambda _: None
        )
        assert reply["content"]["user_expressions"]["a"]["data"]["text/plain"] == "5"
        assert cluster4[1].pull("b").get(SOON) == 6
        with pytest.raises(px.RemoteError, match="NameError"):
            cluster4[0].pull("b").get(SOON)
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)


def test_jupyter_console(cluster4):
    pexpect = pytest.importorskip("pexpect")
    pytest.importorskip("jupyter_console")
    cluster4[2].push({"a": 4321}).get(SOON)
    console = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--existing", str(cluster4.connection_file(2)), "--simple-prompt"],
        encoding="utf-8",
        timeout=30,
        env={**os.environ, "TERM": "dumb"},
    )
    try:
        console.expect(r"In \[\d+\]")
        console.sendline("b = a * 2; b")
        console.expect("8642")
        assert cluster4[2].pull("b").get(SOON) == 8642
        console.sendline("exit(keep_kernel=True)")
        console.expect(pexpect.EOF)
    finally:
        console.close(force=True)
    assert cluster4[2].apply_async(lambda: 1).get(SOON) == 1


def test_random_numbers_differ(cluster4):
    def work():
        import random

        import numpy

        return random.random(), numpy.random.random()

    numbers = [number for pair in cluster4[:].apply_sync(work) for number in pair]
    assert len(set(numbers)) == 8


def test_no_history_is_written(cluster4, nothing_is_left):
    cluster4[:].execute("enabled = get_ipython().history_manager.enabled", silent=False).get(SOON)
    ipython = nothing_is_left.parent / "ipython"
    assert [path for path in ipython.rglob("history.sqlite*") if path.stat().st_size] == []
    assert cluster4[:].pull("enabled").get(SOON) == [False] * 4


# -- the surroundings -------------------------------------------------------------------------------------------------


def test_directory_and_environment(project):
    folder, rc = project

    def work():
        import os

        import only_here

        return os.getcwd(), os.environ["PX_TEST_VARIABLE"], os.environ.get("JPY_PARENT_PID"), only_here.answer

    assert rc[:].apply_sync(work) == [(str(folder / "cwd"), "ä b\n", None, 42)] * 2


def test_the_extensions_of_the_users_configuration(project, monkeypatch):
    folder, rc = project
    assert rc[:].pull("loaded").get(SOON) == [True, True]
    profile = folder / "kernel" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.extensions = ['my_extension']\n")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "kernel"))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with px.Cluster(n=1) as second:
        assert second[0].pull("loaded").get(SOON) is True


THREADS = """
import numpy
a = numpy.ones((200, 200)); a @ a
from threadpoolctl import threadpool_info
threads = {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}
"""


@pytest.mark.parametrize("engines", [None, "local"])
@pytest.mark.parametrize("n", [1, 2])
def test_threads_of_numerical_libraries(n, engines):
    with px.Cluster(n=n, engines=engines) as rc:
        rc[:].execute(THREADS).get(SOON)
        assert rc[:].pull("threads").get(SOON) == [{max(1, len(os.sched_getaffinity(0)) // n)}] * n


def test_the_number_of_threads_that_the_user_has_set(monkeypatch):
    # Without it a single engine has all cores.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with px.Cluster(n=1) as rc:
        rc[:].execute(THREADS).get(SOON)
        assert rc[:].pull("threads").get(SOON) == [{1}]


# -- other kernelspecs ------------------------------------------------------------------------------------------------


def is_forked(rc, engine=0):
    return "pxkernel.kernels._forkserver_main" in psutil.Process(rc.engine_info(engine)["pid"]).cmdline()


def test_the_environment_of_the_kernelspec(kernelspec):
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    name = kernelspec("mine", argv, env={"PX_SPEC": "spec"})
    with px.Cluster(n=1, kernel_name=name) as rc:
        assert rc[0].apply_sync(lambda: os.environ["PX_SPEC"]) == "spec" and is_forked(rc)


def test_an_environment_that_python_reads_at_its_start(kernelspec):
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    name = kernelspec("mine", argv, env={"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"})
    with px.Cluster(n=1, kernel_name=name) as rc:
        assert not is_forked(rc)
        seeds = rc[0].apply_sync(lambda: (os.environ["PYTHONHASHSEED"], sys.flags.hash_randomization))
        assert seeds == ("5", 1)


def test_another_command_line(kernelspec):
    argv = [sys.executable, "-X", "dev", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    name = kernelspec("dev", argv)
    with px.Cluster(n=1, kernel_name=name) as rc:
        assert not is_forked(rc) and rc[0].apply_sync(lambda: sys.flags.dev_mode) is True


def test_what_an_engine_imports_is_preloaded(tmp_path, monkeypatch):
    """Issue 5, point 4: what comes after the fork costs time and memory in every engine."""
    code = (
        "import json, sys; from pxkernel.kernels._forkserver_main import preload; preload([]);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    command = [sys.executable, "-Xfrozen_modules=off", "-c", code]
    preloaded = json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with px.Cluster(n=1) as rc:
        assert is_forked(rc)
        modules = rc[0].apply_sync(lambda: sorted(sys.modules))
    assert set(modules) - set(preloaded) == set()


def test_local_engines():
    """LAU-01"""
    with px.Cluster(n=2, engines="local") as rc:
        assert not is_forked(rc) and not is_forked(rc, 1)
        assert rc[:].apply_sync(os.getpid) == [rc.engine_info(engine)["pid"] for engine in rc.ids]
        result = rc[:].execute("print('out')", silent=False)
        assert result.get(SOON) and result.stdout == ["out\n"] * 2


# -- death ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three():
    with px.Cluster(n=3) as client:
        yield client


def others_go_on(rc, dead):
    assert dead not in rc.ids and len(rc) == 2
    assert rc[:].apply_async(lambda: 1).get(SOON) == [1, 1]
    with pytest.raises(IndexError, match=f"No such engine: {dead}: engine {dead} died"):
        rc[dead]


def test_an_engine_exits_during_a_task(three, wait_for, tmp_path):
    """RC-30"""

    def work(go):
        while not go.exists():
            time.sleep(0.01)
        os._exit(3)

    start, go = time.monotonic(), tmp_path / "go"
    before = three[:].apply_async(abs, -1)
    dying, waiting = three[1].apply_async(work, go), [three[1].apply_async(abs, -1) for _ in range(3)]
    cell, all_of_them = three[1].execute("1", silent=False), three[:].apply_async(abs, -2)
    go.touch()
    for result in (dying, *waiting, cell):
        with pytest.raises(px.EngineError, match=r"engine 1 died \(exit code 3\)") as caught:
            result.get(SOON)
        assert caught.value.engine_info["engine_id"] == 1
    assert all_of_them.get(SOON, return_exceptions=True)[::2] == [2, 2]
    with pytest.raises(px.CompositeError) as caught:
        all_of_them.get(SOON)
    assert caught.value.elist[0][0] == "EngineError" and len(caught.value.exceptions) == 1
    assert before.get(SOON) == [1, 1, 1]
    assert time.monotonic() - start < 5
    wait_for(lambda: three.ids == [0, 2])
    others_go_on(three, 1)


@pytest.mark.parametrize("busy", [True, False])
def test_an_engine_is_killed(three, wait_for, busy, tmp_path):
    """RC-30, CTL-07"""

    def work(mark):
        mark.touch()
        while True:
            pass

    results = [three[0].apply_async(work, tmp_path / "mark"), three[0].execute("1")] if busy else []
    wait_for(lambda: not busy or (tmp_path / "mark").exists())
    psutil.Process(three.engine_info(0)["pid"]).kill()
    for result in results:
        with pytest.raises(px.EngineError, match=r"engine 0 died \(by SIGKILL\)"):
            result.get(SOON)
    wait_for(lambda: three.ids == [1, 2])
    others_go_on(three, 0)


def test_an_engine_dies_in_a_cell(three, wait_for):
    """RC-30"""
    result = three[2].execute("import os; os._exit(0)", silent=False)
    with pytest.raises(px.EngineError, match=r"engine 2 died \(exit code 0\)"):
        result.get(SOON)
    assert result.stdout == "" and result.wait_for_output(SOON)
    wait_for(lambda: three.ids == [0, 1])
    others_go_on(three, 2)


def test_a_segmentation_fault_says_where(three, wait_for, notebook):
    work = notebook("""
        def reads_address_zero():
            import ctypes
            ctypes.string_at(0)
    """)["reads_address_zero"]
    result = three[0].apply_async(work)
    with pytest.raises(px.EngineError, match=r"(?s)engine 0 died \(by SIGSEGV\).*Segmentation fault") as caught:
        result.get(SOON)
    assert "reads_address_zero" in str(caught.value)
    wait_for(lambda: three.ids == [1, 2])
    others_go_on(three, 0)


def test_the_last_engine_dies(wait_for):
    """RC-31"""
    with px.Cluster(n=1) as rc:
        rc[0].apply_async(os._exit, 1)
        wait_for(lambda: rc.ids == [])
        with pytest.raises(px.NoEnginesRegistered):
            rc[:]
        with pytest.raises(px.EngineError, match="exit code 1"):
            rc.wait_for_engines(1, timeout=SOON)


HANG_UP = """
def hang_up():
    import gc, time
    from pxkernel.protocol.stream import Stream
    for stream in [found for found in gc.get_objects() if isinstance(found, Stream)]:
        stream.close()
    time.sleep(1e4)
"""


@pytest.mark.parametrize("engines", ["forkserver", "local"])
def test_an_engine_that_has_lost_its_connection(engines, wait_for, notebook):
    """CTL-07: it is not listed for ever; its calls fail with the reason, its process goes, and it can be restarted."""
    with px.Cluster(n=2, engines=engines) as rc:
        process = psutil.Process(rc[0].apply_sync(os.getpid))
        lost, behind = rc[0].apply_async(notebook(HANG_UP)["hang_up"]), rc[0].apply_async(int)
        for result in (lost, behind):
            with pytest.raises(px.EngineError, match="engine 0 has lost its connection to the controller and was killed"):
                result.get(SOON)
        wait_for(lambda: rc.ids == [1])
        assert rc[1].apply_sync(int) == 0
        wait_for(lambda: not process.is_running())
        rc.cluster.restart_engine_sync(0)
        assert rc[:].apply_sync(int) == [0, 0]
