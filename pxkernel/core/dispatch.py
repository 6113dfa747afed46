"""What each engine gets, and when: of its own queue, and of the balanced tasks that have no engine yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import commands as c
from . import events as e
from .agenda import Agenda
from .balance import Balancer, Ending
from .pool import Lane
from .results import Results
from .tables import Balance, Call, Client, Engine, State, Tables, Task


class Dispatch:
    """Sends tasks to engines.

    Parameters
    ----------
    tables
        Those of the core.
    agenda
        Knows when a balanced task has waited too long.
    results
        Ends those that cannot run.
    balancer
        Has the balanced tasks that wait.
    """

    def __init__(self, tables: Tables, agenda: Agenda, results: Results, balancer: Balancer):
        self._tables = tables
        self._agenda = agenda
        self._results = results
        self._balancer = balancer
        #: Empty when no balanced task waits for an engine only.
        self._ready = balancer.ready

    # -- work that comes ----------------------------------------------------------------------------------------------

    def submitted(self, event: e.Submitted) -> None:
        client = self._tables.clients[event.client]
        call = Call(event.size, len(event.targets))
        for task_id, engine_id in event.targets:
            task = Task(task_id, client.id, engine_id, event.kind, event.size, call, event.time_limit)
            self._tables.tasks[task_id] = task
            client.tasks[task_id] = None
            if event.terms is None:
                self._enqueue(task)
            else:
                # What was submitted before it is on its way to its engine, which is not idle then.
                if self._tables.filled:
                    self.pump_filled()
                self._submit_balanced(task, event.terms)

    def _enqueue(self, task: Task) -> None:
        engine = self._tables.engines.get(task.engine)  # type: ignore[arg-type]
        if engine is not None and not engine.has_tasks and task.kind == "execute":
            # Source code runs on any kernel.
            task.kind = "cell"
        if engine is None:
            reason = self._tables.gone.get(task.engine, "is not part of the cluster")  # type: ignore[arg-type]
            self._results.fail(task, "died", f"engine {task.engine} {reason}")
        elif task.kind != "cell" and not engine.has_tasks:
            why = "is no Python kernel with pxkernel.engine: it only runs cells"
            self._results.fail(task, "died", f"engine {engine.id} {why}")
        else:
            engine.queue.add(task.client, task.id, front=task.kind == "control")
            self._tables.filled[engine.id] = engine

    # -- work that is sent --------------------------------------------------------------------------------------------

    def pump_filled(self) -> None:
        """Send what engines may have whose queues have got something."""
        filled, self._tables.filled = self._tables.filled, {}
        for engine in filled.values():
            self.pump(engine)

    def pump(self, engine: Engine) -> None:
        """Send what the engine may have now."""
        before = len(engine.sent)
        if (engine.queue.lines or self._ready) and not engine.paused:
            self._feed(engine, before)
        self._balancer.rest(engine)
        if engine.watched:
            self._tables.changed[engine.id] = engine

    def _feed(self, engine: Engine, before: int) -> None:
        batch: list[str] = []
        while (engine.queue.lines or self._ready) and (task := self._next(engine, before)) is not None:
            self._send(engine, task)
            if task.kind == "cell":
                self._tables.commands.append(c.RunCell(engine.id, task.id))
            else:
                batch.append(task.id)
        if batch:
            self._tables.commands.append(c.RunTasks(engine.id, batch))

    def _next(self, engine: Engine, before: int) -> Task | None:
        """Take the next task for an engine, which had ``before`` tasks when its turn began, out of a queue."""
        has_room = engine.has_room(engine.window, before)
        if not has_room and not self._ready:
            return None
        own = self._head(engine)
        if engine.sent and (self._runs_cell(engine) or (own is not None and own.kind == "cell")):
            return None
        has_room = has_room and own is not None
        if self._ready and not engine.long and (not has_room or (engine.balanced_turn and own.kind != "control")):
            task = self._balancer.take(engine, before)
            if task is not None:
                engine.balanced_turn = False
                return task
        if not has_room:
            return None
        engine.balanced_turn = True
        engine.queue.remove(own.client, own.id)
        return own

    def _head(self, engine: Engine) -> Task | None:
        """The first task of the queue of an engine; those of clients that do not read are passed over."""
        head, first = None, 0
        for client_id, line in engine.queue.lines.items():
            client = self._tables.clients[client_id]
            if not client.credit.free:
                client.held_at.add(engine.id)
                continue
            task_id, place = next(iter(line.items()))
            if head is None or place < first:
                head, first = task_id, place
        return None if head is None else self._tables.tasks[head]

    def _runs_cell(self, engine: Engine) -> bool:
        return self._tables.tasks[next(iter(engine.sent))].kind == "cell"

    def _send(self, engine: Engine, task: Task) -> None:
        if task.appointment is not None:
            task.expect(None)
        task.state = State.SENT
        task.sent_at = self._tables.now
        task.engine = engine.id
        engine.put_in(task)
        self._results.leave(task)

    # -- work that is taken back --------------------------------------------------------------------------------------

    def unqueue(self, tasks: Sequence[Task]) -> list[Engine]:
        """Take those of the tasks that wait out of where they do; they keep their state. The engines whose own they were."""
        engines: dict[int, Engine] = {}
        for task in tasks:
            if task.state is not State.QUEUED:
                continue
            if task.balance is not None:
                self._balancer.remove(task, task.balance)
            elif task.engine is not None:
                engine = engines[task.engine] = self._tables.engines[task.engine]
                engine.queue.remove(task.client, task.id)
        return list(engines.values())

    # -- clients that read again --------------------------------------------------------------------------------------

    def resume(self, client: Client) -> None:
        """Go on with the tasks of a client that had not read for a while."""
        held_at, client.held_at = client.held_at, set()
        for engine_id in sorted(held_at):
            if (engine := self._tables.engines.get(engine_id)) is not None:
                self.pump(engine)
        self._wake_for(self._balancer.lanes(client))

    def _wake_for(self, lanes: Iterable[Lane]) -> None:
        """Give the tasks of lanes to the engines that have nothing to do; the others ask for them when they have room."""
        for lane in lanes:
            while lane.tasks and (engine := self._balancer.choose(lane)) is not None:
                self.pump(engine)

    # -- balanced work ------------------------------------------------------------------------------------------------

    def _submit_balanced(self, task: Task, terms: e.Terms) -> None:
        deadline = self._tables.now + terms.timeout if terms.timeout > 0 else None
        task.balance = balance = Balance(terms, terms.retries, deadline)
        self._expect(task, balance)
        ending = self._balancer.submit(task, balance)
        if ending is not None or not self._balancer.waits(task):
            self._offer(task, ending)

    def _expect(self, task: Task, balance: Balance) -> None:
        if balance.deadline is not None:
            task.expect(self._agenda.at(balance.deadline, self._expired, task, balance))

    def _expired(self, task: Task, balance: Balance) -> None:
        """A balanced task has waited too long."""
        ending = self._balancer.expired(task, balance)
        self._balancer.remove(task, balance)
        self._results.fail(task, *ending)

    def _offer(self, task: Task, ending: Ending | None) -> None:
        """A balanced task may run now, unless it ends: an engine takes it, or it waits for one."""
        assert task.balance is not None
        self._place(task, ending or self._balancer.add(task, task.balance))

    def again(self, task: Task, engine: Engine, outcome: str) -> bool:
        """A task has ended on an engine: whether it is to be put back, because it wants another one or another try."""
        return task.client in self._tables.clients and self._balancer.again(task, engine, outcome)

    def put_back(self, task: Task) -> None:
        """A balanced task that an engine was sent is to go to any engine."""
        assert task.balance is not None
        self._place(task, self._return(task, task.balance))

    def put_all_back(self, tasks: Sequence[Task]) -> None:
        """As ``put_back``, several that are in the order of submission."""
        lanes: dict[int, Lane] = {}
        for task in reversed(tasks):
            assert task.balance is not None
            place = self._return(task, task.balance)
            if isinstance(place, Ending):
                self._results.fail(task, *place)
            else:
                lanes[id(place)] = place
        self._wake_for(lanes.values())

    def _return(self, task: Task, balance: Balance) -> Lane | Ending:
        """A task that was sent waits again, before all that came later: where, or why it ends."""
        task.state, task.engine, task.began = State.QUEUED, None, None
        task.settled = task.recalled = task.overtime = False
        task.expect(None)
        self._expect(task, balance)
        return self._balancer.add(task, balance, front=True)

    def _place(self, task: Task, place: Lane | Ending) -> None:
        if isinstance(place, Ending):
            self._results.fail(task, *place)
        elif len(place.tasks) == 1:
            # Whom it finds before it there has not found an engine either.
            self._wake_for([place])

    def tell_dependents(self) -> None:
        """Go on with the tasks that have waited for those that have ended."""
        ended = self._results.ended
        while ended:
            for dependent, ending in self._balancer.ended(ended.popleft()):
                self._offer(dependent, ending)

    def fail_stranded(self, engine: int) -> None:
        """End the balanced tasks for which there is no engine any more, now that this one is gone."""
        for task, ending in self._balancer.stranded(engine):
            self._results.fail(task, *ending)
