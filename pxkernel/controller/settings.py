"""What a controller is told when it is started. Only the standard library: it is read before anything else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

#: The bytes of delivered results that a controller keeps.
STORE_LIMIT = 256 * 1024 * 1024
#: How long engines wait for a new controller, in seconds.
RESTORE_TIMEOUT = 600.0

#: The names of the policies of the core: which engine gets a balanced task.
SCHEMES = ("leastload", "lru", "plainrandom", "pure", "twobin", "weighted")


def check_scheme(scheme: str) -> str:
    """The scheme, if there is one of this name; raises ValueError if there is none."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
    return scheme


def check_store(store: str) -> str:
    """The store, if there is such a one; raises TypeError or ValueError if there is none."""
    if not isinstance(store, str):
        raise TypeError(f"store must be a string, not {store!r}")
    kind, _, path = store.partition(":")
    if kind not in ("memory", "sqlite", "none") or (path and kind != "sqlite"):
        raise ValueError(f"store must be 'memory', 'sqlite', 'sqlite:<path>' or 'none', not {store!r}")
    return store


def check_store_limit(limit: int) -> int:
    """A number of bytes; raises ValueError if it is none."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise ValueError(f"store_limit must be a number of bytes, not {limit!r}")
    return limit


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``python -m pxkernel.controller`` reads from its stdin, as JSON; not an argument: others can see those."""

    cluster_id: str
    profile: str
    directory: str
    sockets: str
    #: None: ipykernel under this interpreter.
    kernel_name: str | None = None
    #: None: the platform's default; "local", "forkserver" or the entry point of another one.
    provisioner: str | None = None
    #: How kernels are reached: "ipc", or "tcp" on the loopback interface.
    transport: str = "ipc"
    #: The variables of its environment that limit the threads of engines and that the user has not set.
    thread_limits: list[str] = field(default_factory=list)
    #: For each engine that is started at once what the user has set for it; None removes a variable.
    environments: list[dict[str, str | None]] = field(default_factory=list)
    #: The file with the code that each engine runs before it is ready, None without.
    on_start: str | None = None
    #: Modules that the fork server loads beside its own.
    preload: list[str] = field(default_factory=list)
    #: More arguments of the kernels.
    engine_args: list[str] = field(default_factory=list)
    owner_pid: int | None = None
    #: The file descriptor on which the controller says that it listens, or why not.
    ready: int = -1
    #: The interface on which to listen for other machines, None: on none; the port, 0 for any; and the name or address by
    #: which other machines find this one, None: ``ip``, or this machine's name.
    ip: str | None = None
    port: int = 0
    location: str | None = None
    #: The file in which the keys and the port stay for the next time or the next controller, None: they do not.
    keys: str | None = None
    #: Where delivered results are kept: "memory", "sqlite", "sqlite:<path>" or "none".
    store: str = "memory"
    #: Bytes.
    store_limit: int = STORE_LIMIT
    #: One of SCHEMES.
    scheme: str = "leastload"
    #: The directory in which the engines start.
    cwd: str = "."
    #: For how many seconds the engines wait for a new controller when this one is gone; None: they end.
    restore_timeout: float | None = None
    #: Whether this is such a new controller.
    restored: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        return cls(**json.loads(text))
