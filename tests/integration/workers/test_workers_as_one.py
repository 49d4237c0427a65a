"""Several workers are one gateway to whoever looks from outside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.testing.hook_server import Reply

if TYPE_CHECKING:
    from gateway.testing.hook_server import Request
    from tests.integration.workers.conftest import Starting, Whole

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_enabling_and_disabling_hold_in_every_worker_when_the_call_returns(whole: Whole) -> None:
    hook = await whole.hook("/unchanged")
    for _ in range(10):
        await whole.switch(hook, "enable")
        assert None not in await whole.queries(24)
        await whole.switch(hook, "disable")
        assert {None} == set(await whole.queries(24))


async def test_disabling_with_drain_waits_for_the_calls_of_all_workers(whole: Whole) -> None:
    released = asyncio.Event()
    calls: list[Request] = []

    async def held(request: Request) -> Reply:
        calls.append(request)
        await released.wait()
        return Reply(204)

    whole.server.on("/held", held)
    hook = await whole.hook("/held")
    await whole.switch(hook, "enable")
    asking = [asyncio.ensure_future(whole.query()) for _ in range(24)]
    await whole.until(lambda: len(calls) == 24)
    disabling = asyncio.ensure_future(whole.switch(hook, "disable", drain=True))
    await whole.until(lambda: [each for each in whole.logged("hook.disabled") if each["id"] == hook])
    assert {None} == set(await whole.queries(8))
    assert not disabling.done()
    released.set()
    await disabling
    assert len(calls) == 24
    answers = await asyncio.gather(*asking)
    assert all("unchanged" in each.headers["gateway-hooks"] for each in answers)


async def test_the_journal_shows_the_calls_of_all_workers_the_latest_first(whole: Whole) -> None:
    hook = await whole.hook("/unchanged")
    await whole.switch(hook, "enable")
    await whole.queries(30)
    await whole.switch(hook, "disable")
    shown = (await whole.api("GET", f"/v1/hooks/{hook}/outcomes?limit=100"))["items"]
    assert len(shown) == 30
    times = [each["at"] for each in shown]
    assert times == sorted(times, reverse=True)
    first = await whole.api("GET", f"/v1/hooks/{hook}/outcomes?limit=20")
    rest = await whole.api("GET", f"/v1/hooks/{hook}/outcomes?limit=20&cursor={first['next_cursor']}")
    assert first["items"] + rest["items"] == shown
    assert (await whole.api("GET", f"/v1/calls/{shown[0]['call_id']}"))["call_id"] == shown[0]["call_id"]


async def test_all_workers_have_one_name_so_that_a_circle_through_another_one_is_noticed(whole: Whole) -> None:
    answers = await asyncio.gather(*(whole.query() for _ in range(40)))
    assert len({each.headers["via"] for each in answers}) == 1


async def test_metrics_are_the_sum_of_all_workers(whole: Whole) -> None:
    hook = await whole.hook("/unchanged", "counted")
    await whole.switch(hook, "enable")
    await whole.queries(30)
    await whole.switch(hook, "disable")
    found = await whole.metrics()
    of_hook = {name: value for name, value in found.items() if 'hook="counted"' in name}
    calls = [value for name, value in of_hook.items() if name.startswith("gateway_hook_calls_total")]
    seconds = [value for name, value in of_hook.items() if name.startswith("gateway_hook_call_seconds_count")]
    assert (calls, seconds) == ([30.0], [30.0])
    assert found["gateway_hooks_enabled"] == 0
    again = await whole.metrics()
    assert {name: value for name, value in again.items() if 'hook="counted"' in name} == of_hook


async def test_a_hook_that_says_it_is_gone_is_disabled_in_every_worker(whole: Whole) -> None:
    hook = await whole.hook("/gone")
    await whole.switch(hook, "enable")
    await whole.query()
    await whole.until(lambda: disabled(whole, hook))
    await whole.until_all_say(None)


async def disabled(whole: Whole, hook: str) -> bool:
    shown = await whole.api("GET", f"/v1/hooks/{hook}")
    return shown["state"] == "disabled" and "410" in shown["reason"]


async def test_breakers_are_shown_explained_and_reset_over_all_workers(whole: Whole) -> None:
    hook = await whole.hook("/status/500")
    await whole.switch(hook, "enable")
    query = {"query": {"type": "query"}}

    async def all_open() -> bool:
        await whole.queries(16)
        shown = await whole.api("GET", f"/v1/hooks/{hook}/breaker")
        return shown["state"] == "open" and "workers" not in shown["reason"]

    await whole.until(all_open)
    shown = await whole.api("GET", f"/v1/hooks/{hook}")
    assert shown["state"] == "suspended"
    explained = await whole.api("POST", "/v1/explain", query)
    (about,) = [each for each in explained["would_not_run"] if each["hook_id"] == hook]
    assert about["reason"] == "breaker_open"
    whole.server.on("/status/500", unchanged)
    closed = await whole.api("POST", f"/v1/hooks/{hook}/breaker/reset")
    assert closed["state"] == "closed"
    assert all("unchanged" in str(each) for each in await whole.queries(24))
    await whole.switch(hook, "disable")
    events = await whole.api("GET", "/v1/events?limit=100")
    opened = [each for each in events["items"] if each["type"] == "gateway.breaker.opened"]
    assert len([each for each in opened if each["key"] == hook]) == 1


async def unchanged(_request: Request) -> Reply:
    return Reply(204)


async def test_a_purge_reaches_the_caches_of_all_workers(whole: Whole) -> None:
    calls: list[Request] = []

    async def fresh(request: Request) -> Reply:
        calls.append(request)
        return Reply(204, [("cache-control", "max-age=600")])

    whole.server.on("/fresh", fresh)
    hook = await whole.hook("/fresh")
    await whole.switch(hook, "enable")
    await whole.in_all(lambda: len(calls), 2)  # each worker keeps a reply of its own
    await whole.queries(24)
    before = len(calls)
    purged = await whole.api("POST", f"/v1/hooks/{hook}/purge")
    assert purged["purged"] == before
    await whole.queries(24)
    assert len(calls) > before
    await whole.switch(hook, "disable")


async def test_a_trace_is_found_whichever_worker_answered(whole: Whole) -> None:
    hook = await whole.hook("/unchanged")
    await whole.switch(hook, "enable")
    for _ in range(6):
        answer = await whole.query(**{"gateway-debug": "operator-key-for-tests"})
        trace = await whole.api("GET", f"/v1/traces/{answer.headers['gateway-trace-id']}")
        assert [each["hook_id"] for each in trace["hooks"]] == [hook]
    await whole.switch(hook, "disable")


async def test_who_listens_to_a_hook_gets_the_calls_of_all_workers(whole: Whole) -> None:
    hook = await whole.hook("/nobody-is-here")
    await whole.switch(hook, "enable")
    listen = f"/v1/hooks/{hook}/listen"
    told = await whole.api("POST", listen, {"mode": "live", "wait_seconds": 0})
    listener = told["listener"]
    asking = [asyncio.ensure_future(whole.query()) for _ in range(16)]
    replied = 0
    while replied < 16:
        replies = [{"id": each["id"], "status": 204} for each in told["calls"]]
        replied += len(replies)
        wait = 5 if replied < 16 else 0
        asked = {"mode": "live", "listener": listener, "wait_seconds": wait, "replies": replies}
        told = await whole.api("POST", listen, asked)
    answers = await asyncio.gather(*asking)
    assert all("unchanged" in each.headers["gateway-hooks"] for each in answers)
    await whole.api("POST", listen, {"mode": "live", "listener": listener, "end": True})
    assert all("failed" in str(each) for each in await whole.queries(8))
    await whole.switch(hook, "disable")


async def test_every_line_of_a_workers_log_says_which_one_it_is(whole: Whole) -> None:
    lines = whole.logged("worker.serves")
    assert {(each["worker"], each["pid"]) for each in lines} == {
        (each["worker"], each["worker_pid"]) for each in whole.logged("worker.ready")
    }
    assert {each["pid"] for each in lines} == set(whole.pids)


async def test_bodies_that_are_kept_come_from_whichever_worker_made_the_call(starting: Starting) -> None:
    async with starting(GATEWAY_JOURNAL__BODIES="true") as whole:
        whole.server.on("/adds", adds)
        hook = await whole.hook("/adds")
        await whole.switch(hook, "enable")
        await whole.queries(16)
        shown = (await whole.api("GET", f"/v1/hooks/{hook}/outcomes?limit=100"))["items"]
        assert len(shown) == 16
        for each in shown:
            assert each["reply"]["body"] == '{"rows": []}'
            assert each["diff"]["patch"]


async def adds(_request: Request) -> Reply:
    return Reply.json(b'{"rows": []}')


async def test_a_canary_that_leaves_its_bounds_in_one_worker_steps_back_in_all(starting: Starting) -> None:
    # Else some of so many queries at once are skipped, because as many calls in shadow as may be are under way.
    async with starting(GATEWAY_ROLLOUT__SHADOW_CALLS_PER_HOOK="100") as whole:
        bounds = {"failure_percent": 10, "min_calls": 5}
        fields = {"mode": "canary", "percent": 100, "bounds": bounds}
        hook = await whole.hook("/status/500", envelope={"modes": ["canary", "shadow"]}, **fields)
        await whole.switch(hook, "enable")

        async def stepped_back() -> bool:
            await whole.queries(4)
            return bool((await whole.api("GET", f"/v1/hooks/{hook}"))["mode"] == "shadow")

        await whole.until(stepped_back)
        await whole.until_all_say("shadowed")
