"""An event that was noted in the caller's own transaction is told of if, and only if, the transaction commits; once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from gateway.errors import ConfigError, InvalidInput, StoreError
from gateway.relay import Publisher
from gateway.relay.outbox import Outbox, OutboxDrain
from gateway.stores import open_event_store
from gateway.stores.events import EventQuery
from gateway.testing.clock import ManualClock
from gateway.testing.event_records import claim, names, subscription


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox()
    with closing(sqlite3.connect(tmp_path / "app.db")) as db, db:
        outbox.create(db)
        db.execute("CREATE TABLE orders (id INTEGER)")
    return outbox


@pytest.fixture
def connect(tmp_path):
    return lambda: sqlite3.connect(tmp_path / "app.db")


@pytest.fixture
async def store(tmp_path):
    async with open_event_store(f"sqlite:///{tmp_path / 'gateway.db'}") as store:
        await store.add_subscription(subscription("a", ordered=True))
        yield store


async def published(store):
    return [each.id for each in await store.events(EventQuery(after=0))]


async def test_what_commits_is_told_in_order_and_what_is_rolled_back_is_not(store, outbox, connect):
    drain = OutboxDrain(outbox, connect, Publisher(store), at_once=2)
    told = []
    with closing(connect()) as db:
        for n in range(6):
            db.execute("INSERT INTO orders VALUES (?)", (n,))
            made = outbox.publish(db, "order.placed", {"id": n}, key="k", now=ManualClock(5.0 + n))
            if n % 3 == 2:
                db.rollback()
            else:
                db.commit()
                told.append(made)
    assert await drain.drain() == 4
    assert await published(store) == told
    (first, *_) = await store.events(EventQuery(after=0))
    assert (first.type, first.data, first.time, first.key) == ("order.placed", b'{"id":0}', 5.0, "k")
    assert names(await claim(store)) == told[:1]
    assert await drain.drain() == 0


async def test_a_crash_between_passing_on_and_forgetting_doubles_nothing(store, outbox, connect):
    with closing(connect()) as db, db:
        made = outbox.publish(db, "order.placed")
    publisher = Publisher(store)
    with closing(connect()) as db:
        await publisher.store(outbox.waiting(db, 10, publisher.source))  # and here it dies
    drain = OutboxDrain(outbox, connect, publisher)
    assert await drain.drain() == 1
    assert await published(store) == [made]
    assert len(await claim(store)) == 1


async def test_an_event_that_cannot_be_published_is_refused_in_the_transaction(outbox, connect):
    with closing(connect()) as db:
        for event, data, field in (("no type!", None, "/type"), ("a.b", {1, 2}, "/data"), ("gateway.x", None, "/type")):
            with pytest.raises(InvalidInput) as caught:
                outbox.publish(db, event, data)
            assert [error.field for error in caught.value.errors] == [field]
        assert outbox.waiting(db, 10, "/") == []


async def test_what_comes_later_is_passed_on_after_a_nudge(store, outbox, connect):
    seen = store.signal.count
    async with OutboxDrain(outbox, connect, Publisher(store)).draining(every=60) as drain:
        with closing(connect()) as db, db:
            made = outbox.publish(db, "order.placed")
        drain.nudge()
        while made not in await published(store):
            await asyncio.wait_for(store.signal.after(seen), 10)
            seen = store.signal.count


async def test_a_database_that_cannot_be_read_is_told_and_loses_nothing(store, tmp_path, connect):
    outbox = Outbox("another")
    drain = OutboxDrain(outbox, connect, Publisher(store))
    with pytest.raises(StoreError, match="The outbox cannot be read: no such table: another"):
        await drain.drain()
    with closing(connect()) as db, db:
        outbox.create(db)
        made = outbox.publish(db, "order.placed")
    assert await drain.drain() == 1
    assert await published(store) == [made]


def test_a_table_with_a_name_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="letters, digits and _"):
        Outbox("x; DROP TABLE orders")
