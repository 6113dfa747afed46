"""The agenda of the core: what is to be done at a certain time unless it is called off before.

To add an appointment costs O(log n), to call one off next to nothing: most are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

#: From so many on, appointments that were called off are cleared away when they are more than half of all.
MANY = 100


class Appointment:
    """Something to do at a certain time."""

    __slots__ = ("_agenda", "action", "args")

    def __init__(self, agenda: Agenda, action: Callable[..., None], args: tuple[Any, ...]):
        self._agenda = agenda
        self.action: Callable[..., None] | None = action
        self.args = args

    def call_off(self) -> None:
        """It is not to happen any more; it may have happened, or have been called off."""
        if self.action is not None:
            self.action, self.args = None, ()
            self._agenda.called_off()


class Agenda:
    """The appointments; times are in seconds on the clock of the events."""

    def __init__(self) -> None:
        #: (when, number, appointment), the number because appointments have no order of their own.
        self._heap: list[tuple[float, int, Appointment]] = []
        self._numbers = count()
        self._called_off = 0

    def at(self, when: float, action: Callable[..., None], *args: Any) -> Appointment:
        """Have ``action(*args)`` called at ``when``."""
        appointment = Appointment(self, action, args)
        heapq.heappush(self._heap, (when, next(self._numbers), appointment))
        return appointment

    def called_off(self) -> None:
        """One of the appointments has been called off."""
        self._called_off += 1
        if self._called_off > MANY and 2 * self._called_off > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._called_off = 0

    def deadline(self) -> float | None:
        """When the next appointment is."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
            self._called_off -= 1
        return self._heap[0][0] if self._heap else None

    def keep(self, now: float) -> None:
        """Do what is due, in the order of its times."""
        while (deadline := self.deadline()) is not None and deadline <= now:
            appointment = heapq.heappop(self._heap)[2]
            action, args = appointment.action, appointment.args
            assert action is not None
            # It has happened: to call it off later means nothing.
            appointment.action = None
            action(*args)
