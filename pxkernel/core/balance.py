"""Balanced tasks: when each may run, and which engine gets it (features LB).

::

    submitted ──▶ waits for others ──▶ in the pool ──▶ sent to an engine ──▶ done
                  (dependencies)       (no engine yet)    │
                                          ▲               │ refused, failed with retries left, recalled
                                          └───────────────┘

Rule 1. Whatever becomes of engines and tasks, nothing waits for what cannot come: a task whose dependencies cannot be met
any more, or for which there is no engine, ends. Rule 2. An engine is as busy as all of its work, direct or balanced.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import NamedTuple

from .dependencies import Graph, Watches
from .policies import Policy
from .pool import Lane, Pool
from .tables import Balance, Client, Engine, State, Tables, Task


#: A policy chooses among so many engines that have nothing to do, those that have waited longest.
CHOICE = 100


class Ending(NamedTuple):
    """Why a task ends without having run: the fields of a Fail."""

    status: str
    reason: str


IMPOSSIBLE = Ending("impossible", "a task that it depends on has not ended as it should, or not where it should")
REFUSED = Ending("impossible", "no engine meets its dependencies")
PLACE_LEFT = Ending("impossible", "the engine that it should follow a task to is gone")
NO_ENGINE = "no engine is left that it may run on"


class Balancer:
    """The balanced tasks that have no engine; what it returns the core does.

    Parameters
    ----------
    tables
        Those of the core.
    policy
        Chooses among several engines that have room.
    """

    def __init__(self, tables: Tables, policy: Policy[Engine]):
        self._engines = tables.engines
        self._gone = tables.gone
        self._tasks = tables.tasks
        self._policy = policy
        self._graph = Graph()
        self._pool = Pool(tables.clients, tables.engines)
        #: The tasks that wait for an engine only, by client.
        self.ready = self._pool.by_client
        #: The engines that have nothing to do, the one that has done nothing for longest first, and when that began, as a
        #: number.
        self._idle: OrderedDict[int, Engine] = OrderedDict()
        self._idle_since: dict[int, int] = {}
        self._numbers = count()

    def __len__(self) -> int:
        """How many tasks wait for an engine or for other tasks."""
        return len(self._pool) + len(self._graph)

    def waiting(self) -> list[str]:
        """The tasks that have no engine, whether they wait for one or for other tasks."""
        return [*self._graph, *(task for lane in self._pool.lanes() for task in lane.tasks)]

    # -- tasks that come ----------------------------------------------------------------------------------------------

    def submit(self, task: Task, balance: Balance) -> Ending | None:
        """Accept a task; why it ends at once, if it does. It waits for others, or is to be added."""
        terms = balance.terms
        balance.number = next(self._numbers)
        if terms.after is None and terms.follow is None:
            return None
        for other in self._graph.unended(terms.after, terms.follow):
            if other == task.id or not self.knows(other):
                return Ending("invalid", f"it depends on {other}, which is no task or one that was forgotten")
        return self._decide(balance, self._graph.watch(task.id, terms.after, terms.follow))

    def knows(self, task_id: str) -> bool:
        """Whether others can depend on a task: its end is remembered, or is to come."""
        task = self._tasks.get(task_id)
        return self._graph.remembers(task_id) or (task is not None and task.state is not State.DONE)

    @staticmethod
    def _decide(balance: Balance, watches: Watches) -> Ending | None:
        if watches.verdict is False:
            return IMPOSSIBLE
        balance.places = watches.places
        return None

    def waits(self, task: Task) -> bool:
        """Whether a task waits for other tasks."""
        return task.id in self._graph

    def ended(self, task: Task) -> Sequence[tuple[Task, Ending | None]]:
        """Any task has ended: those that waited for it and do not wait any more, with why they end if they do."""
        engine = self._engines.get(task.engine)  # type: ignore[arg-type]
        decided = self._graph.ended(task.id, task.ok, None if engine is None else engine.place)
        if not decided:
            return ()
        found = []
        for task_id, watches in decided:
            dependent = self._tasks[task_id]
            assert dependent.balance is not None
            found.append((dependent, self._decide(dependent.balance, watches)))
        return found

    def add(self, task: Task, balance: Balance, front: bool = False) -> Lane | Ending:
        """A task may run now: where it waits for an engine, or why it cannot."""
        lane = self._pool.add(task, balance, front)
        if len(lane.tasks) == 1 and self._pool.is_stranded(lane):
            self._pool.remove(task, balance)
            return self._stranded(balance)
        return lane

    def again(self, task: Task, engine: Engine, outcome: str) -> bool:
        """A task has ended on an engine: whether it is to be put back, because it wants another one or another try."""
        balance = task.balance
        if balance is None or outcome == "ok" or task.aborted:
            return False
        if outcome == "unmet":
            balance.refused |= {engine.place}
            return True
        balance.retries -= 1
        return balance.retries >= 0

    def remove(self, task: Task, balance: Balance) -> None:
        """A task that has no engine is taken back."""
        if task.id in self._graph:
            self._graph.forget(task.id)
        else:
            self._pool.remove(task, balance)

    def expired(self, task: Task, balance: Balance) -> Ending:
        """Why a task ends that has waited too long."""
        seconds = f"within {balance.terms.timeout:g} seconds"
        if self.waits(task):
            return Ending("dependency_timeout", f"its dependencies were not met {seconds}")
        return Ending("timeout", f"no engine had time for it {seconds}")

    # -- engines ------------------------------------------------------------------------------------------------------

    def choose(self, lane: Lane) -> Engine | None:
        """An engine that has nothing to do, for the tasks of a lane: nobody sends one task to an engine that is busy."""
        if not self._idle or not lane.client.credit.free:
            return None
        return self._policy(islice(self._idle_for(lane), CHOICE))

    def _idle_for(self, lane: Lane) -> Iterator[Engine]:
        engines: Iterable[Engine] = self._idle.values()
        if (wanted := lane.wanted) is not None:
            waiting = sorted(filter(self._idle.__contains__, wanted), key=self._idle_since.__getitem__)
            engines = map(self._idle.__getitem__, waiting)
        return (engine for engine in engines if not engine.paused and lane.admits(engine))

    def lanes(self, client: Client) -> list[Lane]:
        """Where the tasks of a client wait for an engine."""
        return self._pool.lanes_of(client)

    def take(self, engine: Engine, before: int) -> Task | None:
        """The next task for an engine that has room; it is out of the pool."""
        task_id = self._pool.take(engine, before)
        return None if task_id is None else self._tasks[task_id]

    def rest(self, engine: Engine) -> None:
        """The turn of an engine is over: it has something to do now, or waits for it."""
        if engine.sent or engine.paused or not engine.has_tasks:
            self._idle.pop(engine.id, None)
        elif engine.id not in self._idle:
            self._idle[engine.id] = engine
            self._idle_since[engine.id] = next(self._numbers)

    def leave(self, engine: Engine) -> None:
        """An engine, or its kernel, is gone."""
        self._idle.pop(engine.id, None)
        self._idle_since.pop(engine.id, None)

    def stranded(self, engine: int) -> Sequence[tuple[Task, Ending]]:
        """The tasks for which there is no engine any more, now that this one is gone; they are removed."""
        found = []
        for lane in self._pool.stranded(engine):
            ending = None
            for task in map(self._tasks.__getitem__, list(lane.tasks)):
                assert task.balance is not None
                self._pool.remove(task, task.balance)
                # The same for all of them: a long crash report is there once.
                ending = ending or self._stranded(task.balance)
                found.append((task, ending))
        return found

    def _stranded(self, balance: Balance) -> Ending:
        if balance.refused:
            return REFUSED
        if balance.places is not None:
            return PLACE_LEFT
        targets = balance.terms.targets
        last = next((engine for engine in reversed(self._gone) if targets is None or engine in targets), None)
        return Ending("died", NO_ENGINE if last is None else f"{NO_ENGINE}: engine {last} {self._gone[last]}")
