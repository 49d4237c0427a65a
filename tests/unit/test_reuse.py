"""Using replies again: what is equal, for how long, and what who waits is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.model import Outcome, Query, Reason, Result, Status
from gateway.pipeline.reply_cache import OVERHEAD, ReplyCache
from gateway.pipeline.reuse import Reuse, ReuseSettings
from gateway.registry.learned import Learned
from gateway.registry.snapshot import BoundHook
from gateway.testing.clock import ManualClock
from gateway.transport.endpoint import parse_endpoint
from gateway.wire.cloudevents import QueryEvent
from gateway.wire.keyring import KeyRing

BEFORE, AFTER = b'{"rows":[1]}', b'{"rows":[2]}'
QUERY = Query("search", "air", "acme", {"q": 1}, {"u": 2})


def a_hook(hook_id="hk_1", **fields) -> BoundHook:
    given = {"generation": 1, "timeout": 10.0, "cache_seconds": 3600.0, "learned": Learned()} | fields
    return BoundHook(
        hook_id=hook_id,
        name="names",
        integration_id="in_1",
        integration="acme",
        endpoint=parse_endpoint("http://127.0.0.1/", pool=hook_id),
        keys=KeyRing(),
        fail=False,
        binary=False,
        may_reject=True,
        signed_replies=False,
        types=None,
        capabilities=None,
        tenants=None,
        place=(0, "acme", 0, "names"),
        **given,
    )


class Calls:
    """Calls that answer as told; with `gate`, only once that is set."""

    def __init__(self, hook, fresh=60.0, after=AFTER, status=Status.APPLIED, reason=None, gate=None) -> None:
        self.hook = hook
        self.fresh, self.after, self.status, self.reason, self.gate = fresh, after, status, reason, gate
        self.made: list[float] = []
        self.cut_off = 0
        self.bug = False
        self.began = asyncio.Event()

    def of(self, sent):
        async def call(deadline, seen):
            bug = self.bug
            self.made.append(deadline)
            self.began.set()
            try:
                if self.gate is not None:
                    await self.gate.wait()
            except asyncio.CancelledError:
                self.cut_off += 1
                raise
            if bug:
                raise RuntimeError("a bug")
            seen.fresh = self.fresh
            self.hook.learned.replied(reusable=self.fresh > 0)
            changed = self.status is Status.APPLIED and self.after is not None
            after = Result(self.after) if changed else sent
            return after, Outcome("names", "acme", self.status, self.reason, changed=changed), None

        return call


class Place:
    """A cache, a hook and calls of it."""

    def __init__(self, settings=None, **calls) -> None:
        self.clock = ManualClock()
        self.reuse = Reuse(settings, clock=self.clock)
        self.hook = a_hook()
        self.calls = Calls(self.hook, **calls)

    async def ask(self, query=QUERY, body=BEFORE, content_type="application/json", hook=None, seconds=10.0):
        sent = Result(body, content_type)
        deadline = asyncio.get_running_loop().time() + seconds
        event = QueryEvent(query, "/gateway")
        after, outcome, _ = await self.reuse.run(hook or self.hook, event, sent, deadline, self.calls.of(sent))
        return after.body, outcome.status.value, outcome.changed

    async def together(self, count, **asked):
        tasks = [asyncio.create_task(self.ask(**asked)) for _ in range(count)]
        await self.calls.began.wait()
        await rounds()
        return tasks


async def rounds(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- the cache


async def test_a_reply_is_used_again_for_as_long_as_it_says():
    place = Place()
    assert await place.ask() == (AFTER, "applied", True)
    place.clock.advance(59)
    assert await place.ask() == (AFTER, "cached", True)
    place.clock.advance(1)
    assert await place.ask() == (AFTER, "applied", True)
    assert len(place.calls.made) == 2


async def test_that_nothing_is_to_be_changed_is_kept_too():
    place = Place(status=Status.UNCHANGED, after=None)
    assert await place.ask() == (BEFORE, "unchanged", False)
    assert await place.ask() == (BEFORE, "cached", False)
    assert len(place.calls.made) == 1


@pytest.mark.parametrize(
    "calls",
    [
        {"fresh": 0.0},
        {"status": Status.FAILED, "reason": Reason.CONTRACT},
        {"status": Status.FAILED, "reason": Reason.BAD_PATCH},
        {"status": Status.REJECTED},
    ],
)
async def test_what_may_not_be_used_again_is_not_kept(calls):
    place = Place(**calls)
    first = await place.ask()
    assert await place.ask() == first
    assert len(place.calls.made) == 2
    assert place.reuse.size == (0, 0)


@pytest.mark.parametrize(
    "asked",
    [
        {"body": b'{"rows": [1]}'},
        {"content_type": "application/vnd.acme+json"},
        {"query": replace(QUERY, type="form")},
        {"query": replace(QUERY, capability=None)},
        {"query": replace(QUERY, tenant="other")},
        {"query": replace(QUERY, params={"q": 2})},
        {"query": replace(QUERY, context=None)},
        {"hook": a_hook()},
        {"hook": a_hook("hk_2")},
    ],
)
async def test_everything_that_a_hook_is_told_makes_a_difference(asked):
    place = Place()
    await place.ask()
    assert (await place.ask(**asked))[1] == "applied"
    assert len(place.calls.made) == 2


async def test_who_asks_and_how_deep_makes_none():
    place = Place()
    await place.ask()
    again = Query("search", "air", "acme", {"q": 1}, {"u": 2}, id="q_2", depth=1, traceparent="00-a", tracestate="k=v")
    assert (await place.ask(query=again))[1] == "cached"


async def test_what_cannot_be_written_as_json_is_left_to_the_call():
    place = Place()
    odd = replace(QUERY, params={1, 2})
    assert (await place.ask(query=odd))[1] == "applied"
    assert (await place.ask(query=odd))[1] == "applied"


async def test_the_result_of_one_query_is_not_the_object_of_another():
    place = Place()
    sent = Result(BEFORE)
    event = QueryEvent(QUERY, "/gateway")
    deadline = asyncio.get_running_loop().time() + 10
    found = [(await place.reuse.run(place.hook, event, sent, deadline, place.calls.of(sent)))[0] for _ in range(3)]
    assert len({id(each) for each in found}) == 3


async def test_large_results_are_told_apart_by_their_bytes_too():
    place = Place()
    large = b"[" + b"1," * 600_000 + b"1]"
    await place.ask(body=large)
    assert (await place.ask(body=large))[1] == "cached"
    assert (await place.ask(body=large[:-2] + b"2]"))[1] == "applied"


async def test_purging_a_hook_forgets_what_was_kept_of_all_its_generations_and_of_no_other():
    place = Place()
    other = a_hook("hk_2")
    await place.ask()
    await place.ask(hook=a_hook(generation=2))
    await place.ask(hook=other)
    assert place.reuse.purge("hk_1") == 2
    assert (await place.ask())[1] == "applied"
    assert (await place.ask(hook=other))[1] == "cached"
    assert place.reuse.purge("hk_3") == 0
    assert place.reuse.counts.purged == 2


async def test_the_cache_stays_within_its_bytes_and_its_entries():
    place = Place(ReuseSettings(max_bytes=10 * (OVERHEAD + 1_000), max_entries=1_000), after=b"x" * 1_000)
    for number in range(50):
        await place.ask(body=b"%d" % number)
    assert place.reuse.size == (10, 10 * (OVERHEAD + 1_000))
    assert place.reuse.counts.evicted == 40
    few = Place(ReuseSettings(max_entries=3))
    for number in range(10):
        await few.ask(body=b"%d" % number)
    assert few.reuse.size[0] == 3


async def test_what_was_not_used_for_longest_makes_room():
    place = Place(ReuseSettings(max_entries=2))
    for body in (b"1", b"2", b"1", b"3"):
        await place.ask(body=body)
    assert [(await place.ask(body=body))[1] for body in (b"1", b"3", b"2")] == ["cached", "cached", "applied"]


def test_what_is_larger_than_the_cache_is_not_kept():
    cache = ReplyCache(OVERHEAD + 10, 5, ManualClock())
    cache.put((a_hook(), b"1"), b"x" * 11, 60)
    assert cache.entries == 0
    cache.put((a_hook(), b"1"), b"x" * 10, 60)
    assert cache.entries == 1


def test_what_ended_gives_its_room_back():
    clock = ManualClock()
    cache = ReplyCache(10 * OVERHEAD, 100, clock)
    for number in range(5):
        cache.put((a_hook(), b"%d" % number), None, 10)
    clock.advance(10)
    cache.put((a_hook(), b"new"), None, 10)
    assert (cache.entries, cache.bytes) == (1, OVERHEAD)


def test_what_is_kept_anew_ends_when_the_new_one_does():
    clock = ManualClock()
    cache = ReplyCache(10 * OVERHEAD, 100, clock)
    key = (a_hook(), b"1")
    cache.put(key, b"old", 10)
    cache.put(key, b"new", 60)
    clock.advance(20)
    cache.put((a_hook(), b"2"), None, 10)
    assert cache.get(key) == (b"new", 20)


def test_nothing_stays_behind_of_what_made_room_was_replaced_or_was_purged():
    clock = ManualClock()
    cache = ReplyCache(2**20, 10, clock)
    for number in range(1_000):
        cache.put((a_hook(f"hk_{number % 5}"), b"%d" % (number // 2)), None, 600)
        cache.purge("hk_4")
    assert len(cache._ends) <= 2 * 10 + 1


# ---------------------------------------------------------------- one call for many


async def test_equal_queries_at_once_are_one_call():
    gate = asyncio.Event()
    place = Place(gate=gate)
    tasks = await place.together(10)
    gate.set()
    found = await asyncio.gather(*tasks)
    assert sorted(found) == sorted([(AFTER, "applied", True)] + [(AFTER, "cached", True)] * 9)
    assert len(place.calls.made) == 1
    assert (place.reuse.counts.misses, place.reuse.counts.joined) == (1, 9)


async def test_a_reply_that_may_not_be_used_again_is_the_first_one_s_only():
    gate = asyncio.Event()
    place = Place(gate=gate, fresh=0.0)
    tasks = await place.together(5)
    assert len(place.calls.made) == 1
    gate.set()
    assert await asyncio.gather(*tasks) == [(AFTER, "applied", True)] * 5
    assert len(place.calls.made) == 5


async def test_once_a_hook_has_not_allowed_it_nobody_waits_for_another():
    gate = asyncio.Event()
    place = Place(gate=gate, fresh=0.0)
    place.hook.learned.replied(reusable=True)
    place.hook.learned.replied(reusable=False)
    tasks = await place.together(5)
    assert len(place.calls.made) == 5
    gate.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(("trusted", "seconds"), [(False, 10.0), (True, 0.09)])
async def test_before_the_first_reply_nobody_waits_who_has_little_time_or_a_hook_with_limits(trusted, seconds):
    place = Place(gate=asyncio.Event())
    place.hook = place.calls.hook = a_hook(learned=Learned(trusted=trusted))
    tasks = await place.together(5, seconds=seconds)
    assert len(place.calls.made) == 5
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_failure_is_not_shared():
    gate = asyncio.Event()
    place = Place(gate=gate, status=Status.FAILED, reason=Reason.CONNECT)
    tasks = await place.together(3)
    gate.set()
    await asyncio.gather(*tasks)
    assert len(place.calls.made) == 3


async def test_who_waited_calls_with_its_own_deadline():
    gate = asyncio.Event()
    place = Place(gate=gate, fresh=0.0)
    first = asyncio.create_task(place.ask(seconds=5.0))
    await place.calls.began.wait()
    second = asyncio.create_task(place.ask(seconds=8.0))
    await rounds()
    gate.set()
    await asyncio.gather(first, second)
    assert 2.5 < place.calls.made[1] - place.calls.made[0] < 3.5


async def test_nobody_waits_for_more_than_a_part_of_its_time():
    place = Place(gate=asyncio.Event())
    place.hook.learned.replied(reusable=True)
    tasks = [asyncio.create_task(place.ask(seconds=0.02)) for _ in range(3)]
    async with asyncio.timeout(5):
        while len(place.calls.made) < 3:  # noqa: ASYNC110  the calls are what is waited for
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_that_the_first_one_goes_away_hurts_nobody():
    gate = asyncio.Event()
    place = Place(gate=gate)
    first, *others = await place.together(3)
    first.cancel()
    await rounds()
    gate.set()
    assert await asyncio.gather(*others) == [(AFTER, "cached", True)] * 2
    assert (len(place.calls.made), place.calls.cut_off) == (1, 0)
    assert first.cancelled()


async def test_when_all_have_gone_away_the_call_is_cut_off_before_the_last_is_through():
    place = Place(gate=asyncio.Event())
    tasks = await place.together(3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (len(place.calls.made), place.calls.cut_off) == (1, 1)
    assert place.reuse.size == (0, 0)


async def test_what_goes_wrong_in_the_gateway_is_the_first_one_s_only():
    gate = asyncio.Event()
    place = Place(gate=gate)
    place.calls.bug = True
    first = asyncio.create_task(place.ask())
    await place.calls.began.wait()
    place.calls.bug = False
    second = asyncio.create_task(place.ask())
    await rounds()
    gate.set()
    with pytest.raises(RuntimeError):
        await first
    assert await second == (AFTER, "applied", True)
