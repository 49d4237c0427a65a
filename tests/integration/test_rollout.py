"""Shadow and canary, over real HTTP to a real (fake) integration server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft, Query, Result, Settings, open_gateway
from gateway.errors import StoreError
from gateway.model import CanaryBounds, Mode, Status, StickyBy
from gateway.stores import AuditQuery
from gateway.stores.memory import MemoryStore
from gateway.testing.hook_server import HookServer

BEFORE = {"rows": [1, 2]}
ANYTHING = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)


class Set:
    def __init__(self, gateway, server, integration_id):
        self.gateway, self.server, self.integration_id = gateway, server, integration_id
        self.registry, self.journal = gateway.registry, gateway.insight.journal

    async def hook(self, path, name=None, **fields):
        draft = HookDraft(name=name or path.strip("/").replace("/", "-"), path=path, **fields)
        hook = await self.registry.create_hook(self.integration_id, draft)
        await self.registry.enable(hook.id)
        return hook.id

    async def ask(self, tenant="acme", params=None):
        answer = await self.gateway.chain.run(Query("search", None, tenant, params), Result.of(BEFORE))
        return answer.result.value, [(o.hook, o.status.value, o.reason and o.reason.value) for o in answer.outcomes]

    async def entries(self, hook_id, count=1):
        """The first `count` entries of the hook in the journal, as soon as they are there."""
        async with asyncio.timeout(5):
            while len(found := list(self.journal.entries(hook_id))) < count:  # noqa: ASYNC110  no event to wait for
                await asyncio.sleep(0)
        return found

    async def in_mode(self, hook_id, mode):
        async with asyncio.timeout(5):
            while self.registry.hook(hook_id).mode_in_force is not mode:  # noqa: ASYNC110
                await asyncio.sleep(0)

    def metric(self, start):
        return [line for line in self.gateway.metrics.render().decode().splitlines() if line.startswith(start)]


@asynccontextmanager
async def opened(**sections):
    settings = {
        "store": {"url": "memory:"},
        "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False},
        **sections,
    }
    async with HookServer() as server, open_gateway(Settings.model_validate(settings)) as gateway:
        made = await gateway.registry.register(IntegrationDraft("fake", server.url, envelope=ANYTHING))
        yield Set(gateway, server, made.integration.id)


@pytest.fixture
async def setup():
    async with opened() as it:
        yield it


class TestShadow:
    async def test_its_reply_is_never_applied_and_what_it_would_have_done_is_told(self, setup):
        hook_id = await setup.hook("/merge-patch", mode=Mode.SHADOW)
        assert await setup.ask() == (BEFORE, [("merge-patch", "shadowed", None)])
        (entry,) = await setup.entries(hook_id)
        assert entry.outcome.status is Status.SHADOWED
        assert entry.outcome.milliseconds > 0
        assert (entry.would_be.status, entry.would_be.changed) == (Status.APPLIED, True)
        assert entry.call_id == setup.server.requests[0].header("webhook-id")
        assert setup.journal.detail(entry).diff.operations == [{"op": "add", "path": "/merged", "value": True}]
        assert setup.journal.get(entry.call_id) == entry
        names = 'hook="merge-patch",integration="fake"'
        assert setup.metric("gateway_shadow_calls_total") == [
            f'gateway_shadow_calls_total{{{names},outcome="applied",reason=""}} 1.0'
        ]
        assert setup.metric("gateway_shadow_changes_total") == [f"gateway_shadow_changes_total{{{names}}} 1.0"]
        assert setup.metric("gateway_shadow_call_seconds_count")[0].endswith(" 1.0")

    async def test_the_caller_does_not_wait_for_it(self, setup):
        hook_id = await setup.hook("/slow", mode=Mode.SHADOW)
        assert await setup.ask() == (BEFORE, [("slow", "shadowed", None)])
        await setup.server.arrived()
        assert list(setup.journal.entries(hook_id)) == []
        setup.server.release()
        (entry,) = await setup.entries(hook_id)
        assert entry.would_be.status is Status.UNCHANGED

    async def test_in_a_chain_it_sees_the_result_at_its_place_and_the_next_hook_does_not_see_its_reply(self, setup):
        await setup.hook("/merge-patch", "first", order=1)
        shadow = await setup.hook("/json-patch", "second", order=2, mode=Mode.SHADOW)
        await setup.hook("/unchanged", "third", order=3)
        result, outcomes = await setup.ask()
        assert result == {**BEFORE, "merged": True}
        assert [status for _, status, _ in outcomes] == ["applied", "shadowed", "unchanged"]
        await setup.entries(shadow)
        sent = {r.path: json.loads(r.body)["data"]["result"] for r in setup.server.requests}
        assert sent["/json-patch"] == sent["/unchanged"] == {**BEFORE, "merged": True}

    @pytest.mark.parametrize(
        ("path", "status", "reason"),
        [("/bad-json", "failed", "bad_json"), ("/reject", "rejected", None), ("/status/500", "failed", "status")],
    )
    async def test_a_failure_is_recorded_and_fails_no_query_whatever_its_policy(self, setup, path, status, reason):
        hook_id = await setup.hook(path, "it", mode=Mode.SHADOW, failure_policy=FailurePolicy.FAIL)
        assert await setup.ask() == (BEFORE, [("it", "shadowed", None)])
        (entry,) = await setup.entries(hook_id)
        assert (entry.would_be.status, entry.would_be.reason, entry.would_be.fatal) == (status, reason, False)

    async def test_there_are_only_so_many_calls_under_way_and_the_others_are_shed_and_counted(self):
        async with opened(rollout={"shadow_calls": 3, "shadow_calls_per_hook": 2}) as setup:
            await setup.hook("/slow", "one", mode=Mode.SHADOW, order=1)
            await setup.hook("/slow", "two", mode=Mode.SHADOW, order=2)
            seen = [tuple(status for _, status, _ in (await setup.ask())[1]) for _ in range(3)]
            assert seen == [("shadowed", "shadowed"), ("shadowed", "skipped"), ("skipped", "skipped")]
            assert setup.metric("gateway_shadow_calls_in_flight") == ["gateway_shadow_calls_in_flight 3.0"]
            assert (
                'gateway_hook_calls_total{hook="one",integration="fake",outcome="skipped",reason="overload"} 1.0'
                in (setup.metric("gateway_hook_calls_total"))
            )
            setup.server.release()

    async def test_the_results_that_they_hold_are_bounded_in_bytes(self):
        async with opened(rollout={"shadow_bytes": 20}) as setup:
            await setup.hook("/slow", "one", mode=Mode.SHADOW)
            assert len(json.dumps(BEFORE, separators=(",", ":"))) == 14
            assert (await setup.ask())[1] == [("one", "shadowed", None)]
            assert (await setup.ask())[1] == [("one", "skipped", "overload")]
            setup.server.release()

    async def test_at_the_end_those_under_way_are_cancelled(self):
        async with opened() as setup:
            await setup.hook("/hang", "one", mode=Mode.SHADOW)
            await setup.ask()
            await setup.server.arrived()
        assert setup.server.connections == 0

    async def test_disabling_with_drain_waits_for_it(self, setup):
        hook_id = await setup.hook("/slow", mode=Mode.SHADOW, timeout_ms=5000)
        await setup.ask()
        await setup.server.arrived()
        disabling = asyncio.create_task(setup.registry.disable(hook_id, drain=True))
        await asyncio.wait([disabling], timeout=0.05)
        assert not disabling.done()
        setup.server.release()
        await disabling


class TestCanary:
    async def test_a_tenant_is_always_in_or_always_out(self, setup):
        await setup.hook("/merge-patch", mode=Mode.CANARY, percent=50.0)
        seen = {}
        for number in range(40):
            tenant = f"tenant-{number % 20}"
            ((_, status, reason),) = (await setup.ask(tenant))[1]
            assert (status, reason) in {("applied", None), ("skipped", "sampling")}
            assert seen.setdefault(tenant, status) == status
        assert set(seen.values()) == {"applied", "skipped"}

    async def test_or_the_same_query_is(self, setup):
        await setup.hook("/merge-patch", mode=Mode.CANARY, percent=50.0, sticky_by=StickyBy.QUERY)
        seen = {}
        for number in range(40):
            params = {"b": 1, "a": number % 20} if number % 3 else {"a": number % 20, "b": 1}
            ((_, status, _),) = (await setup.ask("acme", params))[1]
            assert seen.setdefault(params["a"], status) == status
        assert set(seen.values()) == {"applied", "skipped"}

    @pytest.mark.parametrize(
        ("path", "bounds", "why"),
        [
            ("/status/500", CanaryBounds(failure_percent=10, min_calls=3), "3 of 3 calls failed, more than 10 %"),
            ("/merge-patch", CanaryBounds(change_percent=10, min_calls=3), "3 of 3 calls changed the result"),
            ("/unchanged", CanaryBounds(p95_ms=0.001, min_calls=3), "3 of 3 calls took longer than 0.001 ms"),
        ],
    )
    async def test_outside_of_its_bounds_it_steps_back_to_shadow_by_itself_and_says_so(self, setup, path, bounds, why):
        told = []
        setup.gateway.canaries.tell(lambda hook, why: told.append((hook.name, why)))
        hook_id = await setup.hook(path, "it", mode=Mode.CANARY, percent=100.0, bounds=bounds)
        for _ in range(3):
            assert (await setup.ask())[1][0][1] in {"applied", "unchanged", "failed"}
        assert (await setup.ask())[1] == [("it", "shadowed", None)]  # at once, whether it is stored yet or not
        await setup.in_mode(hook_id, Mode.SHADOW)
        hook = setup.registry.hook(hook_id)
        assert hook.mode is Mode.CANARY
        assert hook.stepped_back.startswith(why)
        assert (await setup.ask())[1] == [("it", "shadowed", None)]
        assert told == [("it", hook.stepped_back)]
        (entry, *_) = await setup.registry.audit(AuditQuery(hook_id=hook_id))
        assert (entry.action, entry.actor.kind) == ("hook.stepped_back", "gateway")
        assert entry.after == {"stepped_back": hook.stepped_back}
        assert setup.metric("gateway_canary_step_backs_total")[0].endswith(" 1.0")

    async def test_one_that_always_fails_steps_back_by_the_bounds_of_the_configuration_although_its_breaker_opens(
        self, setup
    ):
        hook_id = await setup.hook("/status/500", "it", mode=Mode.CANARY, percent=100.0)
        reasons = [(await setup.ask())[1][0][2] for _ in range(20)]
        assert (reasons.count("status"), reasons.count("breaker_open")) == (5, 15)
        assert (await setup.ask())[1] == [("it", "shadowed", None)]
        await setup.in_mode(hook_id, Mode.SHADOW)
        assert setup.registry.hook(hook_id).stepped_back.startswith("5 of 5 calls failed, more than 10 %")

    async def test_within_its_bounds_it_stays(self, setup):
        bounds = CanaryBounds(failure_percent=10, p95_ms=5000, change_percent=100, min_calls=3)
        hook_id = await setup.hook("/merge-patch", mode=Mode.CANARY, percent=100.0, bounds=bounds)
        for _ in range(10):
            assert (await setup.ask())[1][0][1] == "applied"
        assert setup.registry.hook(hook_id).stepped_back is None

    async def test_its_owner_lets_it_try_again_by_saying_its_mode_anew_but_not_by_declaring_the_same_set(self, setup):
        bounds = CanaryBounds(failure_percent=10, min_calls=1)
        fields = {"name": "it", "path": "/status/500", "mode": Mode.CANARY, "percent": 100.0, "bounds": bounds}
        hook_id = await setup.hook(**fields)
        await setup.ask()
        await setup.in_mode(hook_id, Mode.SHADOW)
        await setup.registry.replace_hooks(setup.integration_id, [HookDraft(**fields)])
        await setup.registry.replace_hooks(setup.integration_id, [HookDraft(**fields, order=3)])
        assert setup.registry.hook(hook_id).mode_in_force is Mode.SHADOW
        await setup.registry.change_hook(hook_id, {"mode": Mode.CANARY})
        assert setup.registry.hook(hook_id).mode_in_force is Mode.CANARY
        assert (await setup.ask())[1][0][1] == "failed"
        await setup.in_mode(hook_id, Mode.SHADOW)

    async def test_a_store_that_fails_does_not_keep_it_from_stepping_back(self, setup, monkeypatch):
        hook_id = await setup.hook(
            "/status/500", "it", mode=Mode.CANARY, percent=100.0, bounds=CanaryBounds(failure_percent=1, min_calls=1)
        )
        commit, now = MemoryStore.commit, [0.0]
        monkeypatch.setattr(setup.gateway.canaries, "_clock", lambda: now[0])

        async def broken(*_):
            raise StoreError

        monkeypatch.setattr(MemoryStore, "commit", broken)
        assert (await setup.ask())[1] == [("it", "failed", "status")]
        assert (await setup.ask())[1] == [("it", "shadowed", None)]
        monkeypatch.setattr(MemoryStore, "commit", commit)
        now[0] = 1.5
        assert (await setup.ask())[1] == [("it", "shadowed", None)]
        await setup.in_mode(hook_id, Mode.SHADOW)


class TestCondition:
    @pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.CANARY])
    async def test_one_that_has_no_answer_fails_no_query_that_the_hook_does_not_decide_on(self, setup, mode):
        await setup.hook(
            "/unchanged",
            mode=mode,
            percent=0.0,
            failure_policy=FailurePolicy.FAIL,
            condition="query.params.no_such_member == 1",
        )
        result, ((_, status, reason),) = await setup.ask(params={})
        assert result == BEFORE
        assert (status, reason) in {("failed", "contract"), ("skipped", "sampling")}
        assert setup.server.requests == []
