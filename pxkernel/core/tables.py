"""The three tables of the core: clients, engines, tasks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import NamedTuple

from ..protocol.credit import Credit
from .agenda import Appointment
from .commands import Command
from .events import Terms
from .queue import TaskQueue

#: An engine gets more than one task at a time only while its recent tasks took less than this, in seconds.
SHORT_TASK = 0.003
#: The most tasks and the most payload bytes that may wait inside an engine.
WINDOW_TASKS = 64
WINDOW_BYTES = 4 * 1024 * 1024
#: The engine of what needs none.
NOWHERE = -1
#: An engine gets so many seconds of balanced tasks at a time: what waits inside one engine cannot go to another.
BURST = 0.02
#: When a task has run for so many seconds the balanced ones that wait behind it inside its engine are taken back.
LONG = 10 * BURST
#: A client's functions whose pace is remembered.
FAMILIES = 1000
#: So many engines that are gone are remembered.
GONE = 1000

_serials = count()


class Place(NamedTuple):
    """An incarnation of an engine; no other one ever has its ``serial``."""

    engine: int
    serial: int


class State(Enum):
    """Where a task is. QUEUED → SENT → DONE; a queued task can also be failed straight to DONE."""

    QUEUED = "queued"
    SENT = "sent"
    DONE = "done"


@dataclass(slots=True)
class Task:
    """One call on one engine; a balanced one has no engine before it is sent."""

    id: str
    client: str
    engine: int | None
    kind: str
    size: int
    #: The submission whose credit is given back when its last task has left the controller.
    call: Call
    #: How many seconds it may run, 0: any number; and whether that is over.
    time_limit: float = 0.0
    overtime: bool = False
    state: State = State.QUEUED
    #: Bytes of the result while it waits for its client's credit.
    result_size: int = 0
    #: Its client has aborted it.
    aborted: bool = False
    #: A recall is on its way to its engine.
    recalled: bool = False
    #: When it was the first of those that its engine has, so that it runs; only what matters to the Stopwatch has it.
    began: float | None = None
    #: When it was sent to its engine, on the clock of the events.
    sent_at: float | None = None
    #: It has been sent once, so that its call has been counted down.
    left: bool = False
    #: All of its output has come, before its result.
    settled: bool = False
    #: A cell is done when its reply and its idle status have come.
    replied: bool = False
    idle: bool = False
    #: What is to become of it when nothing happens in time: it waits too long, runs too long, or its reply never comes.
    appointment: Appointment | None = None
    #: It has succeeded.
    ok: bool = False
    balance: Balance | None = None

    def expect(self, appointment: Appointment | None) -> None:
        """Something else is to become of it when nothing happens in time."""
        if self.appointment is not None:
            self.appointment.call_off()
        self.appointment = appointment


@dataclass(slots=True)
class Balance:
    """What a balanced task asks for, and what it has met with so far."""

    terms: Terms
    retries: int
    #: When it has waited too long.
    deadline: float | None
    #: Its place in the order of submission.
    number: int = 0
    #: Where its ``follow`` lets it run; None: anywhere.
    places: frozenset[Place] | None = None
    #: The engines that do not meet its functional dependencies.
    refused: frozenset[Place] = frozenset()


@dataclass(slots=True)
class Call:
    """The payload that several tasks share; ``waiting`` of them have not left the controller."""

    size: int
    waiting: int


@dataclass(slots=True)
class Client:
    id: str
    #: Bytes of results that are on the way to it.
    credit: Credit = field(default_factory=Credit)
    #: Bytes of output: large results must not cost a client its output.
    output_credit: Credit = field(default_factory=Credit)
    #: Results that wait for credit.
    outbox: deque[str] = field(default_factory=deque)
    #: In the order of submission.
    tasks: dict[str, None] = field(default_factory=dict)
    #: The engines that have passed over tasks of it because it does not read.
    held_at: set[int] = field(default_factory=set)
    #: Seconds that its balanced tasks take, by family.
    paces: dict[str, float] = field(default_factory=dict)

    def measure(self, family: str, seconds: float) -> None:
        self.paces[family] = average(self.paces.pop(family, None), seconds)
        if len(self.paces) > FAMILIES:
            del self.paces[next(iter(self.paces))]


def average(before: float | None, seconds: float) -> float:
    # The newest task counts half: one slow task closes the window at once, a few quick ones open it.
    return seconds if before is None else (before + seconds) / 2


def burst(pace: float) -> int:
    """How many tasks of so many seconds an engine gets at a time, so that other engines do not wait for it."""
    return max(1, min(WINDOW_TASKS, int(BURST / pace))) if pace > 0 else WINDOW_TASKS


@dataclass(slots=True)
class Engine:
    """One incarnation of one engine."""

    id: int
    has_tasks: bool
    #: Tasks of its own that wait.
    queue: TaskQueue = field(default_factory=TaskQueue)
    #: What was sent and is not done, in the order of sending: all tasks or one cell, never both.
    sent: dict[str, None] = field(default_factory=dict)
    sent_bytes: int = 0
    #: Finished tasks whose output is still coming, in order: (task, whom to tell; None if the task runs again).
    unsettled: deque[tuple[str, str | None]] = field(default_factory=deque)
    #: Finished cells whose output may still be coming, and when that is over: task → (client, appointment).
    trailing: dict[str, tuple[str, Appointment]] = field(default_factory=dict)
    #: Moving average of the seconds that a task takes, None before the first.
    pace: float | None = None
    #: How many tasks of its own it may have at a time, and how many balanced ones; both follow from its pace.
    window: int = 1
    burst: int = 1
    #: How many signals are on their way; nothing is sent before they are out, because they hit whatever runs.
    interrupting: int = 0
    #: Its kernel is being replaced: what is submitted meanwhile waits for the new one.
    away: bool = False
    #: A task that it still runs though nobody waits for its result any more: it cannot be interrupted, or an earlier
    #: controller has sent it.
    stuck: str | None = None
    #: The task that it runs, if that has turned out long: it gets no balanced ones meanwhile.
    long: str | None = None
    #: How many of its tasks are balanced or have a time limit, and when somebody looks how long one has run.
    watched: int = 0
    look: Appointment | None = None
    #: How many tasks it has finished.
    completed: int = 0
    #: When it has tasks of its own and there are balanced ones, they take turns.
    balanced_turn: bool = False
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        self.place = Place(self.id, next(_serials))

    def measure(self, seconds: float) -> None:
        """A task has taken so long; ``adapt`` when all that have come together are counted."""
        self.pace = average(self.pace, seconds)

    def adapt(self) -> None:
        """Have as many tasks at a time as befits its pace."""
        if self.pace is not None:
            self.window = WINDOW_TASKS if self.pace < SHORT_TASK else 1
            self.burst = burst(self.pace)

    @property
    def paused(self) -> bool:
        """Nothing is sent to it for the time being."""
        return bool(self.away or self.interrupting or self.stuck)

    @property
    def load(self) -> int:
        """How many tasks it has, running and waiting, direct and balanced."""
        return len(self.sent) + len(self.queue) + (self.stuck is not None)

    def put_in(self, task: Task) -> None:
        """It is sent a task."""
        self.sent[task.id] = None
        self.sent_bytes += task.size
        self.watched += task.balance is not None or task.time_limit > 0

    def take_out(self, task: Task) -> None:
        """It is done with a task that it was sent."""
        del self.sent[task.id]
        self.sent_bytes -= task.size
        self.watched -= task.balance is not None or task.time_limit > 0
        if self.long == task.id:
            self.long = None

    def has_room(self, window: int, before: int) -> bool:
        """Whether one more may be sent, with ``window`` the most at a time.

        ``before`` is how many it had before this turn: it gets half a window at a time, so that a message carries many short
        tasks.
        """
        return before <= window // 2 and len(self.sent) < window and self.sent_bytes < WINDOW_BYTES


class Tables:
    """What the core knows, and what it has decided of the event that it handles."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.engines: dict[int, Engine] = {}
        #: Why engines are gone, the last one last.
        self.gone: dict[int, str] = {}
        self.tasks: dict[str, Task] = {}
        #: The time of the event, and the commands that it has caused so far.
        self.now = 0.0
        self.commands: list[Command] = []
        #: By client the bytes of submissions that have left the queues.
        self.passed_on: dict[str, int] = {}
        #: The engines whose own queue has got something.
        self.filled: dict[int, Engine] = {}
        #: The engines with tasks to watch whose first one may be another since the event.
        self.changed: dict[int, Engine] = {}

    def engine_gone(self, engine: int, reason: str) -> None:
        """Remember why an engine is gone; of very many, the last ones."""
        self.gone[engine] = reason
        if len(self.gone) > GONE:
            del self.gone[next(iter(self.gone))]
