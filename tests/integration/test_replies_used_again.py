"""Replies that are used again, through the chain and the control API."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import ClientSession, web

from gateway import Envelope, HookDraft, IntegrationDraft, Query, Result, Settings
from gateway.errors import NotFound
from gateway.model import FailurePolicy
from gateway.pipeline.provenance import hooks_header
from gateway.runtime import Gateway, open_gateway
from gateway.service.control import control_app
from gateway.testing.hook_server import HookServer, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUERY = Query("search", params={"q": 1})
BEFORE = Result(b'{"n":1}')
FRESH = ("cache-control", "max-age=60")
JSON = ("content-type", "application/json")


class Place:
    def __init__(self, gateway: Gateway, server: HookServer, integration_id: str) -> None:
        self.gateway = gateway
        self.server = server
        self.integration_id = integration_id
        self.headers = [FRESH, JSON]

        async def numbered(_request) -> Reply:
            return Reply(200, self.headers, b'{"call":%d}' % len(server.requests))

        server.on("/numbered", numbered)

    async def hook(self, path="/numbered", name="hook", **fields: Any) -> str:
        hook = await self.gateway.registry.create_hook(self.integration_id, HookDraft(name, path, **fields))
        await self.gateway.registry.enable(hook.id)
        return hook.id

    async def ask(self, query=QUERY, result=BEFORE):
        answer = await self.gateway.chain.run(query, result)
        return answer.result.body, answer.outcomes[0].status.value

    @property
    def calls(self) -> int:
        return len(self.server.requests)


@asynccontextmanager
async def opened(envelope=None, cache=None, **calls: Any) -> AsyncIterator[Place]:
    given = {"allow_http": True, "allow": ["127.0.0.1"], "require_ownership": False, **calls}
    settings = Settings(store={"url": "memory:"}, calls=given, cache=cache or {})
    async with HookServer() as server, open_gateway(settings) as gateway:
        draft = IntegrationDraft("fake", server.url, envelope=envelope or Envelope())
        yield Place(gateway, server, (await gateway.registry.register(draft)).integration.id)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with opened() as it:
        yield it


async def test_a_reply_that_allows_it_is_used_for_the_same_query_and_result(place: Place) -> None:
    await place.hook()
    assert [await place.ask() for _ in range(3)] == [(b'{"call":1}', "applied")] + [(b'{"call":1}', "cached")] * 2
    assert (await place.ask(result=Result(b'{"n":2}')))[1] == "applied"
    assert (await place.ask(query=Query("search", params={"q": 2})))[1] == "applied"
    assert place.calls == 3


async def test_204_may_allow_it_too(place: Place) -> None:
    async def same(_request) -> Reply:
        return Reply(204, [FRESH])

    place.server.on("/same", same)
    await place.hook("/same")
    answers = [await place.gateway.chain.run(QUERY, BEFORE) for _ in range(2)]
    assert [answer.outcomes[0].status for answer in answers] == ["unchanged", "cached"]
    assert all(answer.result is BEFORE for answer in answers)
    assert not answers[1].changed


@pytest.mark.parametrize(
    ("envelope", "cache", "fields"),
    [
        (None, None, {"cache": False}),
        (Envelope(max_cache_seconds=0), None, {}),
        (None, {"max_seconds": 0}, {}),
    ],
)
async def test_hook_envelope_and_operator_can_each_forbid_it(envelope, cache, fields) -> None:
    async with opened(envelope, cache) as place:
        await place.hook(**fields)
        assert [(await place.ask())[1] for _ in range(2)] == ["applied", "applied"]


async def test_nothing_is_kept_of_a_reply_that_does_not_say_so_and_such_a_hook_is_called_straight(place: Place) -> None:
    place.headers = [JSON]
    hook_id = await place.hook()
    assert [(await place.ask())[1] for _ in range(2)] == ["applied", "applied"]
    assert place.gateway.registry.snapshot.get(hook_id).learned.reusable is False
    place.headers = [FRESH, JSON]
    assert [(await place.ask())[1] for _ in range(3)] == ["applied", "applied", "cached"]


async def test_any_change_of_the_hook_ends_it(place: Place) -> None:
    hook_id = await place.hook()
    registry = place.gateway.registry
    changes = [
        lambda: registry.change_hook(hook_id, {"order": 1}),
        lambda: registry.enable(hook_id, lease_seconds=60),
        lambda: registry.change_integration(place.integration_id, {"envelope": {"max_timeout_ms": 900}}),
        lambda: registry.rotate(place.integration_id, "secret", grace_seconds=0),
        lambda: registry.purge(hook_id),
    ]
    for change in changes:
        await place.ask()
        assert (await place.ask())[1] == "cached"
        await change()
        assert (await place.ask())[1] == "applied"


async def test_what_was_learnt_of_a_hook_outlives_a_lease_s_renewal_and_not_a_change(place: Place) -> None:
    hook_id = await place.hook()
    registry = place.gateway.registry
    await place.ask()
    learned = registry.snapshot.get(hook_id).learned
    await registry.enable(hook_id, lease_seconds=60)
    assert registry.snapshot.get(hook_id).learned is learned
    await registry.change_hook(hook_id, {"order": 1})
    assert registry.snapshot.get(hook_id).learned is not learned


async def test_a_failure_is_never_kept(place: Place) -> None:
    async def bad(_request) -> Reply:
        return Reply(200, [FRESH, JSON], b"[")

    place.server.on("/bad", bad)
    await place.hook("/bad")
    assert [await place.ask() for _ in range(2)] == [(BEFORE.body, "failed")] * 2
    assert place.calls == 2


async def test_equal_queries_at_once_reach_a_new_hook_once(place: Place) -> None:
    gate = asyncio.Event()

    async def slow(_request) -> Reply:
        await gate.wait()
        return Reply(200, [FRESH, JSON], b"{}")

    place.server.on("/slow", slow)
    await place.hook("/slow")
    many = [asyncio.create_task(place.ask()) for _ in range(20)]
    await place.server.arrived()
    gate.set()
    found = await asyncio.gather(*many)
    assert sorted(found) == [(b"{}", "applied")] + [(b"{}", "cached")] * 19
    assert place.calls == 1


async def test_hits_are_served_while_the_breaker_is_open_and_no_place_is_free() -> None:
    async with opened(max_concurrency_total=1, max_waiting_total=0) as place:
        hook_id = await place.hook()
        await place.ask()
        protection = place.gateway.protections.present(hook_id)
        protection.breaker.pause(protection.breaker.enter(), 60)
        assert place.gateway.protections.total.try_enter()
        assert (await place.ask())[1] == "cached"


async def test_replies_are_used_again_within_one_hook_of_a_chain_only(place: Place) -> None:
    await place.hook(name="first")
    await place.hook("/unchanged", name="second", order=1)
    answer = await place.gateway.chain.run(QUERY, BEFORE)
    answer = await place.gateway.chain.run(QUERY, BEFORE)
    assert [outcome.status for outcome in answer.outcomes] == ["cached", "unchanged"]
    header = hooks_header(answer.outcomes)
    assert header.startswith("first;cached;ms=")


async def test_a_bug_in_the_cache_makes_no_answer_worse(monkeypatch) -> None:
    async with opened(Envelope(failure_policy=FailurePolicy.FAIL)) as place:
        await place.hook()

        def broken(_key):
            raise RuntimeError("a bug")

        monkeypatch.setattr(place.gateway.reuse._cache, "get", broken)
        answer = await place.gateway.chain.run(QUERY, BEFORE)
        (outcome,) = answer.outcomes
        assert answer.result is BEFORE
        assert (outcome.status, outcome.reason, outcome.detail) == (
            "failed",
            "protocol",
            "the gateway failed: RuntimeError",
        )


async def test_cancelling_the_only_query_cancels_the_call(place: Place) -> None:
    await place.hook("/hang")
    task = asyncio.create_task(place.ask())
    await place.server.arrived()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await place.server.no_connections()


async def test_the_metrics_tell_of_hits_and_sizes(place: Place) -> None:
    hook_id = await place.hook()
    await place.ask()
    await place.ask()
    rendered = place.gateway.metrics.render().decode()
    for line in (
        'gateway_cache_lookups_total{answer="hit"} 1.0',
        'gateway_cache_lookups_total{answer="miss"} 1.0',
        "gateway_cache_entries 1.0",
        'outcome="cached",reason=""} 1.0',
    ):
        assert line in rendered
    assert place.gateway.reuse.purge(hook_id) == 1
    assert "gateway_cache_bytes 0.0" in place.gateway.metrics.render().decode()


# ---------------------------------------------------------------- the purge of a hook


@asynccontextmanager
async def served(place: Place) -> AsyncIterator[Any]:
    app = control_app(
        place.gateway.registry, operator_keys=["op"], metrics=place.gateway.metrics, reuse=place.gateway.reuse
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:

        async def purge(hook_id, key):
            headers = {"authorization": f"Bearer {key}"}
            async with session.post(f"/v1/hooks/{hook_id}/purge", headers=headers) as response:
                return response.status, await response.json()

        yield purge
    await runner.cleanup()


async def test_the_operator_and_the_owner_can_purge_a_hook_and_nobody_else(place: Place) -> None:
    hook_id = await place.hook()
    registry = place.gateway.registry
    other = await registry.register(IntegrationDraft("other", place.server.url))
    owner = (await registry.rotate(place.integration_id, "api_key", grace_seconds=60)).value
    async with served(place) as purge:
        for key in ("op", owner):
            await place.ask()
            assert (await place.ask())[1] == "cached"
            status, told = await purge(hook_id, key)
            assert (status, told) == (200, {"id": hook_id, "generation": registry.generation, "purged": 1})
            assert (await place.ask())[1] == "applied"
        assert (await purge(hook_id, other.api_key))[0] == 404
        assert (await purge("hk_0000000000000000", "op"))[0] == 404
        assert (await purge(hook_id, "wrong"))[0] == 401
        assert (await place.ask())[1] == "cached"


async def test_a_hook_that_is_not_enabled_can_be_purged_too(place: Place) -> None:
    hook_id = await place.hook()
    await place.gateway.registry.disable(hook_id)
    async with served(place) as purge:
        assert (await purge(hook_id, "op"))[0] == 200
    with pytest.raises(NotFound):
        await place.gateway.registry.purge("hk_none")


async def test_of_a_projection_the_reply_is_known_and_is_merged_into_each_result_anew(place: Place) -> None:
    async def doubled(request) -> Reply:
        sent = orjson.loads(request.body)["data"]["result"]
        return Reply(200, [FRESH, JSON], orjson.dumps({**sent, "price": sent["price"] * 2}))

    place.server.on("/doubled", doubled)
    await place.hook("/doubled", reads=("/price",))
    assert await place.ask(result=Result(b'{"price":2,"id":1}')) == (b'{"price":4,"id":1}', "applied")
    assert await place.ask(result=Result(b'{"price":2,"id":2}')) == (b'{"price":4,"id":2}', "cached")
    assert await place.ask(result=Result(b'{"price":3,"id":2}')) == (b'{"price":6,"id":2}', "applied")
    assert place.calls == 2


async def test_a_reply_from_the_cache_must_keep_the_contract_too(place: Place) -> None:
    async def longer(request) -> Reply:
        return Reply(200, [FRESH, JSON], b'{"price":"%s"}' % (b"x" * 40))

    place.server.on("/longer", longer)
    await place.hook("/longer", reads=("/price",), max_growth=2.0)
    large, small = b'{"price":1,"id":"%s"}' % (b"i" * 100), b'{"price":1}'
    assert (await place.ask(result=Result(large)))[1] == "applied"
    assert await place.ask(result=Result(small)) == (small, "failed")
    assert place.calls == 1
