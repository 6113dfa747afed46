"""Starts, watches, interrupts and ends kernels, in a thread with an event loop of its own.

jupyter_client's managers are asynchronous; the controller's main loop must not wait for them. The main loop calls the
methods, which return at once, and is told what has happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from ..errors import ClusterError
from ..kernels import spec as kernelspec
from ..kernels.logs import last_words, tail
from ..kernels.reattached import reattached
from ..kernels.threads import without_limits
from ..protocol.clusterfile import ENVIRONMENT, LAUNCHED, ClusterFile, private
from ..protocol.enginefiles import EngineFile
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the engines of a cluster are started.

    ``environment`` and ``cwd`` are the owner's: engines start in the notebook's directory with the notebook's
    environment. ``thread_limits`` are the variables in it that are ours and not the user's.
    """

    kernel_name: str | None
    provisioner: str | None
    environment: Mapping[str, str]
    thread_limits: Collection[str]
    cwd: str
    #: The file with the user's start-up code, None without.
    on_start: str | None = None
    #: "ipc", or "tcp" on the loopback interface, for kernels that know nothing else.
    transport: str = "ipc"
    #: What the user adds to the command line of each kernel.
    engine_args: Sequence[str] = ()
    #: How many seconds an engine waits for a new controller, None: it does not.
    restore_timeout: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> Recipe:
        """What the settings say; the environment is that of this process, which has the owner's."""
        return cls(
            settings.kernel_name, settings.provisioner, dict(os.environ), settings.thread_limits, settings.cwd,
            settings.on_start, settings.transport, settings.engine_args, settings.restore_timeout,
        )  # fmt: skip

    def engine_environment(self, kernelspec: Mapping[str, str], own: Mapping[str, str | None]) -> dict[str, str]:
        """The environment of one engine: ``own`` is what the user wants for this one, None removes a variable."""
        environment = without_limits(self.environment, {*kernelspec, *own}, self.thread_limits)
        merged = {**environment, **own, "JPY_PARENT_PID": None}
        return {name: value for name, value in merged.items() if value is not None}


#: How long a process may live on when its connection has ended, in seconds.
LAST_BREATH = 3.0
#: Why an engine ends that lives longer: it would be listed for ever, and would do nothing.
LOST = "has lost its connection to the controller and was killed"

#: One kernel: engine id and incarnation.
Key = tuple[int, int]
#: The name of a kernelspec and the transport by which its kernel is reached.
Kernel = tuple[str | None, str]


class Launcher:
    """The kernels of one cluster.

    Parameters
    ----------
    cluster
        The cluster that the engines join.
    recipe
        How they are started.
    tell
        Called, from the launcher's thread, with the name of what has happened and its arguments.
    """

    def __init__(self, cluster: ClusterFile, recipe: Recipe, tell: Callable[..., None]):
        self._cluster = cluster
        self._recipe = recipe
        self._tell = tell
        #: One for all managers: by default each makes its own, with two threads and seven files.
        self._context = zmq.asyncio.Context()
        self._context.set(zmq.MAX_SOCKETS, self._context.get(zmq.SOCKET_LIMIT))
        self._managers: dict[Key, AsyncKernelManager] = {}
        self._watchers: dict[Key, asyncio.Task[None]] = {}
        self._starts: dict[Key, asyncio.Task[None]] = {}
        self._ends: dict[Key, asyncio.Task[None]] = {}
        #: Those that are killed because nobody can reach them.
        self._unreachable: set[Key] = set()
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="launcher", daemon=True)
        self._thread.start()

    # -- called by the main loop --------------------------------------------------------------------------------------

    def start(self, key: Key, environment: Mapping[str, str | None], kernel: Kernel | None = None) -> None:
        """Start a kernel; then ("launched", *key, has extension, info) or ("died", *key, reason)."""
        self._do(self._tracked(self._starts, key, self._start(key, environment, kernel)))

    def take_over(self, key: Key, engine: EngineFile) -> None:
        """Look after a kernel that an earlier controller has started; then as ``start``."""
        self._do(self._tracked(self._starts, key, self._take_over(key, engine)))

    def interrupt(self, key: Key) -> None:
        """Interrupt a kernel; then ("interrupted", *key)."""
        self._do(self._interrupt(key))

    def signal(self, key: Key, signum: int, then: Callable[[], None]) -> None:
        """Send a signal to a kernel and what it has started, then have the main loop call ``then``."""
        self._do(self._signal(key, signum, then))

    def hung_up(self, key: Key) -> None:
        """The connection of a kernel has ended: if the kernel does not end as well it is killed; ("died", ...) in any case."""
        self._do(self._hung_up(key))

    def end(self, key: Key, then: Callable[[], None]) -> None:
        """End a kernel, whose death is not told, then have the main loop call ``then``; at once if there is none."""
        self._do(self._tracked(self._ends, key, self._end(key, then)))

    def stop(self) -> None:
        """End every kernel; then ("stopped",)."""
        self._do(self._stop())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._context.destroy(linger=0)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _logs(self, key: Key) -> tuple[Path, Path]:
        log = Path(self._cluster.directory) / f"engine-{key[0]}-{key[1]}.log"
        return log, log.with_suffix(".crash.log")

    def _manager(self, key: Key, kernel_name: str | None, transport: str) -> AsyncKernelManager:
        spec = kernelspec.find(kernel_name)
        kernelspec.choose_provisioner(spec, self._recipe.provisioner)
        engine, incarnation = key
        return AsyncKernelManager(
            context=self._context,
            kernel_spec_manager=kernelspec.OneKernelSpec(chosen=spec),
            kernel_name=kernel_name or "python3",
            transport=transport,
            # New endpoints for each incarnation: see kernels.channels. With TCP the manager chooses new ports.
            ip="127.0.0.1" if transport == "tcp" else str(Path(self._cluster.sockets) / f"k{engine}.{incarnation}"),
            connection_file=str(Path(self._cluster.directory) / f"kernel-{engine}-{incarnation}.json"),
        )

    async def _tracked(
        self, table: dict[Key, asyncio.Task[None]], key: Key, work: Coroutine[Any, Any, None]
    ) -> None:
        table[key] = asyncio.create_task(work)
        try:
            await table[key]
        finally:
            del table[key]

    async def _start(self, key: Key, environment: Mapping[str, str | None], kernel: Kernel | None) -> None:
        if self._stopping:
            return
        engine, incarnation = key
        log, crash_log = self._logs(key)
        try:
            manager = self._manager(key, *(kernel or (self._recipe.kernel_name, self._recipe.transport)))
            assert manager.kernel_spec is not None
            has_extension = kernelspec.is_engine(manager.kernel_spec)
            launched = {"id": engine, "incarnation": incarnation, "crash_log": str(crash_log)}
            if self._recipe.restore_timeout is not None:
                launched["restore"] = self._recipe.restore_timeout
            if self._recipe.on_start is not None:
                launched["on_start"] = self._recipe.on_start
                if not has_extension:
                    raise ClusterError("on_start is for Python kernels: this one cannot load pxkernel.engine")
            own_arguments = kernelspec.engine_arguments(self._cluster.profile) if has_extension else []
            self._managers[key] = manager
            await manager.start_kernel(
                env={
                    **self._recipe.engine_environment(manager.kernel_spec.env, environment),
                    ENVIRONMENT: str(self._cluster.path),
                    LAUNCHED: json.dumps(launched),
                },
                cwd=self._recipe.cwd,
                extra_arguments=[*own_arguments, *self._recipe.engine_args],
                independent=True,
                **_output_to(manager, log),
            )
        except Exception as error:
            text = str(error) if isinstance(error, ClusterError) else f"{type(error).__name__}: {error}"
            output = tail(log)
            self._managers.pop(key, None)
            self._tell("died", *key, f"could not be started: {text}" + (f"\n{output}" if output else ""))
            return
        if self._stopping:
            await self._shut_down(manager)
            return
        info = {**manager.get_connection_info(), "connection_file": manager.connection_file}
        info["key"] = info["key"].decode()
        info["pid"] = getattr(manager.provisioner, "pid", None)
        self._launched(key, manager, has_extension, info)

    def _launched(self, key: Key, manager: AsyncKernelManager, has_extension: bool, info: Mapping[str, Any]) -> None:
        self._watchers[key] = asyncio.create_task(self._watch(key, manager))
        self._tell("launched", *key, has_extension, info)

    async def _take_over(self, key: Key, engine: EngineFile) -> None:
        if self._stopping:
            return
        try:
            manager = self._manager(key, *(engine.kernel or (self._recipe.kernel_name, self._recipe.transport)))
            manager.load_connection_info(dict(engine.info))  # type: ignore[arg-type]
            manager.provisioner = reattached(engine.pid, manager)
        except Exception as error:
            self._tell("died", *key, f"could not be taken over: {type(error).__name__}: {error}")
            return
        self._managers[key] = manager
        self._launched(key, manager, engine.tasks, engine.info)

    async def _watch(self, key: Key, manager: AsyncKernelManager) -> None:
        assert manager.provisioner is not None
        reason = "died"
        try:
            exit_text = _exit_text(await manager.provisioner.wait())
            reason = LOST if key in self._unreachable else f"died ({exit_text})"
            self._unreachable.discard(key)
            self._managers.pop(key, None)
            self._watchers.pop(key, None)
            _end_children(manager)
            output = last_words(*self._logs(key))
            reason += f"; the end of its log:\n{output}" if output else ""
            await manager.cleanup_resources()
        finally:
            if not self._stopping and key not in self._ends:
                self._tell("died", *key, reason)

    async def _hung_up(self, key: Key) -> None:
        if (watcher := self._watchers.get(key)) is None:
            return
        # A process closes its sockets shortly before it has ended.
        await asyncio.wait([watcher], timeout=LAST_BREATH)
        if (manager := self._managers.get(key)) is not None and not watcher.done():
            self._unreachable.add(key)
            with contextlib.suppress(RuntimeError, OSError):
                await manager.signal_kernel(signal.SIGKILL)

    async def _interrupt(self, key: Key) -> None:
        manager = self._managers.get(key)
        try:
            if manager is not None:
                await manager.interrupt_kernel()
        except (RuntimeError, OSError):
            pass  # It has just died, which its watcher tells.
        finally:
            self._tell("interrupted", *key)

    async def _signal(self, key: Key, signum: int, then: Callable[[], None]) -> None:
        manager = self._managers.get(key)
        try:
            if manager is not None and manager.has_kernel:
                await manager.signal_kernel(signum)
        except (RuntimeError, OSError):
            pass  # It has just died, which its watcher tells.
        finally:
            self._tell("done", then)

    async def _end(self, key: Key, then: Callable[[], None]) -> None:
        if (start := self._starts.get(key)) is not None:
            await asyncio.wait([start])
        if (watcher := self._watchers.pop(key, None)) is not None:
            watcher.cancel()
            manager = self._managers.pop(key)
            await self._shut_down(manager)
            _end_children(manager)
        self._tell("done", then)

    async def _stop(self) -> None:
        self._stopping = True
        # A kernel whose start is under way ends itself; nobody else would know of it.
        await asyncio.gather(*self._starts.values(), *self._ends.values(), return_exceptions=True)
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*map(self._shut_down, self._managers.values()), return_exceptions=True)
        self._tell("stopped")

    async def _shut_down(self, manager: AsyncKernelManager) -> None:
        try:
            await manager.shutdown_kernel(now=False)
        except Exception:
            # Whatever is wrong with its channels, the process goes.
            if manager.has_kernel:
                await manager.signal_kernel(signal.SIGKILL)


def _end_children(manager: AsyncKernelManager) -> None:
    """End what a dead kernel has started: it is in the kernel's own process group, and nobody else knows of it."""
    provisioner = manager.provisioner
    if isinstance(provisioner, LocalProvisioner) and provisioner.pid and provisioner.pid == provisioner.pgid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(provisioner.pgid, signal.SIGKILL)


def _output_to(manager: AsyncKernelManager, log: Path) -> dict[str, Any]:
    """The launch arguments that send what the process itself prints to ``log``."""
    assert manager.kernel_spec is not None
    name = manager.kernel_spec.metadata["kernel_provisioner"]["provisioner_name"]
    if name == kernelspec.FORK_SERVER:
        return {"log_path": str(log)}
    if name == kernelspec.LOCAL:
        # The child has its own copy of the descriptor; this one is closed with the file object.
        file = open(log, "ab", opener=private)  # noqa: SIM115
        return {"stdout": file, "stderr": file}
    return {}


def _exit_text(code: int | None) -> str:
    if code is None:
        return "exit code unknown"
    if code < 0:
        known = {member.value: member.name for member in signal.Signals}
        return f"by {known.get(-code, f'signal {-code}')}"
    return f"exit code {code}"
