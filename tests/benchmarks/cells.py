"""What ``%px`` costs in a notebook: ``python tests/benchmarks/cells.py`` (issue 4: performance). Prints a table in Markdown.

A trivial cell on four engines is compared with the same cell sent to the same four kernels straight, with jupyter_client:
from the request to the reply and the idle status of the slowest. Rounds of both alternate, the figures are medians. The
notebook is a kernel of its own, driven as a front end drives it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from jupyter_client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

ENGINES = 4
STATEMENT = "x = 1"
LINES = 100_000
#: How many seconds of processor time the client may need for so many lines.
CPU_GOAL = 10.0
#: How many times as long as the slowest kernel the cell may take.
RATIO_GOAL = 2.0
#: How long anything may take, in seconds.
PATIENCE = 120


class Notebook:
    """A notebook kernel with a cluster."""

    def __init__(self, client: BlockingKernelClient):
        self._client = client

    def run(self, code: str) -> str:
        """What a cell prints, and its result as text."""
        shown: list[str] = []

        def show(message: dict) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
            elif message["msg_type"] == "execute_result":
                shown.append(content["data"]["text/plain"])

        reply = self._client.execute_interactive(code, output_hook=show, timeout=PATIENCE, allow_stdin=False)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))
        return "".join(shown)

    def seconds(self, code: str) -> float:
        """How long a cell takes for a front end."""
        start = time.perf_counter()
        self.run(code)
        return time.perf_counter() - start


@contextmanager
def notebook() -> Iterator[tuple[Notebook, psutil.Process]]:
    manager, client = start_new_kernel()
    try:
        nb = Notebook(client)
        nb.run(f"import time, pxkernel as px\nrc = px.Cluster(n={ENGINES}).start_and_connect_sync(activate=True)")
        # Without the front end: what the cell itself takes.
        nb.run("def timed(line):\n    start = time.perf_counter()\n    get_ipython().run_line_magic('px', line)\n"
               "    return time.perf_counter() - start")  # fmt: skip
        yield nb, psutil.Process(int(nb.run("import os; os.getpid()")))
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


@contextmanager
def straight(files: list[str]) -> Iterator[list[BlockingKernelClient]]:
    """jupyter_client's clients of the engines' kernels."""
    clients = [BlockingKernelClient(connection_file=file) for file in files]
    try:
        for client in clients:
            client.load_connection_file()
            client.start_channels()
            client.wait_for_ready(timeout=PATIENCE)
        yield clients
    finally:
        for client in clients:
            client.stop_channels()


def slowest(clients: list[BlockingKernelClient]) -> float:
    """Seconds until the last of the kernels has run the statement and is idle."""
    start = time.perf_counter()
    requests = [client.execute(STATEMENT, store_history=True, allow_stdin=False) for client in clients]
    for client, request in zip(clients, requests, strict=True):
        while client.get_shell_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != request:
            pass
        while not _idle(client.get_iopub_msg(timeout=PATIENCE), request):
            pass
    return time.perf_counter() - start


def _idle(message: dict, request: str) -> bool:
    mine = message["parent_header"].get("msg_id") == request
    return mine and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


def trivial(nb: Notebook, rounds: int) -> list[tuple[str, str, str]]:
    files = eval(nb.run("[str(rc.connection_file(engine)) for engine in rc.ids]"))
    kernels, cells, seen = [], [], []
    with straight(files) as clients:
        for _ in range(rounds):
            kernels.append(slowest(clients))
            cells.append(float(nb.run(f"timed({'--no-verbose ' + STATEMENT!r})")))
            seen.append(nb.seconds(f"%px --no-verbose {STATEMENT}"))
    kernel, cell, front = (statistics.median(times[rounds // 10 :]) for times in (kernels, cells, seen))
    return [
        (f"the slowest of {ENGINES} kernels, straight", f"{kernel * 1e3:.1f} ms", ""),
        (f"`%px {STATEMENT}` in the notebook", f"{cell * 1e3:.1f} ms", _verdict(cell / kernel, RATIO_GOAL, "times the kernel")),
        ("the same, from the front end", f"{front * 1e3:.1f} ms", f"{front / kernel:.1f} times the kernel"),
    ]


def many_lines(nb: Notebook, process: psutil.Process) -> list[tuple[str, str, str]]:
    before, start = process.cpu_times(), time.perf_counter()
    printed = nb.run(f"%%px\nfor number in range({LINES // ENGINES}):\n    print(number, 'x' * 60)")
    wall, after = time.perf_counter() - start, process.cpu_times()
    if printed.count("x" * 60 + "\n") != LINES:
        raise RuntimeError(f"not all of {LINES} lines have come")
    used = after.user + after.system - before.user - before.system
    return [
        (f"{LINES:,} lines of output", f"{wall:.1f} s", ""),
        ("processor time of the notebook for them", f"{used:.1f} s", _verdict(used, CPU_GOAL, "s")),
    ]


def _verdict(value: float, goal: float, unit: str) -> str:
    return f"{value:.1f} {unit}, at most {goal:g}: {'reached' if value <= goal else 'NOT REACHED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="rounds of the trivial cell, default 100")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pxc") as runtime_dir:
        # A short path for the sockets, and nothing of the user's.
        os.environ |= {"JUPYTER_RUNTIME_DIR": runtime_dir, "IPYTHONDIR": f"{runtime_dir}/i"}
        with notebook() as (nb, process):
            rows = [*trivial(nb, arguments.rounds), *many_lines(nb, process)]
    print("| | | |\n|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


if __name__ == "__main__":
    main()
