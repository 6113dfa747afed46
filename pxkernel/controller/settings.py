"""What a controller is told when it is started. Only the standard library: it is read before anything else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

#: The bytes of delivered results that a controller keeps.
STORE_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """The one argument of ``python -m pxkernel.controller``, as JSON."""

    cluster_id: str
    directory: str
    sockets: str
    #: Engines to start at once.
    n: int
    #: None: ipykernel under this interpreter.
    kernel_name: str | None
    #: None: the platform's default; "local", "forkserver" or the entry point of another one.
    provisioner: str | None
    #: The variables of its environment that limit the threads of engines and that the user has not set.
    thread_limits: list[str]
    owner_pid: int | None
    #: The file descriptor on which the controller says that it listens, or why not.
    ready: int
    #: Where delivered results are kept: "memory", "sqlite", "sqlite:<path>" or "none".
    store: str = "memory"
    #: Bytes.
    store_limit: int = STORE_LIMIT

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        return cls(**json.loads(text))
