"""The exam that every registry store passes, for pytest.

In the test file of a store:

    class TestMyStore(StoreExam):
        durable = True

        def open_store(self, place, *, retention=None):
            return open_my_store(place / "registry", retention=retention)

`open_store` gives an async context manager; `place` is an empty directory of the test's own. Opening the
same place again must find what was committed, if `durable`. `retention` says how much of the audit log to keep.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from gateway.errors import StaleGeneration, StoreError
from gateway.model import Actor, ActorKind, AuditEntry, Delivery, Hook, Integration, SigningSecret
from gateway.stores.protocol import AuditQuery, AuditRetention, RegistryChange, RegistryState
from gateway.testing.store_records import FULL_HOOK, FULL_INTEGRATION, hook, integration

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from gateway.stores.protocol import RegistryStore


def entry(generation: int, **fields: Any) -> AuditEntry:
    """A small entry of the audit log."""
    made = AuditEntry(
        1_000.0 + generation, generation, "hook.enabled", Actor(ActorKind.OPERATOR, "f00d"), "a", "name-a"
    )
    return replace(made, **fields)


class StoreExam:
    """What a `RegistryStore` must do. Subclass it, override `open_store`, say whether the store is `durable`."""

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]
    durable: ClassVar[bool] = True

    def open_store(
        self, place: Path, *, retention: AuditRetention | None = None
    ) -> AbstractAsyncContextManager[RegistryStore]:
        """The store that lives in the directory `place`, open until the context ends."""
        del retention
        raise LookupError(f"{type(self).__name__} must override open_store({place.name!r})")

    async def test_a_new_store_is_empty(self, tmp_path: Path) -> None:
        """A new store is empty, at generation 0, and can be read."""
        async with self.open_store(tmp_path) as store:
            assert await store.load() == RegistryState()
            await store.ping()

    async def test_records_come_back_equal(self, tmp_path: Path) -> None:
        """What was put comes back equal in every field, credentials in their order."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 3, (FULL_INTEGRATION,), (FULL_HOOK,)))
            state = await store.load()
        assert state == RegistryState(3, (FULL_INTEGRATION,), (FULL_HOOK,))
        assert [s.secret for s in state.integrations[0].secrets] == ["whsec_b", "whsec_a"]
        assert isinstance(state.hooks[0].delivery, Delivery)

    async def test_records_are_sorted_by_id(self, tmp_path: Path) -> None:
        """Everything comes sorted by id, whatever the order in which it was put."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 1, (integration("b"), integration("a")), (hook("z", "b"),)))
            await store.commit(RegistryChange(1, 2, (integration("B"),), (hook("y", "a"),)))
            state = await store.load()
        assert [record.id for record in state.integrations] == ["B", "a", "b"]
        assert [record.id for record in state.hooks] == ["y", "z"]

    async def test_a_put_replaces_the_whole_record(self, tmp_path: Path) -> None:
        """Putting a known id replaces the whole record, credentials too, and leaves its hooks."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 1, (FULL_INTEGRATION,), (FULL_HOOK,)))
            bare = replace(integration("int-full", "renamed"), secrets=(SigningSecret("whsec_c", 3.0),))
            await store.commit(RegistryChange(1, 2, (bare,)))
            assert await store.load() == RegistryState(2, (bare,), (FULL_HOOK,))

    async def test_removing_an_integration_removes_its_hooks(self, tmp_path: Path) -> None:
        """Removing an integration removes its hooks and no other ones."""
        async with self.open_store(tmp_path) as store:
            both = (integration("a"), integration("b"))
            await store.commit(RegistryChange(0, 1, both, (hook("1", "a"), hook("2", "b"))))
            await store.commit(RegistryChange(1, 2, delete_integrations=("a",)))
            assert await store.load() == RegistryState(2, (both[1],), (hook("2", "b"),))

    async def test_removing_what_is_not_there_is_nothing(self, tmp_path: Path) -> None:
        """Removing unknown ids changes the generation only."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 1, (integration("a"),)))
            await store.commit(RegistryChange(1, 5, delete_integrations=("x",), delete_hooks=("y",)))
            assert await store.load() == RegistryState(5, (integration("a"),))

    async def test_a_freed_name_can_be_taken_in_the_same_change(self, tmp_path: Path) -> None:
        """Removals come first: a set of hooks is replaced by one with the same names in one change."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 1, (integration("a"),), (hook("1", "a", "n"), hook("2", "a", "m"))))
            new = (hook("3", "a", "n"), hook("4", "a", "m"))
            await store.commit(RegistryChange(1, 2, put_hooks=new, delete_hooks=("1", "2")))
            assert await store.load() == RegistryState(2, (integration("a"),), new)

    async def test_two_records_can_swap_names(self, tmp_path: Path) -> None:
        """Names need to be unique after a change, not within it."""
        async with self.open_store(tmp_path) as store:
            first = (integration("a", "x"), integration("b", "y")), (hook("1", "a", "n"), hook("2", "a", "m"))
            swapped = (integration("a", "y"), integration("b", "x")), (hook("1", "a", "m"), hook("2", "a", "n"))
            await store.commit(RegistryChange(0, 1, *first))
            await store.commit(RegistryChange(1, 2, *swapped))
            assert await store.load() == RegistryState(2, *swapped)

    async def test_a_stale_change_is_refused(self, tmp_path: Path) -> None:
        """A change whose base is not the stored generation raises `StaleGeneration` and changes nothing."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 4, (integration("a"),)))
            for base in (0, 3, 5):
                with pytest.raises(StaleGeneration):
                    await store.commit(RegistryChange(base, 9, (integration("b"),), delete_integrations=("a",)))
            assert await store.load() == RegistryState(4, (integration("a"),))

    async def test_generations_only_grow(self, tmp_path: Path) -> None:
        """A change to the same or a lower generation is refused."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 4))
            for generation in (4, 3):
                with pytest.raises(StoreError):
                    await store.commit(RegistryChange(4, generation, (integration("a"),)))
            assert await store.load() == RegistryState(4)

    @pytest.mark.parametrize(
        ("integrations", "hooks"),
        [
            ((integration("c"), integration("b", "name-a")), ()),
            ((integration("c"),), (hook("2", "a", "name-1"),)),
            ((integration("c"),), (hook("2", "a", "n"), hook("3", "a", "n"))),
            ((integration("c"),), (hook("2", "nobody"),)),
        ],
        ids=["two integrations of one name", "a taken hook name", "two new hooks of one name", "no such integration"],
    )
    async def test_a_change_is_all_or_nothing(
        self,
        tmp_path: Path,
        integrations: tuple[Integration, ...],
        hooks: tuple[Hook, ...],
    ) -> None:
        """A change that breaks a rule raises `StoreError`; none of it happens, and the next change works."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 1, (integration("a"),), (hook("1", "a"),)))
            with pytest.raises(StoreError):
                await store.commit(RegistryChange(1, 2, integrations, hooks))
            assert await store.load() == RegistryState(1, (integration("a"),), (hook("1", "a"),))
            await store.commit(RegistryChange(1, 2, (integration("c"),)))
            assert (await store.load()).generation == 2

    async def test_one_of_two_concurrent_changes_wins(self, tmp_path: Path) -> None:
        """Of two changes with the same base, one happens and one is stale."""
        async with self.open_store(tmp_path) as store:
            changes = [store.commit(RegistryChange(0, 1, (integration(key),))) for key in "ab"]
            results = await asyncio.gather(*changes, return_exceptions=True)
            assert sorted(map(type, results), key=str) == sorted([type(None), StaleGeneration], key=str)
            winner = "ab"[results.index(None)]
            assert await store.load() == RegistryState(1, (integration(winner),))

    async def test_a_cancelled_change_is_whole_or_absent(self, tmp_path: Path) -> None:
        """A cancelled commit leaves all of its change or none of it, and the store goes on working."""
        hooks = tuple(hook(f"{n:03}", "a") for n in range(200))
        async with self.open_store(tmp_path) as store:
            for turns in range(4):
                before = await store.load()
                change = RegistryChange(before.generation, before.generation + 1, (integration("a"),), hooks)
                task = asyncio.ensure_future(store.commit(change))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                after = await store.load()
                assert after in {before, RegistryState(change.generation, (integration("a"),), hooks)}

    async def test_a_large_change_is_one_change(self, tmp_path: Path) -> None:
        """Thousands of records go in and out in one change."""
        hooks = tuple(hook(f"{n:05}", "a") for n in range(2000))
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 1, (integration("a"),), hooks))
            assert (await store.load()).hooks == hooks
            await store.commit(RegistryChange(1, 2, delete_hooks=tuple(h.id for h in hooks[1:])))
            assert (await store.load()).hooks == hooks[:1]

    async def test_the_audit_log_tells_of_changes_in_every_field(self, tmp_path: Path) -> None:
        """Entries come back equal, numbered upwards, the newest first."""
        whole = AuditEntry(
            at=1_000.25,
            generation=1,
            action="hook.changed",
            actor=Actor(ActorKind.INTEGRATION, "int-full", "full-\N{SNOWMAN}", "2001:db8::1"),
            integration_id="int-full",
            integration="full-\N{SNOWMAN}",
            hook_id="hk-full",
            hook="full.hook-1",
            before={"types": ["a", "\N{SNOWMAN}"], "timeout_ms": None},
            after={"types": None, "timeout_ms": 2.5, "envelope": {"tenants": []}},
        )
        async with self.open_store(tmp_path) as store:
            assert await store.audit(AuditQuery()) == []
            await store.commit(RegistryChange(0, 1, audit=(whole, entry(1))))
            await store.commit(RegistryChange(1, 2, audit=(entry(2),)))
            newest, second, first = await store.audit(AuditQuery())
        assert [newest.generation, second.generation, first.generation] == [2, 1, 1]
        assert newest.number > second.number > first.number > 0
        assert replace(first, number=0) == whole

    async def test_a_change_that_is_refused_leaves_no_entry(self, tmp_path: Path) -> None:
        """The audit log lasts with the change or not at all."""
        async with self.open_store(tmp_path) as store:
            with pytest.raises(StoreError):
                await store.commit(RegistryChange(0, 1, put_hooks=(hook("1", "nobody"),), audit=(entry(1),)))
            with pytest.raises(StaleGeneration):
                await store.commit(RegistryChange(5, 6, audit=(entry(6),)))
            assert await store.audit(AuditQuery()) == []

    async def test_the_audit_log_is_asked_by_criteria_and_in_pages(self, tmp_path: Path) -> None:
        """Every criterion narrows the answer; `before` goes on where a page ended."""
        gateway = Actor(ActorKind.GATEWAY)
        server = Actor(ActorKind.INTEGRATION, "b", "name-b", "192.0.2.1")
        made = (
            entry(1),
            entry(2, actor=server, integration_id="b", integration="name-b", hook_id="h", hook="name-h"),
            entry(3, actor=gateway, hook_id="k", hook="name-k"),
        )
        async with self.open_store(tmp_path) as store:
            for each in made:
                await store.commit(RegistryChange(each.generation - 1, each.generation, audit=(each,)))

            async def found(**criteria: Any) -> list[int]:
                return [each.generation for each in await store.audit(AuditQuery(**criteria))]

            assert await found() == [3, 2, 1]
            assert await found(integration_id="b") == [2]
            assert await found(hook_id="k") == [3]
            assert await found(hook_id="k", integration_id="b") == []
            assert (await found(who="b"), await found(who="name-b")) == ([2], [2])
            assert (await found(who="gateway"), await found(who="f00d")) == ([3], [1])
            assert await found(since=1_002.0, until=1_003.0) == [2]
            assert await found(limit=2) == [3, 2]
            last = (await store.audit(AuditQuery(limit=2)))[-1].number
            assert await found(before=last, limit=2) == [1]
            first = (await store.audit(AuditQuery()))[-1].number
            assert await found(after=0) == [1, 2, 3]
            assert await found(after=first, limit=1) == [2]
            assert await found(after=first, hook_id="k") == [3]

    async def test_what_changed_elsewhere_is_noted_in_the_audit_log(self, tmp_path: Path) -> None:
        """Entries can be added without a change of the registry; they are found by the subscription they are about."""
        noted = entry(1, subscription_id="sub_1", subscription="one", integration_id="", integration="")
        async with self.open_store(tmp_path) as store:
            await store.note([noted, entry(1, subscription_id="sub_2", subscription="two")])
            await store.commit(RegistryChange(0, 1, audit=(entry(2),)))
            (found,) = await store.audit(AuditQuery(subscription_id="sub_1"))
            assert found == replace(noted, number=1)
            assert [each.number for each in await store.audit(AuditQuery())] == [3, 2, 1]

    async def test_the_audit_log_is_bounded_by_count_and_by_age(self, tmp_path: Path) -> None:
        """What is beyond the retention goes when the next entry comes."""
        retention = AuditRetention(entries=3, seconds=100.0)
        async with self.open_store(tmp_path, retention=retention) as store:
            for n in range(1, 6):
                await store.commit(RegistryChange(n - 1, n, audit=(entry(n),)))
            assert [e.generation for e in await store.audit(AuditQuery())] == [5, 4, 3]
            await store.commit(RegistryChange(5, 6, audit=(entry(6, at=1_104.0),)))
            assert [e.generation for e in await store.audit(AuditQuery())] == [6, 5, 4]
            await store.commit(RegistryChange(6, 7, audit=(entry(7, at=1_105.0),)))
            assert [e.generation for e in await store.audit(AuditQuery())] == [7, 6, 5]
            await store.commit(RegistryChange(7, 8, audit=(entry(8, at=9_000.0),)))
            assert [e.generation for e in await store.audit(AuditQuery())] == [8]

    async def test_of_renewals_only_the_last_of_each_hook_is_kept(self, tmp_path: Path) -> None:
        """What comes by itself again and again does not push out what people did."""
        async with self.open_store(tmp_path) as store:
            for n, key in enumerate(("h", "h", "k", "h"), start=1):
                renewed = entry(n, action="hook.renewed", hook_id=key, hook=key)
                await store.commit(RegistryChange(n - 1, n, audit=(entry(n, hook_id=key, hook=key), renewed)))
            found = await store.audit(AuditQuery())
        assert [e.generation for e in found if e.action == "hook.renewed"] == [4, 3]
        assert [e.generation for e in found if e.action != "hook.renewed"] == [4, 3, 2, 1]

    async def test_the_pepper_is_made_once(self, tmp_path: Path) -> None:
        """A store keeps the key of its digests as long as it keeps the digests, and no two have the same."""
        async with self.open_store(tmp_path) as store:
            pepper = await store.pepper()
            assert len(pepper) == 32
            assert await store.pepper() == pepper
        async with self.open_store(tmp_path) as store:
            assert (await store.pepper() == pepper) is self.durable

    async def test_what_was_committed_lasts(self, tmp_path: Path) -> None:
        """Opening a durable store again finds the last generation, without what was refused; another is empty again."""
        async with self.open_store(tmp_path) as store:
            await store.commit(RegistryChange(0, 1, (FULL_INTEGRATION,), (FULL_HOOK,)))
            with pytest.raises(StaleGeneration):
                await store.commit(RegistryChange(0, 2, (integration("b"),)))
        for generation in (1, 2):
            kept = RegistryState(generation, (FULL_INTEGRATION,), (FULL_HOOK,)) if self.durable else RegistryState()
            async with self.open_store(tmp_path) as store:
                assert await store.load() == kept
                await store.commit(RegistryChange(kept.generation, generation + 1))
