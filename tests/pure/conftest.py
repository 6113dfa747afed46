"""A Core that is checked: its invariants after every event, and Rule 5 at the end of every test."""

import random
from collections import Counter
from typing import get_args

import pytest

from pxkernel.core import commands as c
from pxkernel.core import events as e
from pxkernel.core.core import Core
from pxkernel.core.policies import policy
from pxkernel.core.tables import WINDOW_TASKS, State


def _same(one, other):
    return type(one) is type(other) and tuple.__eq__(one, other)


for _cls in (*get_args(c.Command), *get_args(e.Event)):
    # Tuples with equal fields are equal, which no test means of a RecallTasks and an InterruptTasks.
    _cls.__eq__, _cls.__ne__, _cls.__hash__ = _same, lambda one, other: not one == other, tuple.__hash__


def check(core):
    """The invariants of the tables."""
    _check_places(core)
    for engine in core.engines.values():
        _check_engine(core, engine)
    owned = {client: set() for client in core.clients}
    for task in core.tasks.values():
        owned.setdefault(task.client, set()).add(task.id)
    for client in core.clients.values():
        assert set(client.tasks) == owned[client.id]
        assert not (client.outbox and client.credit.free), "results wait for credit that is there"
    waiting = Counter(id(task.call) for task in core.tasks.values() if not task.left)
    for task in core.tasks.values():
        assert task.client not in core.clients or task.call.waiting >= waiting[id(task.call)]
    _check_balanced(core)
    for task in core.tasks.values():
        assert not _must_be_timed(task) or _is_live(task.appointment)
    engines = core.engines.values()
    appointments = [task.appointment for task in core.tasks.values()] + [engine.look for engine in engines]
    appointments += [end for engine in engines for _, end in engine.trailing.values()]
    assert (core.deadline() is None) == (not any(map(_is_live, appointments)))


def _must_be_timed(task):
    """Whether something must become of a task when nothing happens in time."""
    if task.state is State.SENT:
        return (task.idle and not task.replied) or (task.time_limit and task.began is not None) or task.overtime
    return task.state is State.QUEUED and bool(task.balance and task.balance.deadline)


def _is_live(appointment):
    return appointment is not None and appointment.action is not None


def _check_places(core):
    """Every task is in exactly one place, and every place holds tasks that exist."""
    places = Counter()
    for engine in core.engines.values():
        places.update((State.QUEUED, engine.id, task) for task in engine.queue)
        places.update((State.SENT, engine.id, task) for task in engine.sent)
    for client in core.clients.values():
        places.update((State.DONE, client.id, task) for task in client.outbox)
    places.update((State.QUEUED, None, task) for lane in core.balancer._pool.lanes() for task in lane.tasks)
    places.update((State.QUEUED, None, task) for task in core.balancer._graph._watches)
    expected = Counter(
        (task.state, task.client if task.state is State.DONE else task.engine, task.id) for task in core.tasks.values()
    )
    assert places == expected


def _check_balanced(core):
    """No task waits for what cannot come, and no engine idles that could run one."""
    assert not core._results.ended and not core._results.ready and not core._tables.changed and not core._tables.filled
    assert not core._tables.passed_on
    for lane in core.balancer._pool.lanes():
        assert lane.tasks and lane.client is core.clients[lane.client.id]
        admitted = [engine for engine in core.engines.values() if lane.admits(engine)]
        assert admitted, "a task waits that no engine may run"
        if lane.client.credit.free:
            assert all(engine.sent or engine.paused for engine in admitted), "an engine idles that could run a task"
    for watches in core.balancer._graph._watches.values():
        assert watches.verdict is None
        for other in (other for watch in watches.each() for other in watch.pending):
            assert core.tasks[other].state is not State.DONE, "a task waits for one that has ended"
    for number, engine in core.balancer._idle.items():
        assert core.engines[number] is engine and not engine.sent and engine.has_tasks
    for lanes in core.balancer._pool.by_client.values():
        assert lanes.by_key
        for engine in core.engines.values():
            admitting = [lane for lane in lanes.by_key.values() if lane.admits(engine)]
            assert set(map(id, admitting)) <= set(map(id, lanes.of(engine.id))), "an engine does not know of a lane"


def _check_engine(core, engine):
    sent = [core.tasks[task] for task in engine.sent]
    kinds = {task.kind == "cell" for task in sent}
    assert kinds <= {False} or len(sent) == 1, "tasks or one cell, never both"
    assert len(sent) <= WINDOW_TASKS
    assert engine.sent_bytes == sum(task.size for task in sent)
    assert all(core.tasks[task].client in core.clients for task in engine.queue)
    assert not (engine.away and sent), "a kernel that is being replaced has work"
    assert engine.watched == sum(task.balance is not None or task.time_limit > 0 for task in sent)
    assert engine.stuck not in engine.sent and (engine.long is None or engine.long == next(iter(engine.sent)))
    if not engine.paused and not sent:
        for client in map(core.clients.__getitem__, engine.queue.lines):
            assert not client.credit.free, "an engine has nothing to do and work waits for it"
            assert engine.id in client.held_at, "it would not go on when the client reads again"


class Checked:
    """A Core with short names for the events; ``handle`` checks what it answers."""

    def __init__(self):
        self.core = Core(policy("leastload", random.Random(0)))
        self.now = 0.0
        self.accepted = {}
        #: Deliveries of results that were there already.
        self.fetched = set()
        self.ended = Counter()
        self.settled = Counter()
        #: Tasks that made no output: their record says so, nothing more is to come.
        self.quiet = set()
        self.failed = {}
        self.submitted = Counter()
        self.acknowledged = Counter()
        #: Interrupts that have not been sent, by engine.
        self.interrupts = Counter()

    def handle(self, event):
        self._note(event)
        return self._checked(self.core.handle(event, self.now))

    def submit_together(self, *events):
        for event in events:
            self._note(event)
        return self._checked(self.core.submit(events, self.now))

    def _checked(self, commands):
        for command in commands:
            self._check_command(command)
        check(self.core)
        return commands

    def _note(self, event):
        if isinstance(event, e.Submitted):
            self.accepted.update(dict.fromkeys((task for task, _ in event.targets), event.client))
            self.submitted[event.client] += event.size
        elif isinstance(event, e.Fetched) and event.client in self.core.clients:
            self.accepted[event.read] = event.client
            self.fetched.add(event.read)
        elif isinstance(event, e.TasksFinished):
            self.quiet.update(task for task, _, _, output, _ in event.results if not output)
        elif isinstance(event, e.InterruptSent):
            self.interrupts[event.engine] -= 1

    def _check_command(self, command):
        match command:
            case c.RunTasks(engine, tasks):
                assert tasks and not self.interrupts[engine], "sent while a signal is on its way"
            case c.RunCell(engine):
                assert not self.interrupts[engine], "sent while a signal is on its way"
            case c.InterruptTasks(engine, tasks):
                assert tasks and set(tasks) <= set(self.core.engines[engine].sent)
            case c.InterruptEngine(engine):
                self.interrupts[engine] += 1
            case c.Fail(task):
                assert task not in self.failed and not self.ended[task]
                self.failed[task] = command
            case c.Deliver(client, tasks):
                assert tasks and all(self.accepted[task] == client for task in tasks)
                self.ended.update(tasks)
            case c.Forget(task):
                self.ended[task] += 1
            case c.Settle(client, task):
                assert self.accepted[task] == client
                self.settled[task] += 1
            case c.TellStarted(client, tasks):
                assert tasks and all(self.accepted[task] == client for task in tasks)
            case c.Acknowledge(client, amount):
                assert client in self.core.clients
                self.acknowledged[client] += amount
        assert not self.ended or max(self.ended.values()) == 1, "a task has ended twice"
        assert not self.settled or max(self.settled.values()) == 1, "a task was settled twice"

    def drain(self):
        """Kill the engines, let every client read: each accepted task must have ended in exactly one result."""
        for engine in list(self.core.engines):
            self.handle(e.EngineLeft(engine, "ended"))
        for client in self.core.clients.values():
            while client.outbox:
                self.ack(client.id, 2**40)
        assert not self.core.tasks
        assert self.core.deadline() is None
        assert self.ended == Counter(dict.fromkeys(self.accepted, 1))
        for client in self.core.clients:
            assert self.acknowledged[client] == self.submitted[client]
        stayed = {task for task, client in self.accepted.items() if client in self.core.clients}
        assert stayed <= set(self.settled) | self.quiet | self.fetched

    # -- events -------------------------------------------------------------------------------------------------------

    def clients(self, *names):
        for name in names:
            self.handle(e.ClientJoined(name))

    def engines(self, *ids, tasks=True):
        for engine in ids:
            self.handle(e.EngineJoined(engine, tasks))

    def submit(self, client, engine, *tasks, kind="apply", size=10, time_limit=0.0):
        """One call for each of the tasks, all on one engine."""
        calls = [e.Submitted(client, kind, size, [(task, engine)], time_limit=time_limit) for task in tasks]
        return [x for call in calls for x in self.handle(call)]

    def cell(self, client, engine, *tasks):
        return self.submit(client, engine, *tasks, kind="cell")

    def fetch(self, client, read, size=10):
        return self.handle(e.Fetched(client, read, size))

    def balanced(self, client, *tasks, kind="apply", size=10, time_limit=0.0, **terms):
        """One balanced call for each of the tasks; the keywords are those of Terms."""
        calls = [e.Submitted(client, kind, size, [(task, None)], e.Terms(**terms), time_limit) for task in tasks]
        return [x for call in calls for x in self.handle(call)]

    def finish(self, engine, *tasks, size=0, seconds=1.0, output=True, outcome="ok"):
        return self.handle(e.TasksFinished(engine, [(task, size, seconds, output, outcome) for task in tasks]))

    def recalled(self, engine, *tasks, started=()):
        return self.handle(e.TasksRecalled(engine, tasks, started))

    def reply(self, engine, task, size=0, ok=True):
        return self.handle(e.CellReplied(engine, task, size, ok))

    def idle(self, engine, task):
        return self.handle(e.KernelIdle(engine, task))

    def outputs_settled(self, engine, task):
        return self.handle(e.OutputsSettled(engine, task))

    def abort(self, client, *tasks):
        return self.handle(e.Aborted(client, tasks))

    def interrupt(self, client, *tasks):
        return self.handle(e.InterruptAsked(client, tasks))

    def interrupt_sent(self, engine):
        return self.handle(e.InterruptSent(engine))

    def ack(self, client, amount):
        return self.handle(e.Acked(client, amount))

    def engine_dies(self, engine, reason="died"):
        return self.handle(e.EngineLeft(engine, reason))

    def engine_restarts(self, engine, reason="was restarted"):
        # The interrupts of the old kernel are not told any more.
        self.interrupts.pop(engine, None)
        return self.handle(e.EngineRestarts(engine, reason))

    def client_leaves(self, client):
        return self.handle(e.ClientLeft(client))

    def deadline(self):
        return self.core.deadline()

    def tick(self, now):
        self.now = now
        return self.handle(e.Ticked())

    # -- states that many tests start from ----------------------------------------------------------------------------

    def fill(self, client):
        """Use up the credit of a client: it does not read."""
        record = self.core.clients[client]
        record.credit.take(record.credit.limit - record.credit.used)

    def open_window(self, client, engine):
        """Have the engine do a short task, so that its window opens."""
        task = f"{client}:short{engine}"
        self.submit(client, engine, task)
        self.finish(engine, task, seconds=0.0001)
        self.outputs_settled(engine, task)

    # -- reading commands ---------------------------------------------------------------------------------------------

    @staticmethod
    def sent(commands):
        """The tasks and cells that the commands send."""
        tasks = []
        for command in commands:
            if isinstance(command, c.RunTasks):
                tasks += command.tasks
            elif isinstance(command, c.RunCell):
                tasks.append(command.task)
        return tasks

    @staticmethod
    def delivered(commands):
        return [task for command in commands if isinstance(command, c.Deliver) for task in command.tasks]

    @staticmethod
    def only(commands, kind):
        return [command for command in commands if isinstance(command, kind)]


@pytest.fixture
def empty():
    """A checked core without clients and engines."""
    checked = Checked()
    yield checked
    check(checked.core)
    checked.drain()


@pytest.fixture
def core(empty):
    """A checked core with the clients a and b, and the engines 0 and 1."""
    empty.clients("a", "b")
    empty.engines(0, 1)
    return empty
