"""Subscriptions and their deliveries: whose they are, and what may be done with them. A facade that delegates.

Every operation takes an `owner`: the integration that asks, or `None` for the operator, who reaches all of them. What
is not the owner's is not there for it (`NotFound`, in the words for an id that never was).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.errors import Conflict, FieldError, InvalidInput, NotFound, PreconditionFailed, StaleGeneration, StoreError
from gateway.model import EMBEDDED
from gateway.model.ids import random_id
from gateway.observe.log import get_logger
from gateway.relay import subscription_changes as changes
from gateway.relay.drafts import DeliveryRecord, NewSecret, Subscribed
from gateway.stores.events import DeliveryQuery, SubscriptionQuery
from gateway.transport.endpoint import parse_endpoint
from gateway.transport.tls import TlsProfile
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.model import Actor
    from gateway.model.delivery import Delivery, Recovery
    from gateway.model.subscription import Subscription
    from gateway.registry.ownership import Ownership
    from gateway.relay.drafts import SubscriptionDraft
    from gateway.relay.subscription_rules import SubscriptionRules
    from gateway.stores.events import EventStore, Published

__all__ = ["Pinger", "SubscriptionAudit", "Subscriptions"]

MAX_SUBSCRIPTIONS: Final = 1_000
MAX_GRACE_SECONDS: Final = 30 * 86_400
_TRIES: Final = 5
_UNVERIFIED: Final = TlsProfile(verify=False)

log = get_logger("subscriptions")


class Pinger(Protocol):
    """Publishes pings. (The publisher.)"""

    async def ping(self, subscription: Subscription) -> Published:
        """Store a ping for this subscription alone; it is delivered like any other event. Raises `StoreError`."""
        ...


class SubscriptionAudit(Protocol):
    """Keeps who changed what. (The registry.)"""

    async def note_subscription(self, old: Subscription | None, new: Subscription | None, actor: Actor) -> None:
        """`old` became `new`; `None` stands for one that was not there before, or is not there after."""
        ...


class Subscriptions:
    """Subscriptions and their deliveries, over a store. `now` gives seconds since 1970.

    Changes raise `InvalidInput`, `NotFound`, `Conflict`, `PreconditionFailed` or `StoreError`; then nothing has
    changed.
    """

    def __init__(
        self,
        store: EventStore,
        rules: SubscriptionRules,
        ownership: Ownership,
        pinger: Pinger,
        audit: SubscriptionAudit,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._rules = rules
        self._ownership = ownership
        self._pinger = pinger
        self._audit = audit
        self._now = now

    # ------------------------------------------------------------ reading

    async def list(self, owner: str | None, *, after: str | None = None, limit: int = 100) -> list[Subscription]:
        """Those of `owner`, or with `None` all, sorted by id, that come after the id `after`."""
        owners = None if owner is None else (owner,)
        return await self._store.subscriptions(SubscriptionQuery(owners, after, limit))

    async def get(self, subscription_id: str, *, owner: str | None = None) -> Subscription:
        """The one with this id. Raises `NotFound`."""
        found = await self._store.subscription(subscription_id)
        if found is None or owner not in (None, found.owner):
            raise _no("subscription", subscription_id)
        return found

    # ------------------------------------------------------------ changing

    async def create(self, owner: str | None, draft: SubscriptionDraft, *, actor: Actor = EMBEDDED) -> Subscribed:
        """Add a subscription of `owner` (`None`: the operator), once its URL agreed to be called, and ping it."""
        self._rules.check({name: getattr(draft, name) for name in changes.CHECKED})
        if (
            len(await self._store.subscriptions(SubscriptionQuery((owner,), None, MAX_SUBSCRIPTIONS)))
            == MAX_SUBSCRIPTIONS
        ):
            raise Conflict(f"There are {MAX_SUBSCRIPTIONS} subscriptions of this owner, the most there may be.")
        made = None if draft.secret is not None else signature.new_secret()
        secret = draft.secret or made
        assert secret is not None  # one of the two
        subscription = changes.created(random_id("sub"), owner, draft, secret, self._now())
        await self._own(subscription)
        subscription = replace(subscription, owned_url=subscription.url)
        await self._store.add_subscription(subscription)
        await self._audit.note_subscription(None, subscription, actor)
        log.info("subscription.created", id=subscription.id, name=subscription.name, owner=owner)
        try:
            await self._pinger.ping(subscription)
        except StoreError as error:  # it is there all the same, and can be pinged again
            log.warning("subscription.not_pinged", id=subscription.id, error=type(error).__name__, detail=error.detail)
        return Subscribed(subscription, made)

    async def change(
        self,
        subscription_id: str,
        fields: Mapping[str, Any],
        *,
        owner: str | None = None,
        version: int | None = None,
        actor: Actor = EMBEDDED,
    ) -> Subscription:
        """Change some of the fields of `SubscriptionDraft`. With `version`, only if that is the present one.

        `headers` are merged into the present ones; `None` takes one away. A new `secret` replaces the old one at once.
        With `active` false, what happens is kept until it is true again, which also ends a pause of the gateway's.
        """
        old, new = await self._write(
            subscription_id,
            owner,
            version,
            lambda present: changes.changed(present, fields, self._now()),
            check={name: value for name, value in fields.items() if name in changes.CHECKED},
        )
        if fields.get("active") is True:
            new = await self._store.resume(subscription_id, self._now())
        if new == old:
            return new
        await self._audit.note_subscription(old, new, actor)
        log.info("subscription.changed", id=new.id, name=new.name, fields=sorted(fields), version=new.version)
        return new

    async def rotate(
        self, subscription_id: str, *, grace_seconds: float, owner: str | None = None, actor: Actor = EMBEDDED
    ) -> NewSecret:
        """Give it a new secret; the old one signs too until the grace has passed."""
        if not 0 <= grace_seconds <= MAX_GRACE_SECONDS:
            detail = f"{grace_seconds:g} is not between 0 and {MAX_GRACE_SECONDS}"
            raise InvalidInput(FieldError("/grace_seconds", detail))
        secret = signature.new_secret()
        old, new = await self._write(
            subscription_id,
            owner,
            None,
            lambda present: changes.rotated(present, secret, grace_seconds, self._now()),
        )
        await self._audit.note_subscription(old, new, actor)
        log.info("subscription.rotated", id=new.id, name=new.name)
        return NewSecret(secret, max((each.expires_at or 0.0 for each in new.secrets[1:]), default=None))

    async def remove(
        self, subscription_id: str, *, owner: str | None = None, version: int | None = None, actor: Actor = EMBEDDED
    ) -> None:
        """Remove it, with what is still to be delivered to it."""
        old = await self.get(subscription_id, owner=owner)
        _check_version(old, version)
        if await self._store.remove_subscription(subscription_id):
            await self._audit.note_subscription(old, None, actor)
            log.info("subscription.removed", id=subscription_id, name=old.name)

    async def remove_all(self, owner: str, *, actor: Actor = EMBEDDED) -> None:
        """Remove all subscriptions of an integration that is gone."""
        while found := await self.list(owner):
            for each in found:
                await self.remove(each.id, actor=actor)

    # ------------------------------------------------------------ seeing and repeating

    async def ping(self, subscription_id: str, *, owner: str | None = None) -> Delivery:
        """Send a ping to it, whatever its patterns. Raises `NotFound`."""
        published = await self._pinger.ping(await self.get(subscription_id, owner=owner))
        made = await self._store.deliveries(DeliveryQuery(subscription_id, published.event.id, limit=1))
        if not made:  # the subscription was removed just now
            raise _no("subscription", subscription_id)
        return made[0]

    async def deliveries(self, query: DeliveryQuery, *, owner: str | None = None) -> Sequence[Delivery]:
        """The deliveries to the subscription that `query` names, the newest first. Raises `NotFound`."""
        assert query.subscription_id is not None  # or they could be anybody's
        await self.get(query.subscription_id, owner=owner)
        return await self._store.deliveries(query)

    async def delivery(self, delivery_id: str, *, owner: str | None = None) -> DeliveryRecord:
        """One delivery with every attempt at it. Raises `NotFound`."""
        found = await self._delivery(delivery_id, owner)
        event = await self._store.event(found.event_id)
        return DeliveryRecord(found, event, tuple(await self._store.attempts(delivery_id)))

    async def redeliver(self, delivery_id: str, *, owner: str | None = None) -> Delivery:
        """Attempt it again, as soon as its turn comes, with the whole schedule before it.

        Raises `NotFound`, and `Conflict` while an attempt is under way.
        """
        await self._delivery(delivery_id, owner)
        again = await self._store.redeliver(delivery_id, now=self._now())
        log.info("delivery.redelivered", id=delivery_id, subscription=again.subscription_id)
        return again

    async def recover(self, subscription_id: str, *, since: float, owner: str | None = None) -> Recovery:
        """Begin to send again what was given up of what was published at or after `since` (seconds since 1970)."""
        await self.get(subscription_id, owner=owner)
        if since > self._now():
            raise InvalidInput(FieldError("/since", "must not lie in the future"))
        started = await self._store.start_recovery(subscription_id, since=since, now=self._now())
        log.info("subscription.recovering", id=subscription_id, recovery=started.id, total=started.total)
        return started

    async def recovery(self, subscription_id: str, recovery_id: str, *, owner: str | None = None) -> Recovery:
        """How far a recovery is. Raises `NotFound`."""
        await self.get(subscription_id, owner=owner)
        found = await self._store.recovery(recovery_id)
        if found is None or found.subscription_id != subscription_id:
            raise _no("recovery", recovery_id)
        return found

    # ------------------------------------------------------------ what they share

    async def _write(
        self,
        subscription_id: str,
        owner: str | None,
        version: int | None,
        change: Callable[[Subscription], Subscription],
        *,
        check: Mapping[str, Any] | None = None,
    ) -> tuple[Subscription, Subscription]:
        """The subscription as it was and as it is; made again if somebody else was faster."""
        self._rules.check(check or {})
        owned: str | None = None
        for _ in range(_TRIES):
            old = await self.get(subscription_id, owner=owner)
            _check_version(old, version)
            new = change(old)
            self._rules.check_whole(new)
            if new == old:
                return old, old
            if (new.url, new.insecure_ssl) != (old.url, old.insecure_ssl) and new.url != owned:
                await self._own(new)
                owned = new.url
                new = replace(new, owned_url=owned)
            new = replace(new, version=old.version + 1, updated_at=self._now())
            try:
                await self._store.change_subscription(new)
            except StaleGeneration:
                continue
            return old, new
        raise StaleGeneration("The subscription is being changed by others all the time; try again.")

    async def _own(self, subscription: Subscription) -> None:
        """Raises `OwnershipRefused` if the URL does not agree to be called."""
        tls = _UNVERIFIED if subscription.insecure_ssl else None
        await self._ownership.check(parse_endpoint(subscription.url, pool=subscription.id, tls=tls))

    async def _delivery(self, delivery_id: str, owner: str | None) -> Delivery:
        found = await self._store.delivery(delivery_id)
        if found is not None and owner is not None:
            subscription = await self._store.subscription(found.subscription_id)
            if subscription is None or subscription.owner != owner:
                found = None
        if found is None:
            raise _no("delivery", delivery_id)
        return found


def _no(what: str, ident: str) -> NotFound:
    return NotFound(f"There is no {what} {ident[:80]!r}.")


def _check_version(subscription: Subscription, version: int | None) -> None:
    if version is not None and version != subscription.version:
        msg = f"It has version {subscription.version} by now, not {version}: read it again, then repeat the change."
        raise PreconditionFailed(msg)
