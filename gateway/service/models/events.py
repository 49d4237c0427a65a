"""Events, deliveries and attempts as the control API takes and gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, RootModel, model_validator

from gateway.relay.publisher import MAX_BULK, NewEvent
from gateway.service.models.audit import When, seconds_of
from gateway.service.models.base import DIGITS, ApiModel, Time, rfc3339
from gateway.service.models.fields import Id, NextCursor
from gateway.service.models.queries import ForIntegration, Paging

if TYPE_CHECKING:
    from gateway.model.delivery import Attempt, Delivery, Recovery
    from gateway.model.event import Event
    from gateway.relay.catalogue import EventType
    from gateway.relay.drafts import DeliveryRecord
    from gateway.stores.events import Published

__all__ = [
    "BulkEvents",
    "DeliveryDetail",
    "DeliveryList",
    "DeliveryPage",
    "DeliveryView",
    "EventList",
    "EventPage",
    "EventRequest",
    "EventTypePage",
    "EventView",
    "PublishedList",
    "PublishedView",
    "RecoveryRequest",
    "RecoveryView",
]

_EVENT_ID: Final = "evt_5b1f0c9de2a4a77303"
_DELIVERY_ID: Final = "dlv_000000000001"
_MOST: Final = 2**53

_TypeName = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra={"pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"}),
]
_Word = Annotated[str, Field(min_length=1, max_length=200)]
_Key = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Events with the same key reach subscriptions that are ordered one after another.",
        examples=["order-4711"],
    ),
]
_Subject = Annotated[
    str, Field(min_length=1, max_length=200, description="What it is about (CloudEvents).", examples=["orders/4711"])
]


class EventRequest(ApiModel):
    """What happened."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["event"]}, {"required": ["type"]}]})

    event: _TypeName = Field(
        default_factory=str,
        description="The type of the event: words with dots between them. Those that begin with gateway. are reserved.",
        examples=["order.created"],
    )
    type: _TypeName = Field(
        default_factory=str,
        description="The same, as CloudEvents calls it: give one of the two.",
        examples=["order.created"],
    )
    data: Any = Field(default=None, description="Any JSON.", examples=[{"order": 4711, "total": 129.5}])
    key: _Key | None = None
    subject: _Subject | None = None
    tenant: _Word | None = Field(default=None, description="On whose behalf.", examples=["acme"])

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if len({"event", "type"} & self.model_fields_set) != 1:
            raise ValueError("must have the type of the event as event or as type: one of the two")
        return self

    def new_event(self, *, owner: str | None, idempotency_key: str | None, traceparent: str | None) -> NewEvent:
        """The same for the publisher. `owner`: the integration that publishes it, if one does."""
        return NewEvent(
            type=self.event or self.type,
            data=self.data,
            key=self.key,
            idempotency_key=idempotency_key,
            subject=self.subject,
            integration_id=owner,
            tenant=self.tenant,
            traceparent=traceparent,
            source=None if owner is None else f"/integrations/{owner}",
        )

    def named(self, member: str) -> str:
        """What this document calls the publisher's field `member`."""
        return "event" if member == "type" and "event" in self.model_fields_set else member


class BulkEvent(EventRequest):
    """What happened, as one of many."""

    idempotency_key: _Word | None = Field(
        default=None, description="Publishing twice with the same one makes one event.", examples=["order-4711-created"]
    )


class BulkEvents(RootModel[list[BulkEvent]]):
    """What happened, in this order: all of it is published, or nothing."""

    root: list[BulkEvent] = Field(min_length=1, max_length=MAX_BULK)


class EventView(ApiModel):
    """An event."""

    id: Id = Field(description="The webhook-id of each attempt to deliver it.", examples=[_EVENT_ID])
    sequence: int = Field(description="Grows from event to event.", examples=[42])
    type: str = Field(description="Its type.", examples=["order.created"])
    source: str = Field(description="Where it comes from (CloudEvents).", examples=["/gateway"])
    time: Time
    integration_id: str | None = Field(
        description="The integration that it is about; null: none.", examples=["int_1c9d7x2k4m6p8q0r"]
    )
    key: str | None = Field(description="Events with the same key may be delivered in order.", examples=["order-4711"])
    subject: str | None = Field(description="What it is about (CloudEvents).", examples=["orders/4711"])
    tenant: str | None = Field(description="On whose behalf.", examples=["acme"])
    data: Any = Field(description="Any JSON.", examples=[{"order": 4711, "total": 129.5}])

    @classmethod
    def of(cls, event: Event) -> EventView:
        """The view of an event."""
        return cls(**_viewed(event))


class PublishedView(EventView):
    """An event that was published."""

    deliveries: int = Field(description="To how many subscriptions it goes.", examples=[3])
    new: bool = Field(
        description="false: it was there already, by its idempotency key, and nothing was published now.",
        examples=[True],
    )

    @classmethod
    def told(cls, published: Published) -> PublishedView:
        """The view of what was published."""
        return cls(**_viewed(published.event), deliveries=published.deliveries, new=published.new)


class PublishedList(ApiModel):
    """The events that were published, in the order in which they were sent."""

    items: list[PublishedView] = Field(description="The events.")


class EventPage(ApiModel):
    """A page of events."""

    items: list[EventView] = Field(description="The events.")
    next_cursor: NextCursor


class EventList(Paging, ForIntegration):
    """Which events."""

    after: Annotated[int | None, DIGITS] = Field(
        default_factory=lambda: None,
        ge=0,
        le=_MOST,
        description="Only events with a higher sequence, the oldest first; left out: the newest first.",
        examples=[42],
    )


class EventTypeView(ApiModel):
    """A type of event that the gateway publishes itself."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: str = Field(description="Its name.", examples=["gateway.hook.disabled"])
    description: str = Field(description="When it is published.", examples=["A hook was disabled."])
    json_schema: dict[str, Any] = Field(
        alias="schema", description="The JSON Schema (2020-12) of its data.", examples=[{"type": "object"}]
    )
    example: Any = Field(description="Data that fits it.", examples=[{"reason": "maintenance until noon"}])

    @classmethod
    def of(cls, kind: EventType) -> EventTypeView:
        """The view of a type of event."""
        return cls(name=kind.name, description=kind.description, schema=dict(kind.schema), example=dict(kind.example))


class EventTypePage(ApiModel):
    """All types of events that the gateway publishes itself, sorted by name."""

    items: list[EventTypeView] = Field(description="The types.")
    next_cursor: NextCursor


_State = Literal["pending", "claimed", "delivered", "dead", "cancelled"]
_CauseWord = Literal["schedule", "redeliver", "ping", "recover", "probe"]


class DeliveryView(ApiModel):
    """One event on its way to one subscription."""

    id: Id = Field(examples=[_DELIVERY_ID])
    subscription_id: str = Field(description="Where it goes.", examples=["sub_5t2v8x1z4b7d0f3h"])
    event_id: str = Field(description="What is delivered: the webhook-id of each attempt.", examples=[_EVENT_ID])
    event_type: str = Field(description="The type of the event.", examples=["order.created"])
    key: str | None = Field(description="The event's key.", examples=["order-4711"])
    state: _State = Field(
        description="pending: it waits for its turn or its next attempt. claimed: an attempt is under way. "
        "dead: it was given up, and can be redelivered. cancelled: it is no longer wanted.",
        examples=["delivered"],
    )
    attempt_count: int = Field(description="How many attempts were made.", examples=[1])
    status: int | None = Field(description="The HTTP status that the last attempt was answered with.", examples=[204])
    reason: str | None = Field(description="Why the last attempt failed, or why it was given up.", examples=["timeout"])
    next_attempt_at: Time | None = Field(
        description="When the next attempt may be made; null: as soon as its turn comes, or none will be."
    )
    waits_for_earlier: bool = Field(
        description="Whether an earlier delivery with the same key has to end first.", examples=[False]
    )
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryView:
        """The view of a delivery."""
        return cls(**_viewed_delivery(delivery))


class AttemptView(ApiModel):
    """One attempt to deliver."""

    number: int = Field(description="From 1.", examples=[1])
    cause: _CauseWord = Field(description="Why it was made.", examples=["schedule"])
    started_at: Time
    ms: float | None = Field(description="How long it took; null where nobody knows.", examples=[12.5])
    status: int | None = Field(description="The HTTP status of the answer, if there was one.", examples=[204])
    reason: str | None = Field(
        description="Why it failed; null: it did not. lost: the relay that made it did not report.", examples=["status"]
    )
    detail: str | None = Field(description="The same in a sentence.", examples=["it answered with status 500"])
    request_headers: dict[str, str] = Field(
        description="What was sent; signatures and the subscription's own headers are not shown.",
        examples=[{"content-type": "application/json", "webhook-signature": "(hidden)"}],
    )
    response_excerpt: str = Field(description="The beginning of the answer's body.", examples=["ok"])

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptView:
        """The view of an attempt."""
        return cls(
            number=attempt.number,
            cause=attempt.cause.value,
            started_at=rfc3339(attempt.started_at),
            ms=None if attempt.ms is None else round(attempt.ms, 3),
            status=attempt.status,
            reason=attempt.reason,
            detail=attempt.detail,
            request_headers=dict(attempt.request_headers),
            response_excerpt=attempt.excerpt.decode("utf-8", "replace"),
        )


class DeliveryDetail(DeliveryView):
    """A delivery with its event and every attempt."""

    event: EventView | None = Field(description="The event; null where it was forgotten, after its retention.")
    attempts: list[AttemptView] = Field(description="Every attempt, the first one first.")

    @classmethod
    def told(cls, record: DeliveryRecord) -> DeliveryDetail:
        """The view of all that is known of a delivery."""
        return cls(
            **_viewed_delivery(record.delivery),
            event=None if record.event is None else EventView.of(record.event),
            attempts=[AttemptView.of(each) for each in record.attempts],
        )


class DeliveryPage(ApiModel):
    """A page of deliveries, the newest first."""

    items: list[DeliveryView] = Field(description="The deliveries.")
    next_cursor: NextCursor


class DeliveryList(Paging, ForIntegration):
    """Which deliveries."""

    state: _State | None = Field(
        default_factory=lambda: None, description="Only those in this state.", examples=["dead"]
    )
    event: _Word | None = Field(
        default_factory=lambda: None, description="Only those of this event: its id.", examples=[_EVENT_ID]
    )
    since: When | None = Field(default_factory=lambda: None, description="Only events published at this time or later.")
    until: When | None = Field(default_factory=lambda: None, description="Only events published before this time.")


class RecoveryRequest(ApiModel):
    """What is to be sent again."""

    since: Annotated[
        str,
        Field(
            max_length=40,
            json_schema_extra={"format": "date-time"},
            description="What was given up of the events published at this time or later.",
            examples=["2026-01-31T12:00:00Z"],
        ),
        AfterValidator(lambda text: (seconds_of(text), text)[1]),
    ]


class RecoveryView(ApiModel):
    """How far it is that what was given up is sent again."""

    id: Id = Field(examples=["rec_7h1k5n9r3w6y0b4d"])
    subscription_id: str = Field(description="Where it goes.", examples=["sub_5t2v8x1z4b7d0f3h"])
    since: Time
    total: int = Field(description="How many deliveries there were to be sent again.", examples=[120])
    requeued: int = Field(description="How many of them are on their way again.", examples=[80])
    done: bool = Field(description="Whether all of them are.", examples=[False])
    created_at: Time

    @classmethod
    def of(cls, recovery: Recovery) -> RecoveryView:
        """The view of a recovery."""
        return cls(
            id=recovery.id,
            subscription_id=recovery.subscription_id,
            since=rfc3339(recovery.since),
            total=recovery.total,
            requeued=recovery.requeued,
            done=recovery.done,
            created_at=rfc3339(recovery.created_at),
        )


def _viewed(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "sequence": event.sequence,
        "type": event.type,
        "source": event.source,
        "time": rfc3339(event.time),
        "integration_id": event.integration_id,
        "key": event.key,
        "subject": event.subject,
        "tenant": event.tenant,
        "data": json.loads(event.data),
    }


def _viewed_delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "subscription_id": delivery.subscription_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "key": delivery.key,
        "state": delivery.state.value,
        "attempt_count": delivery.attempts,
        "status": delivery.status,
        "reason": delivery.reason,
        "next_attempt_at": rfc3339(delivery.due) if delivery.state.open and delivery.due else None,
        "waits_for_earlier": delivery.blocked,
        "created_at": rfc3339(delivery.created_at),
        "updated_at": rfc3339(delivery.updated_at),
    }
