"""What can happen to the controller, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientJoined:
    client: str


@dataclass(frozen=True, slots=True)
class ClientLeft:
    client: str


@dataclass(frozen=True, slots=True)
class EngineJoined:
    """An engine is ready, for the first time or after a restart.

    ``tasks`` says whether it has a task channel (a kernel with the extension).
    """

    engine: int
    tasks: bool = True


@dataclass(frozen=True, slots=True)
class EngineLeft:
    """An engine is gone; ``reason`` completes the sentence "engine 3 ..."."""

    engine: int
    reason: str


@dataclass(frozen=True, slots=True)
class EngineRestarts:
    """The kernel of an engine is being replaced: EngineJoined or EngineLeft follows; ``reason`` as in EngineLeft."""

    engine: int
    reason: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """One call of a client: ``targets`` = (task, engine) pairs; ``kind`` is "apply", "map", "execute", "cell" or "control".

    What has the kind "control" overtakes what waits.
    """

    client: str
    kind: str
    size: int
    targets: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A client wants a result that is there already; ``read`` names this delivery, ``size`` is that of the result."""

    client: str
    read: str
    size: int


@dataclass(frozen=True, slots=True)
class TasksFinished:
    """The extension of ``engine`` reports tasks: (task, bytes of the result, seconds it ran, whether output follows)."""

    engine: int
    results: Sequence[tuple[str, int, float, bool]]


@dataclass(frozen=True, slots=True)
class TasksRecalled:
    engine: int
    tasks: Sequence[str]


@dataclass(frozen=True, slots=True)
class CellReplied:
    """The ``execute_reply`` of a cell has come; ``size`` is that of its content."""

    engine: int
    task: str
    size: int


@dataclass(frozen=True, slots=True)
class KernelIdle:
    """The idle status of a cell has come."""

    engine: int
    task: str


@dataclass(frozen=True, slots=True)
class OutputsSettled:
    """Every output of ``engine`` up to and including that of ``task`` has been seen."""

    engine: int
    task: str


@dataclass(frozen=True, slots=True)
class Acked:
    """A client has received ``amount`` bytes of results, or of output."""

    client: str
    amount: int
    outputs: bool = False


@dataclass(frozen=True, slots=True)
class Aborted:
    client: str
    tasks: Sequence[str]


@dataclass(frozen=True, slots=True)
class InterruptAsked:
    client: str
    tasks: Sequence[str]


@dataclass(frozen=True, slots=True)
class InterruptSent:
    """The kernel's manager has sent the interrupt that InterruptEngine asked for."""

    engine: int


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed ``Core.deadline()``."""


Event = (
    ClientJoined | ClientLeft | EngineJoined | EngineLeft | EngineRestarts | Submitted | Fetched | TasksFinished
    | TasksRecalled | CellReplied | KernelIdle | OutputsSettled | Acked | Aborted | InterruptAsked | InterruptSent | Ticked
)  # fmt: skip
