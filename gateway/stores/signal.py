"""How one part of the process tells another that there is something to do."""

from __future__ import annotations

import asyncio


class Signal:
    """Counts, and wakes whoever waits for the count to go on. For one event loop.

    Read `count`, look whether there is anything to do, and if not, wait `after` what you read: so nothing that
    happens in between is missed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def fire(self) -> None:
        """Something happened."""
        self.count += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def after(self, count: int) -> None:
        """Return as soon as the count is another than `count`."""
        while self.count == count:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
