"""Kernels that another process has started, and that are looked after here: a provisioner that never launches.

Their exit codes are unknown, because only a parent learns them; everything else is as for jupyter_client's local provisioner.
"""

from __future__ import annotations

import asyncio
import os

import psutil
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import LocalProvisioner

from ..protocol.processes import POLL
from .forkserver import UNKNOWN_EXIT_CODE, is_readable, until_readable
from .provisioner import SHUTDOWN_SECONDS


class ReattachedProcess:
    """A process that need not be a child: the part of `subprocess.Popen` that a kernel provisioner uses.

    Raises
    ------
    psutil.NoSuchProcess
        It has ended.
    """

    def __init__(self, pid: int):
        self._process = psutil.Process(pid)
        self._pidfd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1

    def __del__(self) -> None:
        if getattr(self, "_pidfd", -1) >= 0:
            os.close(self._pidfd)

    def poll(self) -> int | None:
        """None while it runs."""
        if self._pidfd >= 0:
            ended = is_readable(self._pidfd)
        else:
            ended = not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        return UNKNOWN_EXIT_CODE if ended else None

    async def wait(self) -> None:
        """Wait for its end."""
        while self.poll() is None:
            await (until_readable(self._pidfd) if self._pidfd >= 0 else asyncio.sleep(POLL))

    def send_signal(self, signum: int) -> None:
        """Called where there is no process group; it may have ended."""
        if self.poll() is None:
            self._process.send_signal(signum)


class ReattachedProvisioner(LocalProvisioner):
    """Looks after a process; its group is that of the kernel, as if it had been launched here."""

    def attach(self, pid: int) -> None:
        self.process = ReattachedProcess(pid)
        self.pid = pid
        self.pgid = os.getpgid(pid)

    async def wait(self) -> int | None:
        """As `ForkServerProvisioner.wait`; the exit code is None: unknown."""
        if self.process is not None:
            await self.process.wait()
            self.process = None
        return None

    def get_shutdown_wait_time(self, recommended: float = 5.0) -> float:
        """Called by `KernelManager.finish_shutdown`."""
        return SHUTDOWN_SECONDS


def reattached(pid: int, manager: KernelManager) -> ReattachedProvisioner:
    """The provisioner of a kernel that runs already; raises as `ReattachedProcess`."""
    provisioner = ReattachedProvisioner(kernel_id=manager.kernel_id, kernel_spec=manager.kernel_spec, parent=manager)
    provisioner.attach(pid)
    return provisioner
