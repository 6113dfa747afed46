"""The engines of the cluster: how they become ready, and how they end.

An engine that the cluster starts becomes ready in three steps: its kernel has been *launched*, its extension has
*dialled* (a kernel without the extension does not), and its own channels have *answered*. A kernel that asks to be adopted
dials first and brings its connection information along.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.events import EngineJoined, EngineLeft, Event
from ..kernels.channels import Channels
from ..protocol.messages import Hello, Message, Refused, Release, Welcome
from .front import Front
from .launcher import Launcher

#: How many engines that have ended a new client is told of.
DEPARTED = 1000
#: Tells the clients which engines have joined and which are gone: (engine, reason).
Announce = Callable[[Sequence[int], Sequence[tuple[int, str]]], None]


@dataclass(slots=True)
class EngineRecord:
    """What the controller knows about one engine, beside what the core knows."""

    id: int
    has_extension: bool = True
    adopted: bool = False
    #: Identity of its task channel on the front, once it has dialled.
    identity: bytes | None = None
    #: The same of its connection for what must reach it while it is busy.
    urgent: bytes | None = None
    #: Connection information, once its kernel has been launched.
    info: dict[str, Any] | None = None
    connected: bool = False
    ready: bool = False
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def public(self) -> dict[str, Any]:
        """What clients may know; never the kernel's key."""
        info = self.info or {}
        return {
            "id": self.id,
            "uuid": self.uuid,
            "pid": info.get("pid"),
            "connection_file": info.get("connection_file"),
            "tasks": self.has_extension,
            "adopted": self.adopted,
        }


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
    """

    def __init__(
        self,
        front: Front,
        channels: Channels,
        launcher: Launcher,
        handle: Callable[[Event], None],
        announce: Announce,
        watch: Callable[..., None],
    ):
        self._front = front
        self._channels = channels
        self._launcher = launcher
        self._handle = handle
        self._announce = announce
        self._watch = watch
        self._records: dict[int, EngineRecord] = {}
        #: The engines that have ended, the last ones of many, and why.
        self.departed: deque[tuple[int, str]] = deque(maxlen=DEPARTED)
        #: How many engines there have been; ids are never used twice.
        self.count = 0

    def ready(self) -> list[dict[str, Any]]:
        """What clients may know of the engines that are ready."""
        return [record.public() for record in self._records.values() if record.ready]

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
        if record is not None and record.identity is not None:
            self._front.send(record.identity, message)

    # -- beginning ----------------------------------------------------------------------------------------------------

    def _new(self) -> EngineRecord:
        record = EngineRecord(self.count)
        self.count += 1
        self._records[record.id] = record
        return record

    def start(self, kernel_name: str | None, provisioner: str | None) -> None:
        """Start one more engine."""
        self._launcher.start(self._new().id, kernel_name, provisioner)

    def launched(self, engine: int, has_extension: bool, info: dict[str, Any]) -> None:
        """Its kernel has been started."""
        record = self._records.get(engine)
        if record is None:
            return  # the cluster stops
        record.info, record.has_extension = info, has_extension
        self._connect(record)

    def dialled(self, identity: bytes, hello: Hello) -> None:
        """Its extension has opened the task channel."""
        record = self._records.get(hello.engine_id) if hello.engine_id is not None else None
        if record is None:
            self._front.send(identity, Refused(f"engine {hello.engine_id} is not expected"))
            return
        self._welcome(record, identity)

    def adopt(self, identity: bytes, hello: Hello) -> None:
        """A kernel that somebody else has started asks to be an engine."""
        info = {**hello.info["connection"], "pid": hello.pid}
        record = self._new()
        record.adopted, record.info = True, info
        self._watch(hello.pid, self.ended, record.id, "ended")
        self._welcome(record, identity)

    def _welcome(self, record: EngineRecord, identity: bytes) -> None:
        record.identity = identity
        self._front.who[identity] = record.id
        self._front.send(identity, Welcome(record.id, [], {}))
        self._connect(record)

    def _connect(self, record: EngineRecord) -> None:
        """Connect to the kernel's own channels, as soon as it listens: an engine dials when it does."""
        dialled = record.identity is not None and record.urgent is not None
        if record.info is None or record.connected or (record.has_extension and not dialled):
            return
        record.connected = True
        self._channels.connect(record.id, 0, record.info, time.monotonic())

    def answered(self, engine: int) -> None:
        """Its channels work: it is ready."""
        record = self._records[engine]
        record.ready = True
        self._handle(EngineJoined(engine, record.has_extension))

    # -- ending -------------------------------------------------------------------------------------------------------

    def ended(self, engine: int, reason: str) -> None:
        """It has died, left, or never started; ``reason`` completes the sentence "engine 3 ..."."""
        record = self._records.pop(engine, None)
        if record is None:
            return
        self.departed.append((engine, reason))
        self._channels.disconnect(engine)
        for identity in (record.identity, record.urgent):
            self._front.who.pop(identity or b"", None)
        if record.ready:
            self._handle(EngineLeft(engine, reason))
        else:
            self._announce([], [(engine, reason)])

    def listens(self, identity: bytes, hello: Hello) -> None:
        """Its extension has opened the connection for what must reach it while it is busy."""
        record = self._records.get(hello.engine_id) if hello.engine_id is not None else None
        if record is not None:
            record.urgent = identity
            self._front.who[identity] = record.id
            self._connect(record)

    def urge(self, engine: int, message: Message) -> None:
        """Send what the extension reads while the engine is busy."""
        record = self._records.get(engine)
        if record is not None and record.urgent is not None:
            self._front.send(record.urgent, message)

    def stop(self) -> None:
        """Release what was adopted, end what was started; the launcher tells when that is done."""
        for engine, record in list(self._records.items()):
            if record.adopted:
                self.send(engine, Release("the cluster stops"))
                self.ended(engine, "was released: the cluster stops")
            else:
                # Before its kernel is interrupted and shut down: what waits behind its task must not start now.
                self.ended(engine, "has ended: the cluster was stopped")
        self._launcher.stop()
