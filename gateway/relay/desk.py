"""All that whoever stands outside can do with notifications: subscribe, publish, look and repeat."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.relay.events import Events
from gateway.relay.filters import check_filter
from gateway.relay.subscription_rules import SubscriptionRules
from gateway.relay.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.registry.ownership import Ownership
    from gateway.relay.publisher import Publisher
    from gateway.relay.subscription_rules import AddressPolicy
    from gateway.relay.subscriptions import SubscriptionAudit
    from gateway.stores.events import EventStore

__all__ = ["Desk", "new_desk"]


@dataclass(frozen=True, slots=True)
class Desk:
    """Subscriptions with their deliveries, and events."""

    subscriptions: Subscriptions
    events: Events


def new_desk(
    store: EventStore,
    publisher: Publisher,
    addresses: AddressPolicy,
    ownership: Ownership,
    audit: SubscriptionAudit,
    *,
    allow_insecure_ssl: bool = False,
    now: Callable[[], float] = time.time,
) -> Desk:
    """The desk over a store. `addresses` and `ownership` say where events may be sent; `now`: seconds since 1970."""
    rules = SubscriptionRules(addresses, check_filter=check_filter, allow_insecure_ssl=allow_insecure_ssl)
    return Desk(
        Subscriptions(store, rules, ownership, publisher, audit, now=now),
        Events(store, publisher),
    )
