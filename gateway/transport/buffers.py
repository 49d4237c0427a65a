"""How much memory replies may take while they come in, all calls together.

The cap of a single reply bounds one call; a thousand calls at once would still hold a thousand times as much. The
share of each pool follows the room that is left (the "dynamic threshold" of shared-memory switches, Choudhury and
Hahne, 1998): a pool may hold as much as is free. One hook alone gets half of it all, two a third each, and room is
always left for the next, so that one hostile hook cannot make the replies of the others fail.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import BuffersFull

__all__ = ["STEP", "ReplyBuffers"]

STEP: Final = 64 * 1024  # bytes; a body is counted from here on, and in steps of this size


class ReplyBuffers:
    """Counts the bytes of replies that are incomplete, `total` at most. What a reply has below 64 KiB is not counted.

    Two integers and one entry in a dict per pool that has a large reply under way.
    """

    __slots__ = ("_held", "free", "total")

    def __init__(self, total: int) -> None:
        self.total: Final = total
        self.free = total
        self._held: dict[str, int] = {}

    def take(self, pool: str, size: int) -> None:
        """Count `size` more bytes of `pool`. Raises `BuffersFull` beyond its share."""
        held = self._held.get(pool, 0) + size
        free = self.free - size
        if held > free:
            raise BuffersFull
        self._held[pool] = held
        self.free = free

    def give_back(self, pool: str, size: int) -> None:
        """Count `size` bytes of `pool` no longer."""
        held = self._held[pool] - size
        self.free += size
        if held:
            self._held[pool] = held
        else:
            del self._held[pool]
