"""The part of the exam of event stores that is about who comes next: `EventStoreExam` includes it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

import pytest

from gateway.model.delivery import Cause
from gateway.model.subscription import Pause
from gateway.testing.event_records import (
    LEASE,
    NOW,
    claim,
    failed,
    names,
    publish,
    publish_all,
    subscription,
    succeeded,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from gateway.stores.events import EventStore


class DeliveryTurnsExam:
    """What an event store must do about fairness, limits, order and pauses."""

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]

    def open_store(self, place: Path) -> AbstractAsyncContextManager[EventStore]:
        """The store that lives in the directory `place`, open until the context ends."""
        raise LookupError(f"{type(self).__name__} must override open_store({place.name!r})")

    async def test_subscriptions_take_turns(self, tmp_path: Path) -> None:
        """One with a long queue gets no more than the others, at once and over time."""
        async with self.open_store(tmp_path) as store:
            for key in "abc":
                await store.add_subscription(subscription(key))
            await publish_all(store, {f"a{n}": None for n in range(200)}, "a")
            await publish_all(store, {f"bc{n}": None for n in range(4)}, "b", "c")
            got = Counter(each.subscription.id for each in await claim(store, limit=9))
            assert got == {"a": 3, "b": 3, "c": 3}
            singles = [(await claim(store, limit=1))[0].subscription.id for _ in range(3)]
            assert sorted(singles) == ["a", "b", "c"]
            assert len(await claim(store, limit=20)) == 20

    async def test_no_subscription_has_more_under_way_than_it_may(self, tmp_path: Path) -> None:
        """What is beyond waits until something is finished."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a", max_concurrency=2))
            await store.add_subscription(subscription("b", max_concurrency=1))
            await publish(store, "a", "b", one=None, two=None, three=None)
            first = await claim(store)
            assert Counter(each.subscription.id for each in first) == {"a": 2, "b": 1}
            assert await claim(store) == []
            assert await store.next_due(NOW) == NOW + LEASE
            await store.finish([succeeded(next(c for c in first if c.subscription.id == "a"))], now=NOW)
            (more,) = await claim(store)
            assert (more.subscription.id, more.event.id) == ("a", "three")

    async def test_order_is_kept_for_each_key(self, tmp_path: Path) -> None:
        """One at a time for each key, retries included; what has no key is in order, too."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a", ordered=True))
            await publish(store, "a", x1="x", y1="y", x2="x", n1=None, x3="x", n2=None)
            x1, y1, n1 = await claim(store)
            assert names([x1, y1, n1]) == ["x1", "y1", "n1"]
            assert await claim(store) == []
            await store.finish([failed(x1, due=NOW + 5), succeeded(n1), failed(y1)], now=NOW)
            (n2,) = await claim(store)
            assert n2.event.id == "n2"
            (x1,) = await claim(store, NOW + 5)
            assert x1.event.id == "x1"
            await store.finish([succeeded(x1)], now=NOW + 5)
            (x2,) = await claim(store, NOW + 5)
            await store.finish([failed(x2)], now=NOW + 5)
            (x3,) = await claim(store, NOW + 5)
            assert (x2.event.id, x3.event.id) == ("x2", "x3")

    async def test_a_redelivery_takes_its_place_in_the_order(self, tmp_path: Path) -> None:
        """It waits for what is under way with its key, and comes before what waits."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a", ordered=True))
            await publish(store, "a", one="k", two="k", three="k")
            (one,) = await claim(store)
            await store.finish([failed(one)], now=NOW)
            (two,) = await claim(store)
            again = await store.redeliver(one.delivery.id, now=NOW)
            assert again.blocked
            assert await claim(store) == []
            await store.finish([succeeded(two)], now=NOW)
            (one,) = await claim(store)
            assert (one.event.id, one.cause) == ("one", Cause.REDELIVER)
            await store.finish([succeeded(one)], now=NOW)
            assert names(await claim(store)) == ["three"]

    async def test_order_can_be_asked_for_later(self, tmp_path: Path) -> None:
        """It holds for what is published from then on."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None, two=None)
            await store.change_subscription(subscription("a", ordered=True, version=2))
            await publish(store, "a", three=None, four=None)
            assert names(await claim(store)) == ["one", "two", "three"]
            await store.change_subscription(subscription("a", version=3))
            await publish(store, "a", five=None)
            assert names(await claim(store)) == ["five"]

    async def test_a_clock_that_is_set_back_holds_up_nothing_that_is_new(self, tmp_path: Path) -> None:
        """What was published or lost in what is now the future is delivered; a retry waits for its time."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", now=NOW + 3600, lost=None, retried=None, new=None)
            _, retried = await claim(store, NOW - 3600, limit=2)
            await store.finish([failed(retried, due=NOW + 3600)], now=NOW + 3600)
            assert names(await claim(store, NOW)) == ["lost", "new"]
            assert await store.next_due(NOW) == NOW + LEASE
            assert names(await claim(store, NOW - 3600)) == []
            assert names(await claim(store, NOW + 3600)) == ["retried", "lost", "new"]

    async def test_a_pause_keeps_everything_in_order(self, tmp_path: Path) -> None:
        """Nothing is claimed meanwhile, and nothing is lost."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a", ordered=True))
            await publish(store, "a", one="k")
            await store.pause("a", Pause(NOW, "by hand"))
            await publish(store, "a", two="k", three="k")
            assert await claim(store, NOW + 1000) == []
            assert await store.next_due(NOW) is None
            await store.resume("a", NOW)
            found = []
            while claims := await claim(store):
                found += names(claims)
                await store.finish([succeeded(each) for each in claims], now=NOW)
            assert found == ["one", "two", "three"]

    async def test_an_inactive_subscription_gets_nothing(self, tmp_path: Path) -> None:
        """What waits for it stays until it is active again."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None)
            await store.change_subscription(subscription("a", active=False, version=2))
            assert (await claim(store), await store.next_due(NOW)) == ([], None)
            await store.change_subscription(subscription("a", version=3))
            assert names(await claim(store)) == ["one"]

    async def test_a_paused_subscription_is_probed_with_one_delivery_at_a_time(self, tmp_path: Path) -> None:
        """From the time of the probe on; the next comes when the pause says so, or the lease is over."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            await publish(store, "a", one=None, two=None)
            (one,) = await claim(store, limit=1)
            await store.finish([failed(one, due=NOW + 9000)], now=NOW)
            await store.pause("a", Pause(NOW, "it fails", NOW + 10))
            assert await claim(store, NOW + 9) == []
            assert await store.next_due(NOW) == NOW + 10
            (probe,) = await claim(store, NOW + 10)
            assert probe.cause is Cause.PROBE
            assert await claim(store, NOW + 20) == []
            await store.finish([failed(probe, NOW + 10, due=NOW + 9000, counts=False)], now=NOW + 10)
            await store.pause("a", Pause(NOW, "it fails", NOW + 100))
            assert await claim(store, NOW + 99) == []
            assert len(await claim(store, NOW + 100)) == 1
            assert len(await claim(store, NOW + 100 + LEASE)) == 1

    async def test_an_endpoint_can_ask_to_be_left_alone(self, tmp_path: Path) -> None:
        """Nothing of the subscription is claimed until then; other ones go on."""
        async with self.open_store(tmp_path) as store:
            for key in "ab":
                await store.add_subscription(subscription(key))
            await publish(store, "a", one=None, two=None)
            (one,) = await claim(store, limit=1)
            await store.finish([failed(one, due=NOW + 1, hold_until=NOW + 50)], now=NOW)
            await publish(store, "a", "b", three=None)
            assert [each.subscription.id for each in await claim(store, NOW + 49)] == ["b"]
            assert await store.next_due(NOW + 49) == NOW + 50
            assert names(await claim(store, NOW + 50)) == ["one", "two", "three"]
