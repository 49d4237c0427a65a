"""The registry over a store: changes last, take effect at once, and conflicts are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, StoreError
from gateway.model import Envelope, FailurePolicy
from gateway.registry import HookChoice, HookDraft, IntegrationDraft, Registry, RegistryRules
from gateway.stores.memory import MemoryStore
from gateway.stores.opening import open_store
from gateway.transport import AddressGuard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.stores.protocol import RegistryChange, RegistryStore

RULES = RegistryRules(AddressGuard())
URL = "https://hooks.example.com"


class Now:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
async def registry(now: Now) -> AsyncIterator[Registry]:
    async with Registry.open(MemoryStore(), RULES, now=now) as it:
        yield it


async def registered(registry: Registry, name: str = "one", **fields: object) -> str:
    made = await registry.register(IntegrationDraft(name, URL, **fields))  # type: ignore[arg-type]  # a table
    return made.integration.id


def drafts(*names: str) -> list[HookDraft]:
    return [HookDraft(name, f"/{name}") for name in names]


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path, now: Now) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    async with open_store(url) as store, Registry.open(store, RULES, now=now) as first:
        made = await first.register(IntegrationDraft("one", URL, 5, Envelope(may_reject=True)))
        hook = await first.create_hook(made.integration.id, HookDraft("a", "/a", frozenset({"search"})))
        enabled = await first.enable(hook.id, lease_seconds=60)
        generation = first.generation
    async with open_store(url) as store, Registry.open(store, RULES, now=now) as second:
        assert second.generation == generation
        assert second.integration(made.integration.id) == made.integration
        assert second.hook(hook.id) == enabled
        assert await second.authenticate(made.api_key) == made.integration
        assert [h.hook_id for h in second.snapshot.select("search", None, None)] == [hook.id]


async def test_every_change_has_a_generation_of_its_own(registry: Registry) -> None:
    integration_id = await registered(registry)
    hook = await registry.create_hook(integration_id, HookDraft("a", "/a"))
    enabled = await registry.enable(hook.id)
    disabled = await registry.disable(hook.id)
    assert hook.generation < enabled.generation < disabled.generation == registry.generation
    assert registry.snapshot.generation == registry.generation


async def test_enabling_what_is_enabled_changes_nothing(registry: Registry) -> None:
    hook = await registry.create_hook(await registered(registry), HookDraft("a", "/a"))
    enabled = await registry.enable(hook.id)
    assert await registry.enable(hook.id) == enabled
    assert registry.generation == enabled.generation


async def test_replacing_the_hooks_keeps_those_of_the_same_name_enabled(registry: Registry) -> None:
    integration_id = await registered(registry)
    a, b = await registry.replace_hooks(integration_id, drafts("a", "b"))
    assert not a.enabled
    await registry.enable(a.id)
    now_a, now_c = await registry.replace_hooks(integration_id, [HookDraft("a", "/a", order=-7), *drafts("c")])
    assert (now_a.id, now_a.enabled, now_a.order) == (a.id, True, -7)
    assert (now_c.name, now_c.enabled) == ("c", False)
    with pytest.raises(NotFound):
        registry.hook(b.id)
    assert registry.snapshot.ids == {a.id}


async def test_a_bad_hook_in_a_list_refuses_the_whole_list_and_names_each_place(registry: Registry) -> None:
    integration_id = await registered(registry)
    before = await registry.replace_hooks(integration_id, drafts("a"))
    with pytest.raises(InvalidInput) as caught:
        await registry.replace_hooks(integration_id, [*drafts("b", "b"), HookDraft("C", "c")])
    assert [e.field for e in caught.value.errors] == ["/1/name", "/2/name", "/2/path"]
    assert registry.hooks(integration_id) == before


async def test_names_are_taken_once(registry: Registry) -> None:
    integration_id = await registered(registry)
    with pytest.raises(Conflict, match="'one'"):
        await registered(registry)
    await registry.create_hook(integration_id, HookDraft("a", "/a"))
    with pytest.raises(Conflict, match="'a'"):
        await registry.create_hook(integration_id, HookDraft("a", "/b"))
    other = await registered(registry, "two")
    await registry.create_hook(other, HookDraft("a", "/a"))


async def test_a_name_is_free_again_after_a_change_or_a_removal(registry: Registry) -> None:
    integration_id = await registered(registry)
    await registry.change_integration(integration_id, {"name": "uno"})
    again = await registered(registry)
    await registry.remove_integration(again)
    await registered(registry)


async def test_of_two_changes_from_the_same_version_one_is_refused(registry: Registry) -> None:
    integration_id = await registered(registry)
    version = registry.integration(integration_id).version
    results = await asyncio.gather(
        *(registry.change_integration(integration_id, {"priority": p}, version=version) for p in (1, 2)),
        return_exceptions=True,
    )
    assert [type(r).__name__ for r in results].count("PreconditionFailed") == 1
    hook = await registry.create_hook(integration_id, HookDraft("a", "/a"))
    await registry.change_hook(hook.id, {"order": 1}, version=hook.version)
    with pytest.raises(PreconditionFailed):
        await registry.change_hook(hook.id, {"order": 2}, version=hook.version)
    with pytest.raises(PreconditionFailed):
        await registry.remove_hook(hook.id, version=hook.version)


async def test_narrowing_the_envelope_takes_effect_on_existing_hooks(registry: Registry) -> None:
    wide = Envelope(failure_policy=FailurePolicy.FAIL)
    integration_id = await registered(registry, envelope=wide)
    draft = HookDraft("a", "/a", frozenset({"search", "form"}), timeout_ms=900, failure_policy=FailurePolicy.FAIL)
    hook = await registry.create_hook(integration_id, draft)
    await registry.enable(hook.id)
    narrow = {"types": frozenset({"form"}), "max_timeout_ms": 200, "failure_policy": FailurePolicy.IGNORE}
    await registry.change_integration(integration_id, {"envelope": narrow})
    assert registry.snapshot.select("search", None, None) == ()
    (bound,) = registry.snapshot.select("form", None, None)
    assert (bound.timeout, bound.fail) == (0.2, False)
    assert bound.generation > hook.generation
    assert (await registry.change_hook(hook.id, {"order": 4})).order == 4
    with pytest.raises(InvalidInput):
        await registry.change_hook(hook.id, {"timeout_ms": 800})


async def test_the_operators_switch_stops_all_hooks_of_an_integration_and_forgets_none(registry: Registry) -> None:
    integration_id = await registered(registry)
    hook = await registry.create_hook(integration_id, HookDraft("a", "/a"))
    await registry.enable(hook.id)
    await registry.change_integration(integration_id, {"enabled": False})
    assert registry.snapshot.enabled_count == 0
    await registry.change_integration(integration_id, {"enabled": True})
    assert registry.snapshot.ids == {hook.id}


async def test_hooks_are_chosen_by_all_criteria_given(registry: Registry) -> None:
    one, two = await registered(registry), await registered(registry, "two")
    made = {}
    for integration_id, name, types, capabilities in (
        (one, "a", {"search"}, {"air"}),
        (one, "b", {"search"}, {"sea"}),
        (one, "c", {"form"}, None),
        (two, "d", None, {"air"}),
    ):
        draft = HookDraft(name, f"/{name}", types and frozenset(types), capabilities and frozenset(capabilities))
        made[name] = (await registry.create_hook(integration_id, draft)).id

    async def enabled(choice: HookChoice, integration_id: str | None = None) -> set[str]:
        return {hook.name for hook in await registry.enable_many(choice, integration_id=integration_id)}

    search, air = frozenset({"search"}), frozenset({"air"})
    assert await enabled(HookChoice(types=search)) == {"a", "b", "d"}
    assert await enabled(HookChoice(types=search, capabilities=air)) == {"a", "d"}
    assert await enabled(HookChoice(types=search, capabilities=air), one) == {"a"}
    assert await enabled(HookChoice(ids=frozenset({made["c"]}), types=search)) == set()
    with pytest.raises(NotFound):
        await enabled(HookChoice(ids=frozenset({made["a"], made["d"]})), one)
    with pytest.raises(InvalidInput):
        await enabled(HookChoice())
    disabled = await registry.disable_many(HookChoice(capabilities=air), reason="a test")
    assert {(hook.name, hook.reason) for hook in disabled} == {("a", "a test"), ("c", "a test"), ("d", "a test")}


async def test_a_lease_ends_by_itself_unless_it_is_renewed(registry: Registry, now: Now) -> None:
    integration_id = await registered(registry)
    a, b = await registry.replace_hooks(integration_id, drafts("a", "b"))
    assert (await registry.enable(a.id, lease_seconds=60)).lease_expires_at == 1_060
    await registry.enable(b.id, lease_seconds=60)
    now.at = 1_050
    await registry.enable(b.id, lease_seconds=60)
    now.at = 1_060
    await registry.expire_leases()
    ended = registry.hook(a.id)
    assert (ended.enabled, ended.lease_expires_at) == (False, None)
    assert "lease" in (ended.reason or "")
    assert registry.snapshot.ids == {b.id}


async def test_a_lease_that_ended_while_the_gateway_was_down_is_not_served(tmp_path: Path, now: Now) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    async with open_store(url) as store, Registry.open(store, RULES, now=now) as first:
        hook = await first.create_hook(await registered(first), HookDraft("a", "/a"))
        await first.enable(hook.id, lease_seconds=60)
    now.at += 61
    async with open_store(url) as store, Registry.open(store, RULES, now=now) as second:
        assert second.snapshot.enabled_count == 0
        assert not second.hook(hook.id).enabled


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 40 * 86_400])
async def test_a_lease_has_a_sensible_length(registry: Registry, seconds: float) -> None:
    hook = await registry.create_hook(await registered(registry), HookDraft("a", "/a"))
    with pytest.raises(InvalidInput, match="lease_seconds"):
        await registry.enable(hook.id, lease_seconds=seconds)


async def test_after_a_rotation_both_api_keys_hold_during_the_grace_and_then_the_new_one(
    registry: Registry, now: Now
) -> None:
    made = await registry.register(IntegrationDraft("one", URL))
    rotated = await registry.rotate(made.integration.id, "api_key", grace_seconds=60)
    assert rotated.previous_expires_at == 1_060
    assert await registry.authenticate(made.api_key)
    assert await registry.authenticate(rotated.value)
    now.at = 1_060
    assert await registry.authenticate(made.api_key) is None
    assert await registry.authenticate(rotated.value)
    at_once = await registry.rotate(made.integration.id, "api_key", grace_seconds=0)
    assert await registry.authenticate(rotated.value) is None
    assert await registry.authenticate(at_once.value)
    assert await registry.authenticate("gwk_nonsense") is None


async def test_no_credential_shows_in_a_repr(registry: Registry) -> None:
    made = await registry.register(IntegrationDraft("one", URL))
    rotated = await registry.rotate(made.integration.id, "secret", grace_seconds=60)
    shown = repr((made, rotated, registry.integrations()))
    for secret in (made.api_key, made.secret, rotated.value):
        assert secret not in shown


class Failing:
    """A store that fails when told to."""

    def __init__(self, inner: RegistryStore) -> None:
        self.inner = inner
        self.broken = False
        self.gate: asyncio.Event | None = None
        self.load = inner.load
        self.ping = inner.ping
        self.pepper = inner.pepper
        self.audit = inner.audit

    async def commit(self, change: RegistryChange) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            msg = "The disk is full."
            raise StoreError(msg)
        await self.inner.commit(change)


async def test_a_store_that_fails_leaves_everything_as_it_was_and_queries_go_on(now: Now) -> None:
    store = Failing(MemoryStore())
    async with Registry.open(store, RULES, now=now) as registry:
        integration_id = await registered(registry)
        hook = await registry.create_hook(integration_id, HookDraft("a", "/a"))
        enabled = await registry.enable(hook.id)
        store.broken = True
        for change in (
            registry.disable(hook.id),
            registry.remove_integration(integration_id),
            registry.replace_hooks(integration_id, []),
        ):
            with pytest.raises(StoreError, match="disk is full"):
                await change
        assert registry.hook(hook.id) == enabled
        assert registry.snapshot.ids == {hook.id}
        store.broken = False
        await registry.disable(hook.id)
        assert registry.snapshot.enabled_count == 0


async def test_a_lease_ends_for_queries_even_if_the_store_fails(now: Now) -> None:
    store = Failing(MemoryStore())
    async with Registry.open(store, RULES, now=now) as registry:
        hook = await registry.create_hook(await registered(registry), HookDraft("a", "/a"))
        await registry.enable(hook.id, lease_seconds=60)
        store.broken = True
        now.at += 61
        await registry.expire_leases()
        assert registry.snapshot.enabled_count == 0
        store.broken = False
        await registry.expire_leases()
        assert not registry.hook(hook.id).enabled


async def test_a_change_goes_on_when_whoever_asked_for_it_goes_away(now: Now) -> None:
    store = Failing(MemoryStore())
    async with Registry.open(store, RULES, now=now) as registry:
        hook = await registry.create_hook(await registered(registry), HookDraft("a", "/a"))
        store.gate = asyncio.Event()
        asking = asyncio.create_task(registry.enable(hook.id))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        store.gate.set()
        store.gate = None
        await registry.create_hook(hook.integration_id, HookDraft("b", "/b"))
        assert registry.hook(hook.id).enabled
        assert registry.snapshot.ids == {hook.id}
        assert {h.id for h in (await store.load()).hooks if h.enabled} == {hook.id}


async def test_a_change_by_another_process_is_taken_in_before_the_own_one(now: Now) -> None:
    store = MemoryStore()
    async with Registry.open(store, RULES, now=now) as one, Registry.open(store, RULES, now=now) as other:
        first = await registered(one)
        with pytest.raises(Conflict):
            await registered(other)
        second = await registered(other, "two")
        hook = await one.create_hook(first, HookDraft("a", "/a"))
        assert {i.id for i in one.integrations()} == {first, second}
        assert hook.generation == 3


async def test_removing_an_integration_removes_its_hooks_and_its_key(registry: Registry) -> None:
    made = await registry.register(IntegrationDraft("one", URL))
    hook = await registry.create_hook(made.integration.id, HookDraft("a", "/a"))
    await registry.enable(hook.id)
    await registry.remove_integration(made.integration.id)
    assert registry.hooks() == []
    assert registry.snapshot.enabled_count == 0
    assert await registry.authenticate(made.api_key) is None
    for gone in (registry.integration, registry.hook):
        with pytest.raises(NotFound):
            gone(made.integration.id)


async def test_a_hook_of_another_integration_is_not_found(registry: Registry) -> None:
    one, two = await registered(registry), await registered(registry, "two")
    hook = await registry.create_hook(one, HookDraft("a", "/a"))
    for call in (
        registry.enable(hook.id, integration_id=two),
        registry.disable(hook.id, integration_id=two),
        registry.change_hook(hook.id, {"order": 1}, integration_id=two),
        registry.remove_hook(hook.id, integration_id=two),
    ):
        with pytest.raises(NotFound):
            await call
    assert registry.hook(hook.id, integration_id=one) == hook
