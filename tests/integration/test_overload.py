"""Hooks that hang, fail or are asked too much, over real HTTP: what queries pay for it, and what is shown of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from gateway import Envelope, FailurePolicy, Gateway, HookDraft, IntegrationDraft, Query, Result, Settings, open_gateway
from gateway.errors import CallError, ConnectFailed, HookFailed, TimedOut
from gateway.model import OnOverload
from gateway.service.control import control_app
from gateway.testing.hook_server import HookServer, Reply
from gateway.transport.protocol import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

QUERY = Query("search")
BEFORE = Result(b'{"rows":[1]}')
BREAKER = {"min_calls": 3, "open_ms": 60_000}
KEY = "an-operator-key-for-tests"


@dataclass
class Set:
    gateway: Gateway
    server: HookServer
    integration_id: str

    async def hook(self, path: str, **fields: Any) -> str:
        registry = self.gateway.registry
        draft = HookDraft(name=path.strip("/").replace("/", "-"), path=path, **fields)
        hook = await registry.create_hook(self.integration_id, draft)
        await registry.enable(hook.id)
        return hook.id

    async def ask(self, times: int = 1) -> list[str]:
        """So many queries at once; what became of the first hook of each, sorted."""
        answers = await asyncio.gather(*(self.gateway.chain.run(QUERY, BEFORE) for _ in range(times)))
        firsts = [answer.outcomes[0] for answer in answers]
        return sorted(one.reason.value if one.reason else one.status.value for one in firsts)

    def breaker(self, hook_id: str) -> Any:
        return self.gateway.protections.present(hook_id).breaker


@asynccontextmanager
async def opened(
    *, breaker: dict[str, Any] = BREAKER, transport: Any = None, envelope: Envelope | None = None, **calls: Any
) -> AsyncIterator[Set]:
    given = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, **calls}
    settings = Settings(store={"url": "memory:"}, calls=given, breaker=breaker)
    async with HookServer() as server, open_gateway(settings, transport=transport) as gateway:
        draft = IntegrationDraft("fake", server.url, envelope=envelope or Envelope())
        made = await gateway.registry.register(draft)
        yield Set(gateway, server, made.integration.id)


class Scripted:
    """A transport whose answers are a function of the call's number; remembers every call's `webhook-id`."""

    def __init__(self, answer: Callable[[int], Awaitable[Response]]) -> None:
        self.ids: list[str] = []
        self._answer = answer

    async def exchange(self, endpoint, method, headers, body, *, deadline, limits) -> Response:
        self.ids.append(dict(headers)["webhook-id"])
        return await self._answer(len(self.ids))

    async def aclose(self) -> None:
        pass


# ---------------------------------------------------------------- the breaker


async def test_queries_do_not_pay_for_a_hook_that_hangs_once_its_breaker_is_open() -> None:
    async with opened() as setup:
        await setup.hook("/hang", timeout_ms=1000, cache=False)  # long enough for each call to reach it
        assert await setup.ask(3) == ["timeout"] * 3
        answer = await setup.gateway.chain.run(QUERY, BEFORE)
        (outcome,) = answer.outcomes
        assert (answer.result, outcome.reason, outcome.milliseconds) == (BEFORE, "breaker_open", 0)
        assert "3 of 3 calls failed" in outcome.detail
        assert len(setup.server.requests) == 3


async def test_an_open_breaker_fails_the_query_where_the_hook_s_failure_does() -> None:
    async with opened(envelope=Envelope(failure_policy=FailurePolicy.FAIL)) as setup:
        await setup.hook("/status/500", failure_policy=FailurePolicy.FAIL)
        for reason in ("status", "status", "status", "breaker_open"):
            with pytest.raises(HookFailed) as caught:
                await setup.gateway.chain.run(QUERY, BEFORE)
            assert (caught.value.reason, caught.value.status) == (reason, 502)


async def test_after_the_open_time_one_probe_is_let_through_and_closes_it() -> None:
    async with opened(breaker={"min_calls": 2, "open_ms": 1, "probes": 2}) as setup:
        hook_id = await setup.hook("/slow", timeout_ms=5000)
        down = True

        async def answer(_: Any) -> Reply:
            if down:
                return Reply(500)
            await setup.server.released()
            return Reply(204)

        setup.server.on("/slow", answer)
        await setup.ask(2)
        down = False
        async with asyncio.timeout(5):
            while setup.breaker(hook_id).state != "half_open":  # noqa: ASYNC110  # a clock has no event to wait for
                await asyncio.sleep(0)
        many = asyncio.create_task(setup.ask(50))
        await setup.server.arrived(4)
        setup.server.release()
        assert await many == ["breaker_open"] * 48 + ["unchanged"] * 2
        assert setup.breaker(hook_id).state == "closed"
        assert await setup.ask() == ["unchanged"]


async def test_retry_after_opens_it_also_where_breakers_are_switched_off() -> None:
    async with opened(breaker={"enabled": False}) as setup:

        async def busy(_: Any) -> Reply:
            return Reply(503, [("retry-after", "3600")])

        setup.server.on("/busy", busy)
        hook_id = await setup.hook("/busy")
        assert [await setup.ask(), await setup.ask()] == [["status"], ["breaker_open"]]
        breaker = setup.breaker(hook_id)
        left = breaker.view().next_probe_at - setup.gateway.protections.now()
        assert 110 < left <= 120, "clamped to the longest open time"


@pytest.mark.parametrize(
    ("path", "opens"),
    [
        ("/status/500", True),
        ("/status/302", True),
        ("/status/429", True),
        ("/status/404", False),
        ("/status/400", False),
        ("/reject", False),  # the envelope does not allow it
        ("/bad-json", True),
        ("/wrong-type", True),
        ("/hang-up", True),
        ("/cut-body", True),
        ("/unchanged", False),
    ],
)
async def test_what_counts_as_a_failure_of_the_hook(path: str, opens: bool) -> None:
    async with opened() as setup:
        await setup.hook(path)
        for _ in range(3):
            await setup.ask()
        assert (await setup.ask() == ["breaker_open"]) == opens


async def test_a_query_that_cannot_be_written_says_nothing_of_the_hook() -> None:
    async with opened() as setup:
        hook_id = await setup.hook("/unchanged")
        for _ in range(5):
            await setup.gateway.chain.run(Query("search", params=object()), BEFORE)
        assert setup.breaker(hook_id).view().calls == 0
        assert await setup.ask() == ["unchanged"]


async def test_a_hook_that_others_left_no_time_is_not_blamed_for_it() -> None:
    async with opened(breaker={"min_calls": 1, "enabled": True}, budget_ms=60) as setup:
        await setup.hook("/hang", timeout_ms=50, order=1)
        starved = await setup.hook("/slow", timeout_ms=1000, order=2)
        answer = await setup.gateway.chain.run(QUERY, BEFORE)
        assert answer.outcomes[0].reason == "timeout"
        present = setup.gateway.protections.present(starved)
        assert present is None or present.breaker.state == "closed"


async def test_cancelled_queries_say_nothing_of_the_hook() -> None:
    async with opened() as setup:
        hook_id = await setup.hook("/hang")
        queries = [asyncio.create_task(setup.ask()) for _ in range(10)]
        await setup.server.arrived(10)
        for query in queries:
            query.cancel()
        await asyncio.gather(*queries, return_exceptions=True)
        assert setup.breaker(hook_id).view().calls == 0
        found = setup.gateway.protections.present(hook_id)
        assert (found.bulkhead.in_use, setup.gateway.protections.total.in_use) == (0, 0)


# ---------------------------------------------------------------- as long as what


async def test_a_breaker_outlives_changes_around_its_hook_and_the_renewal_of_its_lease() -> None:
    async with opened() as setup:
        registry = setup.gateway.registry
        hook_id = await setup.hook("/status/500")
        await setup.ask(3)
        await registry.change_integration(setup.integration_id, {"priority": 7})
        await registry.rotate(setup.integration_id, "secret", grace_seconds=0)
        await registry.enable(hook_id, lease_seconds=60)
        await registry.create_hook(setup.integration_id, HookDraft("other", "/other"))
        assert await setup.ask() == ["breaker_open"]


async def disable_and_enable(setup: Set, hook_id: str) -> None:
    await setup.gateway.registry.disable(hook_id)
    await setup.gateway.registry.enable(hook_id)


async def change(setup: Set, hook_id: str) -> None:
    await setup.gateway.registry.change_hook(hook_id, {"path": "/unchanged"})


async def replace(setup: Set, hook_id: str) -> None:
    await setup.gateway.registry.replace_hooks(setup.integration_id, [HookDraft("status-500", "/unchanged")])


async def move(setup: Set, hook_id: str) -> None:
    await setup.gateway.registry.change_integration(setup.integration_id, {"base_url": setup.server.url + "/x"})


@pytest.mark.parametrize("renew", [disable_and_enable, change, replace, move])
async def test_a_breaker_begins_anew_when_its_hook_does(renew: Callable[[Set, str], Awaitable[None]]) -> None:
    async with opened() as setup:
        hook_id = await setup.hook("/status/500")
        await setup.ask(3)
        assert await setup.ask() == ["breaker_open"]
        await renew(setup, hook_id)
        assert await setup.ask() != ["breaker_open"]
        assert setup.breaker(hook_id).state == "closed"


async def test_a_late_failure_of_the_old_hook_does_not_open_the_breaker_of_the_new_one() -> None:
    async with opened(breaker={"min_calls": 1}) as setup:
        hook_id = await setup.hook("/slow")

        async def fail(_: Any) -> Reply:
            await setup.server.released()
            return Reply(500)

        setup.server.on("/slow", fail)
        late = asyncio.create_task(setup.ask())
        await setup.server.arrived()
        await setup.gateway.registry.change_hook(hook_id, {"path": "/unchanged"})
        assert await setup.ask() == ["unchanged"]
        setup.server.release()
        assert await late == ["status"]
        assert await setup.ask() == ["unchanged"]


# ---------------------------------------------------------------- bulkheads


async def test_of_200_queries_at_once_five_at_a_time_reach_a_hook_that_takes_five() -> None:
    async with opened(max_waiting=1000) as setup:
        under_way = most = 0

        async def count(_: Any) -> Reply:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(3):
                await asyncio.sleep(0)
            under_way -= 1
            return Reply(204)

        setup.server.on("/count", count)
        await setup.hook("/count", max_concurrency=5, timeout_ms=10_000)
        assert await setup.ask(200) == ["unchanged"] * 200
        assert most == 5


async def test_a_hook_that_is_to_be_skipped_on_overload_is_skipped_at_once() -> None:
    async with opened() as setup:
        await setup.hook("/slow", max_concurrency=2, on_overload=OnOverload.SKIP, timeout_ms=10_000)
        first = asyncio.create_task(setup.ask(2))
        await setup.server.arrived(2)
        assert await setup.ask(10) == ["overload"] * 10
        setup.server.release()
        assert await first == ["unchanged"] * 2
        assert len(setup.server.requests) == 2


async def test_a_call_waits_for_a_place_within_its_deadline_and_no_longer() -> None:
    async with opened() as setup:
        await setup.hook("/slow", max_concurrency=1, timeout_ms=10_000)
        first = asyncio.create_task(setup.ask())
        await setup.server.arrived()
        second = asyncio.create_task(setup.ask())
        setup.server.release()
        assert await first == await second == ["unchanged"]
    async with opened(budget_ms=1000) as setup:
        hook_id = await setup.hook("/unchanged", max_concurrency=1, timeout_ms=10_000)
        assert await setup.ask() == ["unchanged"]
        bulkhead = setup.gateway.protections.present(hook_id).bulkhead
        assert bulkhead.try_enter()
        assert await setup.ask() == ["overload"]
        bulkhead.leave()
        assert await setup.ask() == ["unchanged"]


async def test_past_the_queue_limit_a_call_fails_at_once() -> None:
    async with opened(max_waiting=3) as setup:
        await setup.hook("/slow", max_concurrency=1, timeout_ms=10_000)
        many = asyncio.create_task(setup.ask(10))
        await setup.server.arrived()
        setup.server.release()
        assert await many == ["overload"] * 6 + ["unchanged"] * 4


async def test_all_hooks_together_have_a_limit_too() -> None:
    async with opened(max_concurrency_total=2, max_waiting_total=0) as setup:
        await setup.hook("/slow", timeout_ms=10_000, cache=False)  # else equal queries wait for the first one's reply
        many = asyncio.create_task(setup.ask(5))
        await setup.server.arrived(2)
        setup.server.release()
        assert await many == ["overload"] * 3 + ["unchanged"] * 2
        assert setup.gateway.protections.total.in_use == 0


async def test_those_who_wait_are_sent_on_when_the_breaker_opens() -> None:
    async def answer(number: int) -> Response:
        raise TimedOut

    async with opened(transport=Scripted(answer), breaker={"min_calls": 1}) as setup:
        await setup.hook("/hook", max_concurrency=1, timeout_ms=10_000)
        assert await setup.ask(20) == ["breaker_open"] * 19 + ["timeout"]


# ---------------------------------------------------------------- the retry


@pytest.mark.parametrize("retry", [False, True])
async def test_a_call_that_found_no_connection_is_made_once_more_with_the_same_id(retry: bool) -> None:
    async def answer(number: int) -> Response:
        if number == 1:
            raise ConnectFailed
        return Response(204, [], b"", 0)

    transport = Scripted(answer)
    async with opened(transport=transport) as setup:
        await setup.hook("/hook", retry=retry)
        assert await setup.ask() == ["unchanged" if retry else "connect"]
        assert len(transport.ids) == 1 + retry
        assert len(set(transport.ids)) == 1


@pytest.mark.parametrize("error", [TimedOut, ConnectFailed])
async def test_it_is_made_once_more_at_most_and_only_for_the_lack_of_a_connection(error: type[CallError]) -> None:
    async def answer(number: int) -> Response:
        raise error

    transport = Scripted(answer)
    async with opened(transport=transport) as setup:
        await setup.hook("/hook", retry=True)
        assert await setup.ask() == [error.reason]
        assert len(transport.ids) == (2 if error is ConnectFailed else 1)


# ---------------------------------------------------------------- what is shown


async def test_the_state_is_told_by_the_api_and_can_be_reset() -> None:
    async with opened() as setup:
        hook_id = await setup.hook("/status/500")
        gateway = setup.gateway
        app = control_app(
            gateway.registry, operator_keys=[KEY], metrics=gateway.metrics, protections=gateway.protections
        )
        async with TestClient(TestServer(app), headers={"authorization": f"Bearer {KEY}"}) as client:

            async def get(path: str, method: str = "GET") -> Any:
                async with client.request(method, path) as response:
                    assert response.status == 200
                    return await response.json()

            path = f"/v1/hooks/{hook_id}"
            before = await get(f"{path}/breaker")
            assert (before["state"], before["since"], before["calls"]) == ("closed", None, 0)
            await setup.ask(3)
            status = await get(f"{path}/breaker")
            assert (status["state"], status["calls"], status["failure_rate"]) == ("open", 3, 1.0)
            assert status["since"] < status["next_probe_at"]
            hook = await get(path)
            assert (hook["enabled"], hook["state"]) == (True, "suspended")
            assert hook["reason"].startswith(f"its breaker is open until {status['next_probe_at'][:16]}")
            assert "3 of 3 calls failed" in hook["reason"]
            assert [each["state"] for each in (await get("/v1/hooks"))["items"]] == ["suspended"]
            assert (await get(f"{path}/breaker/reset", "POST"))["state"] == "closed"
            assert (await get(path))["state"] == "enabled"
            assert await setup.ask() == ["status"]


async def test_a_suspended_hook_is_not_called_unchanged_by_its_etag() -> None:
    async with opened() as setup:
        hook_id = await setup.hook("/status/500")
        gateway = setup.gateway
        app = control_app(
            gateway.registry, operator_keys=[KEY], metrics=gateway.metrics, protections=gateway.protections
        )
        async with TestClient(TestServer(app), headers={"authorization": f"Bearer {KEY}"}) as client:
            path = f"/v1/hooks/{hook_id}"
            async with client.get(path) as response:
                etag = response.headers["etag"]
            await setup.ask(3)
            async with client.get(path, headers={"if-none-match": etag}) as response:
                assert (response.status, "etag" in response.headers) == (200, False)


async def test_the_metrics_show_breakers_and_bulkheads() -> None:
    async with opened() as setup:
        await setup.hook("/slow", max_concurrency=1, timeout_ms=10_000)
        many = asyncio.create_task(setup.ask(3))
        await setup.server.arrived()
        await asyncio.sleep(0)

        def samples() -> dict[str, float]:
            families = text_string_to_metric_families(setup.gateway.metrics.render().decode())
            return {
                sample.name
                + "".join(f" {sample.labels[name]}" for name in ("to", "reason") if name in sample.labels): (
                    sample.value
                )
                for family in families
                for sample in family.samples
            }

        assert samples()["gateway_bulkhead_total_in_use"] == 1
        setup.server.release()
        await many
        found = samples()
        assert (found["gateway_breaker_state"], found["gateway_bulkhead_in_use"]) == (0, 0)
        setup.server.on("/slow", lambda _: fail())
        await setup.ask(10)
        found = samples()
        assert found["gateway_breaker_state"] == 2
        assert found["gateway_breaker_transitions_total open"] == 1
        assert found["gateway_hook_calls_total breaker_open"] > 0


async def fail() -> Reply:
    return Reply(500)


async def test_changes_of_a_breaker_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway")
    async with opened(breaker={"min_calls": 1, "open_ms": 60_000}) as setup:
        hook_id = await setup.hook("/status/500")
        await setup.ask()
        setup.breaker(hook_id).reset()
    events = [str(record.msg) for record in caplog.records if str(record.msg).startswith("breaker.")]
    assert [event.split()[0] for event in events] == ["breaker.opened", "breaker.closed"]
    assert "1 of 1 calls failed" in events[0]
