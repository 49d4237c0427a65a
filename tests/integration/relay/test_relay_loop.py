"""The relay as it runs: it wakes up, goes on, gives way and stops by itself, on each kind of store."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.config import Settings
from gateway.errors import StoreLocked
from gateway.model.delivery import LOST, DeliveryState
from gateway.model.subscription import Subscription
from gateway.registry.drafts import IntegrationDraft
from gateway.relay.worker import RelaySettings
from gateway.runtime import open_gateway
from gateway.runtime_relay import open_relay
from gateway.stores.memory_events import MemoryEventStore
from gateway.stores.sqlite_events import open_sqlite_events
from gateway.testing.hook_server import Reply


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryEventStore()
    else:
        async with open_sqlite_events(tmp_path / "events.db") as store:
            yield store


async def until(asked):
    """Return once `asked()` is true, or awaits to something that is."""
    async with asyncio.timeout(20):
        while True:
            found = asked()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)


async def delivered(bench, count):
    found = [d for d in await bench.deliveries() if d.state is DeliveryState.DELIVERED]
    return len(found) == count


async def test_what_is_published_goes_out_at_once_without_waiting_for_the_poll(new_bench, store):
    async with new_bench(store=store, settings=RelaySettings(poll=3_600), clock=time.time) as bench:
        await bench.subscribe()
        async with bench.relay.relaying():
            for number in range(20):
                await bench.publisher.publish("a", number)
            await until(lambda: delivered(bench, 20))
            await bench.publisher.publish("a", 20)
            await until(lambda: delivered(bench, 21))
    assert bench.relay.under_way == 0


async def test_a_slow_endpoint_holds_up_nobody_else(new_bench, store):
    async with new_bench(store=store, clock=time.time) as bench:
        slow = await bench.subscribe("slow", path="/slow", max_concurrency=2)
        quick = await bench.subscribe("quick")
        async with bench.relay.relaying():
            for number in range(30):
                await bench.publisher.publish("a", number)
            await until(lambda: delivered(bench, 30))
            assert {d.state for d in await bench.deliveries(quick)} == {DeliveryState.DELIVERED}
            assert len(bench.got("/slow")) == 2
            bench.server.release()
            await until(lambda: delivered(bench, 60))
        assert len(set(bench.got("/slow"))) == len(bench.got("/slow")) == 30
        assert slow.max_concurrency == 2


async def test_no_more_are_under_way_than_there_may_be(new_bench, store):
    async with new_bench(store=store, settings=RelaySettings(concurrency=3), clock=time.time) as bench:
        await bench.subscribe(path="/slow", max_concurrency=100)
        for number in range(10):
            await bench.publisher.publish("a", number)
        async with bench.relay.relaying():
            await bench.server.arrived(3)
            await asyncio.sleep(0.05)
            assert len(bench.server.requests) == bench.relay.under_way == 3
            bench.server.release()
            await until(lambda: delivered(bench, 10))


async def test_two_relays_on_one_store_share_the_work_and_send_nothing_twice(new_bench, store):
    async with new_bench(store=store, clock=time.time) as bench:
        await bench.subscribe(max_concurrency=100)
        for number in range(100):
            await bench.publisher.publish("a", number)
        async with bench.relay.relaying(), bench.another_relay().relaying():
            await until(lambda: delivered(bench, 100))
    assert len(bench.got()) == len(set(bench.got())) == 100


async def test_a_stop_lets_what_is_under_way_end_and_records_it(new_bench, store):
    async with new_bench(store=store, clock=time.time) as bench:
        await bench.subscribe(path="/slow")
        await bench.publisher.publish("a")
        async with bench.relay.relaying():
            await bench.server.arrived(1)
            bench.relay.stop()
            await bench.publisher.publish("b")
            bench.server.release()
        first, second = await bench.deliveries()
        assert first.state is DeliveryState.DELIVERED
        assert (second.state, second.attempts) == (DeliveryState.PENDING, 0)


async def test_a_stop_breaks_off_what_takes_too_long_and_records_that(new_bench, store):
    async with new_bench(store=store, settings=RelaySettings(stop=0.05), clock=time.time) as bench:
        await bench.subscribe(path="/hang")
        await bench.publisher.publish("a")
        async with bench.relay.relaying():
            await bench.server.arrived(1)
        (delivery,) = await bench.deliveries()
        assert delivery.state is DeliveryState.PENDING
        (attempt,) = await bench.attempts()
        assert attempt.reason == LOST
        assert "stopped" in attempt.detail


class Locked:
    """A store that is locked until it is let go."""

    def __init__(self, store):
        self._store = store
        self.locked = True
        self.asked = 0

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not self.locked or name not in {"claim", "finish", "next_due"}:
            return found

        async def refuse(*_args, **_named):
            self.asked += 1
            raise StoreLocked("The database is locked.")

        return refuse


async def test_a_locked_store_is_waited_for_and_the_relay_says_so(new_bench, store, caplog):
    locked = Locked(store)
    async with new_bench(store=store, clock=time.time) as bench:
        relay = bench.another_relay(store=locked)
        await bench.subscribe()
        await bench.publisher.publish("a")
        async with relay.relaying():
            await until(lambda: locked.asked >= 3)
            assert not relay.well
            locked.locked = False
            await until(lambda: delivered(bench, 1))
            assert relay.well
    assert [r.getMessage().split()[0] for r in caplog.records if "store_failing" in r.getMessage()] == [
        "relay.store_failing"
    ]


async def test_an_answer_that_cannot_be_recorded_is_kept_until_it_can(new_bench, store):
    locked = Locked(store)
    locked.locked = False
    async with new_bench(store=store, clock=time.time) as bench:

        async def handler(_request):
            locked.locked = True
            return Reply(204)

        bench.server.on("/hook", handler)
        relay = bench.another_relay(store=locked)
        await bench.subscribe(path="/hook")
        await bench.publisher.publish("a")
        async with relay.relaying():
            await until(lambda: locked.asked >= 3)
            locked.locked = False
            await until(lambda: delivered(bench, 1))
    assert len(bench.server.requests) == 1


async def test_a_gateway_delivers_its_own_events_and_its_embedders(tmp_path, server, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings.model_validate(
        {"calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False}}
    )
    async with open_gateway(settings) as gateway:
        await gateway.events.add_subscription(
            Subscription("sub_1", None, "all", ("*",), server.url + "/unchanged", filter="event.type != 'secret'")
        )
        await gateway.registry.register(IntegrationDraft("prices", server.url))
        await gateway.publisher.publish("order.created", {"total": 3})
        await gateway.publisher.publish("secret")
        await server.arrived(2)
        names = {request.header("gateway-event") for request in server.requests}
        assert names == {"gateway.integration.registered", "order.created"}
        await until(lambda: b'gateway_delivery_attempts_total{outcome="delivered",subscription="sub_1"} 2.0' in (
            gateway.metrics.render()
        ))  # fmt: skip


async def test_a_relay_of_its_own_delivers_what_a_gateway_without_one_publishes(tmp_path, server, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "calls": {"allow_http": True, "allow": ["127.0.0.0/8"]},
        "relay": {"enabled": False, "poll_ms": 10},
    }
    settings = Settings.model_validate(given)
    async with open_gateway(settings) as gateway, open_relay(settings):
        assert gateway.relay is None
        await gateway.events.add_subscription(Subscription("sub_1", None, "all", ("*",), server.url + "/unchanged"))
        await gateway.publisher.publish("order.created")
        await server.arrived(1)
