"""What the tests with real kernels share.

Test modules cannot import this file (`--import-mode=importlib`), so its helpers are fixtures that return functions:

    cluster4   a Client of a running cluster of four engines, one for the whole module
    view       `cluster4[:]` with `block=True`
    engine     `cluster4[0]`, which must keep a name in its namespace
    hold       hold(view, value): a call that lasts until `hold.release()`
    stuck_in_c stuck_in_c(mark, go): a function for engines that no signal ends
    wait_for   wait_for(condition, timeout=10): the first true value of `condition()`
    notebook   notebook(source): the names that `source` defines, as a notebook would: its functions travel by value
    start_notebook  start_notebook(): a notebook kernel; its ``run(cell)`` gives what the cell shows, ``Shown``
    processes  processes(): the processes that this module has started and that still run, descendants included
    run_python run_python(source): a script in a process of its own, to its end
    kernelspec kernelspec(name, argv): installs a kernelspec for the test

Every module has a runtime directory of its own, and nothing of it may be left after the module: `nothing_is_left`.
"""

import json
import linecache
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from itertools import count
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

import pxkernel as px
from pxkernel.kernels.threads import VARIABLES as THREAD_VARIABLES

HERE = Path(__file__).parent
#: No test may hang: it fails instead.
TEST_TIMEOUT = 60
#: How long the processes and files of a cluster may outlive it (issue 2, point 8).
END_TIMEOUT = 10.0


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kernel)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


def until(condition, timeout=10.0):
    """The first true value of `condition()`; fails if there is none within `timeout` seconds."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not true within {timeout:g} s: {textwrap.dedent(_source(condition))}")
        time.sleep(0.01)
    return value


def _source(condition):
    return "".join(linecache.getlines(condition.__code__.co_filename)[condition.__code__.co_firstlineno - 1 :][:1])


def running(runtime_dir):
    """The processes with this runtime directory in the environment that they were started with."""
    mark = f"JUPYTER_RUNTIME_DIR={runtime_dir}".encode()
    found = []
    for process in psutil.process_iter():
        try:
            started_with = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            # A kernel that has ended and is not reaped yet is gone: who reaps it is up to the init process.
            if mark in started_with and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def _describe(processes):
    lines = []
    for process in processes:
        try:
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except psutil.Error:
            continue
    return lines


def _files(runtime_dir):
    """Files, sockets and the directories of clusters; also those that moved to a directory with a shorter path."""
    elsewhere = [path for place in {tempfile.gettempdir(), "/tmp"} for path in Path(place).glob("px-*")]
    return [*(runtime_dir / "pxkernel").glob("*"), *(p for p in runtime_dir.rglob("*") if not p.is_dir()), *elsewhere]


def _shared_memory():
    place = Path("/dev/shm")
    # Semaphores of multiprocessing are those of other programs: nothing here has one after its process has ended.
    return {path for path in place.iterdir() if not path.name.startswith("sem.mp-")} if place.is_dir() else set()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left():
    """A runtime directory for the module; yields it, and checks at the end that it and everything else is clean."""
    with tempfile.TemporaryDirectory(prefix="pxt") as base, pytest.MonkeyPatch.context() as patch:
        # A short path, or the sockets would have to go elsewhere.
        runtime_dir = Path(base) / "r"
        runtime_dir.mkdir(mode=0o700)
        patch.setenv("JUPYTER_RUNTIME_DIR", str(runtime_dir))
        patch.setenv("IPYTHONDIR", str(Path(base) / "ipython"))
        for name in ("PXKERNEL_CLUSTER", *THREAD_VARIABLES):
            patch.delenv(name, raising=False)
        files, memory = set(_files(runtime_dir)), _shared_memory()
        children = set(psutil.Process().children(recursive=True))
        yield runtime_dir

        def left():
            return {
                "processes": _describe(running(runtime_dir)),
                "children": _describe(set(psutil.Process().children(recursive=True)) - children),
                "files": sorted(map(str, set(_files(runtime_dir)) - files)),
                "shared memory": sorted(map(str, _shared_memory() - memory)),
            }

        end = time.monotonic() + END_TIMEOUT
        while any(left().values()) and time.monotonic() < end:
            time.sleep(0.05)
        remains = {name: value for name, value in left().items() if value}
        for process in running(runtime_dir):
            process.kill()
        assert not remains, f"{END_TIMEOUT:g} s after the tests there is still: {remains}"


@pytest.fixture(scope="module")
def cluster4(nothing_is_left):
    with px.Cluster(n=4) as client:
        yield client


@pytest.fixture
def view(cluster4):
    view = cluster4[:]
    view.block = True
    return view


@pytest.fixture
def engine(cluster4):
    """One engine with a name in its namespace that must survive."""
    engine = cluster4[0]
    engine.push({"kept": [1, 2, 3]}).get(10)
    # The first function that travels makes the engine import what unpacks it: that is no task that runs too long.
    engine.apply_async(lambda: None).get(10)
    yield engine
    assert engine.pull("kept").get(10) == [1, 2, 3]
    assert cluster4.ids == [0, 1, 2, 3] and not cluster4.outstanding


HOLD = """
def hold(path, value=None):
    import os, time
    open(path + ".started", "w").close()
    while not os.path.exists(path):
        time.sleep(.005)
    return value
"""


class Hold:
    """Calls that last until ``release()``: ``hold(view, value)``, or ``function`` with ``path`` and a value."""

    def __init__(self, function, gate):
        self.function, self.path, self.release = function, str(gate), gate.touch
        self.has_started = gate.with_name(f"{gate.name}.started").exists

    def __call__(self, view, value=None):
        return view.apply_async(self.function, self.path, value)


@pytest.fixture
def hold(notebook, tmp_path):
    hold = Hold(notebook(HOLD)["hold"], tmp_path / "gate")
    yield hold
    hold.release()


def block_in_c(mark, go):
    """Wait for a mutex, which no signal ends, until the file ``go`` is there; then ``mark`` is there."""
    import ctypes
    import threading
    import time

    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)

    def unlock():
        while not go.exists():
            time.sleep(0.01)
        libc.pthread_mutex_unlock(mutex)

    threading.Thread(target=unlock).start()
    mark.touch()
    libc.pthread_mutex_lock(mutex)


@pytest.fixture(scope="session")
def stuck_in_c():
    return block_in_c


@pytest.fixture(scope="session")
def pxcluster():
    """Runs a command of ``pxcluster``."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "pxkernel.cli", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def answer(pxcluster):
    """What a command of ``pxcluster`` prints as JSON."""

    def ask(*arguments):
        done = pxcluster(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.fixture(scope="session")
def wait_for():
    return until


_cells = count()


@pytest.fixture(scope="session")
def notebook():
    def run(source, **names):
        filename = f"<notebook cell {next(_cells)}>"
        source = textwrap.dedent(source)
        # As IPython does: the lines of a cell have no file behind them.
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        namespace = {"__name__": "__main__", "__builtins__": __builtins__, **names}
        exec(compile(source, filename, "exec"), namespace)
        return namespace

    return run


COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LABEL = re.compile(r"(Out\[\d+:|\[(stdout|stderr|output):)")


class Shown:
    """What one cell has shown."""

    def __init__(self):
        self.stdout = self.stderr = self.error = ""
        self.ename = self.result = None
        #: The data of every display, and everything but errors and the result in order as text.
        self.displays = []
        self.texts = []
        #: The data of updates of displays, the ids of displays and updates, and the kinds of all messages.
        self.updates = []
        self.display_ids = []
        self.kinds = []
        #: The prompts that were shown, in order.
        self.prompts = []
        #: What was shown in the pager.
        self.pages = []
        self._stream = None

    def add(self, message):
        kind, content = message["msg_type"], message["content"]
        self.kinds.append(kind)
        self.display_ids += [content["transient"]["display_id"]] if content.get("transient") else []
        if kind == "stream":
            text = COLOUR.sub("", content["text"])
            setattr(self, content["name"], getattr(self, content["name"]) + text)
            # A front end joins the pieces in which a stream comes.
            if self._stream == content["name"]:
                self.texts[-1] += text
            else:
                self.texts.append(text)
            self._stream = content["name"]
        elif kind == "display_data":
            self._stream = None
            self.displays.append(content["data"])
            self.texts.append(content["data"].get("text/plain", ""))
        elif kind == "update_display_data":
            self.updates.append(content["data"])
        elif kind == "execute_result":
            self.result = content["data"]["text/plain"]
        elif kind == "error":
            self.ename = content["ename"]
            self.error = COLOUR.sub("", "\n".join(content["traceback"]))

    @property
    def lines(self):
        """The lines of everything, in order."""
        return "\n".join(self.texts).splitlines()

    @property
    def labelled(self):
        """The lines that start with a label of an engine, sorted; numbers of cells are n."""
        lines = [line for line in self.lines if LABEL.match(line)]
        return sorted(re.sub(r"^Out\[(\d+):\d+\]", r"Out[\1:n]", line) for line in lines)


class Notebook:
    """A notebook kernel, driven as a front end drives it; ``run`` runs a cell to its end."""

    def __init__(self, kernel_name="python3"):
        self.manager, self.client = start_new_kernel(kernel_name=kernel_name)

    def run(self, cell, seen=None, answers=None, timeout=30):
        """``seen`` is called with what there is after each message; ``answers`` are typed at prompts."""
        shown, answers = Shown(), list(answers or ())

        def ask(message):
            shown.prompts.append(message["content"]["prompt"])
            self.client.input(answers.pop(0))

        def show(message):
            shown.add(message)
            if seen is not None:
                seen(shown)

        reply = self.client.execute_interactive(
            cell,
            output_hook=show,
            allow_stdin=bool(answers),
            stdin_hook=ask,
            timeout=timeout,
        )
        shown.pages = [payload for payload in reply["content"].get("payload", ()) if payload["source"] == "page"]
        return shown

    def value(self, expression):
        return self.run(expression).result

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel()


@pytest.fixture(scope="module")
def start_notebook(nothing_is_left):
    started = []

    def start(kernel_name="python3"):
        started.append(Notebook(kernel_name))
        return started[-1]

    yield start
    for notebook in started:
        notebook.close()


@pytest.fixture(scope="module")
def processes(nothing_is_left):
    return lambda: running(nothing_is_left)


@pytest.fixture(scope="session")
def run_python():
    def run(source, timeout=40, check=True, **options):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
            env={**os.environ, **options.pop("env", {})},
            **options,
        )

    return run


@pytest.fixture
def kernelspec(tmp_path, monkeypatch):
    place = tmp_path / "jupyter"
    monkeypatch.setenv("JUPYTER_PATH", str(place))

    def install(name, argv, **fields):
        folder = place / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"argv": argv, "display_name": name, "language": "python", **fields}
        (folder / "kernel.json").write_text(json.dumps(spec))
        return name

    return install
