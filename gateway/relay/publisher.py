"""Publishing: an event and its deliveries are stored in one transaction, or neither is."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from gateway.errors import FieldError, InvalidInput, StaleGeneration
from gateway.model.delivery import Cause
from gateway.model.event import Event
from gateway.model.ids import event_id
from gateway.relay.catalogue import PING, RESERVED_PREFIX
from gateway.relay.matching import Subscribers
from gateway.stores.events import Publication
from gateway.wire import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.model.subscription import Subscription
    from gateway.relay.matching import EventFilter
    from gateway.stores.events import CursorMove, EventStore, Published

__all__ = ["NewEvent", "PublishObserver", "Publisher", "PublisherSettings", "checked"]

MAX_BULK: Final = 1_000
_TRIES: Final = 20
_TYPE: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")
_MAX_TYPE: Final = 200
_MAX_WORD: Final = 200


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What is to be published.

    `data` is any JSON value, or `bytes` that hold JSON. Events with the same `key` keep their order towards
    subscriptions that ask for it. With an `idempotency_key`, publishing twice makes one event. `integration_id` is the
    integration that it is about: no other one is told. `at` (seconds since 1970) is the present by default, and
    `source` (CloudEvents) the gateway's.
    """

    type: str
    data: Any = None
    key: str | None = None
    idempotency_key: str | None = None
    subject: str | None = None
    integration_id: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    at: float | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """`source` is the CloudEvents source of events; sizes in bytes, depth in levels of nesting."""

    source: str = "/gateway"
    max_data_bytes: int = 256 * 1024
    max_depth: int = 100


class PublishObserver(Protocol):
    """Is told of what was published."""

    def published(self, events: int, deliveries: int) -> None:
        """So many new events were stored, with so many deliveries."""
        ...


def _no_filters(_expression: str) -> EventFilter:
    raise ValueError("filters cannot be evaluated here")


class Publisher:
    """Publishes events to whoever subscribed. What `publish` returned is never lost.

    `compiled` makes the filter of a subscription's expression; `may_know` says whether an integration may be told of
    an event (see `Subscribers`). `now` gives seconds since 1970.
    """

    def __init__(
        self,
        store: EventStore,
        settings: PublisherSettings | None = None,
        *,
        compiled: Callable[[str], EventFilter] = _no_filters,
        may_know: Callable[[str, Event], bool] = lambda _owner, _event: True,
        observer: PublishObserver | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings or PublisherSettings()
        self._subscribers = Subscribers(compiled, may_know)
        self._observer = observer
        self._now = now

    async def publish(
        self,
        event: str,
        data: Any = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        subject: str | None = None,
        integration_id: str | None = None,
        tenant: str | None = None,
        traceparent: str | None = None,
        publisher: str = "embedded",
    ) -> Published:
        """Publish one event of the type `event`; it lasts when this returns.

        See `NewEvent` for the other parameters; `publisher` is whom the `idempotency_key` belongs to. Raises
        `InvalidInput` for what cannot be published and `StoreError` if it could not be stored (then it was not).
        """
        new = NewEvent(event, data, key, idempotency_key, subject, integration_id, tenant, traceparent)
        (published,) = await self.publish_many([new], publisher=publisher)
        return published

    async def publish_many(self, events: Sequence[NewEvent], *, publisher: str = "embedded") -> list[Published]:
        """Publish up to 1000 events, all or none, in this order; the answers are in the same order.

        Raises `InvalidInput`, whose fields point into the list if there are several, and `StoreError`.
        """
        if len(events) > MAX_BULK:
            raise InvalidInput(FieldError("", f"at most {MAX_BULK} events can be published at once, not {len(events)}"))
        errors: list[FieldError] = []
        made: list[Event] = []
        for number, new in enumerate(events):
            at = f"/{number}" if len(events) > 1 else ""
            errors += _errors(new, at)
            try:
                made.append(self._event(new, publisher))
            except _Unusable as error:
                errors.append(FieldError(f"{at}/data", str(error)))
        if errors:
            raise InvalidInput(*errors)
        return await self.store(made) if made else []

    async def ping(self, subscription: Subscription) -> Published:
        """Send a ping to this subscription, whatever events it wants. Raises `StoreError`."""
        data = {"subscription": {"id": subscription.id, "name": subscription.name}}
        event = self.own_event(PING, data, integration_id=subscription.owner)
        publication = Publication(event, (subscription.id,), Cause.PING)
        return (await self._stored(lambda: [publication], None))[0]

    @property
    def source(self) -> str:
        """The CloudEvents source of what is published here."""
        return self._settings.source

    def own_event(
        self,
        name: str,
        data: Any,
        *,
        integration_id: str | None,
        key: str | None = None,
        idempotency_key: str | None = None,
        at: float | None = None,
    ) -> Event:
        """One of the gateway's own events, to be given to `store`."""
        new = NewEvent(name, data, key, idempotency_key, integration_id=integration_id, at=at)
        return self._event(new, "gateway")

    async def store(self, events: Sequence[Event], *, cursor: CursorMove | None = None) -> list[Published]:
        """Store these events and their deliveries, and move a cursor, in one transaction.

        Raises `CursorMoved` if the cursor is elsewhere and `StoreError` for anything else; nothing is stored then.
        """
        return await self._stored(lambda: [Publication(event, self._subscribers.of(event)) for event in events], cursor)

    async def _stored(
        self, publications: Callable[[], Iterable[Publication]], cursor: CursorMove | None
    ) -> list[Published]:
        for tried in range(1, _TRIES + 1):
            if not self._subscribers.loaded or tried > 1:
                self._subscribers.take(await self._store.subscription_changes(self._subscribers.version))
            try:
                published = await self._store.publish(
                    list(publications()), version=self._subscribers.version, now=self._now(), cursor=cursor
                )
            except StaleGeneration:
                if tried == _TRIES:
                    raise
                continue
            if self._observer is not None:
                self._observer.published(sum(p.new for p in published), sum(p.deliveries for p in published))
            return published
        raise AssertionError  # the loop returns or raises

    def _event(self, new: NewEvent, publisher: str) -> Event:
        return Event(
            id=event_id(),
            type=new.type,
            data=_encoded(new.data, self._settings),
            time=self._now() if new.at is None else new.at,
            source=new.source or self._settings.source,
            key=new.key,
            subject=new.subject,
            publisher=publisher,
            integration_id=new.integration_id,
            tenant=new.tenant,
            idempotency_key=new.idempotency_key,
            traceparent=new.traceparent,
        )


def checked(new: NewEvent, settings: PublisherSettings) -> bytes:
    """The data of an event that can be published, as JSON. Raises `InvalidInput` for one that cannot."""
    errors = [*_errors(new, "")]
    try:
        body = _encoded(new.data, settings)
    except _Unusable as error:
        errors.append(FieldError("/data", str(error)))
    if errors:
        raise InvalidInput(*errors)
    return body


class _Unusable(ValueError):
    """The data cannot be published. The text completes a sentence about it."""


def _errors(new: NewEvent, at: str) -> Iterable[FieldError]:
    if len(new.type) > _MAX_TYPE or not _TYPE.match(new.type):
        yield FieldError(
            f"{at}/type", f"must be words of letters, digits, _ and - joined by dots, at most {_MAX_TYPE} characters"
        )
    elif new.type.startswith(RESERVED_PREFIX):
        yield FieldError(f"{at}/type", f"names that begin with {RESERVED_PREFIX!r} are the gateway's own events'")
    for name in ("key", "idempotency_key", "subject", "tenant"):
        value = getattr(new, name)
        if value is not None and not (0 < len(value) <= _MAX_WORD and value.isprintable()):
            yield FieldError(f"{at}/{name}", f"must be 1 to {_MAX_WORD} printable characters")


def _encoded(data: Any, settings: PublisherSettings) -> bytes:
    try:
        body = bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else orjson.dumps(data)
    except TypeError as error:
        raise _Unusable(f"cannot be written as JSON: {error}") from None
    if len(body) > settings.max_data_bytes:
        raise _Unusable(f"is {len(body)} bytes of JSON; at most {settings.max_data_bytes} are allowed")
    try:
        document.check(body, max_depth=settings.max_depth)
    except ValueError as error:
        raise _Unusable(f"is not JSON that can be sent: {error}") from None
    return body
