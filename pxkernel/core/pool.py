"""The balanced tasks that may run and have no engine yet.

Tasks with the same client and the same restrictions stand in one lane, first come, first served. A lane either says which
engines it wants, and those know of it, or it takes any, but for a few: so what there is for an engine is found without a
look at the lanes for others, however many tasks, functions and engines there are. Clients take turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from .tables import Balance, Client, Engine, Task, burst

#: The restrictions that the tasks of a lane have in common.
Key = tuple[Any, ...]


class Lane:
    """The tasks of one client that may run on the same engines."""

    def __init__(self, client: Client, balance: Balance):
        self.client = client
        self.key = key_of(balance)
        self._terms = balance.terms
        self._places = balance.places
        self._refused = balance.refused
        #: In the order of submission.
        self.tasks: OrderedDict[str, Balance] = OrderedDict()

    @property
    def wanted(self) -> Iterable[int] | None:
        """The engines that it names, whether they are there or not; None: it names none."""
        if self._places is not None:
            return {place.engine for place in self._places}
        return self._terms.targets

    def among(self, engines: Mapping[int, Engine]) -> Iterable[Engine]:
        """Those of the engines that it names; all if it names none."""
        if (wanted := self.wanted) is None:
            return engines.values()
        return (engines[engine] for engine in wanted if engine in engines)

    def admits(self, engine: Engine) -> bool:
        """Whether its tasks may run on this engine at all."""
        terms = self._terms
        if not engine.has_tasks or engine.id == terms.avoid or engine.place in self._refused:
            return False
        if self._places is not None and engine.place not in self._places:
            return False
        return terms.targets is None or engine.id in terms.targets

    def window(self, engine: Engine, engines: int) -> int:
        """How many tasks this engine may have at a time if it is to get the first one.

        One while nobody knows how long such a task takes, later a burst; less when only a few tasks are left for all.
        """
        pace = self.client.paces.get(self.first.terms.family)
        if pace is None or engine.pace is None:
            return 1
        return min(burst(pace), engine.burst, 1 + len(self.tasks) // (2 * engines))

    @property
    def first(self) -> Balance:
        """What its first task asks for."""
        return next(iter(self.tasks.values()))


def key_of(balance: Balance) -> Key:
    """Tasks of one client with equal keys share a lane."""
    return balance.terms.targets, balance.terms.avoid, balance.places, balance.refused


class Lanes:
    """The lanes of one client, none of them empty."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Lane] = {}
        #: Those that name no engine, and by engine those that name it.
        self._for_any: dict[Key, Lane] = {}
        self._for_one: dict[int, dict[Key, Lane]] = {}

    def open(self, lane: Lane) -> None:
        """There is a lane more."""
        self.by_key[lane.key] = lane
        if (wanted := lane.wanted) is None:
            self._for_any[lane.key] = lane
        else:
            for engine in wanted:
                self._for_one.setdefault(engine, {})[lane.key] = lane

    def close(self, lane: Lane) -> None:
        """A lane is empty."""
        del self.by_key[lane.key]
        if (wanted := lane.wanted) is None:
            del self._for_any[lane.key]
        else:
            for engine in wanted:
                lanes = self._for_one[engine]
                del lanes[lane.key]
                if not lanes:
                    del self._for_one[engine]

    def of(self, engine: int) -> Iterable[Lane]:
        """Those that this engine has to look at."""
        named = self._for_one.get(engine)
        return self._for_any.values() if named is None else chain(self._for_any.values(), named.values())


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
        #: The lanes of every client that has some; the client whose turn it is first.
        self.by_client: OrderedDict[str, Lanes] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(lane.tasks) for lane in self.lanes())

    def lanes(self) -> Iterator[Lane]:
        """Every lane; none is empty."""
        return (lane for lanes in self.by_client.values() for lane in lanes.by_key.values())

    def lanes_of(self, client: Client) -> list[Lane]:
        """Those of one client."""
        lanes = self.by_client.get(client.id)
        return [] if lanes is None else list(lanes.by_key.values())

    def add(self, task: Task, balance: Balance, front: bool) -> Lane:
        """Put a task into its lane, at the end or before those that came later."""
        lanes = self.by_client.get(task.client)
        if lanes is None:
            lanes = self.by_client[task.client] = Lanes()
        lane = lanes.by_key.get(key_of(balance))
        if lane is None:
            lane = Lane(self._clients[task.client], balance)
            lanes.open(lane)
        lane.tasks[task.id] = balance
        if front:
            lane.tasks.move_to_end(task.id, last=False)
        return lane

    def remove(self, task: Task, balance: Balance) -> None:
        """Take out a task."""
        lane = self.by_client[task.client].by_key[key_of(balance)]
        del lane.tasks[task.id]
        self._close_if_empty(lane)

    def take(self, engine: Engine, before: int) -> str | None:
        """Take out the next task for an engine, which had ``before`` tasks when its turn began."""
        if not engine.has_room(engine.burst, before):
            # No lane lets it have more.
            return None
        for client_id, lanes in self.by_client.items():
            if not self._clients[client_id].credit.free:
                continue
            lane = None
            for other in lanes.of(engine.id):
                if self._has_room(other, engine, before) and (lane is None or other.first.number < lane.first.number):
                    lane = other
            if lane is not None:
                task, _ = lane.tasks.popitem(last=False)
                self.by_client.move_to_end(client_id)
                self._close_if_empty(lane)
                return task
        return None

    def _has_room(self, lane: Lane, engine: Engine, before: int) -> bool:
        """Whether an engine may have the first task of a lane."""
        return lane.admits(engine) and engine.has_room(lane.window(engine, len(self._engines)), before)

    def stranded(self, engine: int) -> list[Lane]:
        """The lanes for which there is no engine any more, now that this one is gone."""
        return [lane for lanes in self.by_client.values() for lane in lanes.of(engine) if self.is_stranded(lane)]

    def is_stranded(self, lane: Lane) -> bool:
        """Whether there is no engine for it; one that is being restarted will come back, as another one."""
        return not any(map(lane.admits, lane.among(self._engines)))

    def _close_if_empty(self, lane: Lane) -> None:
        if not lane.tasks:
            lanes = self.by_client[lane.client.id]
            lanes.close(lane)
            if not lanes.by_key:
                del self.by_client[lane.client.id]
