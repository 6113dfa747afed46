"""Cluster: start, find, scale and stop a controller with its engines (seeds: "Starting the IPython controller and engines").

Every method that takes a while exists twice: ``start_cluster_sync()`` blocks, ``await start_cluster()`` runs the same code
in a thread, so that the event loop goes on. What is running is asked of the controller each time: any process may change it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import random
import string
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

from ..client import representation
from ..client.client import Client
from ..client.inquiry import inquire
from ..client.inspection import Top
from ..controller.settings import RESTORE_TIMEOUT, STORE_LIMIT, Settings, check_scheme, check_store, check_store_limit
from ..errors import ClusterError, EngineError
from ..kernels.threads import thread_limits
from ..protocol import clusterfile
from ..protocol.enginefiles import StillNeeded, check_deserted
from . import wishes
from .finding import Findable
from .operations import EngineOperations
from .restore import Restorable, TakeoverState, end_waiting, latest, save
from .start import check_directory, start_controller
from .stop import STOP_TIMEOUT, await_end, wait_until_ended
from .twins import with_awaitable_twins
from .wishes import ON_START, Environment, OnStart, Wish, environment_of, pack_on_start


@with_awaitable_twins
class Cluster(Findable, EngineOperations, Restorable):
    """A controller and its engines; nothing is started before you say so (features CLU-01).

    Parameters
    ----------
    n
        How many engines; None: one for each core.
    cluster_id
        The name under which other processes find it; None: a new one.
    profile
        The IPython profile whose configuration and start-up files the engines use; it is made if it does not exist.
        Clusters of different profiles may have the same id.
    kernel_name
        The kernelspec of the engines; None: ipykernel under this interpreter.
    engines
        How engines are started: None for the platform's way, "local", "forkserver", or the entry point of another
        jupyter_client kernel provisioner (features LAU-06).
    engine_args
        More arguments for the command line of each kernel, ``["--IPKernelApp.matplotlib=inline"]`` (features LAU-08).
    controller
        How the controller is started: "local", a process of this machine.
    transport
        How the controller reaches the kernels: "ipc" (Unix sockets), or "tcp" for kernels that know nothing else, such as
        Deno's. Then they listen on 127.0.0.1, where other users of this machine can connect; every message is signed.
    controller_ip
        The IPv4 address or the name of the interface on which the controller listens for clients on other machines as
        well, "*" for all of them; None: it does not. They need a copy of the cluster file, and what they send is always
        encrypted (CURVE).
    controller_location
        The name or address by which other machines find this one; None: ``controller_ip``, or this machine's name.
    controller_port
        The one port that must be open; 0: any that is free.
    controller_reuse
        Whether the keys and the port are those of the last cluster of this name that was started so: then the copies of its
        file are valid again (features CTL-08).
    controller_restore
        Whether the engines outlive a controller that is killed or crashes, and wait for the next one. Starting a cluster of
        this name takes over those that wait, with their ids and all that they hold, and with the settings of the first start;
        if none waits, it is a start like any other. Clients connect again; what they had submitted is lost, but a task that
        runs goes on to its end (features CTL-08).
    restore_timeout
        Seconds that they wait at most; then they end.
    environment
        Variables for the engines beside those of this process: a mapping, or a function of the engine id, called here,
        for one GPU per engine ``lambda i: {"CUDA_VISIBLE_DEVICES": str(i % 4)}``. They are there when the kernel starts,
        and again after a restart. None as a value removes a variable (features LAU-07).
    on_start
        Source code, or a function without arguments, that each engine runs before it is ready, also after a restart and
        when engines are added. If it fails, so does the engine.
    preload
        Modules that are loaded once and shared by the engines, which then start with them (fork server only). What cannot
        be loaded is told in ``cluster.controller.get_output()``.
    store
        Where delivered results stay for all clients: "memory", "sqlite", "sqlite:<lasting file>" or "none" (HUB-12 to HUB-14).
    store_limit
        Bytes: over it the oldest are forgotten. A single payload of more than a quarter of it is not kept.
    scheme
        Which of several engines with room gets a call of a load-balanced view: "leastload", "lru" (they take turns),
        "plainrandom", "twobin", "weighted" or "pure" (features LB-13).
    shutdown_atexit
        Whether the cluster ends with this process, however that ends.
    engine_timeout
        Seconds that the engines may take to be ready.

    Each is an attribute as well, which can be set until the cluster is started; ``engines`` is called ``provisioner`` there.

    Raises
    ------
    ClusterError
        The platform is Windows, or ``cluster_id`` or ``profile`` is no name for a folder.
    TypeError, ValueError
        An argument, which the text names, cannot mean anything; or there is a location, a port or something to reuse and no ``controller_ip``.
    """

    n = Wish(wishes.check_n)
    kernel_name = Wish(partial(wishes.check_text, "kernel_name"))
    provisioner = Wish(wishes.check_provisioner)
    engine_args = Wish(partial(wishes.check_strings, "engine_args"))
    transport = Wish(wishes.check_transport)
    controller_ip = Wish(wishes.check_ip)
    controller_location = Wish(wishes.check_location)
    controller_port = Wish(wishes.check_port)
    controller_reuse = Wish(partial(wishes.check_bool, "controller_reuse"))
    controller_restore = Wish(partial(wishes.check_bool, "controller_restore"))
    restore_timeout = Wish(wishes.check_restore_timeout)
    environment = Wish(wishes.check_environment)
    on_start = Wish(wishes.check_on_start)
    preload = Wish(wishes.check_preload)
    store = Wish(check_store)
    store_limit = Wish(check_store_limit)
    scheme = Wish(check_scheme)
    shutdown_atexit = Wish(partial(wishes.check_bool, "shutdown_atexit"))
    engine_timeout = Wish(wishes.check_seconds)

    def __init__(
        self,
        *,
        n: int | None = None,
        cluster_id: str | None = None,
        profile: str = clusterfile.DEFAULT_PROFILE,
        kernel_name: str | None = None,
        engines: str | None = None,
        engine_args: Sequence[str] = (),
        controller: str = "local",
        transport: str = "ipc",
        controller_ip: str | None = None,
        controller_location: str | None = None,
        controller_port: int = 0,
        controller_reuse: bool = False,
        controller_restore: bool = False,
        restore_timeout: float = RESTORE_TIMEOUT,
        environment: Environment | None = None,
        on_start: OnStart | None = None,
        preload: Sequence[str] = (),
        store: str = "memory",
        store_limit: int = STORE_LIMIT,
        scheme: str = "leastload",
        shutdown_atexit: bool = True,
        engine_timeout: float = 60.0,
    ):
        if sys.platform == "win32":
            raise ClusterError("pxkernel does not run on Windows: it needs Unix sockets (in WSL it runs)")
        wishes.check_controller(controller)
        self.n = n
        self.cluster_id = _new_id() if cluster_id is None else cluster_id
        self.profile = profile or clusterfile.DEFAULT_PROFILE
        clusterfile.folder(self.cluster_id, self.profile)
        self.kernel_name = kernel_name
        self.provisioner = engines
        self.engine_args = engine_args
        self.transport = transport
        self.controller_ip = controller_ip
        self.controller_location = controller_location
        self.controller_port = controller_port
        self.controller_reuse = controller_reuse
        self.controller_restore = controller_restore
        self.restore_timeout = restore_timeout
        self.environment = environment
        self.on_start = on_start
        self.preload = preload
        self.store = store
        self.store_limit = store_limit
        self.scheme = scheme
        self.shutdown_atexit = shutdown_atexit
        self.engine_timeout = engine_timeout
        self._check_place()
        self._file: clusterfile.ClusterFile | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._restored = False
        self._takeover = TakeoverState()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        state = "running" if self.running else "engines wait for a new controller" if self.waiting else "not running"
        number = "" if self.n is None else f", n={self.n}"
        return f"<Cluster(cluster_id={self.cluster_id!r}, profile={self.profile!r}{number}): {state}>"

    def _repr_html_(self) -> str:
        """With what the engines are doing, if it runs."""
        return representation.engines(self, self._top)

    def _top(self) -> Top:
        with self.connect_client_sync(timeout=representation.PATIENCE) as client:
            return client.top(timeout=representation.PATIENCE)

    def _check_place(self) -> None:
        if not self.controller_ip and (self.controller_location or self.controller_port or self.controller_reuse):
            raise ValueError(
                "controller_location, controller_port and controller_reuse are for a controller with a controller_ip"
            )

    # -- starting -----------------------------------------------------------------------------------------------------

    def start_controller_sync(self) -> Cluster:
        """Start the controller without engines; returns when it listens. ``self`` (features CLU-07).

        Raises
        ------
        ClusterError
            It did not start; the text has the end of what it printed. Or it is running already.
        """
        return self._start(0)

    def start_cluster_sync(self, n: int | None = None) -> Cluster:
        """Start the controller, which starts the engines; returns when it listens. ``self`` (features CLU-09).

        If the controller is running and has no engines, they are started.

        Raises
        ------
        ClusterError
            The controller did not start; the text has the end of what it printed. Or the cluster is running already.
        """
        if n is not None:
            self.n = n
        if self.running and not self.engines:
            self.start_engines_sync(self.n)
            return self
        self.n = self._count(None)
        return self._start(self.n)

    def _start(self, n: int) -> Cluster:
        if self.running:
            raise ClusterError(f"this cluster is running already: {self.cluster_file}")
        self._check_place()
        check_directory()
        if self._take_over():
            return self
        if self._process is not None:
            # It has ended by itself, and has left its files if it was killed.
            self.stop_cluster_sync()
        environments = [environment_of(self.environment, engine) for engine in range(n)]
        code = None if self.on_start is None else pack_on_start(self.on_start)
        try:
            directory, sockets = clusterfile.prepare(self.cluster_id, self.profile, check_deserted)
        except StillNeeded:  # its controller was still ending a moment ago
            return self._start(n)
        if code is not None:
            clusterfile.write_private(directory / ON_START, code)
        limits = thread_limits(os.environ, self._count(None))
        settings = Settings(
            cluster_id=self.cluster_id,
            profile=self.profile,
            directory=str(directory),
            sockets=str(sockets),
            kernel_name=self.kernel_name,
            provisioner=self.provisioner,
            transport=self.transport,
            thread_limits=list(limits),
            environments=environments,
            on_start=None if code is None else str(directory / ON_START),
            preload=self.preload,
            engine_args=self.engine_args,
            owner_pid=os.getpid() if self.shutdown_atexit else None,
            store=self.store,
            store_limit=self.store_limit,
            ip=self.controller_ip,
            port=self.controller_port,
            location=self.controller_location,
            keys=self._place_of_keys(directory),
            scheme=self.scheme,
            cwd=os.getcwd(),
            restore_timeout=self.restore_timeout if self.controller_restore else None,
        )
        if self.controller_restore:
            save(settings)
        self._launch(settings, limits)
        return self

    def _launch(self, settings: Settings, limits: dict[str, str]) -> None:
        self._process, self._file = start_controller(settings, limits)
        self._restored = settings.restored
        if self.shutdown_atexit:
            atexit.register(self._stop_at_exit)

    def connect_client_sync(self, timeout: float = 10.0) -> Client:
        """A new Client of this cluster (features CLU-11).

        Raises
        ------
        ClusterError
            The cluster is not running.
        TimeoutError
            The controller does not answer.
        """
        return Client(self._check_running().path, timeout=timeout, cluster=self)

    def start_and_connect_sync(self, n: int | None = None, activate: bool = False) -> Client:
        """Start the cluster, connect, and wait until every engine is ready (features CLU-10).

        Parameters
        ----------
        activate
            Make a blocking view of all engines that of ``%px``.

        Raises
        ------
        ClusterError, EngineError
            Something did not start; the text has the end of what it printed. Nothing is left behind.
        TimeoutError
            The engines were not ready within ``engine_timeout``. If they were taken over, those that do not answer within
            ten seconds, because they are stuck, come later.
        """
        self.start_cluster_sync(n)
        try:
            client = self.connect_client_sync()
            # What waits for a new controller is not given up because one of them is late.
            with contextlib.suppress(*(TimeoutError, EngineError) if self.restored else ()):
                client.wait_for_engines(timeout=self._patience())
        except BaseException:
            if not self.restored:
                self.stop_cluster_sync()
            raise
        if activate:
            _activate(client)
        return client

    async def start_and_connect(self, n: int | None = None, activate: bool = False) -> Client:
        """As ``start_and_connect_sync``, awaitable."""
        client = await asyncio.to_thread(self.start_and_connect_sync, n)
        if activate:
            # Magics belong to the shell's own thread.
            _activate(client)
        return client

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop_controller_sync(self) -> None:
        """End the controller, and with it the engines; idempotent (features CLU-13)."""
        self.stop_cluster_sync()

    def stop_cluster_sync(self) -> None:
        """End the engines and the controller; idempotent. Adopted kernels are released and live on (features CLU-14).

        Without a controller, the engines that wait for a new one end.

        Raises
        ------
        ClusterError
            Somebody takes these engines over just now.
        TimeoutError
            The controller has not ended. If this process has started it, it is killed, and its engines end by themselves.
        """
        if os.getpid() != self._pid:
            return  # a copy of the process that has started it, made by os.fork()
        atexit.unregister(self._stop_at_exit)
        file, self._file = self._file, None
        if file is None:
            return
        file = latest(file)
        if file.alive():
            # It may end while we ask.
            with contextlib.suppress(Exception):
                inquire(file, "stop", STOP_TIMEOUT)
        end_waiting(file)
        process, self._process = self._process, None
        await_end(file, process)

    def wait_sync(self) -> None:
        """Block until the controller has ended.

        Raises
        ------
        ClusterError
            The cluster has not been started.
        """
        if self._file is None:
            raise ClusterError("this cluster has not been started: call start_cluster_sync()")
        wait_until_ended(self._file, self._process)

    def _stop_at_exit(self) -> None:
        with contextlib.suppress(Exception):
            if self.shutdown_atexit and not self._has_another_owner():
                self.stop_cluster_sync()

    def __enter__(self) -> Client:
        self._client = self.start_and_connect_sync()
        return self._client

    def __exit__(self, *error: object) -> None:
        if self._client is not None:
            self._client.close()
        if not self._has_another_owner():
            self.stop_cluster_sync()

    async def __aenter__(self) -> Client:
        self._client = await self.start_and_connect()
        return self._client

    async def __aexit__(self, *error: object) -> None:
        if self._client is not None:
            self._client.close()
        if not self._has_another_owner():
            await self.stop_cluster()  # type: ignore[attr-defined]


def _activate(client: Client) -> None:
    view = client.direct_view("all")
    view.block = True
    view.activate()


def _new_id() -> str:
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=6))
    return f"{int(time.time())}-{letters}"
