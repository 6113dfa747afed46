"""What the controller decides: events in, commands out.

Laws of this package. (1) No I/O, no clock, no thread, no randomness: time is an argument. (2) One record per task, here
and nowhere else. (3) Every command is caused by the event being handled. (4) Payloads are not here; a task has a size.

::

    events ──▶ Core.handle(event, now) ──▶ [commands]
                    │
                    └── tables: clients, engines, tasks
"""

from .commands import (
    Acknowledge,
    Announce,
    Command,
    Deliver,
    Fail,
    Forget,
    InterruptEngine,
    InterruptTasks,
    RecallTasks,
    RunCell,
    RunTasks,
    Settle,
    TellStarted,
)
from .core import Core
from .events import (
    Aborted,
    Acked,
    CellReplied,
    ClientJoined,
    ClientLeft,
    Dependency,
    EngineJoined,
    EngineLeft,
    EngineRestarts,
    Event,
    Fetched,
    InterruptAsked,
    InterruptSent,
    KernelIdle,
    OutputsSettled,
    Submitted,
    TasksFinished,
    TasksRecalled,
    Terms,
    Ticked,
)

__all__ = [
    "Aborted", "Acked", "Acknowledge", "Announce", "CellReplied", "ClientJoined", "ClientLeft", "Command", "Core",
    "Deliver", "Dependency", "EngineJoined", "EngineLeft", "EngineRestarts", "Event", "Fail", "Fetched", "Forget",
    "InterruptAsked", "InterruptEngine", "InterruptSent", "InterruptTasks", "KernelIdle", "OutputsSettled", "RecallTasks",
    "RunCell", "RunTasks", "Settle", "Submitted", "TasksFinished", "TasksRecalled", "TellStarted", "Terms", "Ticked",
]  # fmt: skip
