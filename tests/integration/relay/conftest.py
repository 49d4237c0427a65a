"""A relay at work: a store in memory, a real receiver on loopback, and a clock that stands still."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest

from gateway.model import SigningSecret
from gateway.model.subscription import Subscription
from gateway.relay.delivery import Sender, SenderSettings
from gateway.relay.publisher import Publisher
from gateway.relay.ruling import Ruling
from gateway.relay.schedule import RetrySchedule
from gateway.relay.worker import Relay, RelaySettings
from gateway.stores.events import DeliveryQuery, EventQuery
from gateway.stores.memory_events import MemoryEventStore
from gateway.testing.clock import ManualClock
from gateway.testing.hook_server import HookServer, Reply
from gateway.transport.address import AddressGuard
from gateway.transport.client import HttpTransport
from gateway.wire.signature import new_secret

SECRET = new_secret()


class Seen:
    """What a relay tells its observer."""

    def __init__(self):
        self.attempts = []
        self.store = []
        self.published_count = 0

    def attempted(self, subscription, outcome, seconds):
        self.attempts.append((subscription.id, outcome))

    def store_answered(self, well):
        self.store.append(well)

    def published(self, events, deliveries):
        self.published_count += events


class Bench:
    """The parts, and short words for what tests do with them."""

    def __init__(self, store, transport, server, *, ruling=None, settings=None, sender=None, clock=None):
        self.clock = clock or ManualClock()
        self.store, self.server, self.transport = store, server, transport
        self.seen = Seen()
        self.publisher = Publisher(store, now=self.clock, observer=self.seen)
        self.sender = Sender(transport, sender or SenderSettings(timeout=5.0), now=self.clock)
        self.ruling = ruling or Ruling(RetrySchedule(random=lambda: 0.0))
        self.settings = settings or RelaySettings()
        self.relay = self.another_relay()

    def another_relay(self, *, store=None, sender=None):
        store = store or self.store
        return Relay(
            store, sender or self.sender, self.publisher, self.ruling, self.seen, self.settings, now=self.clock
        )

    async def subscribe(self, name="all", path="/unchanged", **fields):
        fields = {"events": ("*",), "secrets": (SigningSecret(SECRET, 0.0),), "owner": None, **fields}
        url = fields.pop("url", None) or self.server.url + path
        subscription = Subscription(f"sub_{name}", name=name, url=url, **fields)
        await self.store.add_subscription(subscription)
        return subscription

    async def go(self):
        """Deliver all that can be delivered without waiting."""
        while await self.relay.step():
            pass

    async def live_for(self, seconds):
        """Let so much time pass, and let the relay do everything in it when it is due."""
        end = self.clock() + seconds
        await self.go()
        while (due := await self.store.next_due(self.clock())) is not None and due <= end:
            self.clock.advance(max(due - self.clock(), 0.001))
            await self.go()
        self.clock.advance(max(0.0, end - self.clock()))

    async def deliveries(self, subscription=None):
        """The deliveries, the first one first."""
        asked = DeliveryQuery(subscription_id=subscription and subscription.id, limit=1_000)
        return list(reversed(await self.store.deliveries(asked)))

    async def attempts(self, number=0):
        """The attempts at one of the deliveries."""
        return await self.store.attempts((await self.deliveries())[number].id)

    async def own_events(self, name):
        """The data of the gateway's own events of this type, the first one first."""
        events = await self.store.events(EventQuery(after=0, limit=1_000))
        return [json.loads(event.data) for event in events if event.type == f"gateway.{name}"]

    def got(self, path=None):
        """The ids of the events that arrived, in order."""
        return [r.header("webhook-id") for r in self.server.requests if path in (None, r.path)]


@pytest.fixture
async def server():
    async with HookServer() as server:
        yield server


@pytest.fixture
def new_bench(server):
    @asynccontextmanager
    async def make(*, allow=("127.0.0.0/8",), store=None, **parts):
        transport = HttpTransport(AddressGuard(allow, allow_http=True))
        try:
            yield Bench(store or MemoryEventStore(), transport, server, **parts)
        finally:
            await transport.aclose()

    return make


@pytest.fixture
async def bench(new_bench):
    async with new_bench() as bench:
        yield bench


def replying(*statuses, headers=()):
    """A handler that answers with these statuses in turn, then goes on with the last."""
    left = list(statuses)

    async def handler(_request):
        return Reply(left.pop(0) if len(left) > 1 else left[0], headers)

    return handler
