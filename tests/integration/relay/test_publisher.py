"""Publishing: what is accepted lasts with its deliveries, and what cannot be accepted is refused with a reason."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.errors import InvalidInput
from gateway.relay.publisher import NewEvent, Publisher, PublisherSettings
from gateway.stores.events import EventQuery


async def test_an_event_and_its_deliveries_are_there_when_publish_returns(bench):
    await bench.subscribe("one")
    await bench.subscribe("two", events=("order.*",))
    await bench.subscribe("three", events=("invoice.*",))
    published = await bench.publisher.publish("order.created", {"total": 3}, key="k", tenant="t", subject="s")
    assert (published.new, published.deliveries) == (True, 2)
    stored = await bench.store.event(published.event.id)
    assert (stored.type, json.loads(stored.data), stored.key, stored.tenant) == (
        "order.created",
        {"total": 3},
        "k",
        "t",
    )
    assert {d.subscription_id for d in await bench.deliveries()} == {"sub_one", "sub_two"}


async def test_with_an_idempotency_key_publishing_twice_makes_one_event(bench):
    await bench.subscribe()
    first = await bench.publisher.publish("a", 1, idempotency_key="once")
    again = await bench.publisher.publish("a", 2, idempotency_key="once")
    other = await bench.publisher.publish("a", 3, idempotency_key="once", publisher="int_x")
    assert (again.new, again.event.id) == (False, first.event.id)
    assert other.new
    await bench.go()
    assert len(bench.server.requests) == 2


async def test_many_are_published_in_order_or_not_at_all(bench):
    await bench.subscribe()
    published = await bench.publisher.publish_many([NewEvent("a", n) for n in range(3)])
    assert [p.event.sequence for p in published] == [1, 2, 3]
    with pytest.raises(InvalidInput) as caught:
        await bench.publisher.publish_many([NewEvent("a"), NewEvent("no spaces"), NewEvent("b", data={1, 2})])
    assert [error.field for error in caught.value.errors] == ["/1/type", "/2/data"]
    assert len(await bench.store.events(EventQuery(after=0))) == 3
    assert await bench.publisher.publish_many([]) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": ""}, "/type"),
        ({"type": "a..b"}, "/type"),
        ({"type": "a" * 201}, "/type"),
        ({"type": "gateway.hook.enabled"}, "/type"),
        ({"type": "a", "data": {"x": "y" * 300_000}}, "/data"),
        ({"type": "a", "data": b"no json"}, "/data"),
        ({"type": "a", "data": b"[" * 101 + b"]" * 101}, "/data"),
        ({"type": "a", "data": object()}, "/data"),
        ({"type": "a", "data": float("nan")}, None),
        ({"type": "a", "key": "line\nbreak"}, "/key"),
        ({"type": "a", "idempotency_key": ""}, "/idempotency_key"),
    ],
)
async def test_what_cannot_be_published_is_refused_with_the_field_that_is_wrong(bench, fields, field):
    if field is None:
        published = await bench.publisher.publish_many([NewEvent(**fields)])
        assert published[0].event.data == b"null"
        return
    with pytest.raises(InvalidInput) as caught:
        await bench.publisher.publish_many([NewEvent(**fields)])
    assert [error.field for error in caught.value.errors] == [field]
    assert await bench.store.events(EventQuery(after=0)) == []


async def test_a_subscription_made_elsewhere_a_moment_ago_gets_the_next_event(bench):
    other = Publisher(bench.store, now=bench.clock)
    await other.publish("a")
    await bench.subscribe()
    assert (await other.publish("a")).deliveries == 1


async def test_subscriptions_that_change_all_the_time_do_not_make_publishing_fail(bench):
    async def subscribe():
        for number in range(30):
            await bench.subscribe(f"n{number:02}")
            await asyncio.sleep(0)

    making = asyncio.create_task(subscribe())
    counts = [(await bench.publisher.publish("a")).deliveries for _ in range(10)]
    await making
    assert counts == sorted(counts)


async def test_the_size_limit_is_the_operators(bench):
    publisher = Publisher(bench.store, PublisherSettings(source="/here", max_data_bytes=10), now=bench.clock)
    assert (await publisher.publish("a", "12345678")).event.source == "/here"
    with pytest.raises(InvalidInput, match="11 bytes of JSON; at most 10"):
        await publisher.publish("a", "123456789")
