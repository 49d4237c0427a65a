"""The composition root of what delivers, in a gateway or in a process of its own."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config import encryption_keys
from gateway.observe.metrics import GatewayMetrics
from gateway.relay import (
    NotificationSettings,
    PausePolicy,
    PublisherSettings,
    Relay,
    RelaySettings,
    Retention,
    RetrySchedule,
    Ruling,
    SenderSettings,
    new_publisher,
    relaying,
)
from gateway.stores import open_event_store
from gateway.transport.address import AddressGuard
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from gateway.config import Settings
    from gateway.stores import EventStore
    from gateway.transport.protocol import Transport

_RELAY_BUFFERS: Final = 64 * 1024 * 1024  # bytes of answers of endpoints that are coming in, all together


@dataclass(frozen=True, slots=True)
class RelayProcess:
    """A relay without a gateway: what delivers, from where, and the metrics to show."""

    relay: Relay
    events: EventStore
    metrics: GatewayMetrics


@asynccontextmanager
async def open_relay(
    settings: Settings, *, ssl_context: ssl.SSLContext | None = None, now: Callable[[], float] = time.time
) -> AsyncIterator[RelayProcess]:
    """A relay on the store that `settings` name, for this event loop, until the context ends.

    Any number of them, and gateways, may work on one store. Raises `StoreError` and `ConfigError`.
    """
    async with AsyncExitStack() as stack:
        metrics = GatewayMetrics()
        events = await stack.enter_async_context(event_store(settings))
        notifying = notification_settings(settings)
        publisher = new_publisher(events, notifying, metrics.relay, now=now)
        out = await stack.enter_async_context(way_out(settings, None, ssl_context))
        relay = await stack.enter_async_context(relaying(events, out, publisher, notifying, metrics.relay, now=now))
        yield RelayProcess(relay, events, metrics)


@asynccontextmanager
async def way_out(
    settings: Settings, given: Transport | None, ssl_context: ssl.SSLContext | None
) -> AsyncIterator[Transport]:
    """The relay's own way out: what endpoints answer must not take the room of what hooks answer."""
    if given is not None:
        yield given
        return
    calls = settings.calls
    guard = AddressGuard(calls.allow, allow_http=calls.allow_http, ports=calls.ports)
    transport = HttpTransport(guard, ssl_context=ssl_context, max_buffered_bytes=_RELAY_BUFFERS)
    try:
        yield transport
    finally:
        await transport.aclose()


@asynccontextmanager
async def event_store(settings: Settings) -> AsyncIterator[EventStore]:
    """The event store that `settings` name, open until the context ends. Raises `StoreError` and `ConfigError`."""
    async with open_event_store(settings.store.url, keys=encryption_keys(settings.store)) as store:
        yield store


def notification_settings(settings: Settings) -> NotificationSettings:
    """What `settings` say of notifications, as the relay's parts take it."""
    relay = settings.relay
    schedule = RetrySchedule(
        tuple(float(wait) for wait in relay.schedule_seconds),
        jitter=relay.jitter_percent / 100,
        max_retry_after=relay.max_retry_after_seconds,
    )
    pausing = PausePolicy(
        failures=relay.pause_after_failures,
        seconds=relay.pause_after_seconds,
        first_probe=relay.first_probe_seconds,
        longest_probe=relay.longest_probe_seconds,
    )
    return NotificationSettings(
        PublisherSettings(settings.calls.source, relay.max_event_bytes, settings.calls.max_json_depth),
        SenderSettings(
            relay.timeout_ms / 1000, relay.max_response_bytes, relay.excerpt_bytes, relay.allow_insecure_ssl
        ),
        RelaySettings(
            concurrency=relay.concurrency,
            lease_margin=relay.lease_margin_seconds,
            poll=relay.poll_ms / 1000,
            stop=relay.stop_seconds,
        ),
        Ruling(schedule, pausing),
        Retention(relay.keep_days * 86_400.0, relay.keep_dead_days * 86_400.0),
    )
