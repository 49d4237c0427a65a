"""Subscriptions: who is told of events, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.errors import FieldError, InvalidInput
from gateway.service.auth import Access
from gateway.service.endpoint import JSON, MERGE_PATCH, Answer, Call, Operation, Out
from gateway.service.etag import etag, expected_version, is_known
from gateway.service.models.base import Nothing
from gateway.service.models.events import DeliveryView
from gateway.service.models.queries import ForIntegration
from gateway.service.models.subscriptions import (
    NewSubscription,
    NewSubscriptionSecret,
    SecretOrder,
    SubscriptionChange,
    SubscriptionList,
    SubscriptionPage,
    SubscriptionRequest,
    SubscriptionView,
)
from gateway.service.scope import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.subscription import Subscription
    from gateway.registry import Registry
    from gateway.relay.subscriptions import Subscriptions

__all__ = ["SubscriptionRoutes"]

_TAG: Final = "events"
_ETAG: Final = {"ETag": "Its version, for If-Match and If-None-Match."}
_NO_STORE: Final = {"cache-control": "no-store"}


class SubscriptionRoutes:
    """The operations on subscriptions."""

    def __init__(self, registry: Registry, subscriptions: Subscriptions) -> None:
        self._registry = registry
        self._subscriptions = subscriptions

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        one = "/v1/subscriptions/{subscription_id}"
        return (
            Operation(
                "POST", "/v1/subscriptions", self._create, "createSubscription", "Subscribe to events",
                _TAG, Access.HOOKS, query=ForIntegration, body=SubscriptionRequest, errors=(404, 409, 503),
                description="A ping is sent to it at once. Without `?integration=`, an operator's own.",
                out={201: Out("The new subscription. A secret that was made is shown this once.", NewSubscription,
                              headers={"Location": "Its path.", **_ETAG})},
            ),
            Operation(
                "GET", "/v1/subscriptions", self._list, "listSubscriptions", "List subscriptions",
                _TAG, Access.HOOKS, query=SubscriptionList, body=Nothing, errors=(404, 503),
                out={200: Out("A page of subscriptions, sorted by id.", SubscriptionPage)},
            ),
            Operation(
                "GET", one, self._read, "readSubscription", "Read a subscription",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, if_none_match=True, errors=(503,),
                out={200: Out("The subscription.", SubscriptionView, headers=_ETAG),
                     304: Out("Not changed since.", media_type=None, headers=_ETAG)},
            ),
            Operation(
                "PATCH", one, self._change, "changeSubscription", "Change, pause or resume a subscription",
                _TAG, Access.HOOKS, query=ForIntegration, body=SubscriptionChange, media_types=(MERGE_PATCH, JSON),
                if_match=True, errors=(409, 503),
                description="While active is false, events are kept for it; with active true they are sent in order.",
                out={200: Out("The subscription as it is now.", SubscriptionView, headers=_ETAG)},
            ),
            Operation(
                "DELETE", one, self._remove, "removeSubscription", "Remove a subscription",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, if_match=True, errors=(503,),
                description="What is still to be delivered to it goes, too.",
                out={204: Out("Removed.", media_type=None)},
            ),
            Operation(
                "POST", f"{one}/ping", self._ping, "pingSubscription", "Send a ping to a subscription",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(503,),
                description="It is an event of the type gateway.ping, and is delivered like any other.",
                out={202: Out("The delivery of the ping.", DeliveryView, headers={"Location": "Its path."})},
            ),
            Operation(
                "POST", f"{one}/secret", self._rotate, "rotateSubscriptionSecret", "Replace a subscription's secret",
                _TAG, Access.HOOKS, query=ForIntegration, body=SecretOrder, body_required=False, errors=(503,),
                description="During the grace, each delivery carries a signature by the new one and by the old one.",
                out={200: Out("The new secret, shown this once.", NewSubscriptionSecret)},
            ),
        )  # fmt: skip

    async def _create(self, call: Call[ForIntegration, SubscriptionRequest]) -> Answer:
        made = await self._subscriptions.create(self._owner(call), call.body.draft(), actor=call.caller.actor)
        subscription = made.subscription
        location = f"/v1/subscriptions/{subscription.id}"
        headers = {"location": location, "etag": etag(subscription.version), **_NO_STORE}
        return Answer(NewSubscription.made(made), 201, headers)

    async def _list(self, call: Call[SubscriptionList, Nothing]) -> Answer:
        limit, cursor = call.query.limit, call.query.cursor
        if cursor is not None and not (cursor.isascii() and cursor.replace("_", "").isalnum() and len(cursor) <= 100):
            raise InvalidInput(FieldError("?cursor", "must be a next_cursor that this list gave, or be left out"))
        found = await self._subscriptions.list(self._owner(call), after=cursor, limit=limit + 1)
        items = [SubscriptionView.of(each) for each in found[:limit]]
        return Answer(SubscriptionPage(items=items, next_cursor=items[-1].id if len(found) > limit else None))

    async def _read(self, call: Call[ForIntegration, Nothing]) -> Answer:
        found = await self._get(call)
        if is_known(call.headers, found.version):
            return Answer(status=304, headers=_tagged(found))
        return _told(found)

    async def _change(self, call: Call[ForIntegration, SubscriptionChange]) -> Answer:
        version = expected_version(call.headers, (await self._get(call)).version)
        changed = await self._subscriptions.change(
            call.ids["subscription_id"],
            call.body.given(),
            owner=self._owner(call),
            version=version,
            actor=call.caller.actor,
        )
        return _told(changed)

    async def _remove(self, call: Call[ForIntegration, Nothing]) -> Answer:
        version = expected_version(call.headers, (await self._get(call)).version)
        await self._subscriptions.remove(
            call.ids["subscription_id"], owner=self._owner(call), version=version, actor=call.caller.actor
        )
        return Answer(status=204)

    async def _ping(self, call: Call[ForIntegration, Nothing]) -> Answer:
        delivery = await self._subscriptions.ping(call.ids["subscription_id"], owner=self._owner(call))
        return Answer(DeliveryView.of(delivery), 202, {"location": f"/v1/deliveries/{delivery.id}"})

    async def _rotate(self, call: Call[ForIntegration, SecretOrder]) -> Answer:
        made = await self._subscriptions.rotate(
            call.ids["subscription_id"],
            grace_seconds=call.body.grace_seconds,
            owner=self._owner(call),
            actor=call.caller.actor,
        )
        return Answer(NewSubscriptionSecret.made(made), headers=_NO_STORE)

    def _owner(self, call: Call[Any, Any]) -> str | None:
        return scope(self._registry, call.caller, call.query)

    async def _get(self, call: Call[ForIntegration, Any]) -> Subscription:
        return await self._subscriptions.get(call.ids["subscription_id"], owner=self._owner(call))


def _told(subscription: Subscription) -> Answer:
    return Answer(SubscriptionView.of(subscription), headers=_tagged(subscription))


def _tagged(subscription: Subscription) -> dict[str, str]:
    return {"etag": etag(subscription.version), "cache-control": "private, no-cache"}
