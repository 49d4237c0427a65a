"""The exam that every event store passes, for pytest.

In the test file of a store:

    class TestMyStore(EventStoreExam):
        durable = True

        def open_store(self, place):
            return open_my_store(place / "events")

`open_store` gives an async context manager; `place` is an empty directory of the test's own. Opening the same
place again must find what was there, if `durable`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.errors import Conflict
from gateway.model.delivery import LOST, Cause, DeliveryState
from gateway.stores.events import Backlog, DeliveryQuery, Publication
from gateway.testing.delivery_turns_exam import DeliveryTurnsExam
from gateway.testing.event_records import (
    FULL_ATTEMPT,
    FULL_SUBSCRIPTION,
    LEASE,
    NOW,
    claim,
    event,
    failed,
    names,
    publish,
    publish_all,
    subscription,
    succeeded,
    version_of,
)
from gateway.testing.subscription_store_exam import SubscriptionStoreExam

if TYPE_CHECKING:
    from pathlib import Path


class EventStoreExam(SubscriptionStoreExam, DeliveryTurnsExam):
    """What an `EventStore` must do. Subclass it, override `open_store`, say whether the store is `durable`."""

    async def test_a_delivery_goes_its_way(self, tmp_path: Path) -> None:
        """Pending, claimed, delivered; the attempt is on record in every field."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one="k")
            (waiting,) = await store.deliveries(DeliveryQuery())
            assert (waiting.state, waiting.attempts, waiting.due) == (DeliveryState.PENDING, 0, 0.0)
            (claimed,) = await claim(store)
            assert claimed.delivery == replace(waiting, state=DeliveryState.CLAIMED, lease_until=NOW + LEASE)
            assert (claimed.event, claimed.subscription) == (await store.event("one"), await store.subscription("a"))
            assert (claimed.cause, await claim(store)) == (Cause.SCHEDULE, [])
            done = replace(succeeded(claimed), attempt=replace(FULL_ATTEMPT, reason=None))
            (answer,) = await store.finish([done], now=NOW + 2)
            assert (answer.held, answer.failures) == (True, 0)
            delivered = await store.delivery(waiting.id)
            assert delivered == replace(
                waiting, state=DeliveryState.DELIVERED, attempts=1, tries=1, status=503, updated_at=NOW + 2
            )
            assert await store.attempts(waiting.id) == [done.attempt]
            assert await claim(store, NOW + 1000) == []

    async def test_a_retry_comes_when_it_is_due(self, tmp_path: Path) -> None:
        """Not before; with all attempts on record, and the failures in a row counted."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None)
            for n in range(3):
                now = NOW + 10 * n
                (claimed,) = await claim(store, now)
                (answer,) = await store.finish([failed(claimed, now, due=now + 10, counts=n != 1)], now=now)
                assert (answer.failures, answer.failing_since) == (n + 1, NOW)
                assert await claim(store, now + 9.9) == []
                assert await store.next_due(now) == now + 10
            found = await store.delivery(claimed.delivery.id)
            assert found is not None
            assert (found.attempts, found.tries, found.status, found.reason) == (3, 2, 500, "status")
            assert [each.number for each in await store.attempts(found.id)] == [1, 2, 3]
            (claimed,) = await claim(store, NOW + 30)
            (answer,) = await store.finish([succeeded(claimed)], now=NOW + 30)
            assert (answer.failures, answer.failing_since) == (0, None)

    async def test_what_is_due_again_comes_before_what_is_new_and_older_before_younger(self, tmp_path: Path) -> None:
        """In the order in which they wait."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None, two=None)
            one, two = await claim(store)
            await store.finish([failed(one, due=NOW + 2), failed(two, due=NOW + 1)], now=NOW)
            await publish(store, "a", three=None, four=None)
            assert names(await claim(store, NOW + 5)) == ["two", "one", "three", "four"]

    async def test_no_delivery_is_claimed_twice(self, tmp_path: Path) -> None:
        """Not by those who claim at the same time either."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish_all(store, {f"e{n}": None for n in range(50)}, "a")
            batches = await asyncio.gather(*(claim(store, limit=7) for _ in range(10)))
            assert max(len(batch) for batch in batches) <= 7
            found = [name for batch in batches for name in names(batch)]
            assert sorted(found) == sorted(f"e{n}" for n in range(50))

    async def test_a_lease_that_ran_out_is_an_attempt_that_was_lost(self, tmp_path: Path) -> None:
        """Another relay gets the delivery; who had it can add what became of its attempt, and nothing else."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None)
            (late,) = await claim(store)
            assert await store.next_due(NOW) == NOW + LEASE
            assert await claim(store, NOW + LEASE - 0.1) == []
            (second,) = await claim(store, NOW + LEASE)
            assert second.token != late.token
            assert (second.delivery.attempts, second.delivery.tries) == (1, 1)
            (lost,) = await store.attempts(late.delivery.id)
            assert (lost.number, lost.started_at, lost.reason, lost.ms) == (1, NOW, LOST, None)
            for _ in range(2):
                (answer,) = await store.finish([succeeded(late, NOW + 1)], now=NOW + LEASE)
                assert not answer.held
            assert await store.delivery(late.delivery.id) == second.delivery
            (told,) = await store.attempts(late.delivery.id)
            assert (told.number, told.status, told.reason) == (1, 200, None)
            (answer,) = await store.finish([succeeded(second, NOW + LEASE)], now=NOW + LEASE)
            assert answer.held
            (answer,) = await store.finish([failed(second, due=NOW)], now=NOW + LEASE)
            assert not answer.held
            assert [each.status for each in await store.attempts(late.delivery.id)] == [200, 200]
            found = await store.delivery(late.delivery.id)
            assert found is not None
            assert (found.state, found.attempts) == (DeliveryState.DELIVERED, 2)

    async def test_a_lease_that_ran_out_unnoticed_still_counts(self, tmp_path: Path) -> None:
        """As long as nobody else has the delivery, the result is taken."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None)
            (claimed,) = await claim(store)
            (answer,) = await store.finish([succeeded(claimed)], now=NOW + 10 * LEASE)
            assert answer.held
            assert await claim(store, NOW + 20 * LEASE) == []

    async def test_what_is_given_back_was_never_tried(self, tmp_path: Path) -> None:
        """A relay that stops leaves no trace of what it did not attempt."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None, two=None)
            first = await claim(store)
            await store.release(first)
            again = await claim(store)
            assert names(again) == ["one", "two"]
            assert again[0].delivery.attempts == 0
            await store.release(first)
            assert await claim(store) == []

    async def test_what_was_delivered_or_died_can_be_redelivered(self, tmp_path: Path) -> None:
        """Its schedule begins anew, its attempts go on; not while it is under way."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None, two=None)
            one, two = await claim(store)
            with pytest.raises(Conflict):
                await store.redeliver(one.delivery.id, now=NOW)
            await store.finish([succeeded(one), failed(two, reason="exhausted")], now=NOW)
            dead = await store.delivery(two.delivery.id)
            assert dead is not None
            assert (dead.state, dead.reason) == (DeliveryState.DEAD, "exhausted")
            for each in (two, one):
                again = await store.redeliver(each.delivery.id, now=NOW + 1)
                assert (again.state, again.tries, again.attempts) == (DeliveryState.PENDING, 0, 1)
            claims = await claim(store, NOW + 1)
            assert (names(claims), {each.cause for each in claims}) == (["one", "two"], {Cause.REDELIVER})
            await store.finish([failed(each, due=NOW + 100) for each in claims], now=NOW + 1)
            await store.redeliver(one.delivery.id, now=NOW + 2)
            assert names(await claim(store, NOW + 2)) == ["one"]

    async def test_dead_letters_are_recovered_since_a_time_with_progress(self, tmp_path: Path) -> None:
        """Step by step, those of this subscription that were published since then."""
        async with self.open_store(tmp_path) as store:
            for key in "ab":
                await store.add_subscription(subscription(key))
            for n in range(6):
                await publish_all(store, {f"e{n}": None}, "a", "b", now=NOW + n)
            claims = await claim(store)
            assert len(claims) == 12
            await store.finish([succeeded(c) if c.event.id == "e4" else failed(c) for c in claims], now=NOW + 6)
            started = await store.start_recovery("a", since=NOW + 1, now=NOW + 7)
            assert (started.total, started.requeued, started.done) == (4, 0, False)
            for requeued in (3, 4):
                step = await store.recover(3, now=NOW + 7)
                assert step == replace(started, requeued=requeued, done=requeued == 4)
                assert await store.recovery(started.id) == step
            assert await store.recover(3, now=NOW + 7) is None
            again = await claim(store, NOW + 8)
            assert names(again) == ["e1", "e2", "e3", "e5"]
            assert {(each.subscription.id, each.cause) for each in again} == {("a", Cause.RECOVER)}
            assert (await store.start_recovery("a", since=NOW + 1, now=NOW)).done
            assert await store.recovery("rec_none") is None

    async def test_figures_of_the_backlog(self, tmp_path: Path) -> None:
        """What waits, what is under way, what died, and since when the oldest waits."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None)
            await publish(store, "a", now=NOW + 1, two=None, three=None)
            one, two = await claim(store, limit=2)
            assert await store.backlog("a") == [Backlog("a", 1, 2, 0, NOW)]
            await store.finish([failed(one), failed(two, due=NOW + 9)], now=NOW)
            assert await store.backlog() == [Backlog("a", 2, 0, 1, NOW + 1, 2, NOW)]
            await store.redeliver(one.delivery.id, now=NOW)
            await store.finish([succeeded(each) for each in await claim(store, NOW + 9)], now=NOW + 9)
            assert await store.backlog("a") == [Backlog("a")]

    async def test_what_is_over_is_forgotten_in_steps_and_what_is_open_never(self, tmp_path: Path) -> None:
        """Dead letters may be kept longer; an event goes with its last delivery, and its idempotency key with it."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", done=None, dead=None, open=None)
            done, dead, _ = await claim(store)
            await store.finish([succeeded(done), failed(dead)], now=NOW)
            keyed = Publication(event("nobody", idempotency_key="k"))
            await store.publish([keyed], version=await version_of(store), now=NOW)
            assert await store.purge(before=NOW, dead_before=NOW, limit=10) == 0
            assert await store.purge(before=NOW + 1, dead_before=NOW, limit=1) == 1
            assert (await store.delivery(done.delivery.id), await store.attempts(done.delivery.id)) == (None, [])
            while await store.purge(before=NOW + 1, dead_before=NOW, limit=1):
                pass
            assert [await store.event(name) is None for name in ("done", "nobody", "dead", "open")] == [1, 1, 0, 0]
            (again,) = await store.publish([keyed], version=await version_of(store), now=NOW + 9)
            assert again.new
            assert await store.purge(before=NOW + 1, dead_before=NOW + 1, limit=10) == 2
            await store.remove_subscription("a")
            while await store.purge(before=NOW + 1, dead_before=NOW + 1, limit=1):
                pass
            assert await store.event("open") is None

    async def test_a_signal_is_given_when_there_may_be_something_to_do(self, tmp_path: Path) -> None:
        """Whoever waits since before it happened wakes up."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            seen = store.signal.count
            waiting = asyncio.ensure_future(store.signal.after(seen))
            await publish(store, "a", one=None)
            await asyncio.wait_for(waiting, 5)
            await asyncio.wait_for(store.signal.after(seen), 5)
            assert store.signal.count > seen

    async def test_everything_lasts(self, tmp_path: Path) -> None:
        """Opening a durable store again finds what was there: order, leases, failures, cursors; another is empty."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(FULL_SUBSCRIPTION)
            await store.add_subscription(subscription("a", ordered=True))
            await publish(store, "a", one="k", two="k", three="l")
            one, three = await claim(store)
            await store.finish([failed(three, due=NOW + 5)], now=NOW)
            before = (await store.deliveries(DeliveryQuery()), await store.backlog(), await version_of(store))
        async with self.open_store(tmp_path) as store:
            if not self.durable:
                assert await store.deliveries(DeliveryQuery()) == []
                return
            assert (await store.deliveries(DeliveryQuery()), await store.backlog(), await version_of(store)) == before
            assert await store.subscription("sub-full") == FULL_SUBSCRIPTION
            assert names(await claim(store, NOW + 5)) == ["three"]
            await store.finish([succeeded(one)], now=NOW + 5)
            assert names(await claim(store, NOW + 5)) == ["two"]
