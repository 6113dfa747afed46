"""Which kernel an engine is: its kernelspec, its arguments, its environment."""

from __future__ import annotations

import sys
from pathlib import Path

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from traitlets import Instance

from ..errors import ClusterError
from ..protocol.clusterfile import DEFAULT_PROFILE

FORK_SERVER = "pxkernel-forkserver"
LOCAL = "local-provisioner"

#: Programs whose kernelspec does not say that their kernel is interrupted by a message; a signal would end it.
_INTERRUPTED_BY_MESSAGE = {"deno"}

#: What an ipykernel gets to become an engine. ``extra_extensions`` adds to the extensions of the user's configuration
#: where ``extensions`` would replace them; engines write no history file, because many writers lock it.
_ENGINE_ARGUMENTS = ["--IPKernelApp.extra_extensions=pxkernel.engine", "--HistoryManager.enabled=False"]


def engine_arguments(profile: str) -> list[str]:
    """The arguments of an engine whose configuration and start-up files are those of an IPython profile."""
    own = [] if profile == DEFAULT_PROFILE else [f"--profile={profile}", "--BaseIPythonApplication.auto_create=True"]
    return [*_ENGINE_ARGUMENTS, *own]


def find(kernel_name: str | None) -> KernelSpec:
    """The kernelspec ``kernel_name``; None means ipykernel under this interpreter.

    Raises
    ------
    ClusterError
        There is no such kernelspec; the text lists those that exist.
    """
    manager = KernelSpecManager()
    if kernel_name is None:
        # The user may have given the environment's own kernelspec variables: they count, if it is this interpreter's.
        try:
            spec = manager.get_kernel_spec("python3")
        except NoSuchKernel:
            return KernelSpec(**get_kernel_dict())
        return spec if _is_this_interpreter(spec) else KernelSpec(**get_kernel_dict())
    try:
        spec = manager.get_kernel_spec(kernel_name)
    except NoSuchKernel:
        names = ", ".join(sorted(manager.find_kernel_specs())) or "none"
        raise ClusterError(f"there is no kernelspec {kernel_name!r}; installed are: {names}") from None
    if spec.argv and Path(spec.argv[0]).stem in _INTERRUPTED_BY_MESSAGE:
        spec.interrupt_mode = "message"
    return spec


def _is_this_interpreter(spec: KernelSpec) -> bool:
    # jupyter_client puts sys.executable in the place of these names.
    names = {"python", "python3", f"python{sys.version_info.major}.{sys.version_info.minor}", sys.executable}
    return bool(spec.argv) and spec.argv[0] in names


def is_engine(spec: KernelSpec) -> bool:
    """Whether a kernel of this kernelspec can load ``pxkernel.engine``: an ipykernel."""
    return spec.language.lower() == "python" and any(
        argument in ("ipykernel_launcher", "ipykernel") for argument in spec.argv
    )


def choose_provisioner(spec: KernelSpec, wanted: str | None) -> None:
    """Write the provisioner into ``spec``: the one that the user wants, the kernelspec's own, or the platform's."""
    own = spec.metadata.get("kernel_provisioner", {}).get("provisioner_name")
    default = FORK_SERVER if sys.platform.startswith("linux") else LOCAL
    name = {"local": LOCAL, "forkserver": FORK_SERVER}.get(wanted or "", wanted) or own or default
    spec.metadata = {**spec.metadata, "kernel_provisioner": {"provisioner_name": name}}


class OneKernelSpec(KernelSpecManager):
    """Gives a KernelManager the kernelspec that has been chosen, whatever name it asks for."""

    chosen = Instance(KernelSpec)

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Called by ``KernelManager.kernel_spec``."""
        return self.chosen
