"""The rules of the controller.

Rule 1. What clients submit to one engine runs in the order of submission: one queue per engine, whichever channel a
task takes. Rule 2. An engine has either tasks or one cell under way, never both, so one piece of user code runs at a
time. Rule 3. Work waits here and not in sockets: an engine gets one task, and more only while its tasks are short. Rule
4. A client that does not read gets no new results, and no engine works for it meanwhile. Rule 5. Every task that was
accepted ends in exactly one result, whatever dies, and what cannot be had is not waited for. Rule 6. A restart is a
border in time: what was submitted before it for the engine fails, sent or not, because it may need what the old kernel
knew; what is submitted after it runs on the new kernel. Rule 7. Balanced work has no engine until it is sent; an engine
that has work of its own as well takes them in turn.

Here is what happens when clients and engines come and go. The rest has a module for each topic; those further down use
those above them::

    tables      agenda        what is known, and what is to happen at a certain time
    results                   how tasks end, and how their results get to their clients
    balance     dispatch      the balanced tasks; what each engine gets, and when
    reports     withdrawal    what engines report; what clients take back
    stopwatch                 what becomes of tasks that run for long
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from . import commands as c
from . import events as e
from .agenda import Agenda
from .balance import Balancer
from .dispatch import Dispatch
from .policies import Policy
from .reports import Reports
from .results import Results
from .stopwatch import Stopwatch
from .tables import Client, Engine, State, Tables
from .withdrawal import Withdrawal


class Core:
    """``handle`` takes an event and the time in seconds and returns commands; ``deadline`` says when to call with Ticked.

    Parameters
    ----------
    policy
        Which of several engines with room gets a balanced task; one of ``policies``.
    """

    def __init__(self, policy: Policy[Engine]) -> None:
        self._tables = tables = Tables()
        self.clients, self.engines, self.tasks = tables.clients, tables.engines, tables.tasks
        self.balancer = Balancer(tables, policy)
        self._agenda = Agenda()
        self._results = Results(tables)
        self._dispatch = Dispatch(tables, self._agenda, self._results, self.balancer)
        reports = Reports(tables, self._agenda, self._results, self._dispatch)
        withdrawal = Withdrawal(tables, self._results, self._dispatch)
        self._stopwatch = Stopwatch(tables, self._agenda, self._results, self._dispatch, withdrawal)
        self._handlers: dict[type, Callable[..., None]] = {
            e.ClientJoined: self._client_joined,
            e.ClientLeft: self._client_left,
            e.EngineJoined: self._engine_joined,
            e.EngineLeft: self._engine_left,
            e.EngineRestarts: self._engine_restarts,
            e.Submitted: self._dispatch.submitted,
            e.TasksFinished: reports.tasks_finished,
            e.CellReplied: reports.cell_replied,
            e.KernelIdle: reports.kernel_idle,
            e.OutputsSettled: self._results.outputs_settled,
            e.Fetched: self._results.fetched,
            e.Acked: self._acked,
            e.Aborted: withdrawal.aborted,
            e.TasksRecalled: withdrawal.tasks_recalled,
            e.InterruptAsked: withdrawal.interrupt_asked,
            e.InterruptSent: withdrawal.interrupt_sent,
            e.Ticked: self._ticked,
        }

    def handle(self, event: e.Event, now: float) -> list[c.Command]:
        return self._handle((event,), now)

    def submit(self, calls: Iterable[e.Submitted], now: float) -> list[c.Command]:
        """As ``handle``, of calls that come together: so they cost less."""
        return self._handle(calls, now)

    def _handle(self, events: Iterable[e.Event], now: float) -> list[c.Command]:
        self._tables.now = now
        self._tables.commands = []
        for event in events:
            self._handlers[type(event)](event)
        if self._tables.filled:
            self._dispatch.pump_filled()
        if self._results.ended:
            self._dispatch.tell_dependents()
        if self._results.ready:
            self._results.flush()
        if self._tables.changed:
            self._stopwatch.look()
        if self._tables.passed_on:
            self._results.acknowledge()
        return self._tables.commands

    def deadline(self) -> float | None:
        """When ``handle(Ticked(), now)`` has something to do, in seconds on the caller's clock; None: never."""
        return self._agenda.deadline()

    def _ticked(self, event: e.Ticked) -> None:
        self._agenda.keep(self._tables.now)

    def is_open(self, task: str) -> bool:
        """Whether a task has been submitted and has not ended."""
        return task in self.tasks and self.tasks[task].state is not State.DONE

    def sent_to(self, engine: int) -> Collection[str]:
        """The tasks that an engine has been sent and has not ended."""
        record = self.engines.get(engine)
        return () if record is None else record.sent.keys()

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
        engines = self._dispatch.unqueue(dropped)
        for task in dropped:
            self._results.drop(task)
        self._results.ended.extend(task for task in dropped if task.state is State.QUEUED)
        for engine in engines:
            self._dispatch.pump(engine)

    def _acked(self, event: e.Acked) -> None:
        client = self.clients.get(event.client)
        if client is None:
            return
        if event.outputs:
            client.output_credit.give(event.amount)
        elif self._results.acked(client, event.amount):
            self._dispatch.resume(client)

    # -- engines ------------------------------------------------------------------------------------------------------

    def _engine_joined(self, event: e.EngineJoined) -> None:
        engine = self.engines.setdefault(event.engine, Engine(event.engine, has_tasks=event.tasks))
        engine.has_tasks, engine.away, engine.stuck = event.tasks, False, event.running
        self._tables.gone.pop(engine.id, None)
        self._tables.commands.append(c.Announce(joined=(engine.id,)))
        self._dispatch.pump(engine)

    def _engine_restarts(self, event: e.EngineRestarts) -> None:
        engine = self.engines.get(event.engine)
        if engine is None:
            return
        self._empty(engine, event.reason)
        self.engines[engine.id] = Engine(engine.id, engine.has_tasks, away=True)
        self._tables.commands.append(c.Announce(restarting=(engine.id,)))
        self._dispatch.fail_stranded(engine.id)

    def _engine_left(self, event: e.EngineLeft) -> None:
        engine = self.engines.pop(event.engine, None)
        if engine is None:
            return
        self._tables.engine_gone(engine.id, event.reason)
        self._empty(engine, event.reason)
        self._tables.commands.append(c.Announce(left=((engine.id, event.reason),)))
        self._dispatch.fail_stranded(engine.id)

    def _empty(self, engine: Engine, reason: str) -> None:
        """End everything that an engine had to do."""
        self.balancer.leave(engine)
        if engine.look is not None:
            engine.look.call_off()
        self._results.settle_all(engine)
        for task_id in [*engine.sent, *engine.queue]:
            task, started = self.tasks[task_id], task_id in engine.sent
            text = f"engine {engine.id} {reason}"
            if started and self._dispatch.again(task, engine, "failed"):
                self._dispatch.put_back(task)
            else:
                self._results.fail(task, "died", text + ("" if started else " before this task was started"))
        # Clients learn what has failed before they learn that the engine is gone.
        self._results.flush()
