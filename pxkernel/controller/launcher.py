"""Starts, watches, interrupts and ends kernels, in a thread with an event loop of its own.

jupyter_client's managers are asynchronous; the controller's main loop must not wait for them. The main loop calls the
methods, which return at once, and finds what happened in ``events``: tuples with a name first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from ..errors import ClusterError
from ..kernels import spec as kernelspec
from ..kernels.threads import without_limits
from ..protocol.clusterfile import ENVIRONMENT, LAUNCHED, ClusterFile, private

#: The last lines of a log that an error quotes.
TAIL_LINES = 20


def tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(_lines(log)[-TAIL_LINES:])


def last_words(log: Path, crash_log: Path) -> str:
    """What a dead kernel has left: why it crashed, and where in the user's code, comes first in its crash log."""
    return "\n".join(_lines(crash_log)[:TAIL_LINES]) or tail(log)


#: What every ipykernel prints when it starts; it is no reason for anything.
_GREETING = re.compile(r"NOTE: When using the `ipython kernel` entry point.*?--existing [^\n]*", re.DOTALL)


def _lines(path: Path) -> list[str]:
    return _GREETING.sub("", path.read_text(errors="replace")).strip().splitlines() if path.exists() else []


class Launcher:
    """The kernels of one cluster.

    Parameters
    ----------
    cluster
        The cluster that the engines join.
    environment, cwd
        The owner's: engines start in the notebook's directory with the notebook's environment.
    thread_limits
        The variables in it that are ours and not the user's.
    wake
        Called, from the launcher's thread, after something was added to ``events``.
    """

    def __init__(
        self,
        cluster: ClusterFile,
        environment: dict[str, str],
        thread_limits: Collection[str],
        cwd: str,
        wake: Callable[[], None],
    ):
        self.events: deque[tuple[Any, ...]] = deque()
        self._cluster = cluster
        self._thread_limits = thread_limits
        self._environment = {k: v for k, v in environment.items() if k != "JPY_PARENT_PID"}
        self._cwd = cwd
        self._wake = wake
        self._managers: dict[int, AsyncKernelManager] = {}
        self._watchers: dict[int, asyncio.Task[None]] = {}
        self._starts: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="launcher", daemon=True)
        self._thread.start()

    # -- called by the main loop --------------------------------------------------------------------------------------

    def start(self, engine: int, kernel_name: str | None, provisioner: str | None) -> None:
        """Start a kernel; then ("launched", engine, info) or ("died", engine, reason)."""
        self._do(self._tracked_start(engine, kernel_name, provisioner))

    def interrupt(self, engine: int) -> None:
        """Interrupt a kernel; then ("interrupted", engine)."""
        self._do(self._interrupt(engine))

    def stop(self) -> None:
        """End every kernel; then ("stopped",)."""
        self._do(self._stop())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def _tell(self, *event: Any) -> None:
        self.events.append(event)
        self._wake()

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _logs(self, engine: int) -> tuple[Path, Path]:
        directory = Path(self._cluster.directory)
        return directory / f"engine-{engine}.log", directory / f"engine-{engine}.crash.log"

    def _manager(self, engine: int, kernel_name: str | None, provisioner: str | None) -> AsyncKernelManager:
        spec = kernelspec.find(kernel_name)
        kernelspec.choose_provisioner(spec, provisioner)
        return AsyncKernelManager(
            kernel_spec_manager=kernelspec.OneKernelSpec(chosen=spec),
            kernel_name=kernel_name or "python3",
            transport="ipc",
            ip=str(Path(self._cluster.sockets) / f"k{engine}"),
            connection_file=str(Path(self._cluster.directory) / f"kernel-{engine}-0.json"),
        )

    async def _tracked_start(self, engine: int, kernel_name: str | None, provisioner: str | None) -> None:
        task = asyncio.create_task(self._start(engine, kernel_name, provisioner))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        await task

    async def _start(self, engine: int, kernel_name: str | None, provisioner: str | None) -> None:
        log, crash_log = self._logs(engine)
        try:
            manager = self._manager(engine, kernel_name, provisioner)
            assert manager.kernel_spec is not None
            has_extension = kernelspec.is_engine(manager.kernel_spec)
            launched = {"id": engine, "incarnation": 0, "crash_log": str(crash_log)}
            environment = {
                **without_limits(self._environment, manager.kernel_spec.env, self._thread_limits),
                ENVIRONMENT: str(self._cluster.path),
                LAUNCHED: json.dumps(launched),
            }
            self._managers[engine] = manager
            await manager.start_kernel(
                env=environment,
                cwd=self._cwd,
                extra_arguments=kernelspec.ENGINE_ARGUMENTS if has_extension else [],
                independent=True,
                **_output_to(manager, log),
            )
        except Exception as error:
            text = str(error) if isinstance(error, ClusterError) else f"{type(error).__name__}: {error}"
            output = tail(log)
            self._managers.pop(engine, None)
            self._tell("died", engine, f"could not be started: {text}" + (f"\n{output}" if output else ""))
            return
        if self._stopping:
            await self._shut_down(manager)
            return
        info = {**manager.get_connection_info(), "connection_file": manager.connection_file}
        info["key"] = info["key"].decode()
        info["pid"] = getattr(manager.provisioner, "pid", None)
        self._tell("launched", engine, has_extension, info)
        self._watchers[engine] = asyncio.create_task(self._watch(engine, manager))

    async def _watch(self, engine: int, manager: AsyncKernelManager) -> None:
        assert manager.provisioner is not None
        reason = "died"
        try:
            reason = f"died ({_exit_text(await manager.provisioner.wait())})"
            del self._managers[engine], self._watchers[engine]
            _end_children(manager)
            output = last_words(*self._logs(engine))
            reason += f"; the end of its log:\n{output}" if output else ""
            await manager.cleanup_resources()
        finally:
            if not self._stopping:
                self._tell("died", engine, reason)

    async def _interrupt(self, engine: int) -> None:
        manager = self._managers.get(engine)
        try:
            if manager is not None:
                await manager.interrupt_kernel()
        except (RuntimeError, OSError):
            pass  # It has just died, which its watcher tells.
        finally:
            self._tell("interrupted", engine)

    async def _stop(self) -> None:
        self._stopping = True
        # A kernel whose start is under way ends itself; nobody else would know of it.
        await asyncio.gather(*self._starts, return_exceptions=True)
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
