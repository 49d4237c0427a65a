"""A bulkhead: a limit of how much may be under way at once, and of how much may wait for that.

Named after the walls within a ship's hull (Nygard, "Release It!", 2007): what floods one part stays there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict


class Bulkhead:
    """At most `limit` users at once; up to `max_waiting` more wait in the order of their arrival.

    Every entry (`try_enter` or `enter` that returned true) is followed by exactly one `leave`. A free place goes
    straight to who waits longest, so nobody overtakes. No tasks and no locks; for one event loop.
    """

    __slots__ = ("_limit", "_max_waiting", "_waiters", "in_use")

    def __init__(self, limit: int, max_waiting: int) -> None:
        self._limit = limit
        self._max_waiting = max_waiting
        self._waiters: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self.in_use = 0

    @property
    def limit(self) -> int:
        """How many may be in at once."""
        return self._limit

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    def try_enter(self) -> bool:
        """Enter if there is a free place and nobody waits for it."""
        if self.in_use >= self._limit or self._waiters:
            return False
        self.in_use += 1
        return True

    async def enter(self, deadline: float) -> bool:
        """Enter, waiting for a place until `deadline` (loop time).

        False if the queue is full, if the deadline passes, or after `dismiss`. Who is cancelled has not entered.
        """
        if self.try_enter():
            return True
        if len(self._waiters) >= self._max_waiting:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters[waiter] = None
        timer = loop.call_at(deadline, self._turn_away, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.leave()  # the place was given and the wait cancelled in the same turn of the loop
            else:
                self._waiters.pop(waiter, None)
            raise
        finally:
            timer.cancel()

    def leave(self) -> None:
        """Give the place back."""
        self.in_use -= 1
        if self._waiters:
            self._let_in()

    def resize(self, limit: int) -> None:
        """Change the limit. Who is in stays in, also if that is more than `limit` now."""
        self._limit = limit
        self._let_in()

    def dismiss(self) -> None:
        """Send away everyone who waits: their `enter` returns false."""
        for waiter in list(self._waiters):
            self._turn_away(waiter)

    def _let_in(self) -> None:
        while self._waiters and self.in_use < self._limit:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():  # else it was cancelled, and its owner has not run since
                self.in_use += 1
                waiter.set_result(True)

    def _turn_away(self, waiter: asyncio.Future[bool]) -> None:
        self._waiters.pop(waiter, None)
        if not waiter.done():
            waiter.set_result(False)


class Places:
    """Entering two bulkheads together: the place of `own` first, then that of `total`, which many share.

    Every entry is followed by exactly one `leave`, as with one bulkhead.
    """

    __slots__ = ("_own", "_total")

    def __init__(self, own: Bulkhead, total: Bulkhead) -> None:
        self._own = own
        self._total = total

    # Both are looked into rather than asked: this is done for every call.

    def try_enter(self) -> bool:
        """Enter both if each has a free place that nobody waits for, else neither."""
        own, total = self._own, self._total
        if own.in_use >= own._limit or total.in_use >= total._limit:  # noqa: SLF001  nobody waits for what is free
            return False
        own.in_use += 1
        total.in_use += 1
        return True

    async def enter(self, deadline: float) -> bool:
        """Enter both, waiting until `deadline` (loop time); false if that did not come to pass in either."""
        if not await self._own.enter(deadline):
            return False
        entered = False
        try:
            entered = await self._total.enter(deadline)
        finally:
            if not entered:
                self._own.leave()
        return entered

    def leave(self) -> None:
        """Give both places back."""
        own, total = self._own, self._total
        total.in_use -= 1
        if total._waiters:  # noqa: SLF001
            total._let_in()  # noqa: SLF001
        own.in_use -= 1
        if own._waiters:  # noqa: SLF001
            own._let_in()  # noqa: SLF001
