"""The default kernel provisioner: jupyter_client's local one, with a fork in the place of a process start.

Only the launch differs, and only where a forked kernel cannot be told from a started one (`can_fork`); every other
kernel, of another interpreter or another language, takes the parent's way.
"""

import os
import pathlib
import signal
import sys
from collections.abc import Mapping
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from ..protocol.clusterfile import private
from .forkserver import ForkedProcess, forkserver

# Read before Python's first line or while the preloaded modules are imported: a fork comes too late to change them.
STARTUP_VARIABLES = (
    ("PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "LC_", "LANG", "HOME")
    + ("OMP_", "GOMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMEXPR_", "VECLIB_", "GOTO_", "KMP_", "NPY_", "NUMPY_")
    + ("PYDEVD_", "DEBUGPY_")
)

# Launch arguments that a forked kernel honours; any other one is meant for Popen.
FORK_ARGUMENTS = frozenset({"env", "cwd", "kernel_id", "extra_arguments"})

# KernelManager sends SIGTERM to the process group after half of it and SIGKILL after all of it. A stock kernel that
# joins what the user left running would otherwise take half a minute.
SHUTDOWN_SECONDS = 3.0


class ForkServerProvisioner(LocalProvisioner):
    """Starts ipykernels through the fork server of this process.

    `KernelManager.start_kernel(log_path=...)` names the file to which the kernel's own stdout and stderr are appended.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Called by `KernelManager.start_kernel` with what `pre_launch` returned."""
        log_path = kwargs.pop("log_path", None)
        kwargs.pop("independent", None)
        kwargs["env"] = {name: value for name, value in kwargs["env"].items() if name != "JPY_PARENT_PID"}
        if kwargs.keys() <= FORK_ARGUMENTS and can_fork(cmd, kwargs["env"]):
            return await self._fork_kernel(cmd, log_path, **kwargs)
        # independent: otherwise jupyter_client ties the life of the kernel to ours.
        if log_path is None:
            return await super().launch_kernel(cmd, independent=True, **kwargs)
        with open(log_path, "ab", opener=private) as log:
            return await super().launch_kernel(cmd, independent=True, **{"stdout": log, "stderr": log, **kwargs})

    async def wait(self) -> int | None:
        """Called by `KernelManager` once the kernel is gone, and by whoever wants to know at once: the parent polls."""
        process = self.process
        if not isinstance(process, ForkedProcess):
            return await super().wait()
        code = await process.wait()
        self.process = None
        return code

    def get_shutdown_wait_time(self, recommended: float = 5.0) -> float:
        """Called by `KernelManager.finish_shutdown`."""
        return SHUTDOWN_SECONDS

    async def _fork_kernel(
        self,
        cmd: list[str],
        log_path: str | os.PathLike[str] | None,
        *,
        env: dict[str, str],
        cwd: str | os.PathLike[str] | None = None,
        **_: Any,
    ) -> KernelConnectionInfo:
        self.process = await forkserver().spawn(cmd, env, cwd, log_path)
        self.pid = self.process.pid
        # By definition and not by os.getpgid: a child that has not come to its setsid() is still in the server's group.
        self.pgid = self.process.pid
        self.cwd = cwd or pathlib.Path.cwd()
        return self.connection_info


def can_fork(cmd: list[str], env: Mapping[str, str]) -> bool:
    """Whether a fork of our server gives the same kernel as starting `cmd` with `env`."""
    return (
        hasattr(signal, "pidfd_send_signal")
        and _is_our_ipykernel(cmd)
        # The server resolved relative entries against another directory than the kernel would.
        and all(map(os.path.isabs, env.get("PYTHONPATH", "/").split(os.pathsep)))
        and _startup_variables(env) == _startup_variables(forkserver().env)
    )


def _is_our_ipykernel(cmd: list[str]) -> bool:
    # Not the real path: the pythons of two virtual environments may be links to the same file.
    if not os.path.isabs(cmd[0]) or os.path.abspath(cmd[0]) != os.path.abspath(sys.executable):
        return False
    before_module = cmd[1 : cmd.index("-m")] if "-m" in cmd else None
    if before_module not in ([], ["-Xfrozen_modules=off"], ["-X", "frozen_modules=off"]):
        return False
    at = len(before_module) + 2
    return cmd[at : at + 1] == ["ipykernel_launcher"]


def _startup_variables(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(STARTUP_VARIABLES)}
