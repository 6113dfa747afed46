"""What becomes of tasks that run for long.

Of what an engine has been sent the first one runs. When it has run for ``LONG``, the balanced tasks that wait behind it go
back to where every engine can get them, and the engine gets no more of them meanwhile. When it has run for longer than its
time limit it is interrupted, and fails whatever it makes of that; if it goes on all the same, for what does not come back
to its interpreter cannot be interrupted, its result is given up.
"""

from __future__ import annotations

from .agenda import Agenda
from .dispatch import Dispatch
from .results import Results
from .tables import LONG, Engine, Tables, Task
from .withdrawal import Withdrawal

#: How many seconds a task may take to end after it was interrupted.
INTERRUPT_GRACE = 3.0


class Stopwatch:
    """Watches how long tasks run.

    Parameters
    ----------
    tables
        Those of the core.
    agenda
        Knows when a task has run for too long.
    results, dispatch, withdrawal
        What ends tasks, feeds engines, gets tasks another engine, and interrupts them.
    """

    def __init__(
        self,
        tables: Tables,
        agenda: Agenda,
        results: Results,
        dispatch: Dispatch,
        withdrawal: Withdrawal,
    ):
        self._tables = tables
        self._agenda = agenda
        self._results = results
        self._dispatch = dispatch
        self._withdrawal = withdrawal

    def look(self) -> None:
        """After an event: other tasks may run now."""
        changed, self._tables.changed = self._tables.changed, {}
        for engine in changed.values():
            if self._tables.engines.get(engine.id) is engine:
                self._look_at(engine)

    def _look_at(self, engine: Engine) -> None:
        task = self._running(engine)
        if task is None:
            return
        if task.began is None:
            task.began = self._tables.now
            if task.time_limit:
                task.expect(self._agenda.at(task.began + task.time_limit, self._time_is_over, engine, task))
        if len(engine.sent) > 1 and engine.look is None and engine.long is None:
            engine.look = self._agenda.at(task.began + LONG, self._look_again, engine)

    def _running(self, engine: Engine) -> Task | None:
        """The first task of an engine that does nothing else."""
        return None if engine.stuck or not engine.sent else self._tables.tasks[next(iter(engine.sent))]

    # -- tasks that wait behind a long one ----------------------------------------------------------------------------

    def _look_again(self, engine: Engine) -> None:
        engine.look = None
        task = self._running(engine)
        if task is None or len(engine.sent) == 1:
            return
        if task.began is None or self._tables.now < task.began + LONG:
            # It is another one by now.
            self._look_at(engine)
            return
        engine.long = task.id
        behind = [self._tables.tasks[task_id] for task_id in list(engine.sent)[1:]]
        self._withdrawal.recall(engine, [other for other in behind if other.balance is not None])

    # -- tasks with a time limit --------------------------------------------------------------------------------------

    def _time_is_over(self, engine: Engine, task: Task) -> None:
        task.overtime = True
        self._withdrawal.interrupt(engine, [task.id])
        task.expect(self._agenda.at(self._tables.now + INTERRUPT_GRACE, self._does_not_end, engine, task))

    def _does_not_end(self, engine: Engine, task: Task) -> None:
        engine.take_out(task)
        engine.stuck = task.id
        if self._dispatch.again(task, engine, "failed"):
            self._dispatch.put_back(task)
        else:
            self._results.give_up(engine, task)
        self._dispatch.pump(engine)
