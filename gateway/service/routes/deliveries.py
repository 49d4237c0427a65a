"""Deliveries: what became of events, and sending them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.model.delivery import DeliveryState
from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.audit import seconds_of
from gateway.service.models.base import Nothing
from gateway.service.models.events import (
    DeliveryDetail,
    DeliveryList,
    DeliveryPage,
    DeliveryView,
    RecoveryRequest,
    RecoveryView,
)
from gateway.service.models.queries import ForIntegration
from gateway.service.paging import number_of
from gateway.service.scope import scope
from gateway.stores.events import DeliveryQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.registry import Registry
    from gateway.relay.subscriptions import Subscriptions

__all__ = ["DeliveryRoutes"]

_TAG: Final = "events"


class DeliveryRoutes:
    """The operations on deliveries."""

    def __init__(self, registry: Registry, subscriptions: Subscriptions) -> None:
        self._registry = registry
        self._subscriptions = subscriptions

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        of, one = "/v1/subscriptions/{subscription_id}", "/v1/deliveries/{delivery_id}"
        return (
            Operation(
                "GET", f"{of}/deliveries", self._list, "listDeliveries", "List the deliveries to a subscription",
                _TAG, Access.HOOKS, query=DeliveryList, body=Nothing, errors=(503,),
                out={200: Out("A page of deliveries, the newest first.", DeliveryPage)},
            ),
            Operation(
                "GET", one, self._read, "readDelivery", "Read a delivery with every attempt",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(503,),
                out={200: Out("The delivery.", DeliveryDetail)},
            ),
            Operation(
                "POST", f"{one}/redeliver", self._redeliver, "redeliver", "Send a delivery again",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(409, 503),
                description="Whatever became of it before: as soon as its turn comes, with the same webhook-id.",
                out={202: Out("The delivery, waiting for its turn.", DeliveryView)},
            ),
            Operation(
                "POST", f"{of}/recover", self._recover, "recoverDeliveries", "Send again what was given up",
                _TAG, Access.HOOKS, query=ForIntegration, body=RecoveryRequest, errors=(503,),
                out={202: Out("How far it is.", RecoveryView, headers={"Location": "Where to ask again."})},
            ),
            Operation(
                "GET", f"{of}/recoveries/{{recovery_id}}", self._recovery, "readRecovery", "Read how far a recovery is",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(503,),
                out={200: Out("How far it is.", RecoveryView)},
            ),
        )  # fmt: skip

    async def _list(self, call: Call[DeliveryList, Nothing]) -> Answer:
        asked = call.query
        query = DeliveryQuery(
            subscription_id=call.ids["subscription_id"],
            event_id=asked.event,
            state=None if asked.state is None else DeliveryState(asked.state),
            since=None if asked.since is None else seconds_of(asked.since),
            until=None if asked.until is None else seconds_of(asked.until),
            before=number_of(asked.cursor),
            limit=asked.limit + 1,
        )
        found = await self._subscriptions.deliveries(query, owner=self._owner(call))
        shown = found[: asked.limit]
        following = str(shown[-1].sequence) if len(found) > asked.limit else None
        return Answer(DeliveryPage(items=[DeliveryView.of(each) for each in shown], next_cursor=following))

    async def _read(self, call: Call[ForIntegration, Nothing]) -> Answer:
        record = await self._subscriptions.delivery(call.ids["delivery_id"], owner=self._owner(call))
        return Answer(DeliveryDetail.told(record))

    async def _redeliver(self, call: Call[ForIntegration, Nothing]) -> Answer:
        again = await self._subscriptions.redeliver(call.ids["delivery_id"], owner=self._owner(call))
        return Answer(DeliveryView.of(again), 202)

    async def _recover(self, call: Call[ForIntegration, RecoveryRequest]) -> Answer:
        subscription_id = call.ids["subscription_id"]
        started = await self._subscriptions.recover(
            subscription_id, since=seconds_of(call.body.since), owner=self._owner(call)
        )
        location = f"/v1/subscriptions/{subscription_id}/recoveries/{started.id}"
        return Answer(RecoveryView.of(started), 202, {"location": location})

    async def _recovery(self, call: Call[ForIntegration, Nothing]) -> Answer:
        found = await self._subscriptions.recovery(
            call.ids["subscription_id"], call.ids["recovery_id"], owner=self._owner(call)
        )
        return Answer(RecoveryView.of(found))

    def _owner(self, call: Call[Any, Any]) -> str | None:
        return scope(self._registry, call.caller, call.query)
