"""Whether results come so fast that the main loop had better wait a moment, and then deal with several at once.

A loop that is ready for every single one reads it, wakes the client, and goes to sleep again: with 2,000 calls under way on one
engine that cost 65 us of its processor time for each, with a pause 52, and since the processor is free for engine and client
meanwhile, 10 % more calls were done (measured, medians of five alternating runs).

Nobody waits for it: there are pauses only while every engine that reports something has so many tasks behind it that it goes on
meanwhile. A call that somebody waits for leaves its engine with few, and ends the pauses.
"""

from __future__ import annotations

#: How long a pause is, in seconds.
PAUSE = 0.0003
#: So many tasks an engine must have left when it reports one: it does one in 50 us at best.
LEFT = 8
#: From so many results per second on, over as many seconds, there are pauses.
RATE = 2000.0
OVER = 0.002


class Rush:
    """Counts results."""

    def __init__(self) -> None:
        self._since = 0.0
        self._results = 0
        self._waited_for = False
        self._on = False

    def reported(self, results: int, left: int) -> None:
        """An engine has reported so many results, and has been sent others: it has ``left`` tasks."""
        self._results += results
        if left < LEFT:
            self._waited_for, self._on = True, False

    def pause(self, now: float) -> float:
        """How many seconds to wait before looking for more."""
        elapsed = now - self._since
        if elapsed >= OVER:
            self._on = self._results >= RATE * elapsed and not self._waited_for
            self._since, self._results, self._waited_for = now, 0, False
        return PAUSE if self._on else 0.0
