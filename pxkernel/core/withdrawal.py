"""Taking work back: what clients abort, and what they interrupt."""

from __future__ import annotations

from collections.abc import Sequence

from . import commands as c
from . import events as e
from .dispatch import Dispatch
from .results import Results
from .tables import State, Tables, Task


class Withdrawal:
    """Takes work back.

    Parameters
    ----------
    tables
        Those of the core.
    results
        Ends what has been taken back.
    dispatch
        Has what waits, and gives the engines something else.
    """

    def __init__(self, tables: Tables, results: Results, dispatch: Dispatch):
        self._tables = tables
        self._results = results
        self._dispatch = dispatch

    def _own(self, client: str, tasks: Sequence[str]) -> list[Task]:
        """Each once; a client can take back its own tasks only."""
        found = map(self._tables.tasks.get, dict.fromkeys(tasks))
        return [task for task in found if task is not None and task.client == client]

    def aborted(self, event: e.Aborted) -> None:
        self._abort(self._own(event.client, event.tasks))

    def _abort(self, tasks: Sequence[Task]) -> None:
        self._dispatch.unqueue(tasks)
        recalls: dict[int, list[str]] = {}
        for task in tasks:
            if task.state is State.QUEUED:
                self._results.fail(task, "aborted", "it was aborted before it started")
            elif task.state is State.SENT and task.kind != "cell" and not task.aborted:
                task.aborted = True
                recalls.setdefault(task.engine, []).append(task.id)
        for engine_id, ids in recalls.items():
            self._tables.commands.append(c.RecallTasks(engine_id, ids))

    def tasks_recalled(self, event: e.TasksRecalled) -> None:
        engine = self._tables.engines.get(event.engine)
        if engine is None:
            return
        for task in [self._tables.tasks[task_id] for task_id in event.tasks if task_id in engine.sent]:
            engine.take_out(task)
            self._results.fail(task, "aborted", "it was aborted before it started")
        self._dispatch.pump(engine)

    def interrupt_asked(self, event: e.InterruptAsked) -> None:
        tasks = self._own(event.client, event.tasks)
        sent: dict[int, list[str]] = {}
        for task in tasks:
            if task.state is State.SENT:
                sent.setdefault(task.engine, []).append(task.id)
        # What has not started when the recall arrives never will; what runs by then is hit by the interrupt.
        self._abort(tasks)
        for engine_id, ids in sent.items():
            engine = self._tables.engines[engine_id]
            if engine.has_tasks:
                self._tables.commands.append(c.InterruptTasks(engine_id, ids))
            else:
                engine.interrupting += 1
                self._tables.commands.append(c.InterruptEngine(engine_id))

    def interrupt_sent(self, event: e.InterruptSent) -> None:
        engine = self._tables.engines.get(event.engine)
        if engine is not None:
            engine.interrupting = max(0, engine.interrupting - 1)
            self._dispatch.pump(engine)
