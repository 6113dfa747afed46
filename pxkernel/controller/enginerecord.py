"""One engine as the controller sees it: a kernel, and after a restart the next one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .front import Peer
from .launcher import Kernel, Key


@dataclass(slots=True)
class EngineRecord:
    """What the controller knows about one engine, beside what the core knows."""

    id: int
    has_extension: bool = True
    adopted: bool = False
    #: The engine set that it was started in, None for an adopted kernel.
    set_id: str | None = None
    #: What the user has set for this engine; None removes a variable.
    environment: Mapping[str, str | None] = field(default_factory=dict)
    #: Its kernelspec and transport, None: those of the cluster.
    kernel: Kernel | None = None
    incarnation: int = 0
    #: Its task channel on the front, once it has dialled.
    peer: Peer | None = None
    #: The same of its connection for what must reach it while it is busy.
    urgent: Peer | None = None
    #: Connection information, once its kernel has been launched.
    info: dict[str, Any] | None = None
    connected: bool = False
    ready: bool = False
    #: It was ready, and will be when its new kernel is: clients know it all the time.
    restarting: bool = False
    #: What it still runs for a client of an earlier controller.
    running: str | None = None
    #: An earlier controller had it, and it ended before this one came.
    lost: bool = False
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def key(self) -> Key:
        return self.id, self.incarnation

    @property
    def known(self) -> bool:
        """Whether the core and the clients know it."""
        return self.ready or self.restarting

    def renew(self) -> None:
        """Begin the next incarnation."""
        self.restarting = self.known
        self.incarnation += 1
        self.uuid = str(uuid.uuid4())
        self.peer = self.urgent = self.info = None
        self.connected = self.ready = self.lost = False
        self.running = None

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
            "incarnation": self.incarnation,
            "engine_set": self.set_id,
        }
