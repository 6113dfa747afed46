"""Taking work back: what clients abort, and what they interrupt."""

from __future__ import annotations

from collections.abc import Sequence

from . import commands as c
from . import events as e
from .dispatch import Dispatch
from .results import Results
from .tables import Engine, State, Tables, Task


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

    # -- what has not started -----------------------------------------------------------------------------------------

    def aborted(self, event: e.Aborted) -> None:
        tasks = self._own(event.client, event.tasks)
        # It is sent to an engine that has nothing else to do.
        running = [task.id for task in tasks if task.state is State.SENT and task.kind == "cell"]
        self._abort(tasks)
        self._tell_started(event.client, running)

    def _abort(self, tasks: Sequence[Task]) -> None:
        self._dispatch.unqueue(tasks)
        recalls: dict[int, list[Task]] = {}
        for task in tasks:
            if task.state is State.QUEUED:
                self._results.fail(task, "aborted", "it was aborted before it started")
            elif task.state is State.SENT and task.kind != "cell":
                task.aborted = True
                recalls.setdefault(task.engine, []).append(task)
        for engine_id, recalled in recalls.items():
            self.recall(self._tables.engines[engine_id], recalled)

    def recall(self, engine: Engine, tasks: Sequence[Task]) -> None:
        """Ask an engine for those of its tasks that have not started."""
        # One recall at a time: the answer to an older one must not be taken for that to a newer one.
        asked = [task for task in tasks if not task.recalled]
        for task in asked:
            task.recalled = True
        if asked:
            self._tables.commands.append(c.RecallTasks(engine.id, [task.id for task in asked]))

    def tasks_recalled(self, event: e.TasksRecalled) -> None:
        engine = self._tables.engines.get(event.engine)
        if engine is None:
            return
        wanted: list[Task] = []
        for task in [self._tables.tasks[task_id] for task_id in event.tasks if task_id in engine.sent]:
            engine.take_out(task)
            if task.aborted or task.client not in self._tables.clients:
                self._results.fail(task, "aborted", "it was aborted before it started")
            else:
                wanted.append(task)
        self._dispatch.put_all_back(wanted)
        for task in [self._tables.tasks[task_id] for task_id in event.started if task_id in engine.sent]:
            task.recalled = False
            if task.aborted:
                self._tell_started(task.client, [task.id])
        self._dispatch.pump(engine)

    def _tell_started(self, client: str, tasks: Sequence[str]) -> None:
        if tasks and client in self._tables.clients:
            self._tables.commands.append(c.TellStarted(client, tasks))

    # -- what runs ----------------------------------------------------------------------------------------------------

    def interrupt_asked(self, event: e.InterruptAsked) -> None:
        tasks = self._own(event.client, event.tasks)
        sent: dict[int, list[str]] = {}
        for task in tasks:
            if task.state is State.SENT:
                sent.setdefault(task.engine, []).append(task.id)
        # What has not started when the recall arrives never will; what runs by then is hit by the interrupt.
        self._abort(tasks)
        for engine_id, ids in sent.items():
            self.interrupt(self._tables.engines[engine_id], ids)

    def interrupt(self, engine: Engine, tasks: Sequence[str]) -> None:
        """Interrupt whichever of these tasks of an engine runs."""
        if engine.has_tasks:
            self._tables.commands.append(c.InterruptTasks(engine.id, tasks))
        else:
            engine.interrupting += 1
            self._tables.commands.append(c.InterruptEngine(engine.id))

    def interrupt_sent(self, event: e.InterruptSent) -> None:
        engine = self._tables.engines.get(event.engine)
        if engine is not None:
            engine.interrupting = max(0, engine.interrupting - 1)
            self._dispatch.pump(engine)
