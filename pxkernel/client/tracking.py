"""When what was sent without a copy may be changed again (seed 004: "Non-copying sends")."""

from __future__ import annotations

from concurrent.futures import Future

import zmq

from .deadlines import deadline, left


class SendTracker:
    """Follows one submission from here into the socket and out of it.

    The I/O thread sends it later, so pyzmq's own tracker exists later too. What will never be sent counts as sent: its
    memory is not in use any more either.
    """

    def __init__(self) -> None:
        self._handed: Future[zmq.MessageTracker] = Future()

    def hand_over(self, tracker: zmq.MessageTracker | None = None) -> None:
        """Called in the I/O thread: ZeroMQ has it, or with None, nobody has it any more."""
        if not self._handed.done():
            self._handed.set_result(zmq.MessageTracker() if tracker is None else tracker)

    @property
    def done(self) -> bool:
        """Whether nobody reads the memory any more."""
        return self._handed.done() and self._handed.result().done

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until ``done``, at most ``timeout`` seconds (None or negative: as long as it takes); whether it is."""
        end = deadline(timeout)
        try:
            tracker = self._handed.result(left(end))
            tracker.wait(-1 if (seconds := left(end)) is None else seconds)
        except (TimeoutError, zmq.NotDone):
            return self.done
        return True
