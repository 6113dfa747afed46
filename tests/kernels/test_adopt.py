"""Kernels that somebody else has started become engines and are released again (issue 2, point 3)."""

import os
import signal

import psutil
import pytest
from jupyter_client import KernelManager

import pxkernel as px
from pxkernel.protocol.stackfile import stack_file

SOON = 10


class Notebook:
    """A stock kernel and its front end."""

    def __init__(self, folder, transport, env=None, arguments=()):
        place = {"ip": str(folder / "k")} if transport == "ipc" else {}
        self.manager = KernelManager(transport=transport, connection_file=str(folder / "kernel.json"), **place)
        self.manager.start_kernel(env={**os.environ, **(env or {})}, extra_arguments=list(arguments))
        # A context of its own would be left to the collector.
        self.client = self.manager.client(context=self.manager.context)
        self.client.start_channels()
        self.client.wait_for_ready(timeout=20)
        self.pid = self.manager.provisioner.pid

    def run(self, code):
        """What the cell printed; raises RuntimeError if it failed."""
        texts = []
        reply = self.client.execute_interactive(
            code, timeout=SOON, output_hook=lambda m: texts.append(m["content"].get("text", ""))
        )
        content = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError(f"{content['ename']}: {content['evalue']}")
        return "".join(texts)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def start(tmp_path_factory):
    notebooks = []

    def start(transport="ipc", **options):
        notebooks.append(Notebook(tmp_path_factory.mktemp("k"), transport, **options))
        return notebooks[-1]

    yield start
    for notebook in notebooks:
        notebook.close()


@pytest.fixture
def rc():
    with px.Cluster(n=1) as client:
        yield client


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_kernel_becomes_an_engine(rc, start, notebook, transport):
    kernel = start(transport)
    kernel.run("a = 5")
    assert kernel.run("%load_ext pxkernel.engine") == ""
    rc.wait_for_engines(2, timeout=SOON)
    assert rc.engine_info(1)["adopted"] and not rc.engine_info(0)["adopted"]
    assert rc[1].apply_async(notebook("def f(x):\n    return a + x")["f"], 1).get(SOON) == 6
    assert rc[:].apply_async(os.getpid).get(SOON) == [rc.engine_info(0)["pid"], kernel.pid]
    rc[1].push({"b": 7}).get(SOON)
    assert kernel.run("print(a + b)") == "12\n"
    cell = rc[1].execute("print('cell'); b * 2", silent=False)
    assert cell.get(SOON).data["text/plain"] == "14" and cell.stdout == "cell\n"
    printed = rc[1].apply_async(print, "task")
    assert printed.get(SOON) is None and printed.stdout == "task\n"
    rc[:].scatter("c", range(4)).get(SOON)
    assert kernel.run("print(c)") == "[2, 3]\n"
    failed = rc[1].execute("1 / 0", silent=False)
    with pytest.raises(ZeroDivisionError):
        failed.get(SOON)
    rc.cluster.stop_cluster_sync()
    # Released: alive, with its namespace, and it can print.
    assert kernel.run("print(a + b)") == "12\n" and kernel.manager.is_alive()


def test_it_can_be_interrupted(rc, start, tmp_path, wait_for):
    kernel = start()
    kernel.run("%load_ext pxkernel.engine\nkept = 1")
    rc.wait_for_engines(2, timeout=SOON)

    def work(mark):
        mark.touch()
        while True:
            pass

    running = rc[1].apply_async(work, tmp_path / "mark")
    wait_for((tmp_path / "mark").exists)
    rc.interrupt(running)
    with pytest.raises(px.RemoteError) as caught:
        running.get(SOON)
    assert caught.value.ename == "KeyboardInterrupt" and kernel.run("print(kept)") == "1\n"


def test_it_is_interrupted_after_it_has_left(rc, start, wait_for):
    """LAU-06, issue 2: in the middle of a cell, again and again, and by the end of the cluster; it lives on."""
    kernel = start()
    for _ in range(2):
        kernel.run("%load_ext pxkernel.engine\nkept = 1")
        wait_for(lambda: len(rc) == 2)
        # With its first task it takes the signal.
        assert rc[-1].apply_async(lambda: 1).get(SOON) == 1
        kernel.run("%unload_ext pxkernel.engine")
        wait_for(lambda: len(rc) == 1)
        os.kill(kernel.pid, signal.SIGINT)
        assert kernel.run("print(kept)") == "1\n"
    kernel.run("%load_ext pxkernel.engine")
    wait_for(lambda: len(rc) == 2)
    rc.cluster.stop_cluster_sync()
    os.kill(kernel.pid, signal.SIGINT)
    assert kernel.run("print(kept)") == "1\n" and kernel.manager.is_alive()
    with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        kernel.run("import os, signal; os.kill(os.getpid(), signal.SIGINT)\nwhile True: pass")


def test_its_own_cells_and_tasks_take_turns(rc, start):
    kernel = start()
    kernel.run("%load_ext pxkernel.engine")
    rc.wait_for_engines(2, timeout=SOON)
    results = [rc[1].apply_async(lambda: sum(range(10_000))) for _ in range(200)]
    for number in range(5):
        assert kernel.run(f"print({number})") == f"{number}\n"
    assert {result.get(SOON) for result in results} == {49995000}


def test_it_may_drive_the_cluster_but_not_wait_for_itself(rc, start):
    kernel = start()
    kernel.run("%load_ext pxkernel.engine")
    # It is ready when this cell has ended.
    rc.wait_for_engines(2, timeout=SOON)
    kernel.run("import os, pxkernel as px\nrc = px.Client()\nrc.wait_for_engines(2)")
    assert kernel.run("print(rc[0].apply_sync(os.getpid) != os.getpid())") == "True\n"
    for call in ("rc[1].apply_sync(os.getpid)", "rc[:].execute('1', block=True)", "rc[:].apply_async(os.getpid).get()"):
        with pytest.raises(RuntimeError, match="would wait for a call to engine 1.*block=False"):
            kernel.run(call)
    kernel.run("ar = rc[1].apply_async(os.getpid)")
    with pytest.raises(RuntimeError, match="would wait for"):
        kernel.run("rc[1].apply_async(os.getpid).wait()")
    assert rc[1].apply_async(os.getpid).get(SOON) == kernel.pid
    assert kernel.run("print(ar.get() == os.getpid())") == "True\n"
    kernel.run("rc.close()")


def test_leaving_and_coming_back(rc, start, wait_for):
    kernel = start()
    for engine in (1, 2):
        kernel.run("%load_ext pxkernel.engine" if engine == 1 else "%reload_ext pxkernel.engine")
        wait_for(lambda: rc.ids == [0, engine])
        assert rc[engine].apply_async(os.getpid).get(SOON) == kernel.pid
        assert "in launch_instance" in rc.stacks(engine)[engine] and stack_file(rc.directory, kernel.pid).exists()
        kernel.run("%unload_ext pxkernel.engine")
        wait_for(lambda: rc.ids == [0])
        with pytest.raises(IndexError, match=f"engine {engine} has left the cluster"):
            rc[engine]
        # Nobody may send the signal any more, and nothing else is left behind.
        assert not stack_file(rc.directory, kernel.pid).exists()
        left = "import signal, sys; print(signal.getsignal(signal.SIGURG).name, sys.unraisablehook is sys.__unraisablehook__)"
        assert kernel.run(left) == "SIG_DFL True\n"
    assert rc[:].apply_async(lambda: 1).get(SOON) == [1]


def test_loading_twice(rc, start):
    kernel = start()
    kernel.run("%load_ext pxkernel.engine")
    with pytest.raises(RuntimeError, match="is engine 1 of a cluster already"):
        kernel.run("import pxkernel.engine; pxkernel.engine.load_ipython_extension(get_ipython())")
    rc.wait_for_engines(2, timeout=SOON)
    assert rc[1].apply_async(lambda: 1).get(SOON) == 1


def test_it_leaves_with_work_to_do(rc, start, wait_for, tmp_path):
    kernel = start()
    kernel.run("%load_ext pxkernel.engine")
    rc.wait_for_engines(2, timeout=SOON)
    mark = tmp_path / "mark"
    code = f"import os, time\nwhile not os.path.exists({str(mark)!r}):\n    time.sleep(0.01)\n%unload_ext pxkernel.engine"
    leaving = rc[1].execute(code, silent=False)
    waiting = rc[1].apply_async(abs, -1)
    mark.touch()
    with pytest.raises(px.EngineError, match="engine 1 has left"):
        waiting.get(SOON)
    leaving.wait(SOON)
    wait_for(lambda: rc.ids == [0])
    assert kernel.run("print(1)") == "1\n"


def test_it_dies(rc, start, hold, wait_for):
    kernel = start()
    kernel.run("%load_ext pxkernel.engine")
    rc.wait_for_engines(2, timeout=SOON)
    hold(rc[1])
    results = [rc[1].apply_async(os._exit, 3), rc[1].apply_async(abs, -1)]
    hold.release()
    for result in results:
        with pytest.raises(px.EngineError, match="engine 1 ended"):
            result.get(SOON)
    wait_for(lambda: rc.ids == [0])
    assert rc[:].apply_async(lambda: 1).get(SOON) == [1]


def test_the_controller_is_killed(rc, start):
    kernel = start()
    kernel.run("%load_ext pxkernel.engine")
    controller = psutil.Process(psutil.Process(rc.engine_info(0)["pid"]).ppid()).parent()
    assert "pxkernel.controller" in controller.cmdline()
    controller.kill()
    assert kernel.run("print(1)") == "1\n"
    rc.cluster.stop_cluster_sync()
    with px.Cluster(n=0) as second:
        kernel.run("%reload_ext pxkernel.engine")
        second.wait_for_engines(1, timeout=SOON)
        assert second[:].apply_async(os.getpid).get(SOON) == [kernel.pid]


def test_which_cluster(start):
    kernel = start()
    with pytest.raises(RuntimeError, match="FileNotFoundError: no cluster is running"):
        kernel.run("%load_ext pxkernel.engine")
    with px.Cluster(n=0, cluster_id="first") as first, px.Cluster(n=0, cluster_id="second") as second:
        with pytest.raises(RuntimeError, match="ClusterError: several clusters.*'first', 'second'"):
            kernel.run("%load_ext pxkernel.engine")
        kernel.run("%env PXKERNEL_CLUSTER=second")
        kernel.run("%load_ext pxkernel.engine")
        second.wait_for_engines(1, timeout=SOON)
        assert first.ids == []


def test_by_its_configuration(rc, start):
    """No cell loads the extension, so none ends either."""
    kernel = start(arguments=["--IPKernelApp.extra_extensions=pxkernel.engine"])
    rc.wait_for_engines(2, timeout=SOON)
    assert rc[1].apply_async(os.getpid).get(SOON) == kernel.pid
    assert rc[1].execute("1 + 1", silent=False).get(SOON).data["text/plain"] == "2"


def test_terminal_ipython_is_no_kernel(rc, run_python):
    done = run_python(
        """
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        import pxkernel as px
        try:
            shell.run_line_magic("load_ext", "pxkernel.engine")
        except px.ClusterError as error:
            print(error)
        """
    )
    assert "terminal IPython has none" in done.stdout
