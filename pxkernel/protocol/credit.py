"""Credit: how much may be on the way to one peer.

Nobody here stops reading, and a ROUTER at its high-water mark drops in silence (design, decisions 4 and 11).
Instead the sender counts what the receiver has not yet acknowledged, and waits above the limit.
"""

from __future__ import annotations

#: Bytes that a client may have submitted and the controller not yet passed on, and bytes of results and output that the
#: controller may have sent and a client not yet received. One message is always allowed, whatever its size.
LIMIT = 64 * 1024 * 1024
#: After so many bytes the receiver acknowledges what it has received.
ACKNOWLEDGED = LIMIT // 16


class Credit:
    """Counts the bytes on the way; ``free`` says whether another message may go."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = LIMIT):
        self.limit = limit
        self.used = 0

    @property
    def free(self) -> bool:
        return self.used < self.limit

    def take(self, amount: int) -> None:
        self.used += amount

    def give(self, amount: int) -> None:
        self.used = max(0, self.used - amount)
