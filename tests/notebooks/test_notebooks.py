"""What people run first: the main job and the tutorial, each as a process of its own, with nothing left behind.

The notebook's cells are run and their outputs compared by nbval; what differs between machines is in ``sanitize.cfg``.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAIN_JOB = ROOT / "notebooks" / "main_job.py"
#: Each takes about ten seconds; a busy machine may need much longer.
TIMEOUT = 240
#: How long the processes and files of a cluster may outlive it.
END_TIMEOUT = 10.0

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(TIMEOUT + 30)]


@pytest.fixture
def environment():
    """An environment with directories of its own; checks that no process and no file is left in them."""
    # A short path, or the sockets would go elsewhere.
    with tempfile.TemporaryDirectory(prefix="pxn") as base:
        places = {"JUPYTER_RUNTIME_DIR": "r", "IPYTHONDIR": "i", "TMPDIR": "t", "MPLCONFIGDIR": "m"}
        for place in places.values():
            (Path(base) / place).mkdir(mode=0o700)
        own = {name: str(Path(base) / place) for name, place in places.items()}
        # The kernel python3 of this environment, whatever the user has installed elsewhere.
        own |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONUNBUFFERED": "1"}
        # No bars where the machine is slow, output in the order of the engines (features JUP-11).
        own |= {"PXKERNEL_NONINTERACTIVE": "1"}
        unwanted = ("PXKERNEL_CLUSTER", "PYTEST_ADDOPTS", "MPLBACKEND")
        yield {**{name: value for name, value in os.environ.items() if name not in unwanted}, **own}

        def left():
            mark = f"JUPYTER_RUNTIME_DIR={own['JUPYTER_RUNTIME_DIR']}".encode()
            files = [path for place in "rt" for path in (Path(base) / place).rglob("*") if not path.is_dir()]
            return [*running(mark), *map(str, files), *map(str, (Path(base) / "r" / "pxkernel").glob("*"))]

        end = time.monotonic() + END_TIMEOUT
        while left() and time.monotonic() < end:
            time.sleep(0.05)
        assert not left(), f"{END_TIMEOUT:g} s after the end there is still this"


def running(mark):
    """The processes that were started with ``mark`` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in Path(f"/proc/{process.pid}/environ").read_bytes() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except (OSError, psutil.Error):
            continue
    return found


def run(arguments, environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )


each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)


@each_notebook
def test_a_notebook(environment, notebook):
    options = ["--nbval", "--nbval-sanitize-with", HERE / "sanitize.cfg", "--color=no", "-p", "no:cacheprovider"]
    done = run(["-m", "pytest", *options, notebook], environment)
    assert done.returncode == 0, done.stdout


@each_notebook
def test_the_stored_outputs_are_those_of_one_clean_run_and_of_no_particular_machine(notebook):
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = json.dumps([cell["outputs"] for cell in cells])
    assert not re.search(r"/home/|/Users/|/root|\.pyenv|site-packages", outputs)
    for cell in cells:
        failed = any(output["output_type"] == "error" for output in cell["outputs"])
        assert failed == ("raises-exception" in cell["metadata"].get("tags", ())), "".join(cell["source"])


def test_the_kernelspec_has_the_magics_from_the_start(environment, monkeypatch):
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, environment[name])
    # The folder is laid out like the share/jupyter to which it is installed.
    monkeypatch.setenv("JUPYTER_PATH", str(ROOT / "jupyter-config"))
    manager, client = start_new_kernel(kernel_name="pxkernel")
    try:
        printed = []
        client.execute_interactive(
            "%px 1", timeout=60, allow_stdin=False, output_hook=lambda message: printed.append(message["content"])
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert "there are no engines for %px yet" in str(printed)


def test_main_job(environment):
    done = run([MAIN_JOB], environment)
    assert done.returncode == 0, done.stdout
    assert "What to type next" in done.stdout
    assert "CompositeError" in done.stdout
    assert "\x1b" not in done.stdout, "no colours in a file"


@pytest.mark.parametrize("when", ["...: rc.ids", "In [4]: "], ids=["while the engines start", "while a cell runs"])
def test_ctrl_c_ends_the_main_job_and_its_cluster(environment, when):
    process = subprocess.Popen(
        [sys.executable, str(MAIN_JOB)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell starts what it runs in the background without Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        try:
            while (line := process.stdout.readline()) and when not in line:
                pass
            time.sleep(0.4)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert process.returncode == 130, output
