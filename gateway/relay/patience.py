"""Going on while the store cannot be used: with pauses that grow, and one word in the log."""

from __future__ import annotations

import asyncio
import random as _random
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError
from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = get_logger("relay")

_FIRST: Final = 0.1  # seconds
_LONGEST: Final = 5.0


class Patience:
    """Repeats what the store refuses. `told` learns of each answer, `well=False` for a refusal.

    `random` gives numbers from 0 to 1, so that those who wait for one store do not all come back at once.
    """

    def __init__(
        self, told: Callable[[bool], None], *, random: Callable[[], float] = _random.random, what: str = "relay"
    ) -> None:
        self._told = told
        self._random = random
        self._what = what
        self._given_up = asyncio.Event()
        self._wait = _FIRST
        self.well = True

    def give_up(self) -> None:
        """From now on nothing is repeated."""
        self._given_up.set()

    async def until_done(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do `work` until it raises no `StoreError`; whether it was done, or given up."""
        while True:
            try:
                await work()
            except StoreError as error:
                await self.refused(error)
                if self._given_up.is_set():
                    return False
            else:
                self.answered()
                return True

    def answered(self) -> None:
        """The store did what it was asked."""
        self._told(True)
        self._wait = _FIRST
        if not self.well:
            self.well = True
            log.info("relay.store_works_again", part=self._what)

    async def refused(self, error: StoreError) -> None:
        """The store did not: return when it is time to ask again, or after `give_up`."""
        self._told(False)
        if self.well:
            self.well = False
            log.warning("relay.store_failing", part=self._what, error=error.detail)
        wait = self._wait * (0.5 + 0.5 * self._random())
        self._wait = min(2 * self._wait, _LONGEST)
        try:
            async with asyncio.timeout(wait):
                await self._given_up.wait()
        except TimeoutError:
            return
