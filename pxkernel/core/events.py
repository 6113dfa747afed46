"""What can happen to the controller, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ClientJoined(NamedTuple):
    client: str


class ClientLeft(NamedTuple):
    client: str


class EngineJoined(NamedTuple):
    """An engine is ready, for the first time or after a restart.

    ``tasks`` says whether it has a task channel (a kernel with the extension), ``running`` names what it still runs for a
    client of an earlier controller.
    """

    engine: int
    tasks: bool = True
    running: str | None = None


class EngineLeft(NamedTuple):
    """An engine is gone; ``reason`` completes the sentence "engine 3 ..."."""

    engine: int
    reason: str


class EngineRestarts(NamedTuple):
    """The kernel of an engine is being replaced: EngineJoined or EngineLeft follows; ``reason`` as in EngineLeft."""

    engine: int
    reason: str


class Dependency(NamedTuple):
    """The tasks that another one depends on: all of them or any, and whether it wants their success, failure or either."""

    tasks: Sequence[str]
    all: bool = True
    success: bool = True
    failure: bool = False


class Terms(NamedTuple):
    """What a balanced call asks for (features LB-03 to LB-08).

    ``targets`` are the engines that it may run on (None: any), ``avoid`` one that it may not: the engine that has made the
    call. ``family`` tells which tasks take about as long as each other. ``after`` says when it may run, ``follow`` where,
    ``timeout`` is how many seconds it may wait for both and for an engine (0: for ever), and ``retries`` how often it runs
    again when it has failed.
    """

    targets: frozenset[int] | None = None
    avoid: int | None = None
    family: str = ""
    after: Dependency | None = None
    follow: Dependency | None = None
    timeout: float = 0.0
    retries: int = 0


class Submitted(NamedTuple):
    """One call of a client: ``targets`` = (task, engine) pairs; ``kind`` is "apply", "map", "execute", "cell" or "control".

    What has the kind "control" overtakes what waits. A balanced call has ``terms``, and None for its engines.
    ``time_limit`` is how many seconds each of its tasks may run (0: any number).
    """

    client: str
    kind: str
    size: int
    targets: Sequence[tuple[str, int | None]]
    terms: Terms | None = None
    time_limit: float = 0.0


class Fetched(NamedTuple):
    """A client wants a result that is there already; ``read`` names this delivery, ``size`` is that of the result."""

    client: str
    read: str
    size: int


class TasksFinished(NamedTuple):
    """The extension of ``engine`` reports tasks.

    Each is (task, bytes of the result, seconds it ran, whether output follows, outcome); the outcome is "ok", "failed" or
    "unmet", which says that the task wants another engine.
    """

    engine: int
    results: Sequence[tuple[str, int, float, bool, str]]


class TasksRecalled(NamedTuple):
    """The answer of an engine to RecallTasks: what will not run there, and what has ``started``."""

    engine: int
    tasks: Sequence[str]
    started: Sequence[str] = ()


class CellReplied(NamedTuple):
    """The ``execute_reply`` of a cell has come; ``size`` is that of its content, ``ok`` whether it succeeded."""

    engine: int
    task: str
    size: int
    ok: bool = True


class KernelIdle(NamedTuple):
    """The idle status of a cell has come."""

    engine: int
    task: str


class OutputsSettled(NamedTuple):
    """Every output of ``engine`` up to and including that of ``task`` has been seen."""

    engine: int
    task: str


class Acked(NamedTuple):
    """A client has received ``amount`` bytes of results, or of output."""

    client: str
    amount: int
    outputs: bool = False


class Aborted(NamedTuple):
    client: str
    tasks: Sequence[str]


class InterruptAsked(NamedTuple):
    client: str
    tasks: Sequence[str]


class InterruptSent(NamedTuple):
    """The kernel's manager has sent the interrupt that InterruptEngine asked for."""

    engine: int


class Ticked(NamedTuple):
    """Time has passed ``Core.deadline()``."""


Event = (
    ClientJoined | ClientLeft | EngineJoined | EngineLeft | EngineRestarts | Submitted | Fetched | TasksFinished
    | TasksRecalled | CellReplied | KernelIdle | OutputsSettled | Acked | Aborted | InterruptAsked | InterruptSent | Ticked
)  # fmt: skip
