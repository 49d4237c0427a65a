"""The relay over time: retries, dead letters, pauses; each weakness that this field is known for is a test."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from gateway.errors import StoreError
from gateway.model.delivery import Cause, DeliveryState
from gateway.model.subscription import Pause
from gateway.relay.ruling import PausePolicy, Ruling
from gateway.relay.schedule import RetrySchedule
from gateway.testing.hook_server import Reply

HOUR = 3_600.0
SHORT = RetrySchedule((0.0, 5.0, 60.0), random=lambda: 0.0)


def failing_until(bench, at):
    """A handler that answers 500 until the clock shows `at`."""

    async def handler(_request):
        return Reply(500 if bench.clock() < at else 204)

    return handler


async def test_what_is_delivered_is_delivered_once(bench):
    subscription = await bench.subscribe()
    for number in range(5):
        await bench.publisher.publish("order.created", {"n": number})
    await bench.go()
    assert [json.loads(r.body)["data"]["n"] for r in bench.server.requests] == [0, 1, 2, 3, 4]
    assert {d.state for d in await bench.deliveries(subscription)} == {DeliveryState.DELIVERED}
    await bench.live_for(24 * HOUR)
    assert len(bench.server.requests) == 5


async def test_a_retry_waits_for_its_time_and_carries_the_same_id(bench):
    bench.server.on("/hook", failing_until(bench, bench.clock() + 100))
    await bench.subscribe(path="/hook")
    await bench.publisher.publish("a")
    await bench.go()
    assert len(bench.server.requests) == 1
    bench.clock.advance(4.9)
    await bench.go()
    assert len(bench.server.requests) == 1
    await bench.live_for(HOUR)
    attempts = await bench.attempts()
    began = attempts[0].started_at
    assert [attempt.started_at - began for attempt in attempts] == [0, 5, 305]
    assert len(set(bench.got())) == 1
    assert [r.header("gateway-attempt") for r in bench.server.requests] == ["1", "2", "3"]
    assert [attempt.status for attempt in attempts] == [500, 500, 204]


async def test_an_hour_of_500_then_recovery_loses_nothing_and_ends_the_pause_by_itself(bench):
    bench.server.on("/hook", failing_until(bench, bench.clock() + HOUR + 1))
    subscription = await bench.subscribe(path="/hook")
    sent = []
    for _ in range(60):  # an event a minute for an hour
        sent.append((await bench.publisher.publish("tick")).event.id)
        await bench.live_for(60)
    await bench.live_for(3 * HOUR)
    arrived = [r.header("webhook-id") for r in bench.server.requests]
    assert set(arrived) == set(sent)
    assert {d.state for d in await bench.deliveries(subscription)} == {DeliveryState.DELIVERED}
    assert (await bench.store.subscription(subscription.id)).paused is None


async def test_an_endpoint_that_keeps_failing_is_paused_and_its_owner_is_told(new_bench):
    policy = PausePolicy(failures=4, seconds=300, first_probe=60, longest_probe=240)
    async with new_bench(ruling=Ruling(RetrySchedule(random=lambda: 0.0), policy)) as bench:
        recovers = bench.clock() + 2_000
        bench.server.on("/hook", failing_until(bench, recovers))
        owner = await bench.subscribe("owner", events=("gateway.subscription.*",), path="/owner")
        bench.server.on("/owner", failing_until(bench, 0))
        subscription = await bench.subscribe("bad", events=("tick",), path="/hook")
        sent = []
        for _ in range(40):
            sent.append((await bench.publisher.publish("tick")).event.id)
            await bench.live_for(30)
            paused = (await bench.store.subscription(subscription.id)).paused
            if paused is not None:
                break
        assert paused.reason == "it answered with status 500"
        before = len(bench.got("/hook"))
        (told,) = await bench.own_events("subscription.paused")
        assert told["subscription"] == {"id": "sub_bad", "name": "bad"}
        assert len(bench.got("/owner")) == 1

        await bench.live_for(600)  # probes after 60, 120, 240 and 480 s: one delivery each
        probes = [a for d in await bench.deliveries(subscription) for a in await bench.store.attempts(d.id)]
        probes = [attempt for attempt in probes if attempt.cause is Cause.PROBE]
        assert sorted(round(a.started_at - paused.at) for a in probes) == [60, 120, 240, 480]
        assert len(bench.got("/hook")) == before + 4
        assert {d.state for d in await bench.deliveries(subscription)} == {DeliveryState.PENDING}

        await bench.live_for(2_000)
        assert (await bench.store.subscription(subscription.id)).paused is None
        assert {d.state for d in await bench.deliveries(subscription)} == {DeliveryState.DELIVERED}
        assert set(bench.got("/hook")) == set(sent)
        (back,) = await bench.own_events("subscription.resumed")
        assert back["subscription"]["id"] == "sub_bad"
        assert owner.id == "sub_owner"


async def test_a_pause_made_by_hand_is_not_ended_by_a_probe(new_bench):
    policy = PausePolicy(failures=1, seconds=0)
    async with new_bench(ruling=Ruling(RetrySchedule(random=lambda: 0.0), policy)) as bench:
        subscription = await bench.subscribe(path="/status/500")
        await bench.publisher.publish("a")
        await bench.go()
        assert (await bench.store.subscription(subscription.id)).paused.probe_at is not None
        by_hand = Pause(bench.clock(), "maintenance")

        async def handler(_request):
            await bench.store.pause(subscription.id, by_hand)
            return Reply(204)

        bench.server.on("/status/500", handler)
        await bench.live_for(60)
        assert (await bench.store.subscription(subscription.id)).paused == by_hand


async def test_what_is_exhausted_becomes_a_dead_letter_with_the_reason_and_its_owner_is_told(new_bench):
    async with new_bench(ruling=Ruling(SHORT)) as bench:
        subscription = await bench.subscribe(path="/status/500", events=("order.*",))
        published = await bench.publisher.publish("order.created")
        await bench.live_for(HOUR)
        (delivery,) = await bench.deliveries(subscription)
        assert (delivery.state, delivery.status, delivery.reason) == (DeliveryState.DEAD, 500, "status")
        assert len(bench.server.requests) == 3
        (told,) = await bench.own_events("delivery.exhausted")
        assert told == {
            "subscription": {"id": subscription.id, "name": "all"},
            "delivery": {"id": delivery.id},
            "event": {"id": published.event.id, "type": "order.created"},
            "attempts": 3,
            "reason": "it answered with status 500",
        }
        assert bench.seen.attempts[-1] == (subscription.id, "exhausted")


async def test_a_dead_letter_about_a_dead_letter_begets_no_third(new_bench):
    async with new_bench(ruling=Ruling(SHORT)) as bench:
        for name in ("one", "two"):
            await bench.subscribe(name, path="/status/500", events=("*",))
        await bench.publisher.publish("order.created")
        await bench.live_for(24 * HOUR)
        assert len(await bench.own_events("delivery.exhausted")) == 2
        assert {d.state for d in await bench.deliveries()} == {DeliveryState.DEAD}


async def test_after_410_nothing_is_sent_there_any_more(bench):
    subscription = await bench.subscribe(path="/status/410", events=("order.*",))
    for _ in range(3):
        await bench.publisher.publish("order.created")
        await bench.live_for(60)
    assert len(bench.server.requests) == 1
    present = await bench.store.subscription(subscription.id)
    assert (present.active, present.paused.reason) == (False, "it answered 410 Gone")
    (told,) = await bench.own_events("subscription.disabled")
    assert told["reason"] == "it answered 410 Gone"
    (delivery,) = await bench.deliveries(subscription)
    assert (delivery.state, delivery.status, delivery.reason) == (DeliveryState.DEAD, 410, "gone")


@pytest.mark.parametrize(("asked", "waits"), [("120", 120), ("999999999", 24 * HOUR), ("0", 5)])
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_heeded_for_the_whole_endpoint_and_clamped(bench, status, asked, waits):
    async def handler(_request):
        return Reply(status, [("retry-after", asked)])

    bench.server.on("/hook", handler)
    await bench.subscribe(path="/hook")
    await bench.publisher.publish("a")
    await bench.go()
    (delivery,) = await bench.deliveries()
    assert delivery.due - bench.clock() == waits
    await bench.publisher.publish("b")
    await bench.go()
    assert len(bench.server.requests) == (2 if asked == "0" else 1)


async def test_strict_order_per_key_waits_for_the_one_before_and_for_no_other_key(bench):
    bench.server.on("/hook", failing_until(bench, bench.clock() + 3))
    await bench.subscribe(path="/hook", ordered=True)
    await bench.publisher.publish("a", {"n": 1}, key="k")
    await bench.go()
    bench.clock.advance(4)
    for n, key in ((2, "k"), (3, "other"), (4, "k")):
        await bench.publisher.publish("a", {"n": n}, key=key)
    await bench.go()
    await bench.live_for(HOUR)
    arrived = [json.loads(r.body)["data"]["n"] for r in bench.server.requests]
    assert arrived == [1, 3, 1, 2, 4]


async def test_a_dead_endpoint_does_not_take_the_turn_of_the_others(bench):
    bad = await bench.subscribe("bad", path="/hang-up")
    good = await bench.subscribe("good", path="/unchanged")
    for number in range(20):
        await bench.publisher.publish("a", number)
    await bench.go()
    states = Counter((d.subscription_id, d.state) for d in await bench.deliveries())
    assert states == {(bad.id, DeliveryState.PENDING): 20, (good.id, DeliveryState.DELIVERED): 20}


async def test_what_was_redelivered_by_hand_has_its_whole_schedule_again_and_the_same_id(new_bench):
    async with new_bench(ruling=Ruling(SHORT)) as bench:
        bench.server.on("/hook", failing_until(bench, bench.clock() + 2 * HOUR + 30))
        await bench.subscribe(path="/hook", events=("order.*",))
        published = await bench.publisher.publish("order.created")
        await bench.live_for(2 * HOUR)
        (delivery,) = await bench.deliveries()
        assert delivery.state is DeliveryState.DEAD
        await bench.store.redeliver(delivery.id, now=bench.clock())
        await bench.live_for(HOUR)
        (delivery,) = await bench.deliveries()
        assert delivery.state is DeliveryState.DELIVERED
        assert set(bench.got()) == {published.event.id}
        causes = [attempt.cause for attempt in await bench.attempts()]
        assert causes == [Cause.SCHEDULE] * 3 + [Cause.REDELIVER] + [Cause.SCHEDULE] * 2


async def test_a_ping_reaches_its_subscription_whatever_its_patterns(bench):
    subscription = await bench.subscribe(events=("order.*",))
    await bench.subscribe("other", events=("*",))
    await bench.publisher.ping(subscription)
    await bench.go()
    (request,) = bench.server.requests
    assert json.loads(request.body)["type"] == "gateway.ping"
    (attempt,) = await bench.attempts()
    assert attempt.cause is Cause.PING


@pytest.mark.parametrize("step", [-3 * HOUR, 3 * HOUR])
async def test_a_clock_that_steps_delays_at_most_and_loses_nothing(bench, step):
    bench.server.on("/hook", failing_until(bench, bench.clock() + 100))
    await bench.subscribe(path="/hook")
    first = await bench.publisher.publish("a")
    await bench.go()
    bench.clock._now += step
    second = await bench.publisher.publish("b")
    await bench.live_for(12 * HOUR)
    assert {d.state for d in await bench.deliveries()} == {DeliveryState.DELIVERED}
    assert set(bench.got()) == {first.event.id, second.event.id}


async def test_a_clock_that_leaps_over_the_lease_during_an_attempt_sends_it_once(bench):
    async def handler(_request):
        bench.clock._now += HOUR
        while await bench.relay._claim():  # as the loop would, while the attempt is under way
            pass
        return Reply(204)

    bench.server.on("/hook", handler)
    await bench.subscribe(path="/hook")
    await bench.publisher.publish("a")
    await bench.go()
    await bench.live_for(24 * HOUR)
    (delivery,) = await bench.deliveries()
    assert delivery.state is DeliveryState.DELIVERED
    assert len(bench.server.requests) == 1


class Refusing:
    """A store that refuses some of what it is asked, then does it."""

    def __init__(self, store, **times):
        self._store = store
        self._times = times

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if self._times.get(name, 0) <= 0:
            return found

        async def refuse(*_args, **_named):
            self._times[name] -= 1
            raise StoreError("There is no room left for the database.")

        return refuse


async def test_an_attempt_that_cannot_be_recorded_at_once_is_recorded_later_and_not_repeated(bench):
    bench.relay = bench.another_relay(store=Refusing(bench.store, finish=3))
    await bench.subscribe()
    await bench.publisher.publish("a")
    for _ in range(3):
        with pytest.raises(StoreError):
            await bench.relay.step()
    assert await bench.relay.step() == 0
    (delivery,) = await bench.deliveries()
    assert delivery.state is DeliveryState.DELIVERED
    assert [attempt.status for attempt in await bench.attempts()] == [204]
    assert len(bench.server.requests) == 1
