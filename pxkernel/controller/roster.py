"""The engines of the cluster: how they become ready, and how they end.

An engine that the cluster starts becomes ready in three steps: its kernel has been *launched*, its extension has
*dialled* (a kernel without the extension does not), and its own channels have *answered*. A kernel that asks to be adopted
dials first and brings its connection information along.

A restarted engine keeps its id and takes the three steps again, as a new *incarnation*: with another number, other endpoints,
another connection. What comes from an older one is nobody's any more and is dropped.

An engine that an earlier controller has started has been launched already, and takes the other two steps (``restore``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..core.events import EngineJoined, EngineLeft, EngineRestarts, Event
from ..kernels.channels import Channels
from ..protocol.messages import Hello, Interrupt, Message, Refused, Release, Welcome
from .enginerecord import EngineRecord
from .front import Front, Peer
from .launcher import Kernel, Launcher
from .restore import EngineFiles

#: How many engines that have ended a new client is told of.
DEPARTED = 1000
#: Tells the clients which engines have joined and which are gone, (engine, reason).
Announce = Callable[[Sequence[int], Sequence[tuple[int, str]]], None]
#: Called with what went wrong, by engine.
Done = Callable[[dict[int, str]], None]


class Roster:
    """Every engine from its start to its end.

    Parameters
    ----------
    front, channels, launcher
        The ways to the engines.
    handle
        Gives an event to the core.
    announce
        Tells the clients about engines that never became ready.
    watch
        ``watch(pid, function, *args)`` calls the function when the process has ended.
    inside
        The tasks that were sent to an engine and are not done.
    files
        What the next controller is to find.
    """

    def __init__(
        self,
        front: Front,
        channels: Channels,
        launcher: Launcher,
        handle: Callable[[Event], None],
        announce: Announce,
        watch: Callable[..., None],
        inside: Callable[[int], Iterable[str]],
        files: EngineFiles,
    ):
        self._front = front
        self._channels = channels
        self._launcher = launcher
        self._handle = handle
        self._announce = announce
        self._watch = watch
        self._inside = inside
        self._files = files
        self._records: dict[int, EngineRecord] = {}
        #: Engines that the cluster has started and that have died: they can be restarted.
        self._dead: dict[int, EngineRecord] = {}
        #: Why engines have ended, the last ones of many.
        self.departed: dict[int, str] = {}
        #: Who waits for engines to be ready or dead: (engines that are neither yet, failures, whom to tell).
        self._waiting: list[tuple[set[int], dict[int, str], Done]] = []
        #: How many ids there have been, and those that are or were engines: none is used twice.
        self.count = 0
        self._used: set[int] = set()

    def known(self) -> list[dict[str, Any]]:
        """What clients may know of the engines that are ready or being restarted."""
        return [record.public() for record in self._records.values() if record.known]

    def restarting(self) -> list[int]:
        """The engines whose kernel is being replaced."""
        return [record.id for record in self._records.values() if record.restarting]

    def prospects(self) -> dict[str, int]:
        """How many engines the cluster is to have ("expected"), and how many of them are not ready yet ("coming")."""
        own = [record for record in self._records.values() if not record.adopted]
        return {
            "expected": len(own) + sum(not record.lost for record in self._dead.values()),
            "coming": sum(not record.ready for record in own),
        }

    def sets(self) -> dict[str, list[dict[str, Any]]]:
        """The engines that the cluster has started and not been told to stop, by engine set, dead ones included."""
        sets: dict[str, list[dict[str, Any]]] = {}
        for record in sorted([*self._records.values(), *self._dead.values()], key=lambda record: record.id):
            if record.set_id is not None:
                state = "running" if record.ready else "dead" if record.id in self._dead else "starting"
                sets.setdefault(record.set_id, []).append({**record.public(), "state": state})
        return sets

    def find(self, engine: int) -> EngineRecord:
        """An engine, alive or dead.

        Raises
        ------
        IndexError
            There is no such engine, or it was stopped.
        """
        record = self._records.get(engine) or self._dead.get(engine)
        if record is None:
            why = f": engine {engine} {self.departed[engine]}" if engine in self.departed else ""
            raise IndexError(f"No such engine: {engine}{why}")
        return record

    def is_current(self, engine: int, incarnation: int) -> bool:
        """Whether this is news of the kernel that the engine has now."""
        record = self._records.get(engine)
        return record is not None and record.incarnation == incarnation

    def public(self, engine: int) -> dict[str, Any]:
        """What clients may know of one engine."""
        return self._records[engine].public()

    def uuid(self, engine: int) -> str:
        """The uuid of an engine, "" if there is none with this id any more."""
        record = self._records.get(engine)
        return "" if record is None else record.uuid

    def send(self, engine: int, message: Message) -> None:
        """Send over the task channel of an engine. If it cannot be reached it has ended, which its watcher tells."""
        record = self._records.get(engine)
        if record is not None and record.peer is not None:
            self._front.send(record.peer, message)

    # -- beginning ----------------------------------------------------------------------------------------------------

    def reserve(self, n: int) -> list[int]:
        """The ids of ``n`` engines that may be started."""
        ids = list(range(self.count, self.count + n))
        self.count += n
        return ids

    def start(
        self, engine: int, set_id: str, environment: Mapping[str, str | None], kernel: Kernel | None = None
    ) -> None:
        """Start an engine with an id that was reserved.

        Raises
        ------
        ValueError
            It was not, or has been used.
        """
        if engine >= self.count or engine in self._used:
            raise ValueError(f"{engine} is no id of a new engine")
        self._used.add(engine)
        record = EngineRecord(engine, set_id=set_id, environment=environment, kernel=kernel)
        self._records[engine] = record
        self._launcher.start(record.key, environment, kernel)

    def take_over(self) -> bool:
        """Go on with the engines that an earlier controller has started; whether there was one."""
        for engine in self._files.inherited:
            self.count = max(self.count, engine.id + 1)
            self._used.add(engine.id)
            record = EngineRecord(
                engine.id, has_extension=engine.tasks, set_id=engine.set_id, environment=engine.environment,
                kernel=engine.kernel, incarnation=engine.incarnation, uuid=engine.uuid,
            )  # fmt: skip
            if engine.alive:
                self._records[engine.id] = record
                self._launcher.take_over(record.key, engine)
            else:
                # The next incarnation may have been begun.
                record.incarnation += 1
                record.lost = True
                self._dead[engine.id] = record
                self.departed[engine.id] = "ended before the cluster was restored"
        return bool(self._files.inherited)

    def check_restart(self, engine: int) -> EngineRecord:
        """Whether an engine can be restarted.

        Raises
        ------
        IndexError
            There is no such engine.
        ValueError
            It was adopted: only who has started it can start it again.
        """
        record = self.find(engine)
        if record.adopted:
            raise ValueError(f"engine {engine} was adopted: the cluster has not started its kernel and cannot restart it")
        return record

    def restart(self, engine: int) -> None:
        """Replace the kernel of an engine that the cluster has started, alive or dead; raises as ``check_restart``."""
        record = self.check_restart(engine)
        if self._dead.pop(engine, None) is not None:
            self._records[engine] = record
            self.departed.pop(engine, None)
        old = record.key
        self._detach(record)
        record.renew()
        if record.restarting:
            self._handle(EngineRestarts(engine, "was restarted"))
        self._launcher.end(old, partial(self._relaunch, *record.key))

    def _relaunch(self, engine: int, incarnation: int) -> None:
        if self.is_current(engine, incarnation):
            record = self._records[engine]
            self._launcher.start(record.key, record.environment, record.kernel)

    def wait_for(self, engines: Iterable[int], done: Done) -> None:
        """Call ``done`` when each of the engines, which have been started, is ready or has died."""
        coming = {engine for engine in engines if not self._records[engine].ready}
        self._waiting.append((coming, {}, done))
        self._tell_waiting()

    def _tell_waiting(self, engine: int | None = None, failure: str | None = None) -> None:
        for coming, failures, _ in self._waiting:
            if failure is not None and engine in coming:
                failures[engine] = failure  # type: ignore[index]
            coming.discard(engine)  # type: ignore[arg-type]
        over = [(failures, done) for coming, failures, done in self._waiting if not coming]
        self._waiting = [waiting for waiting in self._waiting if waiting[0]]
        for failures, done in over:
            done(failures)

    def launched(self, engine: int, incarnation: int, has_extension: bool, info: dict[str, Any]) -> None:
        """Its kernel has been started."""
        if self.is_current(engine, incarnation):
            record = self._records[engine]
            record.info, record.has_extension = info, has_extension
            self._connect(record)

    def dialled(self, peer: Peer, hello: Hello) -> None:
        """Its extension has opened the task channel."""
        if hello.engine_id is None or not self.is_current(hello.engine_id, hello.info["incarnation"]):
            self._front.send(peer, Refused(f"engine {hello.engine_id} is not expected"))
            return
        self._records[hello.engine_id].running = hello.info.get("running")
        self._welcome(self._records[hello.engine_id], peer)

    def adopt(self, peer: Peer, hello: Hello) -> None:
        """A kernel that somebody else has started asks to be an engine."""
        (engine,) = self.reserve(1)
        record = EngineRecord(engine, adopted=True, info={**hello.info["connection"], "pid": hello.pid})
        self._records[engine] = record
        self._watch(hello.pid, self.hung_up, record.id)
        self._welcome(record, peer)

    def _welcome(self, record: EngineRecord, peer: Peer) -> None:
        record.peer = peer
        self._front.who[peer] = record.id
        self._front.send(peer, Welcome(record.id, [], {"memory": self._front.shares(peer)}))
        self._connect(record)

    def _connect(self, record: EngineRecord) -> None:
        """Connect to the kernel's own channels, as soon as it listens: an engine dials when it does."""
        dialled = record.peer is not None and record.urgent is not None
        if record.info is None or record.connected or (record.has_extension and not dialled):
            return
        record.connected = True
        # While something runs, a kernel answers on its control channel only.
        greet_on = "shell" if record.running is None else "control"
        self._channels.connect(*record.key, record.info, time.monotonic(), greet_on)

    def answered(self, engine: int) -> None:
        """Its channels work: it is ready."""
        record = self._records[engine]
        record.ready, record.restarting = True, False
        self._files.keep(record)
        self._handle(EngineJoined(engine, record.has_extension, record.running))
        self._tell_waiting(engine)

    # -- ending -------------------------------------------------------------------------------------------------------

    def died(self, engine: int, incarnation: int, reason: str) -> None:
        """The launcher has seen the end of a kernel, or could not start it."""
        if self.is_current(engine, incarnation):
            # The results that it has sent before its end.
            self._front.drain(self._records[engine].peer)
            self.ended(engine, reason)

    def hung_up(self, engine: int) -> None:
        """The connection of an engine has ended, or the process of an adopted one; the launcher tells the end of others."""
        record = self._records.get(engine)
        if record is not None and record.adopted:
            self._front.drain(record.peer)
            self.ended(engine, "ended")
        elif record is not None:
            self._launcher.hung_up(record.key)

    def is_over(self, engine: int, task: str) -> None:
        """What an engine has run for nobody is over; the core is told, but may not know the engine yet."""
        record = self._records.get(engine)
        if record is not None and record.running == task:
            record.running = None

    def ended(self, engine: int, reason: str) -> None:
        """It has died, left, or never started; ``reason`` completes the sentence "engine 3 ..."."""
        record = self._records.get(engine)
        if record is not None:
            if not record.adopted:
                self._dead[engine] = record
            self._remove(record, reason)

    def _remove(self, record: EngineRecord, reason: str) -> None:
        del self._records[record.id]
        self.departed[record.id] = reason
        if len(self.departed) > DEPARTED:
            oldest = next(iter(self.departed))
            del self.departed[oldest]
            self._dead.pop(oldest, None)
        self._detach(record)
        if record.known:
            record.ready = record.restarting = False
            self._handle(EngineLeft(record.id, reason))
        else:
            self._announce([], [(record.id, reason)])
        self._tell_waiting(record.id, reason)

    def _detach(self, record: EngineRecord) -> None:
        """Hear no more of its kernel."""
        self._channels.disconnect(record.id)
        for peer in (record.peer, record.urgent):
            self._front.forget(peer)

    def end(self, engine: int, done: Callable[[], None]) -> None:
        """End an engine for good, or release an adopted one; then call ``done``.

        Raises
        ------
        IndexError
            There is no such engine.
        """
        record = self.find(engine)
        self._files.drop(record)
        if self._dead.pop(engine, None) is not None:
            self._launcher.end(record.key, done)
        elif record.adopted:
            self._release(record, "was released")
            done()
        else:
            self._remove(record, "was stopped")
            self._launcher.end(record.key, done)

    def _release(self, record: EngineRecord, reason: str) -> None:
        self.send(record.id, Release(reason))
        self._remove(record, reason)

    def signal(self, engine: int, signum: int, done: Callable[[], None]) -> None:
        """Send a signal to an engine and what it has started; then call ``done``.

        SIGINT goes to the extension, if there is one, as an interrupt of whatever runs: at the edges of a cell the signal
        itself would end the kernel. It names the tasks that may be that, so that it hits none that comes later.

        Raises
        ------
        IndexError
            There is no such engine.
        """
        record = self.find(engine)
        if signum == signal.SIGINT and record.urgent is not None:
            inherited = [] if record.running is None else [record.running]
            self._front.send(record.urgent, Interrupt([*self._inside(engine), *inherited], only_now=True))
            done()
        elif record.adopted and record.info is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.info["pid"], signum)
            done()
        else:
            self._launcher.signal(record.key, signum, done)

    def listens(self, peer: Peer, hello: Hello) -> None:
        """Its extension has opened the connection for what must reach it while it is busy."""
        record = self._records.get(hello.engine_id) if hello.engine_id is not None else None
        # An adopted kernel has no incarnations.
        if record is not None and hello.info["incarnation"] in (None, record.incarnation):
            record.urgent = peer
            self._front.who[peer] = record.id
            self._connect(record)

    def urge(self, engine: int, message: Message) -> None:
        """Send what the extension reads while the engine is busy."""
        record = self._records.get(engine)
        if record is not None and record.urgent is not None:
            self._front.send(record.urgent, message)

    def stop(self) -> None:
        """Release what was adopted, end what was started; the launcher tells when that is done."""
        for record in list(self._records.values()):
            if record.adopted:
                self._release(record, "was released: the cluster stops")
            else:
                # Before its kernel is interrupted and shut down: what waits behind its task must not start now.
                self._remove(record, "has ended: the cluster was stopped")
        self._launcher.stop()
