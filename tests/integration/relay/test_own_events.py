"""The gateway tells of itself: what changes in the registry, and how hooks do."""

from __future__ import annotations

import asyncio
import json

import jsonschema_rs
import pytest

from gateway.errors import StoreError
from gateway.model import GATEWAY, Actor, ActorKind, AuditEntry, Outcome, Query, Reason, Status
from gateway.registry import Registry, RegistryRules, WaivedOwnership
from gateway.registry.drafts import HookDraft, IntegrationDraft
from gateway.relay.catalogue import CATALOGUE
from gateway.relay.own_events import AuditTail, told_as
from gateway.relay.publisher import Publisher
from gateway.relay.transients import Transients
from gateway.stores.events import EventQuery
from gateway.stores.memory import MemoryStore
from gateway.stores.memory_events import MemoryEventStore
from gateway.testing.clock import ManualClock
from gateway.transport.address import AddressGuard

OPERATOR = Actor(ActorKind.OPERATOR, "f00dcafe", address="10.1.2.3")


@pytest.fixture
async def registry():
    clock = ManualClock()
    rules = RegistryRules(AddressGuard(("127.0.0.0/8",), allow_http=True))
    async with Registry.open(MemoryStore(), rules, WaivedOwnership(), now=clock) as registry:
        yield registry, clock


async def told(store):
    """The gateway's own events: type and data, each fitting its schema."""
    found = []
    for event in await store.events(EventQuery(after=0, limit=1_000)):
        data = json.loads(event.data)
        jsonschema_rs.validate(dict(CATALOGUE[event.type].schema), data)
        found.append((event.type.removeprefix("gateway."), data, event))
    return found


async def test_each_change_of_the_registry_is_told_with_who_and_why(registry):
    registry, clock = registry
    store = MemoryEventStore()
    tail = AuditTail(registry, store, Publisher(store, now=clock))
    await tail.begin()
    made = await registry.register(IntegrationDraft("prices", "http://127.0.0.1:1"), actor=OPERATOR)
    own = Actor(ActorKind.INTEGRATION, made.integration.id, "prices")
    hook = await registry.create_hook(made.integration.id, HookDraft("fx", "/fx"), actor=own)
    await registry.enable(hook.id, actor=own)
    await registry.change_hook(hook.id, {"order": 5}, actor=own)
    await registry.disable(hook.id, reason="maintenance", actor=own)
    await registry.enable(hook.id, lease_seconds=10, actor=own)
    await registry.enable(hook.id, lease_seconds=20, actor=own)
    clock.advance(30)
    await registry.expire_leases()
    await registry.enable(hook.id, actor=own)
    await registry.suspend(made.integration.id, "its integration's health check fails")
    await registry.resume(made.integration.id)
    await registry.change_integration(made.integration.id, {"enabled": False}, actor=OPERATOR)
    await registry.change_integration(made.integration.id, {"enabled": True}, actor=OPERATOR)
    await registry.change_integration(made.integration.id, {"priority": 3}, actor=OPERATOR)
    await registry.rotate(made.integration.id, "api_key", grace_seconds=60, actor=OPERATOR)
    await registry.remove_hook(hook.id, actor=own)
    await registry.remove_integration(made.integration.id, actor=OPERATOR)
    while await tail.step():
        pass
    found = await told(store)
    assert [name for name, _, _ in found] == [
        "integration.registered",
        "hook.registered",
        "hook.enabled",
        "hook.changed",
        "hook.disabled",
        "hook.enabled",
        "hook.lease_expired",
        "hook.enabled",
        "hook.suspended",
        "hook.resumed",
        "integration.disabled",
        "integration.enabled",
        "integration.changed",
        "integration.rotated",
        "hook.removed",
        "integration.removed",
    ]
    disabled = found[4][1]
    assert disabled["hook"] == {"id": hook.id, "name": "fx"}
    assert disabled["actor"] == {"kind": "integration", "id": made.integration.id, "name": "prices"}
    assert disabled["reason"] == "maintenance"
    assert found[6][1]["actor"]["kind"] == "gateway"
    assert {event.integration_id for _, _, event in found} == {made.integration.id}
    assert "10.1.2.3" not in repr(found)
    assert made.api_key not in repr(found)
    assert made.secret not in repr(found)


async def test_what_was_committed_before_a_stop_is_told_once_after_it(registry):
    registry, clock = registry
    store = MemoryEventStore()
    first = AuditTail(registry, store, Publisher(store, now=clock))
    await first.begin()
    await registry.register(IntegrationDraft("one", "http://127.0.0.1:1"))
    await first.step()
    await registry.register(IntegrationDraft("two", "http://127.0.0.1:1"))  # and now the process is killed
    after, beside = (AuditTail(registry, store, Publisher(store, now=clock)) for _ in range(2))
    await after.begin()
    await beside.begin()
    await registry.register(IntegrationDraft("three", "http://127.0.0.1:1"))
    await asyncio.gather(after.step(), beside.step(), after.step(), beside.step())
    await first.step()
    assert [data["integration"]["name"] for _, data, _ in await told(store)] == ["one", "two", "three"]


async def test_what_happened_before_there_were_events_is_not_told(registry):
    registry, clock = registry
    await registry.register(IntegrationDraft("old", "http://127.0.0.1:1"))
    store = MemoryEventStore()
    tail = AuditTail(registry, store, Publisher(store, now=clock))
    await tail.begin()
    assert await tail.step() == 0
    await registry.register(IntegrationDraft("new", "http://127.0.0.1:1"))
    assert await tail.step() == 1
    assert [data["integration"]["name"] for _, data, _ in await told(store)] == ["new"]


async def test_with_another_registry_it_begins_anew(registry):
    registry, clock = registry
    store = MemoryEventStore()
    tail = AuditTail(registry, store, Publisher(store, now=clock))
    await tail.begin()
    for name in ("one", "two"):
        await registry.register(IntegrationDraft(name, "http://127.0.0.1:1"))
    await tail.step()
    rules = RegistryRules(AddressGuard(("127.0.0.0/8",), allow_http=True))
    async with Registry.open(MemoryStore(), rules, WaivedOwnership(), now=clock) as other:
        tail = AuditTail(other, store, Publisher(store, now=clock))
        await tail.begin()
        await other.register(IntegrationDraft("three", "http://127.0.0.1:1"))
        await tail.step()
    assert [data["integration"]["name"] for _, data, _ in await told(store)] == ["one", "two", "three"]


def test_a_canary_that_stepped_back_is_told_as_such():
    entry = AuditEntry(
        0.0, 1, "hook.stepped_back", GATEWAY, "int_a", "a", "hk_b", "b", {"stepped_back": None}, {"stepped_back": "x"}
    )
    assert told_as(entry) == "hook.canary_stepped_back"


# ------------------------------------------------------------ how hooks do


class Counted:
    def __init__(self):
        self.dropped = 0

    def own_event_dropped(self):
        self.dropped += 1

    def store_answered(self, well):
        pass


def outcome(status, reason=None, hook="hk_b"):
    return Outcome("fx", "prices", status, reason, hook_id=hook, integration_id="int_a", detail="a sentence")


QUERY = Query(type="search", params={})


@pytest.fixture
def transients():
    store, clock = MemoryEventStore(), ManualClock(0.0)
    counted = Counted()
    made = Transients(
        Publisher(store, now=clock), lambda hook: "int_a" if hook == "hk_b" else None, counted, clock=clock, capacity=3
    )
    return made, store, clock, counted


async def test_a_hook_that_begins_to_fail_and_works_again_is_told_of_each_once(transients):
    transients, store, clock, _ = transients
    ok, bad = outcome(Status.APPLIED), outcome(Status.FAILED, Reason.TIMEOUT)
    for each in (ok, bad, bad, outcome(Status.FAILED, Reason.BREAKER_OPEN)):
        transients.outcome(QUERY, each)
    clock.advance(61)
    for each in (outcome(Status.SKIPPED, Reason.BUDGET), ok, ok):
        transients.outcome(QUERY, each)
    while await transients.step():
        pass
    found = await told(store)
    assert [name for name, _, _ in found] == ["hook.failing", "hook.works_again"]
    assert found[0][1]["reason"] == "timeout"
    assert found[0][2].integration_id == "int_a"


async def test_a_hook_that_goes_back_and_forth_does_not_flood_anybody(transients):
    transients, store, clock, counted = transients
    for _ in range(100):
        transients.outcome(QUERY, outcome(Status.FAILED, Reason.STATUS))
        transients.outcome(QUERY, outcome(Status.APPLIED))
        clock.advance(0.5)
    while await transients.step():
        pass
    assert len(await told(store)) == 1
    assert counted.dropped == 0


async def test_a_breaker_is_told_of_and_one_of_a_hook_that_is_gone_is_not(transients):
    transients, store, _, _ = transients
    transients.breaker_changed("prices", "fx", "hk_b", "open", "5 of 8 calls failed")
    transients.breaker_changed("prices", "fx", "hk_b", "half_open", "its open time has ended")
    transients.breaker_changed("prices", "fx", "hk_b", "closed", "the probes went well")
    transients.breaker_changed("prices", "fx", "hk_gone", "open", "5 of 8 calls failed")
    await transients.step()
    assert [(name, data["why"]) for name, data, _ in await told(store)] == [
        ("breaker.opened", "5 of 8 calls failed"),
        ("breaker.closed", "the probes went well"),
    ]


async def test_what_does_not_fit_is_dropped_and_counted_and_the_data_path_notices_nothing(transients):
    transients, _, _, counted = transients
    for number in range(5):
        transients.outcome(QUERY, outcome(Status.FAILED, Reason.STATUS, hook=f"hk_{number}"))
    assert counted.dropped == 2


async def test_a_store_that_fails_costs_no_event_that_is_in_the_queue(transients):
    transients, store, _, _ = transients
    works = store.publish

    async def refuse(*_args, **_named):
        raise StoreError("There is no room left for the database.")

    store.publish = refuse
    transients.outcome(QUERY, outcome(Status.FAILED, Reason.STATUS))
    with pytest.raises(StoreError):
        await transients.step()
    store.publish = works
    assert await transients.step() == 1
    assert len(await told(store)) == 1
