"""pxkernel: many Jupyter kernels driven from one notebook.

>>> import pxkernel as px
>>> with px.Cluster(n=4) as rc:                     # doctest: +SKIP
...     rc[:].map_sync(lambda x: x**10, range(32))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
version_info = tuple(map(int, __version__.split(".")))

#: Every public name and its module. They are imported when they are first used: the engines and the controller import
#: this package too, and need few of them.
_PUBLIC = {
    "ALL_COMPLETED": "client.asyncresult",
    "AbortedTask": "errors",
    "AlreadyDisplayedError": "errors",
    "AsyncHubResult": "client.hub",
    "AsyncMapResult": "client.mapresult",
    "AsyncResult": "client.asyncresult",
    "BroadcastView": "client.view",
    "Client": "client.client",
    "Cluster": "cluster",
    "ClusterError": "errors",
    "ClusterManager": "cluster",
    "CompositeError": "errors",
    "Dependency": "client.dependency",
    "DependencyTimeout": "errors",
    "DirectView": "client.view",
    "EngineError": "errors",
    "ExecuteReply": "client.records",
    "FIRST_COMPLETED": "client.asyncresult",
    "FIRST_EXCEPTION": "client.asyncresult",
    "IPythonError": "errors",
    "ImpossibleDependency": "errors",
    "InvalidDependency": "errors",
    "KernelError": "errors",
    "LoadBalancedView": "client.balanced",
    "Metadata": "client.records",
    "NoData": "errors",
    "NoEnginesRegistered": "errors",
    "NotReadyError": "errors",
    "ParallelFunction": "client.remotefunction",
    "PrePickled": "protocol.serialize",
    "ProtocolError": "errors",
    "PxkernelError": "errors",
    "Reference": "protocol.standins",
    "RemoteError": "errors",
    "RemoteFunction": "client.remotefunction",
    "TaskAborted": "errors",
    "TaskTimeout": "errors",
    "TimeLimitExceeded": "errors",
    "TimeoutError": "errors",
    "UnmetDependency": "errors",
    "UnmetDependencyError": "errors",
    "View": "client.viewbase",
    "ViewExecutor": "client.executor",
    "bind_kernel": "engine.namespace",
    "can": "protocol.standins",
    "can_map": "protocol.standins",
    "collect_exceptions": "errors",
    "depend": "engine.dependent",
    "dependent": "engine.dependent",
    "deserialize_object": "protocol.serialize",
    "interactive": "client.remotefunction",
    "pack_apply_message": "protocol.serialize",
    "parallel": "client.remotefunction",
    "publish_data": "datapub",
    "remote": "client.remotefunction",
    "require": "engine.dependent",
    "serialize_object": "protocol.serialize",
    "uncan": "protocol.standins",
    "uncan_map": "protocol.standins",
    "unpack_apply_message": "protocol.serialize",
    "unwrap_exception": "errors",
    "use_cloudpickle": "protocol.serialize",
    "use_dill": "protocol.serialize",
    "use_pickle": "protocol.serialize",
    "wrap_exception": "errors",
}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from .client.asyncresult import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, AsyncResult
    from .client.balanced import LoadBalancedView
    from .client.client import Client
    from .client.dependency import Dependency
    from .client.executor import ViewExecutor
    from .client.hub import AsyncHubResult
    from .client.mapresult import AsyncMapResult
    from .client.records import ExecuteReply, Metadata
    from .client.remotefunction import ParallelFunction, RemoteFunction, interactive, parallel, remote
    from .client.view import BroadcastView, DirectView
    from .client.viewbase import View
    from .cluster import Cluster, ClusterManager
    from .datapub import publish_data
    from .engine.dependent import depend, dependent, require
    from .engine.namespace import bind_kernel
    from .errors import (
        AbortedTask,
        AlreadyDisplayedError,
        ClusterError,
        CompositeError,
        DependencyTimeout,
        EngineError,
        IPythonError,
        ImpossibleDependency,
        InvalidDependency,
        KernelError,
        NoData,
        NoEnginesRegistered,
        NotReadyError,
        ProtocolError,
        PxkernelError,
        RemoteError,
        TaskAborted,
        TaskTimeout,
        TimeLimitExceeded,
        TimeoutError,
        UnmetDependency,
        UnmetDependencyError,
        collect_exceptions,
        unwrap_exception,
        wrap_exception,
    )
    from .protocol.serialize import (
        PrePickled,
        deserialize_object,
        pack_apply_message,
        serialize_object,
        unpack_apply_message,
        use_cloudpickle,
        use_dill,
        use_pickle,
    )
    from .protocol.standins import Reference, can, can_map, uncan, uncan_map


#: A public name that a star import leaves out: joblib is optional.
_OPTIONAL = {"register_joblib_backend": "joblib"}
#: Modules that are attributes without being imported first, as in ipyparallel.
_MODULES = {"datapub", "error", "joblib"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if module := _PUBLIC.get(name) or _OPTIONAL.get(name):
        value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__", "version_info"]


def load_ipython_extension(shell: Any) -> None:
    """Called by ``%load_ext pxkernel``: the magics."""
    from .magics import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Called by ``%unload_ext pxkernel``."""
    from .magics import unload_ipython_extension as unload

    unload(shell)
