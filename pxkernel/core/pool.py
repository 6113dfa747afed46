"""The balanced tasks that may run and have no engine yet.

Tasks with the same client, the same restrictions and the same pace stand in one lane, first come, first served: to find
a task for an engine costs a step for each lane, not for each task. Clients take turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from .tables import Balance, Client, Engine, Task, burst


class Lane:
    """The tasks of one client that may run on the same engines and take about as long as each other."""

    def __init__(self, client: Client, balance: Balance):
        self.client = client
        self.key = key_of(balance)
        self._terms = balance.terms
        self._places = balance.places
        self._refused = balance.refused
        #: Their numbers in the order of submission.
        self.tasks: OrderedDict[str, int] = OrderedDict()

    def admits(self, engine: Engine) -> bool:
        """Whether its tasks may run on this engine at all."""
        terms = self._terms
        if not engine.has_tasks or engine.id == terms.avoid or engine.serial in self._refused:
            return False
        if self._places is not None and engine.serial not in self._places:
            return False
        return terms.targets is None or engine.id in terms.targets

    def among(self, engines: Mapping[int, Engine]) -> Iterable[Engine]:
        """The engines of its targets; without targets all."""
        if self._terms.targets is None:
            return engines.values()
        return (engines[engine] for engine in self._terms.targets if engine in engines)

    def serials(self, engines: Mapping[int, Engine]) -> Set[int] | None:
        """The serial numbers of the engines that it names; None: it names none."""
        if self._places is not None or self._terms.targets is None:
            return self._places
        return {engine.serial for engine in self.among(engines)}

    def window(self, engine: Engine, engines: int) -> int:
        """How many tasks this engine may have at a time.

        One while nobody knows how long these tasks take, later a burst; less when only a few tasks are left for all.
        """
        pace = self.client.paces.get(self._terms.family)
        if pace is None or engine.pace is None:
            return 1
        return min(burst(pace), engine.burst, 1 + len(self.tasks) // (2 * engines))

    @property
    def first(self) -> int:
        """The number of its first task."""
        return next(iter(self.tasks.values()))


def key_of(balance: Balance) -> tuple[Any, ...]:
    """Tasks of one client with equal keys share a lane."""
    terms = balance.terms
    return terms.targets, terms.avoid, terms.family, balance.places, balance.refused


class Pool:
    """The lanes of all clients.

    Parameters
    ----------
    clients, engines
        The tables of the core.
    """

    def __init__(self, clients: Mapping[str, Client], engines: Mapping[int, Engine]):
        self._clients = clients
        self._engines = engines
        #: The lanes by client and key, none of them empty; the client whose turn it is first.
        self.by_client: OrderedDict[str, dict[tuple[Any, ...], Lane]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(lane.tasks) for lane in self.lanes())

    def lanes(self) -> Iterator[Lane]:
        """Every lane; none is empty."""
        return (lane for lanes in self.by_client.values() for lane in lanes.values())

    def add(self, task: Task, balance: Balance, front: bool) -> Lane:
        """Put a task into its lane, at the end or before those that came later."""
        lanes = self.by_client.setdefault(task.client, {})
        key = key_of(balance)
        lane = lanes.get(key)
        if lane is None:
            lane = lanes[key] = Lane(self._clients[task.client], balance)
        lane.tasks[task.id] = balance.number
        if front:
            lane.tasks.move_to_end(task.id, last=False)
        return lane

    def lane(self, task: Task, balance: Balance) -> Lane:
        """The lane of a task that is in the pool."""
        return self.by_client[task.client][key_of(balance)]

    def remove(self, task: Task, balance: Balance) -> None:
        """Take out a task."""
        lane = self.lane(task, balance)
        del lane.tasks[task.id]
        self._drop_if_empty(lane)

    def take(self, engine: Engine, before: int) -> str | None:
        """Take out the next task for an engine, which had ``before`` tasks when its turn began."""
        for client_id, lanes in self.by_client.items():
            if not self._clients[client_id].credit.free:
                continue
            open_lanes = [lane for lane in lanes.values() if self.has_room(lane, engine, before)]
            if open_lanes:
                lane = min(open_lanes, key=lambda lane: lane.first)
                task, _ = lane.tasks.popitem(last=False)
                self.by_client.move_to_end(client_id)
                self._drop_if_empty(lane)
                return task
        return None

    def has_room(self, lane: Lane, engine: Engine, before: int) -> bool:
        """Whether an engine may have one more task of this lane."""
        return lane.admits(engine) and engine.has_room(lane.window(engine, len(self._engines)), before)

    def is_stranded(self, lane: Lane) -> bool:
        """Whether there is no engine for it; one that is being restarted will come back, as another one."""
        return not any(map(lane.admits, lane.among(self._engines)))

    def _drop_if_empty(self, lane: Lane) -> None:
        if not lane.tasks:
            lanes = self.by_client[lane.client.id]
            del lanes[lane.key]
            if not lanes:
                del self.by_client[lane.client.id]
