"""The joblib backend: ``Parallel(backend="pxkernel")`` runs its batches on engines (features JOB).

    import pxkernel as px
    px.register_joblib_backend()                  # or rc.load_balanced_view().register_joblib_backend()
    with joblib.parallel_config("pxkernel"):
        joblib.Parallel()(joblib.delayed(f)(x) for x in range(100))

joblib is not installed with pxkernel: ``pip install pxkernel[joblib]``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import joblib
from joblib.parallel import BACKENDS, AutoBatchingMixin, ParallelBackendBase

from .client.client import Client
from .cluster import Cluster
from .errors import ClusterError

if TYPE_CHECKING:
    from .client.asyncresult import AsyncResult
    from .client.balanced import LoadBalancedView

#: The view to work with, and what to do when joblib needs it no more.
Connection = tuple["LoadBalancedView", Callable[[], object]]
#: The name of the backend, and that in code which was written for ipyparallel.
NAME, OLD_NAME = "pxkernel", "ipyparallel"


class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Sends batches to engines, the next to whichever has least to do.

    Nested calls of Parallel run in threads of the engine.

    Parameters
    ----------
    connect
        Gives the view; called when joblib begins, not before.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, connect: Callable[[], Connection], **options: Any):
        super().__init__(**options)
        self._connect = connect
        self._connection: Connection | None = None
        #: Callbacks unpickle results and pickle new batches; the thread that receives must not wait for that.
        self._callbacks: ThreadPoolExecutor | None = None
        self._calls: WeakSet[AsyncResult] = WeakSet()

    @property
    def _view(self) -> LoadBalancedView:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection[0]

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """The number of engines, whatever ``n_jobs`` says (features JOB-02).

        Raises
        ------
        ValueError
            ``n_jobs`` is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return len(self._view)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> AsyncResult:
        """Called by joblib for every batch."""
        if self._callbacks is None:
            self._callbacks = ThreadPoolExecutor(1, thread_name_prefix="pxkernel-joblib")
        threads, call = self._callbacks, self._view.apply_async(func)
        self._calls.add(call)

        def done(call: AsyncResult) -> None:
            with contextlib.suppress(RuntimeError):  # joblib has what it wants, and has ended
                threads.submit(callback, call)  # type: ignore[arg-type]

        if callback is not None:
            call.add_done_callback(done)
        return call

    #: The name before joblib 1.5.
    apply_async = submit

    def retrieve_result_callback(self, out: AsyncResult) -> Any:
        """Called by joblib in the callback."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Called by joblib after an error: interrupt what runs and take back what waits."""
        if calls := [call for call in self._calls if not call.done()]:
            self._view.client.interrupt(calls)
        if not ensure_ready:
            self.terminate()

    def terminate(self) -> None:
        """Called by joblib at the end of a call, or of the block of a Parallel object."""
        if self._callbacks is not None:
            self._callbacks.shutdown(wait=False)
            self._callbacks = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection[1]()


def _default() -> Connection:
    """The running cluster, or a new one for as long as joblib needs it."""
    try:
        client = Client()
    except (FileNotFoundError, ClusterError):
        cluster = Cluster()
        client = cluster.start_and_connect_sync()
        return client.load_balanced_view(), cluster.stop_cluster_sync
    client.wait_for_engines()
    return client.load_balanced_view(), client.close


def register_joblib_backend(name: str = NAME, make_default: bool = False) -> None:
    """Have joblib know the engines of the running cluster by a name (features JOB-01).

    If no cluster runs, one is started when joblib needs it and stopped afterwards.

    Parameters
    ----------
    name
        For ``joblib.parallel_config``; with the default also "ipyparallel", unless that is taken.
    make_default
        Whether joblib uses it without being told.
    """
    _register(name, _default, make_default)


def register_view(view: LoadBalancedView, name: str = NAME, make_default: bool = False) -> None:
    """As `register_joblib_backend`, for the engines of a view; ``view.register_joblib_backend`` calls it."""
    _register(name, lambda: (view, lambda: None), make_default)


def _register(name: str, connect: Callable[[], Connection], make_default: bool) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a joblib backend is a string, not {name!r}")

    def make(**options: Any) -> Backend:
        return Backend(connect, **options)

    joblib.register_parallel_backend(name, make, make_default=make_default)
    taken = BACKENDS.get(OLD_NAME)
    if name == NAME and (taken is None or getattr(taken, "__module__", None) == __name__):
        joblib.register_parallel_backend(OLD_NAME, make)
