"""Events: publishing them, and looking at what was published."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import FieldError, InvalidInput
from gateway.relay.catalogue import CATALOGUE
from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.base import Nothing
from gateway.service.models.events import (
    BulkEvents,
    EventList,
    EventPage,
    EventRequest,
    EventTypePage,
    EventTypeView,
    EventView,
    PublishedList,
    PublishedView,
)
from gateway.service.models.queries import ForIntegration
from gateway.service.paging import number_of
from gateway.service.problem import Refused
from gateway.service.scope import scope
from gateway.stores.events import EventQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multidict import CIMultiDictProxy

    from gateway.registry import Registry
    from gateway.relay.events import Events

__all__ = ["EventRoutes"]

_TAG: Final = "events"
_KEY: Final = re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?")


class EventRoutes:
    """The operations on events."""

    def __init__(self, registry: Registry, events: Events) -> None:
        self._registry = registry
        self._events = events

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        return (
            Operation(
                "POST", "/v1/events", self._publish, "publishEvent", "Publish an event",
                _TAG, Access.HOOKS, query=ForIntegration, body=EventRequest, errors=(404, 503), idempotency_key=True,
                description="It is stored with its deliveries, all or nothing, before this is answered. What an "
                "integration publishes is about that integration: no other one is told.",
                out={202: Out("The event; it is on its way to whoever subscribed.", PublishedView,
                              headers={"Location": "Its path."})},
            ),
            Operation(
                "POST", "/v1/events:bulk", self._publish_many, "publishEvents", "Publish many events in one step",
                _TAG, Access.HOOKS, query=ForIntegration, body=BulkEvents, errors=(404, 503), idempotency_key=True,
                description="All or nothing, in this order. An Idempotency-Key holds for the list as a whole; "
                "an idempotency_key for one of them.",
                out={202: Out("The events, in the same order.", PublishedList)},
            ),
            Operation(
                "GET", "/v1/events", self._list, "listEvents", "List events",
                _TAG, Access.HOOKS, query=EventList, body=Nothing, errors=(404, 503),
                description="An integration sees the events that are about it.",
                out={200: Out("A page of events, the newest first; with `after`, the oldest first.", EventPage)},
            ),
            Operation(
                "GET", "/v1/events/{event_id}", self._read, "readEvent", "Read an event",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(503,),
                out={200: Out("The event.", EventView)},
            ),
            Operation(
                "GET", "/v1/event-types", self._types, "listEventTypes", "List the gateway's own types of events",
                _TAG, Access.HOOKS, query=Nothing, body=Nothing,
                out={200: Out("All types, each with the JSON Schema of its data and an example.", EventTypePage)},
            ),
        )  # fmt: skip

    async def _publish(self, call: Call[ForIntegration, EventRequest]) -> Answer:
        owner = scope(self._registry, call.caller, call.query)
        new = call.body.new_event(
            owner=owner,
            idempotency_key=_idempotency_key(call.headers),
            traceparent=call.headers.get("traceparent"),
        )
        try:
            (published,) = await self._events.publish(owner, [new])
        except InvalidInput as error:
            raise _as_sent(error, [call.body], at="") from None
        location = f"/v1/events/{published.event.id}"
        return Answer(PublishedView.told(published), 202, {"location": location})

    async def _publish_many(self, call: Call[ForIntegration, BulkEvents]) -> Answer:
        owner = scope(self._registry, call.caller, call.query)
        whole = _idempotency_key(call.headers)
        traceparent = call.headers.get("traceparent")
        new = [
            each.new_event(
                owner=owner,
                idempotency_key=each.idempotency_key or (None if whole is None else f"{whole[:190]}#{number}"),
                traceparent=traceparent,
            )
            for number, each in enumerate(call.body.root)
        ]
        try:
            published = await self._events.publish(owner, new)
        except InvalidInput as error:
            raise _as_sent(error, call.body.root, at="/0" if len(new) == 1 else "") from None
        return Answer(PublishedList(items=[PublishedView.told(each) for each in published]), 202)

    async def _list(self, call: Call[EventList, Nothing]) -> Answer:
        asked = call.query
        if asked.after is not None and asked.cursor is not None:
            raise InvalidInput(FieldError("?cursor", "cannot stand beside after: give one of the two"))
        owner = scope(self._registry, call.caller, asked)
        query = EventQuery(after=asked.after, before=number_of(asked.cursor), limit=asked.limit + 1)
        found = await self._events.list(owner, query)
        shown = found[: asked.limit]
        more = len(found) > asked.limit and asked.after is None
        items = [EventView.of(each) for each in shown]
        return Answer(EventPage(items=items, next_cursor=str(shown[-1].sequence) if more else None))

    async def _read(self, call: Call[ForIntegration, Nothing]) -> Answer:
        owner = scope(self._registry, call.caller, call.query)
        return Answer(EventView.of(await self._events.get(call.ids["event_id"], owner=owner)))

    async def _types(self, _call: Call[Nothing, Nothing]) -> Answer:
        items = [EventTypeView.of(CATALOGUE[name]) for name in sorted(CATALOGUE)]
        return Answer(EventTypePage(items=items, next_cursor=None))


def _as_sent(error: InvalidInput, sent: Sequence[EventRequest], *, at: str) -> InvalidInput:
    """`error`, with its fields called as the caller did; `at` is put before each of them."""
    errors = []
    for each in error.errors:
        before, _, member = f"{at}{each.field}".rpartition("/")
        which = sent[int(before.removeprefix("/")) if before else 0]
        errors.append(FieldError(f"{before}/{which.named(member)}", each.detail))
    return InvalidInput(*errors, detail=None if errors else error.detail)


def _idempotency_key(headers: CIMultiDictProxy[str]) -> str | None:
    """What the header says, if it is there. Raises `Refused` (400) for one that is no key."""
    given = headers.getall("idempotency-key", [])
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise Refused(400, "Idempotency-Key must be given once, as 1 to 200 visible ASCII characters.")
    return given[0]
