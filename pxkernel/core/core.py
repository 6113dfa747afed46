"""The rules of the controller.

Rule 1. What clients submit to one engine runs in the order of submission: one queue per engine, whichever channel a
task takes. Rule 2. An engine has either tasks or one cell under way, never both, so one piece of user code runs at a
time. Rule 3. Work waits here and not in sockets: an engine gets one task, and more only while its tasks are short. Rule
4. A client that does not read gets no new results, and no engine works for it meanwhile. Rule 5. Every task that was
accepted ends in exactly one result, whatever dies, and what cannot be had is not waited for. Rule 6. A restart is a
border in time: what was submitted before it for the engine fails, sent or not, because it may need what the old kernel
knew; what is submitted after it runs on the new kernel. Rule 7. Balanced work has no engine until it is sent; an engine
that has work of its own as well takes them in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from . import commands as c
from . import events as e
from .balance import Balancer, Ending
from .policies import Policy
from .tables import NOWHERE, Balance, Call, Client, Engine, State, Task

#: After an interrupt a stock kernel may never reply: idle and so many seconds without a reply end a cell.
REPLY_GRACE = 1.0
#: Kernels without the extension may send output after their idle status, as Deno's does: for so many seconds it counts.
TRAILING_OUTPUT = 0.1


class Core:
    """``handle`` takes an event and the time in seconds and returns commands; ``deadline`` says when to call with Ticked.

    Parameters
    ----------
    policy
        Which of several engines with room gets a balanced task; one of ``policies``.
    """

    def __init__(self, policy: Policy[Engine]) -> None:
        self.clients: dict[str, Client] = {}
        self.engines: dict[int, Engine] = {}
        self.tasks: dict[str, Task] = {}
        #: Cells that are idle and whose reply has not come.
        self._unreplied: set[str] = set()
        self.balancer = Balancer(self.clients, self.engines, self.tasks, policy)
        #: Tasks that have ended, and of which those that depend on them have not been told.
        self._ended: deque[Task] = deque()
        #: Finished cells whose output may still be coming: (until when, engine, client, task) in order.
        self._trailing: deque[tuple[float, int, str, str]] = deque()
        self._commands: list[c.Command] = []
        self._now = 0.0
        self._handlers: dict[type, Callable[..., None]] = {
            e.ClientJoined: self._client_joined,
            e.ClientLeft: self._client_left,
            e.EngineJoined: self._engine_joined,
            e.EngineLeft: self._engine_left,
            e.EngineRestarts: self._engine_restarts,
            e.Submitted: self._submitted,
            e.Fetched: self._fetched,
            e.TasksFinished: self._tasks_finished,
            e.TasksRecalled: self._tasks_recalled,
            e.CellReplied: self._cell_replied,
            e.KernelIdle: self._kernel_idle,
            e.OutputsSettled: self._outputs_settled,
            e.Acked: self._acked,
            e.Aborted: self._aborted,
            e.InterruptAsked: self._interrupt_asked,
            e.InterruptSent: self._interrupt_sent,
            e.Ticked: self._ticked,
        }

    def handle(self, event: e.Event, now: float) -> list[c.Command]:
        self._now = now
        self._commands = []
        self._handlers[type(event)](event)
        while self._ended:
            for task, ending in self.balancer.ended(self._ended.popleft()):
                self._offer(task, ending)
        return self._commands

    def deadline(self) -> float | None:
        """When ``handle(Ticked(), now)`` has something to do, in seconds on the caller's clock; None: never."""
        times = [(self.tasks[task].idle_since or 0.0) + REPLY_GRACE for task in self._unreplied]
        if (deadline := self.balancer.deadline()) is not None:
            times.append(deadline)
        times += [time for time, *_ in list(self._trailing)[:1]]
        return min(times, default=None)

    def spend(self, client: str, amount: int) -> bool:
        """Whether ``amount`` bytes of output may go to ``client`` now; if so they are counted."""
        record = self.clients.get(client)
        if record is None or not record.output_credit.free:
            return False
        record.output_credit.take(amount)
        return True

    # -- clients ------------------------------------------------------------------------------------------------------

    def _client_joined(self, event: e.ClientJoined) -> None:
        self.clients.setdefault(event.client, Client(event.client))

    def _client_left(self, event: e.ClientLeft) -> None:
        client = self.clients.pop(event.client, None)
        if client is None:
            return
        # What runs has no reader any more, but it stays in the tables: its engine is busy until it is done.
        dropped = [task for task in map(self.tasks.__getitem__, client.tasks) if task.state is not State.SENT]
        self._unqueue(dropped)
        for task in dropped:
            self._drop(task)
        self._ended.extend(task for task in dropped if task.state is State.QUEUED)
        self._pump_all()

    def _acked(self, event: e.Acked) -> None:
        client = self.clients.get(event.client)
        if client is None:
            return
        if event.outputs:
            client.output_credit.give(event.amount)
            return
        was_free = client.credit.free
        client.credit.give(event.amount)
        self._flush(client)
        if client.credit.free and not was_free:
            for engine in self.engines.values():
                engine.unpark(client.id)
            self._pump_all()

    # -- engines ------------------------------------------------------------------------------------------------------

    def _engine_joined(self, event: e.EngineJoined) -> None:
        engine = self.engines.setdefault(event.engine, Engine(event.engine, has_tasks=event.tasks))
        engine.has_tasks, engine.away = event.tasks, False
        self._commands.append(c.Announce(joined=(engine.id,)))
        self._pump(engine)

    def _engine_restarts(self, event: e.EngineRestarts) -> None:
        engine = self.engines.get(event.engine)
        if engine is None:
            return
        self._empty(engine, event.reason)
        self.engines[engine.id] = Engine(engine.id, engine.has_tasks, away=True)
        self._commands.append(c.Announce(restarting=(engine.id,)))
        self._fail_stranded()

    def _engine_left(self, event: e.EngineLeft) -> None:
        engine = self.engines.pop(event.engine, None)
        if engine is None:
            return
        self._empty(engine, event.reason)
        self._commands.append(c.Announce(left=((engine.id, event.reason),)))
        self._fail_stranded()

    def _empty(self, engine: Engine, reason: str) -> None:
        """End everything that an engine had to do."""
        self.balancer.leave(engine)
        trailing = [(task_id, client) for _, engine_id, client, task_id in self._trailing if engine_id == engine.id]
        self._trailing = deque(entry for entry in self._trailing if entry[1] != engine.id)
        for task_id, client in [*engine.unsettled, *trailing]:
            self._settle(client, task_id)
        for task_id in [*engine.sent, *engine.waiting()]:
            task, started = self.tasks[task_id], task_id in engine.sent
            text = f"engine {engine.id} {reason}"
            if started and self._again(task, engine, "failed"):
                self._put_back(task)
            else:
                self._fail(task, "died", text + ("" if started else " before this task was started"))

    def _fail_stranded(self) -> None:
        for task, ending in self.balancer.stranded():
            self._fail(task, *ending)

    # -- work ---------------------------------------------------------------------------------------------------------

    def _submitted(self, event: e.Submitted) -> None:
        client = self.clients[event.client]
        call = Call(event.size, len(event.targets))
        for task_id, engine_id in event.targets:
            engine = self.engines.get(engine_id)
            foreign = engine is not None and not engine.has_tasks
            # Source code runs on any kernel.
            kind = "cell" if foreign and event.kind == "execute" else event.kind
            task = Task(task_id, client.id, engine_id, kind, event.size, call)
            self.tasks[task_id] = task
            client.tasks[task_id] = None
            if event.terms is not None:
                self._submit_balanced(task, event.terms)
                continue
            if engine is None:
                self._fail(task, "died", f"engine {engine_id} is not part of the cluster (any more)")
            elif task.kind != "cell" and foreign:
                self._fail(task, "died", f"engine {engine_id} is no Python kernel with pxkernel.engine: it only runs cells")
            else:
                (engine.queue.appendleft if event.kind == "control" else engine.queue.append)(task_id)
                self._pump(engine)

    def _fetched(self, event: e.Fetched) -> None:
        client = self.clients.get(event.client)
        if client is not None:
            # A task that is done already: its result waits for credit like any other.
            self.tasks[event.read] = task = Task(event.read, client.id, NOWHERE, "fetch", 0, Call(0, 0), left=True)
            client.tasks[task.id] = None
            self._done(task, event.size)

    def _pump(self, engine: Engine) -> None:
        """Send what the engine may have now."""
        batch: list[str] = []
        before = len(engine.sent)
        while not engine.paused and (task := self._next(engine, before)) is not None:
            self._send(engine, task)
            if task.kind == "cell":
                self._commands.append(c.RunCell(engine.id, task.id))
            else:
                batch.append(task.id)
        if batch:
            self._commands.append(c.RunTasks(engine.id, batch))
        self.balancer.rest(engine, fed=len(engine.sent) > before)

    def _next(self, engine: Engine, before: int) -> Task | None:
        """Take the next task for an engine, which had ``before`` tasks when its turn began, out of a queue."""
        own = self._head(engine)
        if engine.sent and (self._runs_cell(engine) or (own is not None and own.kind == "cell")):
            return None
        has_room = engine.has_room(engine.window, before)
        if own is None or not has_room or (engine.balanced_turn and own.kind != "control"):
            task = self.balancer.take(engine, before)
            if task is not None:
                engine.balanced_turn = False
                return task
        if own is None or not has_room:
            return None
        engine.balanced_turn = True
        engine.queue.popleft()
        return own

    def _head(self, engine: Engine) -> Task | None:
        """The first task of the queue of an engine; those of clients that do not read are put aside."""
        while engine.queue:
            task = self.tasks[engine.queue[0]]
            if self.clients[task.client].credit.free:
                return task
            engine.park(task.client)
        return None

    def _runs_cell(self, engine: Engine) -> bool:
        return self.tasks[next(iter(engine.sent))].kind == "cell"

    def _send(self, engine: Engine, task: Task) -> None:
        task.state = State.SENT
        task.sent_at = self._now
        task.engine = engine.id
        engine.sent[task.id] = None
        engine.sent_bytes += task.size
        self._leave(task)

    def _pump_all(self) -> None:
        balanced = len(self.balancer)
        for engine in self.engines.values():
            if engine.queue or balanced:
                self._pump(engine)

    def _leave(self, task: Task) -> None:
        """A task has left the queue: its client's submission credit comes back with the last one of a call."""
        if task.left:
            return
        task.left = True
        task.call.waiting -= 1
        if task.call.waiting == 0 and task.client in self.clients:
            self._commands.append(c.Acknowledge(task.client, task.call.size))

    def _tasks_finished(self, event: e.TasksFinished) -> None:
        engine = self.engines.get(event.engine)
        if engine is None:
            return
        for task_id, size, seconds, has_output, outcome in event.results:
            if task_id not in engine.sent:
                continue
            task = self.tasks[task_id]
            task.ok = outcome == "ok"
            self._measure(engine, task, seconds)
            again = self._again(task, engine, outcome)
            if has_output:
                # Of a task that runs again, only the output of the last time is its end.
                engine.unsettled.append((task_id, None if again else task.client))
                if task.settled:
                    self._settle_up_to(engine, task_id)
            if again:
                self._take_out(engine, task)
                self._put_back(task)
            else:
                self._finish(engine, task, size)
        self._pump(engine)

    def _measure(self, engine: Engine, task: Task, seconds: float) -> None:
        engine.measure(seconds)
        if task.balance is not None and (client := self.clients.get(task.client)) is not None:
            client.measure(task.balance.terms.family, seconds)

    def _cell_replied(self, event: e.CellReplied) -> None:
        engine, task = self.engines.get(event.engine), self.tasks.get(event.task)
        if engine is None or task is None or task.id not in engine.sent or task.kind != "cell":
            return
        task.replied, task.ok = True, event.ok
        task.result_size = event.size
        if task.idle_since is not None:
            self._finish_cell(engine, task)

    def _kernel_idle(self, event: e.KernelIdle) -> None:
        engine, task = self.engines.get(event.engine), self.tasks.get(event.task)
        if engine is None or task is None or task.id not in engine.sent or task.kind != "cell" or task.idle_since is not None:
            return
        task.idle_since = self._now
        if task.replied:
            self._finish_cell(engine, task)
        else:
            self._unreplied.add(task.id)

    def _finish_cell(self, engine: Engine, task: Task) -> None:
        if engine.has_tasks:
            self._commands.append(c.Settle(task.client, task.id))
        else:
            self._trailing.append((self._now + TRAILING_OUTPUT, engine.id, task.client, task.id))
        self._finish(engine, task, task.result_size)
        self._pump(engine)

    def _ticked(self, event: e.Ticked) -> None:
        for task, ending in self.balancer.expired(self._now):
            self._fail(task, *ending)
        while self._trailing and self._now >= self._trailing[0][0]:
            _, _, client, task_id = self._trailing.popleft()
            self._settle(client, task_id)
        for task_id in list(self._unreplied):
            task = self.tasks[task_id]
            if self._now < (task.idle_since or 0.0) + REPLY_GRACE:
                continue
            engine = self.engines[task.engine]
            self._commands.append(c.Fail(task.id, engine.id, "interrupted", "the kernel was interrupted"))
            self._finish_cell(engine, task)

    def _finish(self, engine: Engine, task: Task, size: int) -> None:
        self._take_out(engine, task)
        engine.completed += 1
        self._unreplied.discard(task.id)
        self._done(task, size)

    @staticmethod
    def _take_out(engine: Engine, task: Task) -> None:
        del engine.sent[task.id]
        engine.sent_bytes -= task.size

    # -- balanced work ------------------------------------------------------------------------------------------------

    def _submit_balanced(self, task: Task, terms: e.Terms) -> None:
        deadline = self._now + terms.timeout if terms.timeout > 0 else None
        task.balance = Balance(terms, terms.retries, deadline)
        ending = self.balancer.submit(task, task.balance)
        if ending is not None or not self.balancer.waits(task):
            self._offer(task, ending)

    def _offer(self, task: Task, ending: Ending | None) -> None:
        """A balanced task may run now, unless it ends: an engine takes it, or it waits for one."""
        assert task.balance is not None
        ending = ending or self.balancer.add(task, task.balance)
        self._place(task, task.balance, ending)

    def _again(self, task: Task, engine: Engine, outcome: str) -> bool:
        return task.client in self.clients and self.balancer.again(task, engine, outcome)

    def _put_back(self, task: Task) -> None:
        """A balanced task that an engine was sent is to go to any engine."""
        assert task.balance is not None
        self._place(task, task.balance, self.balancer.put_back(task, task.balance))

    def _place(self, task: Task, balance: Balance, ending: Ending | None) -> None:
        if ending is not None:
            self._fail(task, *ending)
        elif (engine := self.balancer.choose(task, balance)) is not None:
            self._pump(engine)

    # -- results ------------------------------------------------------------------------------------------------------

    def _done(self, task: Task, size: int) -> None:
        task.state = State.DONE
        task.result_size = size
        if task.engine != NOWHERE:
            self._ended.append(task)
        client = self.clients.get(task.client)
        if client is None:
            self._drop(task)
            return
        client.outbox.append(task.id)
        self._flush(client)

    def _flush(self, client: Client) -> None:
        ready: list[str] = []
        while client.outbox and client.credit.free:
            task = self.tasks[client.outbox.popleft()]
            client.credit.take(task.result_size)
            client.tasks.pop(task.id, None)
            del self.tasks[task.id]
            ready.append(task.id)
        if ready:
            self._commands.append(c.Deliver(client.id, ready))

    def _fail(self, task: Task, status: str, reason: str) -> None:
        """End a task that no engine will report; it is in no queue any more."""
        self._leave(task)
        self._unreplied.discard(task.id)
        task.ok = False
        self._commands.append(c.Fail(task.id, task.engine, status, reason))
        self._commands.append(c.Settle(task.client, task.id))
        self._done(task, 0)

    def _drop(self, task: Task) -> None:
        client = self.clients.get(task.client)
        if client is not None:
            client.tasks.pop(task.id, None)
        del self.tasks[task.id]
        self._commands.append(c.Forget(task.id))

    def _outputs_settled(self, event: e.OutputsSettled) -> None:
        engine = self.engines.get(event.engine)
        if engine is None:
            return
        if any(task_id == event.task for task_id, _ in engine.unsettled):
            self._settle_up_to(engine, event.task)
        elif event.task in engine.sent:
            # Output and results come by different sockets, and here the result is the slower one.
            self.tasks[event.task].settled = True

    def _settle_up_to(self, engine: Engine, task_id: str) -> None:
        settled = None
        while settled != task_id:
            settled, client = engine.unsettled.popleft()
            self._settle(client, settled)

    def _settle(self, client: str | None, task_id: str) -> None:
        if client is not None:
            self._commands.append(c.Settle(client, task_id))

    # -- taking work back ---------------------------------------------------------------------------------------------

    def _own(self, client: str, tasks: Sequence[str]) -> list[Task]:
        """A client can take back its own tasks only."""
        found = (self.tasks.get(task_id) for task_id in tasks)
        return [task for task in found if task is not None and task.client == client]

    def _unqueue(self, tasks: Sequence[Task]) -> None:
        by_engine: dict[int, set[str]] = {}
        for task in tasks:
            if task.state is not State.QUEUED:
                continue
            if task.balance is not None:
                self.balancer.remove(task, task.balance)
            else:
                by_engine.setdefault(task.engine, set()).add(task.id)
        for engine_id, ids in by_engine.items():
            self.engines[engine_id].remove(ids)

    def _aborted(self, event: e.Aborted) -> None:
        self._abort(self._own(event.client, event.tasks))

    def _abort(self, tasks: Sequence[Task]) -> None:
        self._unqueue(tasks)
        recalls: dict[int, list[str]] = {}
        for task in tasks:
            if task.state is State.QUEUED:
                self._fail(task, "aborted", "it was aborted before it started")
            elif task.state is State.SENT and task.kind != "cell" and not task.aborted:
                task.aborted = True
                recalls.setdefault(task.engine, []).append(task.id)
        for engine_id, ids in recalls.items():
            self._commands.append(c.RecallTasks(engine_id, ids))

    def _tasks_recalled(self, event: e.TasksRecalled) -> None:
        engine = self.engines.get(event.engine)
        if engine is None:
            return
        for task in [self.tasks[task_id] for task_id in event.tasks if task_id in engine.sent]:
            self._take_out(engine, task)
            self._fail(task, "aborted", "it was aborted before it started")
        self._pump(engine)

    def _interrupt_asked(self, event: e.InterruptAsked) -> None:
        tasks = self._own(event.client, event.tasks)
        sent: dict[int, list[str]] = {}
        for task in tasks:
            if task.state is State.SENT:
                sent.setdefault(task.engine, []).append(task.id)
        # What has not started when the recall arrives never will; what runs by then is hit by the interrupt.
        self._abort(tasks)
        for engine_id, ids in sent.items():
            engine = self.engines[engine_id]
            if engine.has_tasks:
                self._commands.append(c.InterruptTasks(engine_id, ids))
            else:
                engine.interrupting += 1
                self._commands.append(c.InterruptEngine(engine_id))

    def _interrupt_sent(self, event: e.InterruptSent) -> None:
        engine = self.engines.get(event.engine)
        if engine is not None:
            engine.interrupting = max(0, engine.interrupting - 1)
            self._pump(engine)
