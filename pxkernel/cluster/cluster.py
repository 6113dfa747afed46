"""Cluster: start, find and stop a controller with its engines (seeds: "Starting the IPython controller and engines").

Every method that takes a while exists twice: ``start_cluster_sync()`` blocks, ``await start_cluster()`` runs the same code
in a thread, so that the event loop goes on.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import random
import select
import string
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ..client.client import Client
from ..controller.settings import Settings
from ..errors import ClusterError
from ..kernels.threads import thread_limits
from ..protocol import clusterfile
from ..protocol.processes import exists, wait_for_end

#: How much of a log an error quotes, in lines.
TAIL_LINES = 20
#: How long the controller may take to listen, and to end, in seconds.
START_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0


class Cluster:
    """A controller and its engines; nothing is started before you say so.

    Parameters
    ----------
    n
        How many engines; None: one for each core.
    cluster_id
        The name under which other processes find it; None: a new one.
    kernel_name
        The kernelspec of the engines; None: ipykernel under this interpreter.
    engines
        How engines are started: None for the platform's way, "local", "forkserver", or the entry point of another
        jupyter_client kernel provisioner.
    shutdown_atexit
        Whether the cluster ends with this process, however that ends.
    engine_timeout
        Seconds that the engines may take to be ready.

    Raises
    ------
    ClusterError
        The platform is Windows, or ``cluster_id`` is no name for a folder.
    ValueError
        ``n`` is negative.
    """

    def __init__(
        self,
        *,
        n: int | None = None,
        cluster_id: str | None = None,
        kernel_name: str | None = None,
        engines: str | None = None,
        shutdown_atexit: bool = True,
        engine_timeout: float = 60.0,
    ):
        if sys.platform == "win32":
            raise ClusterError("pxkernel does not run on Windows: it needs Unix sockets (in WSL it runs)")
        if n is not None and (not isinstance(n, int) or n < 0):
            raise ValueError(f"n is the number of engines, not {n!r}")
        self.n = n
        self.cluster_id = _new_id() if cluster_id is None else cluster_id
        clusterfile.folder(self.cluster_id)
        self.kernel_name = kernel_name
        self.engines = engines
        self.shutdown_atexit = shutdown_atexit
        self.engine_timeout = engine_timeout
        self._file: clusterfile.ClusterFile | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<Cluster(cluster_id={self.cluster_id!r}, n={self.n}): {state}>"

    @property
    def running(self) -> bool:
        """Whether the controller answers."""
        return self._file is not None and self._file.alive()

    @property
    def cluster_file(self) -> Path | None:
        """The file by which other processes find the cluster, None before the start."""
        return None if self._file is None else self._file.path

    @classmethod
    def from_file(cls, cluster_file: str | os.PathLike[str] | None = None, *, cluster_id: str | None = None) -> Cluster:
        """The running cluster that a file (or an id) names; without arguments the default one, or the only one.

        The cluster does not end with this process.

        Raises
        ------
        FileNotFoundError
            There is no such file, or no cluster is running.
        ClusterError
            The file is no cluster file, its cluster has ended, or several run and none is named.
        """
        if cluster_file is not None and cluster_id is not None:
            raise TypeError("give a cluster_file or a cluster_id, not both")
        if cluster_file is not None:
            file = clusterfile.read(cluster_file)
            if not file.alive():
                raise ClusterError(f"the cluster of {cluster_file} is not running any more")
        else:
            file = clusterfile.find(cluster_id if cluster_id is None else str(clusterfile.folder(cluster_id) / "cluster.json"))
        cluster = cls(cluster_id=file.cluster_id, shutdown_atexit=False)
        cluster._file = file
        return cluster

    # -- starting -----------------------------------------------------------------------------------------------------

    def start_cluster_sync(self, n: int | None = None) -> Cluster:
        """Start the controller, which starts the engines; returns when it listens. ``self``.

        Raises
        ------
        ClusterError
            It did not start; the text has the end of what it printed. Or it is running already.
        """
        if self.running:
            raise ClusterError(f"this cluster is running already: {self.cluster_file}")
        if n is not None:
            self.n = n
        if self.n is None:
            self.n = os.cpu_count() or 1
        directory, sockets = clusterfile.prepare(self.cluster_id)
        log = directory / "controller.log"
        ready, ready_write = os.pipe()
        limits = thread_limits(os.environ, self.n)
        settings = Settings(
            cluster_id=self.cluster_id,
            directory=str(directory),
            sockets=str(sockets),
            n=self.n,
            kernel_name=self.kernel_name,
            provisioner=self.engines,
            thread_limits=list(limits),
            owner_pid=os.getpid() if self.shutdown_atexit else None,
            ready=ready_write,
        )
        try:
            with open(log, "ab", opener=clusterfile.private) as output:
                self._process = subprocess.Popen(
                    # -P: a random.py in the directory of the notebook is not for the controller.
                    [sys.executable, "-P", "-m", "pxkernel.controller", settings.to_json()],
                    env={**_environment(), **limits},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[ready_write],
                    start_new_session=True,
                )
        except OSError as error:
            os.close(ready)
            _discard(self.cluster_id, directory, sockets)
            raise ClusterError(f"the controller cannot be started: {error}") from None
        finally:
            os.close(ready_write)
        with os.fdopen(ready, "rb") as answer:
            self._await_controller(answer, log, directory, sockets)
        self._file = clusterfile.read(directory / clusterfile.FILE_NAME)
        if self.shutdown_atexit:
            atexit.register(self._stop_at_exit)
        return self

    def _await_controller(self, answer: Any, log: Path, directory: Path, sockets: Path) -> None:
        assert self._process is not None
        try:
            text = answer.readline() if select.select([answer], [], [], START_TIMEOUT)[0] else b""
        except BaseException:  # Ctrl-C
            self._process.kill()
            self._process.wait()
            _discard(self.cluster_id, directory, sockets)
            raise
        with contextlib.suppress(ValueError):
            if "ready" in json.loads(text):
                return
        self._process.kill()
        code = self._process.wait()
        lines = log.read_text(errors="replace").strip().splitlines()[-TAIL_LINES:]
        _discard(self.cluster_id, directory, sockets)
        raise ClusterError(f"the controller did not start (exit code {code}):\n" + "\n".join(lines))

    def connect_client_sync(self, timeout: float = 10.0) -> Client:
        """A new Client of this cluster.

        Raises
        ------
        ClusterError
            The cluster is not running.
        TimeoutError
            The controller does not answer.
        """
        if self._file is None:
            raise ClusterError("this cluster has not been started: call start_cluster_sync()")
        return Client(self._file.path, timeout=timeout, cluster=self)

    def start_and_connect_sync(self, n: int | None = None, activate: bool = False) -> Client:
        """Start the cluster, connect, and wait until every engine is ready.

        Parameters
        ----------
        activate
            Make a blocking view of all engines that of ``%px``.

        Raises
        ------
        ClusterError, EngineError
            Something did not start; the text has the end of what it printed. Nothing is left behind.
        TimeoutError
            The engines were not ready within ``engine_timeout``.
        """
        self.start_cluster_sync(n)
        try:
            client = self.connect_client_sync()
            client.wait_for_engines(self.n, timeout=self.engine_timeout)
        except BaseException:
            self.stop_cluster_sync()
            raise
        if activate:
            _activate(client)
        return client

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop_cluster_sync(self) -> None:
        """End the engines and the controller; idempotent. Adopted kernels are released and live on.

        Raises
        ------
        TimeoutError
            The controller has not ended. If this process has started it, it is killed, and its engines end by themselves.
        """
        if os.getpid() != self._pid:
            return  # a copy of the process that has started it, made by os.fork()
        atexit.unregister(self._stop_at_exit)
        file, self._file = self._file, None
        if file is None:
            return
        if file.alive():
            # It may end while we ask.
            with contextlib.suppress(Exception):
                with Client(file.path, cluster=self) as client:
                    client.ask("stop", timeout=STOP_TIMEOUT)
        self._await_end(file)

    def _await_end(self, file: clusterfile.ClusterFile) -> None:
        if self._process is not None:
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise TimeoutError("the controller did not end and was killed") from None
            finally:
                self._process = None
                file.remove()
            return
        deadline = time.monotonic() + STOP_TIMEOUT
        while exists(file.controller_pid) and file.path.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the controller (pid {file.controller_pid}) did not end")
            time.sleep(0.02)

    def wait_sync(self) -> None:
        """Block until the controller has ended.

        Raises
        ------
        ClusterError
            The cluster has not been started.
        """
        if self._file is None:
            raise ClusterError("this cluster has not been started: call start_cluster_sync()")
        if self._process is not None:
            self._process.wait()
        else:
            wait_for_end(self._file.controller_pid)

    def _stop_at_exit(self) -> None:
        with contextlib.suppress(Exception):
            self.stop_cluster_sync()

    # -- the awaitable forms ------------------------------------------------------------------------------------------

    async def start_cluster(self, n: int | None = None) -> Cluster:
        """As ``start_cluster_sync``, awaitable."""
        return await asyncio.to_thread(self.start_cluster_sync, n)

    async def connect_client(self, timeout: float = 10.0) -> Client:
        """As ``connect_client_sync``, awaitable."""
        return await asyncio.to_thread(self.connect_client_sync, timeout)

    async def start_and_connect(self, n: int | None = None, activate: bool = False) -> Client:
        """As ``start_and_connect_sync``, awaitable."""
        client = await asyncio.to_thread(self.start_and_connect_sync, n)
        if activate:
            # Magics belong to the shell's own thread.
            _activate(client)
        return client

    async def stop_cluster(self) -> None:
        """As ``stop_cluster_sync``, awaitable."""
        await asyncio.to_thread(self.stop_cluster_sync)

    def __enter__(self) -> Client:
        self._client = self.start_and_connect_sync()
        return self._client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
        self.stop_cluster_sync()

    async def __aenter__(self) -> Client:
        self._client = await self.start_and_connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
        await self.stop_cluster()


def _activate(client: Client) -> None:
    view = client.direct_view("all")
    view.block = True
    view.activate()


def _new_id() -> str:
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=6))
    return f"{int(time.time())}-{letters}"


def _discard(cluster_id: str, directory: Path, sockets: Path) -> None:
    """Remove what ``prepare`` made for a cluster that has not come to life."""
    clusterfile.ClusterFile(cluster_id, str(directory), str(sockets), "", "", 0, None).remove()


def _environment() -> dict[str, str]:
    """Ours, without what says that *we* are an engine or belong to a cluster."""
    dropped = {clusterfile.ENVIRONMENT, clusterfile.LAUNCHED, "JPY_PARENT_PID"}
    return {name: value for name, value in os.environ.items() if name not in dropped}
