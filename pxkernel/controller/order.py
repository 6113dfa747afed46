"""Questions of clients that know more than the controller does: they wait until it has heard of it as well.

An engine gives a result to its client before it reports it here (``protocol.mailbox``). What a client asks names the tasks
of which it knows (``Ask.after``), so that no answer contradicts what its user has seen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..protocol.messages import Ask, Message
from .front import Peer

#: How long a question waits at most, in seconds: an engine may be stopped between the two messages.
PATIENCE = 1.0


@dataclass(slots=True)
class Held:
    """What one peer has said, beginning with a question that came too early."""

    end: float
    messages: deque[Message] = field(default_factory=deque)


class Order:
    """Holds questions back, and what their peers said after them.

    Parameters
    ----------
    is_open
        Whether a task has not ended as far as the controller knows.
    handle
        Deals with a message of a peer.
    """

    def __init__(self, is_open: Callable[[str], bool], handle: Callable[[Peer, Message], None]):
        self._is_open = is_open
        self._handle = handle
        self._held: dict[Peer, Held] = {}

    def holds(self, peer: Peer, message: Message) -> bool:
        """Whether a message that has just come is kept for later."""
        if not self._held and type(message) is not Ask:
            return False
        held = self._held.get(peer)
        if held is None:
            if not self._is_early(message):
                return False
            held = self._held[peer] = Held(time.monotonic() + PATIENCE)
        held.messages.append(message)
        return True

    def release_due(self, now: float) -> float | None:
        """Deal with what need not wait any longer; returns when to call again, None: nothing waits."""
        if not self._held:
            return None
        for peer, held in list(self._held.items()):
            if now >= held.end:
                self.release(peer)
            while held.messages and not self._is_early(held.messages[0]):
                self._handle(peer, held.messages.popleft())
            if not held.messages:
                self._held.pop(peer, None)
        return min((held.end for held in self._held.values()), default=None)

    def release(self, peer: Peer) -> None:
        """Deal with all that a peer has said: it has gone, or has waited long enough."""
        held = self._held.pop(peer, None)
        while held is not None and held.messages:
            self._handle(peer, held.messages.popleft())

    def _is_early(self, message: Message) -> bool:
        return type(message) is Ask and any(map(self._is_open, message.after))
