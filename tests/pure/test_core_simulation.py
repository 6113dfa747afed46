"""Random play: engines that work, die and are interrupted, clients that submit, read late and leave.

Every message waits in a queue of its own and arrives at a random time, as on real sockets. The fixture checks the
invariants after every event; here are the engines, and the order in which they run what they were sent.
"""

import random
from collections import Counter, deque

import pytest

from pxkernel.core import (
    Aborted,
    Acked,
    CellReplied,
    ClientJoined,
    ClientLeft,
    Dependency,
    EngineJoined,
    EngineLeft,
    EngineRestarts,
    Fetched,
    InterruptAsked,
    InterruptEngine,
    InterruptSent,
    InterruptTasks,
    KernelIdle,
    OutputsSettled,
    RecallTasks,
    RunCell,
    RunTasks,
    Submitted,
    TasksFinished,
    TasksRecalled,
    Terms,
    Ticked,
)

STEPS = 1000


class Engine:
    """One engine: what it has been sent, and what it has said and nobody has heard."""

    def __init__(self, number, rng, unmet, extension=True):
        self.number = number
        self.unmet = unmet
        self.rng = rng
        self.extension = extension
        self.channel = deque()  # commands over the task channel and the shell, in order
        #: Recalls reach it while a task runs; what has been started or recalled: task → whether it was started.
        self.recalls = deque()
        self.claims = {}
        self.tasks = deque()
        channels = ("tasks", "listener", "shell", "iopub", "launcher")
        self.says = {channel: deque() for channel in channels}
        self.running = None
        self.started = []
        #: How many interrupts it has been told of.
        self.told = 0
        self.pace = rng.choice([0.0001, 0.0001, 1.0])

    def read_all(self):
        while self.channel:
            command = self.channel.popleft()
            if isinstance(command, RunTasks):
                self.tasks.extend((task, "task") for task in command.tasks)
            elif isinstance(command, RunCell):
                self.tasks.append((command.task, "cell"))

    def hear_recalls(self):
        """As the thread of an engine that listens, at any time."""
        while self.recalls:
            asked = self.recalls.popleft().tasks
            started = [task for task in asked if self.claims.setdefault(task, False)]
            back = [task for task in asked if task not in started]
            self.says["listener"].append(TasksRecalled(self.number, back, started))

    def step(self):
        """Start or end one piece of user code."""
        if self.rng.random() < 0.5:
            self.hear_recalls()
        if self.running is None:
            self.read_all()
            while self.tasks:
                task, kind = self.tasks.popleft()
                if kind == "task" and not self.claims.setdefault(task, True):
                    del self.claims[task]
                    continue
                self.running = task, kind
                self.started.append(task)
                break
            return
        task, kind = self.running
        self.running = None
        size = self.rng.choice([0, 10, 10, 40 * 2**20])
        if kind == "cell":
            if self.rng.random() < 0.8:
                self.says["shell"].append(CellReplied(self.number, task, size))
            self.says["iopub"].append(KernelIdle(self.number, task))
        else:
            output = self.rng.random() < 0.5
            outcome = self.rng.choices(["ok", "failed", "unmet"], [8, 2, 1])[0]
            self.unmet[task] += outcome == "unmet"
            self.says["tasks"].append(TasksFinished(self.number, [(task, size, self.pace, output, outcome)]))
            if output:
                self.says["iopub"].append(OutputsSettled(self.number, task))


class Play:
    def __init__(self, checked, seed):
        self.rng = random.Random(seed)
        self.checked = checked
        self.engines = {}
        self.clients = []
        self.count = 0
        self.next_engine = 0
        #: (client, engine) → its tasks in the order of submission.
        self.order = {}
        self.started = {}
        self.recalled = 0
        #: What balanced tasks have asked for, and how often an engine has refused them.
        self.terms = {}
        self.unmet = Counter()
        #: Calls that are on their way in one message, and whether it ends with them.
        self.together = []
        self.pauses = random.Random(0)
        for _ in range(3):
            self.join_engine()
            self.join_client()

    def submitted(self, event):
        """Calls may come together."""
        self.together.append(event)
        if self.pauses.random() < 0.5:
            self.submit_together()

    def submit_together(self):
        together, self.together = self.together, []
        self.obey(self.checked.submit_together(*together))

    def handle(self, event):
        self.submit_together()
        self.obey(self.checked.handle(event))

    def obey(self, commands):
        for command in commands:
            if isinstance(command, RunTasks | RunCell):
                self.engines[command.engine].channel.append(command)
            elif isinstance(command, RecallTasks):
                self.engines[command.engine].recalls.append(command)
                self.recalled += len(command.tasks)
            elif isinstance(command, InterruptTasks):
                self.engines[command.engine].told += 1
            elif isinstance(command, InterruptEngine):
                self.engines[command.engine].says["launcher"].append(InterruptSent(command.engine))

    # -- what can happen ----------------------------------------------------------------------------------------------

    def join_engine(self):
        number = self.next_engine
        self.next_engine += 1
        self.engines[number] = Engine(number, self.rng, self.unmet, extension=self.rng.random() < 0.7)
        self.handle(EngineJoined(number, self.engines[number].extension))

    def join_client(self):
        self.count += 1
        self.clients.append(f"c{self.count}")
        self.handle(ClientJoined(self.clients[-1]))

    def submit(self):
        if len(self.checked.core.tasks) > 150:
            return
        client = self.rng.choice(self.clients)
        kind = self.rng.choice(["apply", "apply", "apply", "cell"])
        targets = []
        for engine in self.rng.sample(sorted(self.engines), self.rng.randint(1, len(self.engines))):
            self.count += 1
            targets.append((f"{client}:{self.count}", engine))
            self.order.setdefault((client, engine), []).append(f"{client}:{self.count}")
        self.submitted(Submitted(client, kind, self.rng.choice([1, 100, 2**21]), targets, time_limit=self.time_limit()))

    def submit_balanced(self):
        if len(self.checked.core.tasks) > 150:
            return
        client = self.rng.choice(self.clients)
        terms = Terms(
            targets=frozenset(self.rng.sample(sorted(self.engines), 2)) if self.rng.random() < 0.3 else None,
            avoid=self.rng.choice([None, None, *self.engines]),
            family=self.rng.choice("fg"),
            after=self.dependency(),
            follow=self.dependency(),
            timeout=self.rng.choice([0, 0, 0, 0.5]),
            retries=self.rng.choice([0, 0, 1, 3]),
        )
        for _ in range(self.rng.choice([1, 1, 20])):
            self.count += 1
            task = f"{client}:{self.count}"
            self.terms[task] = terms
            size, limit = self.rng.choice([1, 100, 2**21]), self.time_limit()
            self.submitted(Submitted(client, "apply", size, [(task, None)], terms, limit))

    def time_limit(self):
        return self.rng.choice([0.0] * 10 + [0.1, 2.0])

    def dependency(self):
        if self.rng.random() < 0.8:
            return None
        known = sorted(self.checked.accepted)[-30:]
        ids = self.rng.sample(known, min(len(known), self.rng.randint(0, 3)))
        success = self.rng.random() < 0.7
        return Dependency(ids, self.rng.random() < 0.5, success, not success or self.rng.random() < 0.5)

    def work(self):
        for _ in range(self.rng.choice([1, 5, 30])):
            self.rng.choice(list(self.engines.values())).step()
            self.hear()

    def hear(self):
        engine = self.rng.choice(list(self.engines.values()))
        said = [queue for queue in engine.says.values() if queue]
        if said:
            self.handle(self.rng.choice(said).popleft())

    def read(self):
        for client in self.clients:
            used = self.checked.core.clients[client].credit.used
            if used and self.rng.random() < 0.7:
                self.handle(Acked(client, self.rng.randint(1, used)))

    def fetch(self):
        client = self.rng.choice(self.clients)
        self.count += 1
        self.handle(Fetched(client, f"{client}:{self.count}", self.rng.choice([0, 100, 40 * 2**20])))

    def take_back(self):
        client = self.rng.choice(self.clients)
        own = sorted(self.checked.core.clients[client].tasks)
        chosen = self.rng.sample(own, min(len(own), self.rng.choice([1, 3, 20])))
        self.handle(self.rng.choice([Aborted, InterruptAsked])(client, [*chosen, "unknown"]))

    def interrupt_head(self):
        engine = self.rng.choice(list(self.engines.values()))
        if engine.running is not None:
            task = engine.running[0]
            self.handle(InterruptAsked(task.partition(":")[0], [task]))

    def tick(self):
        deadline = self.checked.core.deadline()
        if deadline is not None and self.rng.random() < 0.3:
            self.checked.now = max(self.checked.now, deadline)
            self.handle(Ticked())
        self.checked.now += 0.01

    def lose_engine(self):
        number = self.rng.choice(sorted(self.engines))
        self.started[number] = self.engines.pop(number).started
        self.handle(EngineLeft(number, "died"))
        self.join_engine()

    def restart_engine(self):
        """The new kernel knows nothing of what the old one was sent, and its messages are told apart by the shell."""
        number = self.rng.choice(sorted(self.engines))
        old = self.engines[number]
        self.checked.interrupts.pop(number, None)
        self.handle(EngineRestarts(number, "was restarted"))
        self.engines[number] = Engine(number, self.rng, self.unmet, old.extension)
        self.engines[number].started, self.engines[number].told = old.started, old.told
        if self.rng.random() < 0.5:
            self.submit()
        self.handle(EngineJoined(number, old.extension))

    def lose_client(self):
        client = self.clients.pop(self.rng.randrange(len(self.clients)))
        self.handle(ClientLeft(client))
        self.join_client()

    def step(self):
        weights = {
            self.submit: 20, self.submit_balanced: 10, self.fetch: 3, self.work: 40, self.hear: 30, self.read: 10,
            self.take_back: 3, self.interrupt_head: 3, self.tick: 10, self.lose_engine: 0.3, self.restart_engine: 0.3,
            self.lose_client: 0.3,
        }  # fmt: skip
        self.rng.choices(list(weights), list(weights.values()))[0]()

    def finish(self):
        """Nothing new happens; everybody works and reads until all is done."""
        for _ in range(10_000):
            if not self.checked.core.tasks:
                return
            self.work()
            self.tick()
            for client in self.clients:
                self.handle(Acked(client, 2**40))
        raise AssertionError(f"still there: {sorted(self.checked.core.tasks)}")


@pytest.mark.parametrize("seed", range(6))
def test_every_task_ends_once_and_in_order(empty, seed):
    play = Play(empty, seed)
    for _ in range(STEPS):
        play.step()
    play.finish()
    for number, engine in play.engines.items():
        play.started[number] = engine.started
    for (client, engine), order in play.order.items():
        place = {task: index for index, task in enumerate(order)}
        started = [place[task] for task in play.started[engine] if task in place]
        assert started == sorted(set(started)), f"{client} on engine {engine}"
    times = Counter(task for tasks in play.started.values() for task in tasks)
    for task, count in times.items():
        retries = play.terms[task].retries if task in play.terms else 0
        assert count <= 1 + retries + play.unmet[task], f"{task} ran again"
    assert sum(task in play.terms for task in times) > 100
    assert play.recalled
    assert sum(map(len, play.started.values())) > 100
    assert all(not engine.told for engine in play.engines.values() if not engine.extension)
