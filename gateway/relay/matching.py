"""Which subscriptions an event goes to: by the names they want, by who may know of it, by their filters."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from gateway.observe.log import get_logger
from gateway.relay.catalogue import RESERVED_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.model.event import Event
    from gateway.model.subscription import Subscription
    from gateway.stores.events import SubscriptionChanges

__all__ = ["EventFilter", "Subscribers", "matches", "reaches"]

log = get_logger("relay")

_TYPES_REMEMBERED = 1_024


class EventFilter(Protocol):
    """A compiled filter of a subscription."""

    def __call__(self, event: Event) -> bool:
        """Whether the event is wanted. Raises `ValueError` if that cannot be said of this event."""
        ...


def matches(pattern: str, name: str) -> bool:
    """Whether the event type `name` is one that `pattern` names.

    A `*` stands for one part of a name (the parts are separated by dots), and at the end for one part or more:
    `order.*` is `order.created` and `order.item.added`, `*.created` is `order.created` only; `*` is everything.
    """
    return _pattern(pattern).fullmatch(name) is not None


@lru_cache(maxsize=4_096)
def _pattern(pattern: str) -> re.Pattern[str]:
    *parts, last = pattern.split(".")
    written = [r"[^.]+" if part == "*" else re.escape(part) for part in parts]
    written.append(r".+" if last == "*" else re.escape(last))
    return re.compile(r"\.".join(written))


def reaches(event: Event, owner: str | None) -> bool:
    """Whether an event is any business of `owner` (an integration's id; `None` is the operator, whose all of it is).

    An integration learns of events about itself and of those that are about no integration; of the gateway's own,
    only of those about itself.
    """
    if owner is None or event.integration_id == owner:
        return True
    return event.integration_id is None and not event.type.startswith(RESERVED_PREFIX)


class Subscribers:
    """The subscriptions as they were at one version of their whole, in memory.

    `compiled` makes the filter of an expression (called once for each subscription; raises `ValueError` for one that
    is none, and such a subscription gets nothing). `may_know` says whether an integration may know of an event that
    `reaches` it.
    """

    def __init__(
        self,
        compiled: Callable[[str], EventFilter],
        may_know: Callable[[str, Event], bool] = lambda _owner, _event: True,
    ) -> None:
        self._compiled = compiled
        self._may_know = may_know
        self._all: dict[str, Subscription] = {}
        self._filters: dict[str, EventFilter | None] = {}
        self._by_type: dict[str, tuple[Subscription, ...]] = {}
        self.version = 0
        self.loaded = False

    def take(self, changes: SubscriptionChanges) -> None:
        """Go on to a later version."""
        for subscription_id in changes.removed:
            self._all.pop(subscription_id, None)
            self._filters.pop(subscription_id, None)
        for subscription in changes.changed:
            old = self._all.get(subscription.id)
            self._all[subscription.id] = subscription
            if old is None or old.filter != subscription.filter or subscription.id not in self._filters:
                self._filters[subscription.id] = self._filter(subscription)
        self._by_type.clear()
        self.version = changes.version
        self.loaded = True

    def of(self, event: Event) -> tuple[str, ...]:
        """The ids of the subscriptions that `event` goes to."""
        return tuple(each.id for each in self._named(event.type) if self._wanted(each, event))

    def _named(self, name: str) -> Iterable[Subscription]:
        found = self._by_type.get(name)
        if found is None:
            if len(self._by_type) >= _TYPES_REMEMBERED:
                self._by_type.clear()
            found = self._by_type[name] = tuple(
                each
                for each in self._all.values()
                if each.active and any(matches(pattern, name) for pattern in each.events)
            )
        return found

    def _wanted(self, subscription: Subscription, event: Event) -> bool:
        owner = subscription.owner
        if not reaches(event, owner) or (owner is not None and not self._may_know(owner, event)):
            return False
        if subscription.filter is None:
            return True
        asked = self._filters.get(subscription.id)
        try:
            return asked is not None and asked(event)
        except ValueError as error:
            log.debug("subscription.filter_failed", subscription=subscription.name, id=subscription.id, error=error)
            return False

    def _filter(self, subscription: Subscription) -> EventFilter | None:
        if subscription.filter is None:
            return None
        try:
            return self._compiled(subscription.filter)
        except ValueError as error:
            log.warning("subscription.filter_unusable", subscription=subscription.name, id=subscription.id, error=error)
            return None
