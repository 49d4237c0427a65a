"""How a change comes about: planned under a lock, made to last, then shown to queries in one step."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import StaleGeneration
from gateway.model import GATEWAY
from gateway.registry import audit
from gateway.registry.changes import At
from gateway.registry.image import RegistryImage
from gateway.stores.protocol import RegistryChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Actor
    from gateway.registry.rules import RegistryRules
    from gateway.registry.tables import Plan, RegistryTables
    from gateway.stores.protocol import RegistryStore

T = TypeVar("T")
_TRIES = 5


class RegistryWriter:
    """Keeps the image of the registry in step with the store.

    One change at a time. A change that has begun is finished even if whoever asked for it goes away,
    so that memory and store never part. Who follows has taken a change over when `write` returns.
    """

    def __init__(self, store: RegistryStore, rules: RegistryRules, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[object]] = set()
        self.image = RegistryImage(rules)

    @property
    def tables(self) -> RegistryTables:
        """The records."""
        return self.image.tables

    async def load(self) -> None:
        """Read everything from the store. Raises `StoreError`."""
        self.image.replace(await self._store.load())

    async def write(self, plan: Callable[[RegistryTables, At], tuple[Plan, T]], actor: Actor = GATEWAY) -> T:
        """Carry out the change that `plan` describes; return its second value once it lasts.

        The audit log says that `actor` did it.

        Raises what `plan` raises, and `StoreError` if the change could not be made to last: then nothing
        has changed. `plan` is asked again if another process changed the store in the meantime.
        """
        task = asyncio.ensure_future(self._written(plan, actor))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_ignore)
            raise

    async def _written(self, plan: Callable[[RegistryTables, At], tuple[Plan, T]], actor: Actor) -> T:
        answer = await self._write(plan, actor)
        # Also where nothing was left to change: another call may just have made the change, and still wait here.
        await self.image.followers.reached()
        return answer

    async def _write(self, plan: Callable[[RegistryTables, At], tuple[Plan, T]], actor: Actor) -> T:
        async with self._lock:
            for tried in range(1, _TRIES + 1):
                base = self.tables.generation
                at = At(base + 1, self._now())
                what, answer = plan(self.tables, at)
                if what.empty:
                    return answer
                change = RegistryChange(
                    base=base,
                    generation=base + 1,
                    put_integrations=what.put_integrations,
                    put_hooks=what.put_hooks,
                    delete_integrations=what.delete_integrations,
                    delete_hooks=what.delete_hooks,
                    audit=audit.entries(self.tables, what, at, actor),
                )
                try:
                    await self._store.commit(change)
                except StaleGeneration:
                    if tried == _TRIES:
                        raise
                    await self.load()
                    continue
                self.image.show(base + 1, what)
                return answer
            raise AssertionError  # the loop returns or raises

    async def settle(self) -> None:
        """Return when no change is being made."""
        while self._running:
            await asyncio.wait(self._running)


def _ignore(task: asyncio.Task[object]) -> None:
    """Look at the outcome of a change that nobody waits for any more, so that it does not warn."""
    if not task.cancelled():
        task.exception()
