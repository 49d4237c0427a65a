"""Knowing when the last query that uses one generation of a hook is through with it."""

from __future__ import annotations

import asyncio


class InFlight:
    """Counts the queries that have selected one generation of a hook and are not through with it yet.

    For one event loop. `wait_idle` returns at once if there are none.
    """

    __slots__ = ("_waiters", "count")

    def __init__(self) -> None:
        self.count = 0
        self._waiters: list[asyncio.Future[None]] = []

    def leave(self) -> None:
        """One query less. (Entering is `count += 1`.)"""
        self.count -= 1
        if self.count == 0 and self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def wait_idle(self) -> None:
        """Return when the count is zero."""
        if self.count:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
