"""Entries of the audit log about what is not kept in the registry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.errors import StoreError
from gateway.observe.log import get_logger
from gateway.registry import audit
from gateway.registry.changes import At

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Actor
    from gateway.model.subscription import Subscription
    from gateway.registry.registry import Registry
    from gateway.stores.protocol import RegistryStore

log = get_logger("registry")


class AuditNotes:
    """Keeps who changed what of subscriptions. `now` gives seconds since 1970."""

    def __init__(self, store: RegistryStore, registry: Registry, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._registry = registry
        self._now = now

    async def note_subscription(self, old: Subscription | None, new: Subscription | None, actor: Actor) -> None:
        """`old` became `new`; `None` stands for one that was not there before, or is not there after.

        The change stands, also if that cannot be kept; then the log has it.
        """
        names = {each.id: each.name for each in self._registry.integrations()}
        entry = audit.subscription_entry(old, new, At(self._registry.generation, self._now()), actor, names)
        try:
            await self._store.note([entry])
        except StoreError as error:
            log.warning(
                "audit.not_kept",
                action=entry.action,
                id=entry.subscription_id,
                by=actor.kind.value,
                who=actor.id,
                detail=error.detail,
            )
