"""JupyterLab in a real browser, for tests of what a person sees and presses. Run by hand:

    python -m pip install -e '.[test,browser]'      and Chromium or Chrome on the PATH, e.g. apt install chromium
    python -m pytest tests/browser [--screenshots DIR] [--dark]

They are not part of ``python -m pytest``, because they need a browser. Fixtures:

    lab    lab(name): opens a notebook in the browser, a copy of one of ours or a new one; gives a ``Page``
    nb     a new notebook with four engines, ``rc`` and a blocking view ``dv``, one for the module
    shoot  shoot(page, first, last, name): a picture of some cells, if ``--screenshots`` asks for one

Like the other tests with kernels these leave no process and no file of a cluster behind, which ``lab_server`` checks.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect, sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
#: For all that a browser and a kernel do together on a machine that may be busy, in seconds.
PATIENCE = 60
#: How long the processes and files of a cluster may outlive it, in seconds.
END_TIMEOUT = 15.0
TOKEN = "pxkernel-browser-tests"

SETTINGS = {
    # Every cell is in the document, also those that are not on the screen.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


def pytest_addoption(parser):
    parser.addoption("--screenshots", metavar="DIR", help="where the screenshots of the browser tests go")
    parser.addoption("--dark", action="store_true", help="use JupyterLab's dark theme")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(4 * PATIENCE))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A picture of every notebook when a test has failed."""
    report = yield
    place, lab = item.config.getoption("screenshots"), item.funcargs.get("lab")
    if report.failed and place is not None and lab is not None:
        Path(place).mkdir(parents=True, exist_ok=True)
        for number, notebook in enumerate(lab.opened):
            notebook.page.screenshot(path=Path(place) / f"failed-{item.name}-{number}.png")
    return report


def running(mark):
    """The processes that were started with ``mark`` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            started_with = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if mark.encode() in started_with and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


@pytest.fixture(scope="session")
def lab_server(request):
    with tempfile.TemporaryDirectory(prefix="pxb") as base:
        base = Path(base)
        places = {
            name: base / place
            for name, place in (
                ("JUPYTER_RUNTIME_DIR", "r"), ("JUPYTER_CONFIG_DIR", "c"), ("JUPYTER_DATA_DIR", "d"), ("IPYTHONDIR", "i"),
                ("JUPYTERLAB_SETTINGS_DIR", "s"), ("JUPYTERLAB_WORKSPACES_DIR", "w"), ("TMPDIR", "t"),
            )
        }  # fmt: skip
        for place in places.values():
            place.mkdir(mode=0o700)
        shutil.copytree(ROOT / "notebooks", base / "notebooks", ignore=shutil.ignore_patterns("__pycache__"))
        settings = dict(SETTINGS)
        if request.config.getoption("dark"):
            settings["apputils-extension/themes"] = {"theme": "JupyterLab Dark"}
        for name, values in settings.items():
            path = base / "s" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        environment = {name: value for name, value in os.environ.items() if name not in ("PXKERNEL_CLUSTER", "MPLBACKEND")}
        environment |= {name: str(place) for name, place in places.items()} | {"JUPYTER_PREFER_ENV_PATH": "1"}
        with _server(base, environment) as url:
            yield url, base
        _nothing_is_left(places["JUPYTER_RUNTIME_DIR"])


@contextmanager
def _server(base, environment):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [
        f"--ServerApp.root_dir={base / 'notebooks'}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}", "--ServerApp.open_browser=False", "--LabApp.expose_app_in_browser=True",
        # The tests may be run by root, in a container.
        "--ServerApp.allow_root=True",
    ]  # fmt: skip
    with open(base / "server.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            end = time.monotonic() + PATIENCE
            while not _answers(f"{url}/api?token={TOKEN}"):
                assert process.poll() is None and time.monotonic() < end, (base / "server.log").read_text()
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def _nothing_is_left(runtime_dir):
    mark = f"JUPYTER_RUNTIME_DIR={runtime_dir}"

    def left():
        clusters = [str(path) for path in (runtime_dir / "pxkernel").glob("*")]
        return [f"{process.pid} {process.name()}" for process in running(mark)] + clusters

    end = time.monotonic() + END_TIMEOUT
    while left() and time.monotonic() < end:
        time.sleep(0.05)
    remains = left()
    for process in running(mark):
        process.kill()
    assert not remains, f"{END_TIMEOUT:g} s after the end of the server there is still this"


@pytest.fixture(scope="session")
def browser():
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert executable, "these tests need a Chromium or Chrome on the PATH"
    with sync_playwright() as playwright:
        # As root, in a container, there is no sandbox.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        yield browser
        browser.close()


EMPTY = {
    "cells": [{"cell_type": "markdown", "id": name, "metadata": {}, "source": name} for name in ("a", "test")],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


IDLE = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext, kernel = session?.session?.kernel;
    return session?.isReady && kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""


class Page:
    """A notebook that is open in JupyterLab; cells are numbered from 0, markdown included."""

    def __init__(self, page):
        self.page = page

    def command(self, name, **arguments):
        """One of JupyterLab's commands, as a menu or a key would run it; does not wait for its end."""
        script = "([name, arguments]) => { window.jupyterapp.commands.execute(name, arguments) }"
        self.page.evaluate(script, [name, arguments])

    @property
    def cells(self):
        return self.page.locator(".jp-Notebook .jp-Cell")

    def cell(self, number):
        return self.cells.nth(number)

    def output(self, number):
        """What a cell shows below its code."""
        return self.cell(number).locator(".jp-Cell-outputArea")

    def prompt(self, number):
        """What stands before a cell: ``[3]:``, or ``[*]:`` while it runs."""
        return self.cell(number).locator(".jp-InputPrompt").inner_text()

    def add(self, source):
        """A new cell at the end; its number."""
        number = self.cells.count()
        self.cell(number - 1).locator(".jp-InputArea-prompt").click()
        self.command("notebook:insert-cell-below")
        expect(self.cells).to_have_count(number + 1)
        expect(self.cell(number)).to_have_class(re.compile("jp-mod-active"))
        self.command("notebook:replace-selection", text=source)
        expect(self.cell(number).locator(".cm-content")).to_have_text(source.replace("\n", ""))
        return number

    def start(self, number):
        """Run a cell, without waiting for it."""
        self.cell(number).locator(".jp-InputArea-prompt").click()
        self.command("notebook:run-cell")

    def wait(self, number, timeout=PATIENCE):
        """Wait for the end of a cell."""
        self.until(lambda: self.prompt(number).strip("[]: \u00a0").isdigit(), timeout, f"cell {number} has ended")

    def run(self, source, timeout=PATIENCE):
        """A new cell, run to its end; its number."""
        number = self.add(source)
        self.start(number)
        self.wait(number, timeout)
        return number

    def press(self, command):
        """A button of the toolbar."""
        self.page.locator(f'.jp-NotebookPanel-toolbar [data-command="{command}"]').click()

    def until_idle(self):
        """Wait until the kernel is there, connected and idle. What the toolbar shows is idle before that as well."""
        self.page.wait_for_function(IDLE)

    def until_busy(self):
        """Wait until the kernel has begun with what it was sent."""
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
        )

    def until(self, condition, timeout=PATIENCE, what="this"):
        end = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < end, f"not true within {timeout} s: {what}"
            self.page.wait_for_timeout(50)
        return value


@pytest.fixture(scope="module")
def lab(lab_server, browser):
    url, base = lab_server
    context = browser.new_context(viewport={"width": 860, "height": 3000}, device_scale_factor=1.5)
    context.set_default_timeout(PATIENCE * 1000)
    expect.set_options(timeout=PATIENCE * 1000)
    opened = []

    def open_notebook(name):
        path = base / "notebooks" / name
        if not path.exists():
            path.write_text(json.dumps(EMPTY))
        page = context.new_page()
        page.goto(f"{url}/doc/tree/{name}?token={TOKEN}")
        notebook = Page(page)
        opened.append(notebook)
        # A notebook that has not been read yet shows one empty cell.
        expect(notebook.cells).to_have_count(len(json.loads(path.read_text())["cells"]))
        notebook.until_idle()
        return notebook

    open_notebook.opened = opened
    yield open_notebook
    for notebook in opened:
        notebook.command("kernelmenu:shutdown")
        notebook.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel")
    context.close()


@pytest.fixture(scope="module")
def nb(lab):
    notebook = lab("new.ipynb")
    notebook.run(
        "import time\nimport pxkernel as px\n\ncluster = px.Cluster(n=4)\nrc = cluster.start_and_connect_sync(activate=True)\n"
        "dv = rc[:]; dv.block = True\ndv.scatter('engine', rc.ids, flatten=True);"
    )
    # No bar stands between a cell and its output because these take long the first time.
    notebook.run("%px import numpy as np, matplotlib.pyplot as plt, ipywidgets")
    return notebook


@pytest.fixture(scope="session")
def shoot(request):
    place = request.config.getoption("screenshots")

    def screenshot(notebook, first, last, name):
        if place is None:
            return
        Path(place).mkdir(parents=True, exist_ok=True)
        # The active cell has a border and a toolbar.
        notebook.cell(0).click()
        notebook.cell(first).evaluate("cell => cell.scrollIntoView()")
        boxes = [notebook.cell(number).bounding_box() for number in (first, last)]
        top, bottom = boxes[0]["y"], boxes[1]["y"] + boxes[1]["height"]
        clip = {"x": boxes[0]["x"], "y": top, "width": boxes[0]["width"], "height": bottom - top}
        notebook.page.screenshot(path=Path(place) / f"{name}.png", clip=clip)

    return screenshot
