"""What engines report of their tasks and cells."""

from __future__ import annotations

from . import commands as c
from . import events as e
from .agenda import Agenda
from .dispatch import Dispatch
from .results import Results
from .tables import Engine, Tables, Task

#: After an interrupt a stock kernel may never reply: idle and so many seconds without a reply end a cell.
REPLY_GRACE = 1.0
#: Kernels without the extension may send output after their idle status, as Deno's does: for so many seconds it counts.
TRAILING_OUTPUT = 0.1


class Reports:
    """Deals with what engines report.

    Parameters
    ----------
    tables
        Those of the core.
    agenda
        Knows when something does not come any more.
    results
        Ends the tasks.
    dispatch
        Gives the engines new ones.
    """

    def __init__(self, tables: Tables, agenda: Agenda, results: Results, dispatch: Dispatch):
        self._tables = tables
        self._agenda = agenda
        self._results = results
        self._dispatch = dispatch

    # -- tasks --------------------------------------------------------------------------------------------------------

    def tasks_finished(self, event: e.TasksFinished) -> None:
        engine = self._tables.engines.get(event.engine)
        if engine is None:
            return
        for task_id, size, seconds, has_output, outcome in event.results:
            if task_id not in engine.sent:
                self._is_free(engine, task_id)
                continue
            task = self._tables.tasks[task_id]
            if task.overtime:
                # What it gives is not delivered either.
                outcome, size = "failed", 0
            task.ok = outcome == "ok"
            self._measure(engine, task, seconds)
            again = self._dispatch.again(task, engine, outcome)
            if has_output:
                # Of a task that runs again, only the output of the last time is its end.
                engine.unsettled.append((task_id, None if again else task.client))
                if task.settled:
                    self._results.settle_up_to(engine, task_id)
            if again:
                engine.take_out(task)
                self._dispatch.put_back(task)
            else:
                if task.overtime:
                    self._results.overtime(engine, task, quiet=not has_output)
                self._results.finish(engine, task, size)
        engine.adapt()
        # What is delivered uses up credit, and for a client without any no engine works.
        self._results.flush()
        self._dispatch.pump(engine)

    @staticmethod
    def _is_free(engine: Engine, task_id: str) -> None:
        """An engine has ended a task of which nobody waits for the result any more."""
        if engine.stuck == task_id:
            engine.stuck = None

    def _measure(self, engine: Engine, task: Task, seconds: float) -> None:
        engine.measure(seconds)
        if task.balance is not None and (client := self._tables.clients.get(task.client)) is not None:
            client.measure(task.balance.terms.family, seconds)

    # -- cells --------------------------------------------------------------------------------------------------------

    def _cell(self, engine_id: int, task_id: str) -> tuple[Engine, Task] | None:
        """A cell that an engine is busy with."""
        engine = self._tables.engines.get(engine_id)
        if engine is None or task_id not in engine.sent:
            return None
        task = self._tables.tasks[task_id]
        return (engine, task) if task.kind == "cell" else None

    def cell_replied(self, event: e.CellReplied) -> None:
        if (found := self._cell(event.engine, event.task)) is None:
            return
        engine, task = found
        task.replied, task.ok, task.result_size = True, event.ok, event.size
        if task.idle:
            self._cell_is_done(engine, task)

    def kernel_idle(self, event: e.KernelIdle) -> None:
        if (found := self._cell(event.engine, event.task)) is None or found[1].idle:
            if (engine := self._tables.engines.get(event.engine)) is not None and engine.stuck == event.task:
                self._is_free(engine, event.task)
                self._dispatch.pump(engine)
            return
        engine, task = found
        task.idle = True
        if task.replied:
            self._cell_is_done(engine, task)
        else:
            task.expect(self._agenda.at(self._tables.now + REPLY_GRACE, self._no_reply, engine, task))

    def _no_reply(self, engine: Engine, task: Task) -> None:
        if not task.overtime:
            self._tables.commands.append(c.Fail(task.id, engine.id, "interrupted", "the kernel was interrupted"))
        self._cell_is_done(engine, task)

    def _cell_is_done(self, engine: Engine, task: Task) -> None:
        if task.overtime:
            task.ok = False
            self._results.overtime(engine, task)
        if engine.has_tasks:
            self._tables.commands.append(c.Settle(task.client, task.id))
        else:
            until = self._tables.now + TRAILING_OUTPUT
            end = self._agenda.at(until, self._results.settle_trailing, engine, task.id)
            engine.trailing[task.id] = task.client, end
        self._results.finish(engine, task, task.result_size)
        self._results.flush()
        self._dispatch.pump(engine)
