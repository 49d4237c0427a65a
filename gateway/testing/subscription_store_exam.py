"""The part of the exam of event stores that is about subscriptions and events: `EventStoreExam` includes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from gateway.errors import Conflict, CursorMoved, NotFound, StaleGeneration
from gateway.model.subscription import Pause
from gateway.stores.events import CursorMove, DeliveryQuery, EventQuery, Publication, Published, SubscriptionQuery
from gateway.testing.event_records import (
    FULL_EVENT,
    FULL_SUBSCRIPTION,
    NOW,
    claim,
    event,
    names,
    publish,
    publish_all,
    subscription,
    version_of,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from gateway.stores.events import EventStore


class SubscriptionStoreExam:
    """What an event store must do with subscriptions and events."""

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]
    durable: ClassVar[bool] = True

    def open_store(self, place: Path) -> AbstractAsyncContextManager[EventStore]:
        """The store that lives in the directory `place`, open until the context ends."""
        raise LookupError(f"{type(self).__name__} must override open_store({place.name!r})")

    async def test_a_new_store_is_empty(self, tmp_path: Path) -> None:
        """A new store holds nothing, and can be read."""
        async with self.open_store(tmp_path) as store:
            await store.ping()
            assert await store.subscriptions(SubscriptionQuery()) == []
            assert await store.events(EventQuery()) == []
            assert await store.deliveries(DeliveryQuery()) == []
            assert await store.backlog() == []
            assert await store.next_due(NOW) is None
            assert await store.cursor("x") is None
            assert (await store.subscription("x"), await store.event("x"), await store.delivery("x")) == (None,) * 3

    async def test_a_subscription_comes_back_equal(self, tmp_path: Path) -> None:
        """Every field comes back, secrets and headers in their order."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(FULL_SUBSCRIPTION)
            assert await store.subscription("sub-full") == FULL_SUBSCRIPTION
            assert await store.subscriptions(SubscriptionQuery()) == [FULL_SUBSCRIPTION]
            with pytest.raises(Conflict):
                await store.add_subscription(subscription("sub-full"))
            assert await store.subscription("sub-full") == FULL_SUBSCRIPTION

    async def test_a_subscription_is_changed_only_from_the_version_that_it_has(self, tmp_path: Path) -> None:
        """Of two who change the same version, one is refused."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            mine, other = (subscription("a", name=name, version=2) for name in ("mine", "other"))
            await store.change_subscription(mine)
            with pytest.raises(StaleGeneration):
                await store.change_subscription(other)
            assert await store.subscription("a") == mine
            with pytest.raises(NotFound):
                await store.change_subscription(subscription("b", version=2))

    async def test_subscriptions_are_listed_by_owner_and_in_pages(self, tmp_path: Path) -> None:
        """Sorted by id; the operator's are those of no integration."""
        async with self.open_store(tmp_path) as store:
            for key, owner in (("d", "x"), ("a", None), ("c", "y"), ("b", "x")):
                await store.add_subscription(subscription(key, owner=owner))

            async def found(*owners: str | None, everyone: bool = False, **more: object) -> str:
                query = SubscriptionQuery(None if everyone else owners, **more)  # type: ignore[arg-type]  # after, limit
                return "".join(each.id for each in await store.subscriptions(query))

            assert await found(everyone=True) == "abcd"
            assert await found("x") == "bd"
            assert await found(None) == "a"
            assert await found("x", None, limit=2) == "ab"
            assert await found("x", None, after="b") == "d"
            assert await found("z") == ""

    async def test_changes_are_told_since_a_version(self, tmp_path: Path) -> None:
        """Whoever keeps a copy asks for what is different, and learns what is gone."""
        async with self.open_store(tmp_path) as store:
            a, b = subscription("a"), subscription("b")
            for each in (a, b):
                await store.add_subscription(each)
            first = await store.subscription_changes(0)
            assert (first.changed, first.removed) == ((a, b), ())
            await store.remove_subscription("a")
            await store.change_subscription(changed := replace(b, active=False, version=2))
            second = await store.subscription_changes(first.version)
            assert second.version > first.version
            assert (second.changed, second.removed) == ((changed,), ("a",))
            third = await store.subscription_changes(second.version)
            assert (third.version, third.changed, third.removed) == (second.version, (), ())
            assert (await store.subscription_changes(0)).removed == ()

    async def test_pausing_and_resuming_are_changes(self, tmp_path: Path) -> None:
        """They count like any other change, and are refused for what is not there."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            before = await version_of(store)
            pause = Pause(NOW, "it fails", NOW + 5)
            paused = await store.pause("a", pause)
            assert (paused.paused, paused.version, paused.updated_at) == (pause, 2, NOW)
            assert await store.subscription("a") == paused
            assert (await store.subscription_changes(before)).changed == (paused,)
            resumed = await store.resume("a", NOW + 1)
            assert (resumed.paused, resumed.version, resumed.updated_at) == (None, 3, NOW + 1)
            assert await store.resume("a", NOW + 2) == resumed
            for call in (store.pause("b", pause), store.resume("b", NOW)):
                with pytest.raises(NotFound):
                    await call

    async def test_a_removed_subscription_and_its_deliveries_are_gone(self, tmp_path: Path) -> None:
        """Nothing of it is shown, claimed or counted any more, and what is published passes over it."""
        async with self.open_store(tmp_path) as store:
            for key in "ab":
                await store.add_subscription(subscription(key))
            await publish(store, "a", "b", one=None)
            (mine,) = await store.deliveries(DeliveryQuery(subscription_id="a"))
            assert await store.remove_subscription("a")
            assert not await store.remove_subscription("a")
            assert await store.subscription("a") is None
            assert await store.delivery(mine.id) is None
            assert await store.attempts(mine.id) == []
            for call in (store.redeliver(mine.id, now=NOW), store.start_recovery("a", since=0, now=NOW)):
                with pytest.raises(NotFound):
                    await call
            assert [each.subscription_id for each in await store.deliveries(DeliveryQuery())] == ["b"]
            assert [each.subscription_id for each in await store.backlog()] == ["b"]
            assert [each.deliveries for each in await publish(store, "a", two=None)] == [0]
            assert [(c.subscription.id, c.event.id) for c in await claim(store)] == [("b", "one")]

    async def test_an_event_comes_back_equal_with_its_deliveries(self, tmp_path: Path) -> None:
        """One delivery for each subscription, in the same step."""
        async with self.open_store(tmp_path) as store:
            for key in "ab":
                await store.add_subscription(subscription(key))
            publication = Publication(replace(FULL_EVENT, sequence=0), ("a", "b", "a", "nobody"))
            answers = await store.publish([publication], version=await version_of(store), now=NOW)
            assert answers == [Published(FULL_EVENT, new=True, deliveries=2)]
            assert await store.event("evt-full") == FULL_EVENT
            found = await store.deliveries(DeliveryQuery(event_id="evt-full"))
            assert {(each.subscription_id, each.event_type, each.key, each.created_at) for each in found} == {
                (key, FULL_EVENT.type, FULL_EVENT.key, NOW) for key in "ab"
            }

    async def test_what_was_matched_against_other_subscriptions_is_refused(self, tmp_path: Path) -> None:
        """Whoever subscribed before an event was published is told of it, whichever process published it."""
        async with self.open_store(tmp_path) as store:
            version = await version_of(store)
            await store.add_subscription(subscription("a"))
            with pytest.raises(StaleGeneration):
                await store.publish([Publication(event("one"))], version=version, now=NOW)
            assert await store.event("one") is None

    async def test_an_event_is_stored_once_per_idempotency_key_and_id(self, tmp_path: Path) -> None:
        """A repetition gives the first event and makes no delivery; another publisher's keys are its own."""
        async with self.open_store(tmp_path) as store:
            await store.add_subscription(subscription("a"))
            version = await version_of(store)

            async def put(*events: object) -> list[tuple[str, bool, int]]:
                answers = await store.publish(
                    [Publication(each, ("a",)) for each in events],  # type: ignore[arg-type]  # events
                    version=version,
                    now=NOW,
                )
                return [(each.event.id, each.new, each.deliveries) for each in answers]

            first = event("e1", idempotency_key="k", publisher="p")
            assert await put(first) == [("e1", True, 1)]
            assert await put(replace(first, id="e2"), event("e3")) == [("e1", False, 0), ("e3", True, 1)]
            assert await put(replace(first, id="e4", publisher="q")) == [("e4", True, 1)]
            assert await put(event("e3"), event("e5"), event("e5")) == [
                ("e3", False, 0),
                ("e5", True, 1),
                ("e5", False, 0),
            ]
            assert sorted(names(await claim(store))) == ["e1", "e3", "e4", "e5"]

    async def test_a_cursor_moves_with_what_is_published_or_not_at_all(self, tmp_path: Path) -> None:
        """Two who publish the same source do it once."""
        async with self.open_store(tmp_path) as store:

            async def put(name: str, base: str | None, value: str) -> None:
                move = CursorMove("audit", base, value)
                await store.publish([Publication(event(name))], version=0, now=NOW, cursor=move)

            await put("one", None, "7")
            with pytest.raises(CursorMoved):
                await put("two", None, "8")
            assert (await store.cursor("audit"), await store.event("two")) == ("7", None)
            await put("two", "7", "8")
            assert await store.cursor("audit") == "8"
            assert await store.cursor("other") is None

    async def test_events_are_read_forwards_and_backwards(self, tmp_path: Path) -> None:
        """Forwards to follow them, backwards to look at the last ones."""
        async with self.open_store(tmp_path) as store:
            about = {"one": "x", "two": "y", "three": "x"}
            made = [Publication(event(name, integration_id=whose)) for name, whose in about.items()]
            await store.publish(made, version=0, now=NOW)

            async def found(**query: object) -> list[str]:
                return [each.id for each in await store.events(EventQuery(**query))]  # type: ignore[arg-type]  # fields

            assert await found() == ["three", "two", "one"]
            assert await found(limit=1) == ["three"]
            assert await found(after=0, limit=2) == ["one", "two"]
            second = (await store.event("two") or event("")).sequence
            assert await found(after=second) == ["three"]
            assert await found(before=second) == ["one"]
            assert await found(integration_id="x") == ["three", "one"]

    async def test_deliveries_are_asked_by_criteria_and_in_pages(self, tmp_path: Path) -> None:
        """Every criterion narrows the answer; `before` goes on where a page ended."""
        async with self.open_store(tmp_path) as store:
            for key in "ab":
                await store.add_subscription(subscription(key))
            for n, name in enumerate(("one", "two", "three")):
                await publish_all(store, {name: None}, "a", "b", now=NOW + n)

            async def found(**query: object) -> list[str]:
                asked = DeliveryQuery(subscription_id="a", **query)  # type: ignore[arg-type]  # fields
                return [each.event_id for each in await store.deliveries(asked)]

            assert await found() == ["three", "two", "one"]
            assert await found(since=NOW + 1) == ["three", "two"]
            assert await found(until=NOW + 1) == ["one"]
            assert await found(event_id="two") == ["two"]
            assert await found(limit=2) == ["three", "two"]
            last = (await store.deliveries(DeliveryQuery(subscription_id="a", limit=2)))[-1].sequence
            assert await found(before=last) == ["one"]
            (claimed, *_) = await claim(store, limit=1)
            state = claimed.delivery.state
            assert await store.deliveries(DeliveryQuery(state=state)) == [claimed.delivery]
