"""What is done for the store now and then: forgetting what is old, bringing dead letters back, counting what waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from gateway.errors import StoreError
from gateway.observe.log import get_logger
from gateway.relay.patience import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from gateway.stores.events import EventStore

__all__ = ["BacklogObserver", "Retention", "Upkeep"]

log = get_logger("relay")

_AT_ONCE: Final = 500  # records in one transaction: others want to write, too
_NAP: Final = 0.5  # seconds between looks for dead letters that are wanted back


@dataclass(frozen=True, slots=True)
class Retention:
    """How long deliveries are kept that are over, and those that were given up; in seconds."""

    over: float = 7 * 86_400.0
    dead: float = 30 * 86_400.0


class BacklogObserver(Protocol):
    """Is told how much waits."""

    def store_answered(self, well: bool) -> None:  # noqa: FBT001  the signature of what is observed
        """The store did what it was asked, or did not."""
        ...

    def backlog(self, found: Mapping[str, tuple[int, int, int]], oldest_seconds: float) -> None:
        """So many wait, are claimed and dead, for each subscription; the oldest open one was published so long ago."""
        ...


class Upkeep:
    """Works until cancelled; several of them on one store do no harm. `now` gives seconds since 1970.

    Forgets every `forget_every` seconds, and counts every `count_every` seconds.
    """

    def __init__(
        self,
        store: EventStore,
        retention: Retention,
        observer: BacklogObserver,
        *,
        forget_every: float = 60.0,
        count_every: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._retention = retention
        self._observer = observer
        self._forget_every = forget_every
        self._count_every = count_every
        self._now = now
        self._patience = Patience(observer.store_answered, what="upkeep")

    async def forget(self) -> int:
        """Forget what is old enough; how many records that were. Raises `StoreError`."""
        now, forgotten = self._now(), 0
        while True:
            found = await self._store.purge(
                before=now - self._retention.over, dead_before=now - self._retention.dead, limit=_AT_ONCE
            )
            forgotten += found
            if found < _AT_ONCE:
                return forgotten
            await asyncio.sleep(0)

    async def bring_back(self) -> None:
        """Put all dead letters that somebody asked for back into the queue. Raises `StoreError`."""
        going = True
        while going:
            going = await self._store.recover(_AT_ONCE, now=self._now()) is not None

    async def count(self) -> None:
        """Tell the observer what waits. Raises `StoreError`."""
        found = await self._store.backlog()
        oldest = min((each.oldest for each in found if each.oldest is not None), default=None)
        self._observer.backlog(
            {each.subscription_id: (each.waiting, each.claimed, each.dead) for each in found},
            0.0 if oldest is None else max(0.0, self._now() - oldest),
        )

    async def run(self) -> None:
        """Do all of it, each in its time, until cancelled."""
        time = asyncio.get_running_loop().time
        forget_at = count_at = time()
        while True:
            try:
                await self.bring_back()
                if time() >= count_at:
                    count_at = time() + self._count_every
                    await self.count()
                if time() >= forget_at:
                    forget_at = time() + self._forget_every
                    if forgotten := await self.forget():
                        log.debug("relay.forgot", records=forgotten)
                self._patience.answered()
            except StoreError as error:
                await self._patience.refused(error)
            except Exception as error:  # a bug of ours must not end the upkeep
                log.exception("relay.broke")
                await self._patience.refused(StoreError(f"the gateway failed: {type(error).__name__}"))
            await asyncio.sleep(_NAP)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Self]:
        """Work in a task of its own until the context ends."""
        task = asyncio.get_running_loop().create_task(self.run(), name="relay-upkeep")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
