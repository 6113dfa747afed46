"""What the core tells the I/O shell to do, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class RunTasks(NamedTuple):
    """Send these tasks over the task channel."""

    engine: int
    tasks: Sequence[str]


class RunCell(NamedTuple):
    """Send this task as an ``execute_request`` on the kernel's shell channel."""

    engine: int
    task: str


class RecallTasks(NamedTuple):
    """Ask an engine to give these tasks back unless they have started; TasksRecalled is its answer."""

    engine: int
    tasks: Sequence[str]


class InterruptTasks(NamedTuple):
    """Tell the extension to interrupt whichever of these tasks runs, now or when it starts, and nothing else."""

    engine: int
    tasks: Sequence[str]


class InterruptEngine(NamedTuple):
    """Have a kernel without the extension interrupted by its manager, then report InterruptSent."""

    engine: int


class Fail(NamedTuple):
    """Make the result of a task that no engine will report.

    ``status`` is "aborted", "died" (``reason`` says of what), "interrupted" (a cell whose reply never came), "overtime"
    (whatever its engine has reported or will: it has run longer than its limit), or for a balanced task that has not run
    "timeout", "dependency_timeout", "impossible" or "invalid". ``engine`` is None if it had none.
    """

    task: str
    engine: int | None
    status: str
    reason: str


class Deliver(NamedTuple):
    """Send the results of these tasks to their client."""

    client: str
    tasks: Sequence[str]


class Settle(NamedTuple):
    """Tell the client that the output of this task is complete."""

    client: str
    task: str


class TellStarted(NamedTuple):
    """Tell the client that these tasks, which it wanted to take back, have started."""

    client: str
    tasks: Sequence[str]


class Acknowledge(NamedTuple):
    """Give a client back its submission credit."""

    client: str
    amount: int


class Forget(NamedTuple):
    """The client of this task has left: its result, if there is one, is not delivered, and will not be."""

    task: str


class Announce(NamedTuple):
    """Tell every client which engines have joined, which have left (engine, reason), and which are being restarted."""

    joined: Sequence[int] = ()
    left: Sequence[tuple[int, str]] = ()
    restarting: Sequence[int] = ()


Command = (
    RunTasks | RunCell | RecallTasks | InterruptTasks | InterruptEngine | Fail | Deliver | Settle | TellStarted
    | Acknowledge | Forget | Announce
)  # fmt: skip
