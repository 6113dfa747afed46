"""What a Cluster does with its engines while it runs: add, end, restart, signal (features CLU-08 to CLU-18)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..client.inquiry import catch_up, inquire
from ..client.membership import engine_count
from ..client.signals import number_of
from ..client.targets import engine_id as checked_id
from ..errors import ClusterError
from ..protocol.clusterfile import ClusterFile
from .enginesets import EngineSet
from .stop import STOP_TIMEOUT
from .twins import with_awaitable_twins
from .wishes import Environment, check_environment, check_text, check_transport, environment_of


@with_awaitable_twins
class EngineOperations:
    """The part of Cluster that changes its engines. What there is is asked of the controller: any process may change it."""

    n: int | None
    environment: Environment | None
    engine_timeout: float
    _file: ClusterFile | None

    @property
    def engines(self) -> dict[str, EngineSet]:
        """The engine sets by their ids, in the order of their starts; empty when it is not running (features CLU-06)."""
        if self._file is None or not self._file.alive():
            return {}
        directory = self._file.directory if self._file.is_here else None
        return {name: EngineSet(name, engines, directory) for name, engines in self._ask("engine_sets").items()}

    @property
    def engine_set(self) -> EngineSet | None:
        """The first engine set, None without (features CLU-06)."""
        return next(iter(self.engines.values()), None)

    def _check_running(self) -> ClusterFile:
        if self._file is None:
            raise ClusterError("this cluster has not been started: call start_cluster_sync()")
        if not self._file.alive():
            how = f"; {self._file.restoring} takes its engines over" if self._file.restorable else ""
            raise ClusterError(f"the cluster {self._file.cluster_id!r} is not running any more{how}")
        return self._file

    def _ask(self, topic: str, timeout: float | None = STOP_TIMEOUT, **arguments: Any) -> Any:
        return inquire(self._check_running(), topic, timeout, **arguments)

    def _change(self, topic: str, timeout: float | None = STOP_TIMEOUT, **arguments: Any) -> Any:
        """As ``_ask``, in the order in which the user does things."""
        directory = self._check_running().directory
        catch_up(directory)
        answer = self._ask(topic, timeout, **arguments)
        catch_up(directory)
        return answer

    def _count(self, n: int | None) -> int:
        if n is not None:
            return engine_count(n)
        return (os.cpu_count() or 1) if self.n is None else self.n

    def start_engines_sync(
        self,
        n: int | None = None,
        engine_set_id: str | None = None,
        *,
        environment: Environment | None = None,
        kernel_name: str | None = None,
        transport: str = "ipc",
    ) -> str:
        """Start more engines; returns when their starts are under way (features CLU-08, CLU-18).

        Parameters
        ----------
        n
            How many; None: as many as the cluster was to have.
        engine_set_id
            The name of their set; None: a new one. An existing set grows.
        environment
            Their variables, as in ``Cluster``; None: as those of the other engines.
        kernel_name, transport
            Their kernelspec and how it is reached, as in ``Cluster``; without ``kernel_name`` as the other engines.

        Returns
        -------
        str
            The name of their set. ``Client.wait_for_engines()`` waits until they are ready.

        Raises
        ------
        ClusterError
            The cluster is not running.
        TypeError, ValueError
            An argument, which the text names, is nothing of its kind; nothing is started.
        """
        environment = self.environment if environment is None else check_environment(environment)
        if check_text("engine_set_id", engine_set_id) == "":
            raise ValueError("engine_set_id must be the name of an engine set, not ''")
        check_text("kernel_name", kernel_name)
        check_transport(transport)
        if kernel_name is None and transport != "ipc":
            raise ValueError("transport is for engines with a kernel_name of their own")
        kernel = None if kernel_name is None else [kernel_name, transport]
        ids = self._ask("new_engines", n=self._count(n), environment=environment is not None)
        environments = None if environment is None else [environment_of(environment, engine) for engine in ids]
        return str(self._change("start_engines", engines=ids, set_id=engine_set_id, environments=environments, kernel=kernel))

    def _ids(self, engine_set_id: str | None) -> list[int]:
        """The engines of a set, or of all sets; raises ClusterError if the cluster is not running."""
        sets = self.engines
        if not sets:
            self._check_running()
        if engine_set_id is None:
            return [engine for engine_set in sets.values() for engine in engine_set.ids]
        if engine_set_id not in sets:
            raise KeyError(engine_set_id)
        return sets[engine_set_id].ids

    def stop_engines_sync(self, engine_set_id: str | None = None) -> None:
        """End the engines of a set, None: of all that run, if any; returns when the processes have ended (features CLU-12).

        What they had to do fails with an EngineError that says that they were stopped. Adopted kernels go on.

        Raises
        ------
        KeyError
            There is no such set.
        """
        if engine_set_id is not None or self.engines:
            self._stop_engines(self._ids(engine_set_id))

    def stop_engine_sync(self, engine_id: int) -> None:
        """End one engine, as ``stop_engines_sync``; an adopted kernel is released (features CLU-17).

        Raises
        ------
        IndexError
            There is no such engine.
        """
        self._stop_engines([checked_id(engine_id)])

    def _stop_engines(self, ids: Sequence[int]) -> None:
        if ids:
            self._change("stop_engines", engines=list(ids))

    def restart_engines_sync(self, engine_set_id: str | None = None) -> None:
        """Give each engine of a set, None: of all, a new kernel; returns when these are ready (features CLU-15).

        The ids stay. What was submitted before fails with an EngineError that says that the engine was restarted; what is
        submitted meanwhile runs on the new kernel. Engines that have died come back.

        Raises
        ------
        KeyError
            There is no such set.
        EngineError
            A new kernel did not start; the text says why.
        TimeoutError
            They were not ready within ``engine_timeout``.
        """
        self._restart_engines(self._ids(engine_set_id))

    def restart_engine_sync(self, engine_id: int) -> None:
        """Give one engine a new kernel, as ``restart_engines_sync`` (features CLU-17).

        Raises
        ------
        IndexError
            There is no such engine.
        ValueError
            It was adopted.
        """
        self._restart_engines([checked_id(engine_id)])

    def _restart_engines(self, ids: Sequence[int]) -> None:
        if ids:
            self._change("restart_engines", self.engine_timeout, engines=list(ids))

    def signal_engines_sync(self, signum: int | str, engine_set_id: str | None = None) -> None:
        """Send a signal to the engines of a set, None: of all, and to what they have started (features CLU-16).

        SIGINT makes what runs fail with KeyboardInterrupt; idle engines ignore it.

        Parameters
        ----------
        signum
            A number or a name such as "SIGUSR1"; 0 is nothing.

        Raises
        ------
        KeyError
            There is no such set.
        AttributeError, ValueError, TypeError
            There is no signal with this name, with this number; it is neither.
        ClusterError
            The cluster is not running.
        """
        self._signal_engines(signum, self._ids(engine_set_id))

    def signal_engine_sync(self, signum: int | str, engine_id: int) -> None:
        """Send a signal to one engine, as ``signal_engines_sync`` (features CLU-17).

        Raises
        ------
        IndexError
            There is no such engine.
        """
        self._signal_engines(signum, [checked_id(engine_id)])

    def _signal_engines(self, signum: int | str, ids: Sequence[int]) -> None:
        number = number_of(signum)
        if ids and number:
            self._change("signal_engines", engines=list(ids), signum=number)

    def scale_sync(self, n: int) -> list[int]:
        """Have ``n`` engines: start more, or end those with the highest ids (features CLU-18).

        New ones join the last engine set. Dead and adopted engines are not counted. Returns when the starts are under way,
        or the processes have ended.

        Returns
        -------
        list of int
            The ids of the engines that were started or ended.
        """
        engine_count(n)
        sets = self.engines
        alive = sorted(e["id"] for engine_set in sets.values() for e in engine_set.engines if e["state"] != "dead")
        if n <= len(alive):
            self._stop_engines(alive[n:])
            return alive[n:]
        before = set(self._ids(None))
        self.start_engines_sync(n - len(alive), next(reversed(sets), None))
        return sorted(set(self._ids(None)) - before)
