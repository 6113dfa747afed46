"""Submissions that wait until the controller has room for them (design, decision 11)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

from ..protocol.credit import Credit
from ..protocol.messages import Submit
from ..protocol.sharing import size
from .tracking import SendTracker

#: A message carries at most so many calls.
BATCH = 256


class Backlog:
    """What a client has submitted and the controller has no credit for; of the thread that sends."""

    def __init__(self) -> None:
        self.credit = Credit()
        self._held: deque[tuple[Submit, SendTracker | None]] = deque()

    def add(self, message: Submit, tracker: SendTracker | None) -> None:
        self._held.append((message, tracker))

    @property
    def passes(self) -> bool:
        """Whether a submission may go without waiting here."""
        return not self._held and self.credit.free

    def passed(self, message: Submit) -> None:
        """One has gone without waiting; its bytes are counted."""
        self.credit.take(sum(map(size, message.payloads)))

    def due(self) -> Iterator[tuple[Submit, list[SendTracker]]]:
        """The messages that may go now, many submissions in each; their bytes are counted."""
        while self._held and self.credit.free:
            calls: list[list[Any]] = []
            payloads: list[Any] = []
            trackers: list[SendTracker] = []
            while self._held and self.credit.free and len(calls) < BATCH:
                message, tracker = self._held.popleft()
                if tracker is not None:
                    trackers.append(tracker)
                self.passed(message)
                calls += message.calls
                payloads += message.payloads
            yield Submit(calls, tuple(payloads)), trackers

    def withdraw(self, tasks: Collection[str]) -> list[str]:
        """Take back those of the tasks that have not been sent; their ids."""
        withdrawn: list[str] = []
        held, self._held = self._held, deque()
        for message, tracker in held:
            calls, payloads = [], []
            for (kind, options, targets, *terms), payload in zip(message.calls, message.payloads, strict=True):
                withdrawn += [task for task, _ in targets if task in tasks]
                left = [[task, engine] for task, engine in targets if task not in tasks]
                if left:
                    calls.append([kind, options, left, *terms])
                    payloads.append(payload)
            if calls:
                self._held.append((Submit(calls, tuple(payloads)), tracker))
            elif tracker is not None:
                tracker.hand_over()
        return withdrawn

    def clear(self) -> None:
        """Give everything up."""
        while self._held:
            _, tracker = self._held.popleft()
            if tracker is not None:
                tracker.hand_over()
