"""How tasks end, and how their results get to their clients.

::

    an engine has reported it ──▶ finish ─┐
    no engine will report it ───▶ fail ───┴▶ outbox of the client ──▶ delivered, when the client reads
    nobody wants it ────────────▶ drop
"""

from __future__ import annotations

from collections import deque

from . import commands as c
from . import events as e
from .tables import NOWHERE, Call, Client, Engine, State, Tables, Task


class Results:
    """Ends tasks.

    Parameters
    ----------
    tables
        Those of the core.
    """

    def __init__(self, tables: Tables):
        self._tables = tables
        #: Tasks that have ended, and of which those that depend on them have not been told.
        self.ended: deque[Task] = deque()
        #: The clients that have results in their outbox for which there may be credit.
        self.ready: dict[str, Client] = {}

    # -- the ends of a task -------------------------------------------------------------------------------------------

    def finish(self, engine: Engine, task: Task, size: int) -> None:
        """An engine is done with a task; ``size`` is that of the result in bytes."""
        engine.take_out(task)
        engine.completed += 1
        self._done(task, size)

    def fail(self, task: Task, status: str, reason: str) -> None:
        """End a task that no engine will report; it is in no queue any more."""
        self.leave(task)
        task.ok = False
        self._tables.commands.append(c.Fail(task.id, task.engine, status, reason))
        self._tables.commands.append(c.Settle(task.client, task.id))
        self._done(task, 0)

    def overtime(self, engine: Engine, task: Task, quiet: bool = False) -> None:
        """A task that has run too long has ended; ``quiet``: it has made no output. What it has made of it does not count."""
        reason = f"it ran longer than its time limit of {task.time_limit:g} seconds"
        self._tables.commands.append(c.Fail(task.id, engine.id, "overtime", reason))
        if quiet:
            self._tables.commands.append(c.Settle(task.client, task.id))

    def give_up(self, engine: Engine, task: Task) -> None:
        """A task that has run too long does not end: its engine goes on with it, and nobody waits for that."""
        limit = f"it ran longer than its time limit of {task.time_limit:g} seconds"
        self.fail(task, "overtime", f"{limit}, and engine {engine.id} is busy with it: what it runs cannot be interrupted")

    def drop(self, task: Task) -> None:
        """The client of a task has left."""
        task.expect(None)
        client = self._tables.clients.get(task.client)
        if client is not None:
            client.tasks.pop(task.id, None)
        del self._tables.tasks[task.id]
        self._tables.commands.append(c.Forget(task.id))

    def leave(self, task: Task) -> None:
        """A task has left the queue: its client's submission credit comes back with the last one of a call."""
        if task.left:
            return
        task.left = True
        call = task.call
        call.waiting -= 1
        if call.waiting == 0:
            passed_on = self._tables.passed_on
            passed_on[task.client] = passed_on.get(task.client, 0) + call.size

    def _done(self, task: Task, size: int) -> None:
        if task.appointment is not None:
            task.expect(None)
        task.state = State.DONE
        task.result_size = size
        if task.engine != NOWHERE:
            self.ended.append(task)
        client = self._tables.clients.get(task.client)
        if client is None:
            self.drop(task)
            return
        client.outbox.append(task.id)
        self.ready[client.id] = client

    def acknowledge(self) -> None:
        """Give clients back the credit of what has left the queues."""
        passed_on, self._tables.passed_on = self._tables.passed_on, {}
        for client, amount in passed_on.items():
            if client in self._tables.clients:
                self._tables.commands.append(c.Acknowledge(client, amount))

    # -- delivery -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Deliver what clients have credit for: to each all of it at once."""
        ready, self.ready = self.ready, {}
        for client in ready.values():
            delivered: list[str] = []
            outbox, credit = client.outbox, client.credit
            while outbox and credit.free:
                task_id = outbox.popleft()
                credit.take(self._tables.tasks.pop(task_id).result_size)
                del client.tasks[task_id]
                delivered.append(task_id)
            if delivered:
                self._tables.commands.append(c.Deliver(client.id, delivered))

    def fetched(self, event: e.Fetched) -> None:
        client = self._tables.clients.get(event.client)
        if client is not None:
            # A task that is done already: its result waits for credit like any other.
            task = Task(event.read, client.id, NOWHERE, "fetch", 0, Call(0, 0), left=True)
            self._tables.tasks[task.id] = task
            client.tasks[task.id] = None
            self._done(task, event.size)

    def acked(self, client: Client, amount: int) -> bool:
        """A client has received so many bytes of results; whether it reads again after it had not for a while."""
        was_free = client.credit.free
        client.credit.give(amount)
        self.ready[client.id] = client
        self.flush()
        return client.credit.free and not was_free

    # -- output -------------------------------------------------------------------------------------------------------

    def outputs_settled(self, event: e.OutputsSettled) -> None:
        engine = self._tables.engines.get(event.engine)
        if engine is None:
            return
        if any(task_id == event.task for task_id, _ in engine.unsettled):
            self.settle_up_to(engine, event.task)
        elif event.task in engine.sent:
            # Output and results come by different sockets, and here the result is the slower one.
            self._tables.tasks[event.task].settled = True

    def settle_up_to(self, engine: Engine, task_id: str) -> None:
        """All output of an engine up to and including that of a task has come."""
        settled = None
        while settled != task_id:
            settled, client = engine.unsettled.popleft()
            self._settle(client, settled)

    def settle_all(self, engine: Engine) -> None:
        """No more output comes from an engine."""
        for task_id, client in engine.unsettled:
            self._settle(client, task_id)
        for task_id, (client, end) in engine.trailing.items():
            end.call_off()
            self._settle(client, task_id)
        engine.unsettled.clear()
        engine.trailing.clear()

    def settle_trailing(self, engine: Engine, task_id: str) -> None:
        """The time is over in which output of a cell may come after its idle status."""
        client, _ = engine.trailing.pop(task_id)
        self._settle(client, task_id)

    def _settle(self, client: str | None, task_id: str) -> None:
        if client is not None:
            self._tables.commands.append(c.Settle(client, task_id))
