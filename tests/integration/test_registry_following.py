"""A registry that follows another one sees at once what that one shows, and only what changed is another object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StoreError
from gateway.registry import HookDraft, IntegrationDraft, Registry, RegistryRules
from gateway.registry.following import FollowingRegistry
from gateway.stores.memory import MemoryStore
from gateway.transport import AddressGuard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from gateway.registry.image import RegistryUpdate
    from gateway.stores.protocol import RegistryChange

RULES = RegistryRules(AddressGuard())
URL = "https://hooks.example.com"


class Told:
    """A leader that remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def gone(self, hook_id: str, generation: int) -> None:
        self.said.append(("gone", hook_id, generation))

    def stepped_back(self, hook_id: str, generation: int, why: str) -> None:
        self.said.append(("stepped back", hook_id, generation, why))


class OneFollower:
    """Hands updates over when it is let, as another process would take them a moment later."""

    def __init__(self, follower: FollowingRegistry) -> None:
        self._follower = follower
        self._waiting: list[RegistryUpdate] = []
        self.open = asyncio.Event()
        self.open.set()

    def show(self, update: RegistryUpdate) -> None:
        self._waiting.append(update)

    async def reached(self) -> None:
        await self.open.wait()
        while self._waiting:
            self._follower.take(self._waiting.pop(0))

    async def drained(self, hook_ids: Iterable[str]) -> None:
        await self._follower.drained(hook_ids)


class Both:
    """A registry and one that follows it."""

    def __init__(self, registry: Registry) -> None:
        self.leader = registry
        self.told = Told()
        self.follower = FollowingRegistry(RULES, self.told)
        self.link = OneFollower(self.follower)
        registry.lead(self.link)
        self.follower.take(registry.whole())

    async def hook(self, name: str) -> str:
        owner = next((each.id for each in self.leader.integrations()), None)
        if owner is None:
            owner = (await self.leader.register(IntegrationDraft("one", URL))).integration.id
        return (await self.leader.create_hook(owner, HookDraft(name, f"/{name}"))).id


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    async with Registry.open(MemoryStore(), RULES) as registry:
        yield Both(registry)


async def test_a_follower_that_joins_late_sees_everything_as_the_leader_does() -> None:
    async with Registry.open(MemoryStore(), RULES) as registry:
        owner = (await registry.register(IntegrationDraft("one", URL))).integration.id
        enabled = await registry.create_hook(owner, HookDraft("a", "/a"))
        await registry.create_hook(owner, HookDraft("b", "/b"))
        await registry.enable(enabled.id)
        follower = FollowingRegistry(RULES, Told())
        follower.take(registry.whole())
        assert (follower.generation, follower.hooks()) == (registry.generation, registry.hooks())
        assert follower.integrations() == registry.integrations()
        assert follower.snapshot.ids == registry.snapshot.ids == {enabled.id}


async def test_when_a_change_returns_who_follows_has_it(both: Both) -> None:
    hook = await both.hook("a")
    both.link.open.clear()
    enabling = asyncio.ensure_future(both.leader.enable(hook))
    while hook not in both.leader.snapshot.ids:  # noqa: ASYNC110  no event to wait for
        await asyncio.sleep(0)
    assert not enabling.done()
    both.link.open.set()
    await enabling
    assert hook in both.follower.snapshot.ids


async def test_a_change_that_another_call_has_just_made_is_waited_for_as_well(both: Both) -> None:
    hook = await both.hook("a")
    both.link.open.clear()
    first = asyncio.ensure_future(both.leader.disable(hook))
    second = asyncio.ensure_future(both.leader.disable(hook))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    both.link.open.set()
    await asyncio.gather(first, second)


async def test_hooks_that_did_not_change_stay_the_same_objects(both: Both) -> None:
    kept, changed = await both.hook("kept"), await both.hook("changed")
    for each in (kept, changed):
        await both.leader.enable(each)
    before = {each: both.follower.snapshot.get(each) for each in (kept, changed)}
    await both.leader.change_hook(changed, {"order": 3})
    assert both.follower.snapshot.get(kept) is before[kept]
    assert both.follower.snapshot.get(changed) is not before[changed]


async def test_disabling_with_drain_waits_for_the_calls_of_who_follows(both: Both) -> None:
    hook = await both.hook("a")
    await both.leader.enable(hook)
    bound = both.follower.snapshot.get(hook)
    assert bound is not None
    bound.in_flight.count += 1
    disabling = asyncio.ensure_future(both.leader.disable(hook, drain=True))
    while hook in both.follower.snapshot.ids:  # noqa: ASYNC110  no event to wait for
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not disabling.done()
    bound.in_flight.leave()
    await disabling


async def test_what_a_follower_finds_out_goes_to_the_leader(both: Both) -> None:
    hook = await both.hook("a")
    await both.leader.enable(hook)
    bound = both.follower.snapshot.get(hook)
    assert bound is not None
    both.follower.report_gone(bound)
    both.follower.report_step_back(bound, "too slow")
    expected = [("gone", hook, bound.generation), ("stepped back", hook, bound.generation, "too slow")]
    assert expected == both.told.said
    assert not [name for name in ("register", "enable", "disable", "purge") if hasattr(both.follower, name)]


class Failing(MemoryStore):
    """A store that refuses changes from a moment on."""

    fails = False

    async def commit(self, change: RegistryChange) -> None:
        if self.fails:
            raise StoreError("The disk is full.")
        await super().commit(change)


async def test_a_hook_whose_lease_ended_is_withdrawn_from_who_follows_also_while_the_store_fails() -> None:
    store, at = Failing(), [1_000.0]
    async with Registry.open(store, RULES, now=lambda: at[0]) as registry:
        both = Both(registry)
        hook, other = await both.hook("a"), await both.hook("b")
        await registry.enable(hook, lease_seconds=10)
        await registry.enable(other)
        store.fails = True
        at[0] += 11
        await registry.expire_leases()
        await both.link.reached()
        assert both.follower.snapshot.ids == {other}
        late = FollowingRegistry(RULES, Told())
        late.take(registry.whole())
        assert late.snapshot.ids == {other}
        store.fails = False


@pytest.mark.parametrize("change", ["enable", "remove"])
async def test_a_change_by_another_owner_of_the_store_touches_only_what_it_is_about(change: str) -> None:
    store = MemoryStore()
    async with Registry.open(store, RULES) as registry:
        both = Both(registry)
        kept, other = await both.hook("kept"), await both.hook("other")
        await registry.enable(kept)
        before = both.follower.snapshot.get(kept)
        async with Registry.open(store, RULES) as stranger:
            changes: dict[str, Callable[[str], object]] = {"enable": stranger.enable, "remove": stranger.remove_hook}
            await changes[change](other)  # type: ignore[misc]  # both are coroutines
        await both.hook("third")
        assert both.follower.snapshot.get(kept) is before
        assert (other in both.follower.snapshot.ids) is (change == "enable")
        assert both.follower.hooks() == registry.hooks()


@pytest.mark.parametrize(
    ("asked", "processes", "expected"),
    [(None, 1, 100), (None, 4, 25), (8, 4, 2), (3, 4, 1), (1, 4, 1)],
)
async def test_every_process_gets_its_part_of_a_hooks_calls(asked: int | None, processes: int, expected: int) -> None:
    async with Registry.open(MemoryStore(), RULES) as registry:
        owner = (await registry.register(IntegrationDraft("one", URL))).integration.id
        hook = await registry.create_hook(owner, HookDraft("a", "/a", max_concurrency=asked))
        await registry.enable(hook.id)
        follower = FollowingRegistry(RegistryRules(AddressGuard(), processes=processes), Told())
        follower.take(registry.whole())
        bound = follower.snapshot.get(hook.id)
        assert bound is not None
        assert expected == bound.max_concurrency
