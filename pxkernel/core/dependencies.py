"""Which tasks wait for which others (features LB-05, LB-06, LB-10, LB-11).

A watch follows one dependency of one task. It is met, can never be met any more, or is open. Each end of a task costs
one step for each task that waits for it, however many others those wait for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .events import Dependency
from .tables import Place

#: So many ends of tasks are remembered. Who depends on an older one is told that it is unknown.
MEMORY = 65_536
#: Whether a task has succeeded, and where it has ended, if that engine is still there.
Outcome = tuple[bool, Place | None]


@dataclass(slots=True)
class Watch:
    """One dependency, as its tasks end."""

    rule: Dependency
    pending: set[str] = field(default_factory=set)
    met: int = 0
    missed: int = 0
    #: The engines of the tasks that have ended as they should.
    places: set[Place | None] = field(default_factory=set)

    def note(self, task: str, outcome: Outcome) -> None:
        self.pending.discard(task)
        ok, place = outcome
        if self.rule.success if ok else self.rule.failure:
            self.met += 1
            self.places.add(place)
        else:
            self.missed += 1

    @property
    def verdict(self) -> bool | None:
        """True: it is met; False: it cannot be met any more; None: it is open."""
        if self.rule.all:
            return False if self.missed else (None if self.pending else True)
        if self.met or not self.rule.tasks:
            return True
        return None if self.pending else False


@dataclass(slots=True)
class Watches:
    """Both dependencies of one task."""

    after: Watch | None
    follow: Watch | None

    def each(self) -> Iterable[Watch]:
        return (watch for watch in (self.after, self.follow) if watch is not None)

    @property
    def verdict(self) -> bool | None:
        verdicts = [watch.verdict for watch in self.each()]
        if False in verdicts or self.places == frozenset():
            return False
        return None if None in verdicts else True

    @property
    def places(self) -> frozenset[Place] | None:
        """The engines where the task may run once it may; None: anywhere."""
        watch = self.follow
        if watch is None or not watch.rule.tasks or not watch.verdict:
            return None
        found = frozenset(place for place in watch.places if place is not None)
        # Where all of it has run, which is nowhere if it has run in two places.
        return frozenset() if watch.rule.all and len(watch.places) > 1 else found


class Graph:
    """The tasks that wait for others, and how the others have ended."""

    def __init__(self) -> None:
        #: The last ``MEMORY`` ends of tasks, the oldest first.
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        #: Tasks that wait, and by task those that wait for it.
        self._watches: dict[str, Watches] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def __contains__(self, task: str) -> bool:
        return task in self._watches

    def __len__(self) -> int:
        return len(self._watches)

    def __iter__(self) -> Iterator[str]:
        return iter(self._watches)

    def remembers(self, task: str) -> bool:
        """Whether the end of a task is known."""
        return task in self._outcomes

    def unended(self, *rules: Dependency | None) -> Iterable[str]:
        """The tasks in ``rules`` of which no end is known."""
        ids = (task for rule in rules if rule is not None for task in rule.tasks)
        return (task for task in ids if task not in self._outcomes)

    def watch(self, task: str, after: Dependency | None, follow: Dependency | None) -> Watches:
        """Watch the dependencies of ``task``, all of whose tasks are known; it waits if the verdict is open."""
        watches = Watches(Watch(after) if after else None, Watch(follow) if follow else None)
        for watch in watches.each():
            for other in dict.fromkeys(watch.rule.tasks):
                if (outcome := self._outcomes.get(other)) is not None:
                    watch.note(other, outcome)
                else:
                    watch.pending.add(other)
        if watches.verdict is None:
            self._watches[task] = watches
            for other in {other for watch in watches.each() for other in watch.pending}:
                self._dependents.setdefault(other, {})[task] = None
        return watches

    def ended(self, task: str, ok: bool, place: Place | None) -> Sequence[tuple[str, Watches]]:
        """Remember how and where a task has ended; returns the tasks that do not wait any more because of that."""
        self._outcomes[task] = outcome = ok, place
        if len(self._outcomes) > MEMORY:
            self._outcomes.popitem(last=False)
        dependents = self._dependents.pop(task, None)
        if dependents is None:
            return ()
        decided = []
        for dependent in dependents:
            watches = self._watches[dependent]
            for watch in watches.each():
                if task in watch.pending:
                    watch.note(task, outcome)
            if watches.verdict is not None:
                decided.append((dependent, watches))
        for dependent, _ in decided:
            self.forget(dependent)
        return decided

    def forget(self, task: str) -> None:
        """A task does not wait any more."""
        watches = self._watches.pop(task)
        for other in {other for watch in watches.each() for other in watch.pending}:
            dependents = self._dependents[other]
            del dependents[task]
            if not dependents:
                del self._dependents[other]
