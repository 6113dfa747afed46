"""The main job, as a session: ``python notebooks/main_job.py`` needs nothing but pxkernel itself.

Runs the cells below one after the other in IPython, in this process, and prints what a terminal session would show: the
cells and their real output. Every cell is what you would type into a notebook yourself. The same job, told as a story
and with plots, is the notebook ``01-quickstart.ipynb``.

Exit code: 0 everything went as described, 1 something did not, 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CELLS = [
    """
# Four engines: Jupyter kernels, each a process with a namespace of its own.
import pxkernel as px

rc = px.Cluster(n=4).start_and_connect_sync(activate=True)
rc.ids
""",
    """
# The input: the source files of Python's own standard library.
import sysconfig
from pathlib import Path

stdlib = Path(sysconfig.get_path("stdlib"))
left_out = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"}
everything = sorted(
    path for path in stdlib.rglob("*")
    if path.is_file() and not left_out.intersection(path.relative_to(stdlib).parts)
)
files = [path for path in everything if path.suffix == ".py"]
len(files)
""",
    """
# Each engine gets its number, and its share of the files.
dv = rc[:]
dv.block = True
dv.scatter("engine", rc.ids, flatten=True)
dv.scatter("share", files)
dv["engine"]
""",
    """
%%px
# This cell runs on all four at once: each parses its share and counts what its modules import.
import ast
from collections import Counter

imports = Counter()
for path in share:
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.Import):
            imports.update(alias.name for alias in statement.names)
f"engine {engine}: {len(share)} files, {imports.total()} imports"
""",
    """
# The four counters come here and are added up.
from collections import Counter

sum(dv["imports"], Counter()).most_common(5)
""",
    """
# A function of this session, for a map over all files. On an engine it uses that engine's names: ast, engine.
def measure(path):
    source = path.read_bytes()
    tree = ast.parse(source, path.name)
    nodes = Counter(map(type, ast.walk(tree)))
    return {
        "file": "/".join(path.parts[-2:]),
        "engine": engine,
        "lines": source.count(b"\\n"),
        "functions": nodes[ast.FunctionDef] + nodes[ast.AsyncFunctionDef],
        "classes": nodes[ast.ClassDef],
    }

stats = dv.map_sync(measure, files)
stats[0]
""",
    """
# The result, as a table.
columns = ["lines", "functions", "classes"]
print(f"{'':<22}{'files':>9}" + "".join(f"{column:>11}" for column in columns))
for name in [*rc.ids, "all"]:
    rows = [row for row in stats if name in (row["engine"], "all")]
    label = "together" if name == "all" else f"engine {name}"
    print(f"{label:<22}{len(rows):>9}" + "".join(f"{sum(row[column] for row in rows):>11,}" for column in columns))
print("\\nthe biggest files")
for row in sorted(stats, key=lambda row: -row["lines"])[:5]:
    print(f"  {row['file']:<29}" + "".join(f"{row[column]:>11,}" for column in columns))
""",
    """
# Files that are not Python source, among some that are, given to the same function.
others = [path for path in everything if path.suffix in {".txt", ".rst", ".html", ".so"}][:40]
mixed = sorted(files[::20] + others)
px.CompositeError.tb_limit = 1  # show the first of the errors in full
ar = dv.map_async(measure, mixed)
ar.get()
""",
    """
# An item that fails costs its own result and no other.
results = ar.get(return_exceptions=True)
bad = [result for result in results if isinstance(result, px.RemoteError)]
good = [result for result in results if isinstance(result, dict)]
print(f"{len(mixed)} files: {len(good)} parsed, {len(bad)} did not")
for error in bad[:: len(bad) // 4 or 1]:
    print(f"  {error}")
""",
    """
# The engines end with the cluster (and would end with this process).
rc.close()
rc.cluster.stop_cluster_sync()
rc.cluster
""",
]
#: The cell that is meant to fail.
FAILS = next(index for index, cell in enumerate(CELLS) if "ar = dv.map_async(measure, mixed)" in cell)

EPILOGUE = """
What happened: four Jupyter kernels were started. A %%px cell ran on all of them, each with its own share of the
{files} files; then a function of this session was sent to them and mapped over the same files. {bad} files that are no
Python source came back as one CompositeError, next to the {good} results that went well. The kernels have ended.
It took {seconds:.1f} s.

What to type next:

  the same as a notebook, with plots
      {python} -m pip install jupyterlab matplotlib
      {python} -m jupyter lab notebooks/01-quickstart.ipynb

  your own, in any notebook or in IPython
      import pxkernel as px
      rc = px.Cluster(n=4).start_and_connect_sync(activate=True)
      %px import os; os.getpid()
      rc[:].map_sync(lambda x: x**10, range(32))

  engines that outlive a notebook, from a terminal
      {bin}pxcluster start -n 4
"""


class Plain:
    """A stream without colours, for a file or a pipe."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r"\x1b\[[0-9;]*m", "", text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def check(condition: bool, what: str) -> None:
    """Raise if the job did not go as described."""
    if not condition:
        raise AssertionError(what)


def run_cells(shell: Any) -> None:
    """Run every cell; raises AssertionError at the first that does not do what it should."""
    for index, cell in enumerate(CELLS):
        lines = cell.strip("\n").split("\n")
        prompt = f"In [{index + 1}]: "
        print(prompt + ("\n" + "...: ".rjust(len(prompt))).join(lines), flush=True)
        result = shell.run_cell("\n".join(lines), store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, KeyboardInterrupt):
            raise error
        if index == FAILS:
            check(type(error).__name__ == "CompositeError", f"cell {index + 1} raised {error!r}, not a CompositeError")
        else:
            check(error is None, f"cell {index + 1} raised {error!r}")
        print(flush=True)


def check_results(names: dict[str, Any]) -> None:
    """Whether the notebook's names hold what the job is meant to give."""
    check(names["rc"].ids == [], "engines are still there")
    check(len(names["stats"]) == len(names["files"]) > 100, "there is not one result for every file")
    check(sum(row["lines"] for row in names["stats"]) > 100_000, "the standard library has more lines")
    check({row["engine"] for row in names["stats"]} == {0, 1, 2, 3}, "not every engine took part")
    check(len(names["bad"]) == len(names["others"]) > 0, "not every file that is no Python source is an error")
    check(len(names["good"]) == len(names["mixed"]) - len(names["others"]), "good results are missing")


def job() -> None:
    """The session, from the first cell to the last word."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell
    from traitlets.config import Config

    started = time.monotonic()
    config = Config()
    config.HistoryManager.enabled = False
    config.TerminalInteractiveShell.simple_prompt = True
    shell = TerminalInteractiveShell.instance(config=config)
    try:
        run_cells(shell)
        names = shell.user_ns
        check_results(names)
        here = Path(sys.executable)
        with contextlib.suppress(ValueError):
            here = here.relative_to(Path.cwd())
        print(
            EPILOGUE.format(
                files=len(names["files"]),
                bad=len(names["bad"]),
                good=len(names["good"]),
                seconds=time.monotonic() - started,
                python=here,
                bin=f"{here.parent}{os.sep}",
            ).strip("\n")
        )
    finally:
        client = shell.user_ns.get("rc")
        if client is not None:
            client.cluster.stop_cluster_sync()


def main() -> int:
    """The job in an IPython directory of its own, so that nobody's settings and history are touched."""
    # Ended by whom it may be, the cluster and the directory go first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="pxkernel-job-") as directory, contextlib.ExitStack() as stack:
        os.environ["IPYTHONDIR"] = directory
        if not sys.stdout.isatty():
            stack.enter_context(contextlib.redirect_stdout(Plain(sys.stdout)))
            stack.enter_context(contextlib.redirect_stderr(Plain(sys.stderr)))
        try:
            job()
        except AssertionError as error:
            print(f"the main job failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
