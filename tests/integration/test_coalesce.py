"""Hooks with `coalesce` through the chain: results that share a call, and what each query is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway import Delivery, Envelope, HookDraft, IntegrationDraft, Query, QueryRejected, Result, Settings
from gateway.pipeline.call import Exchanged
from gateway.pipeline.coalesce import CoalesceSettings
from gateway.runtime import Gateway, open_gateway
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire import signature
from gateway.wire.cloudevents import QueryEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BATCH = "application/cloudevents-batch+json"
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def with_data(result):
    """What the hook makes of a result: the same with one more member."""
    return {**result, "seen": True}


def answers_of(events, **changed):
    """A good answer to every event, but for those whose result has a `n` that `changed` names (`n1={…}`)."""
    results = [(event["id"], event["data"]["result"]) for event in events]
    return [{"id": ident, "data": with_data(result), **changed.get(f"n{result['n']}", {})} for ident, result in results]


class Place:
    """A gateway with one hook, whose shared calls are answered by `self.reply(events)`."""

    def __init__(self, gateway: Gateway, server: HookServer, integration_id: str, secret: str) -> None:
        self.gateway = gateway
        self.server = server
        self.integration_id = integration_id
        self.secret = secret
        self.reply: Any = answers_of
        server.on("/hook", self._answer)

    async def _answer(self, request) -> Reply:
        body = orjson.loads(request.body)
        if request.header("content-type") != BATCH:
            return Reply.json(orjson.dumps(with_data(body["data"]["result"])))
        answer = self.reply(body)
        answer = await answer if asyncio.iscoroutine(answer) else answer
        return answer if isinstance(answer, Reply) else Reply.json(orjson.dumps(answer))

    async def hook(self, **fields: Any) -> str:
        draft = HookDraft("hook", "/hook", **{"coalesce": True, "timeout_ms": 5000, **fields})
        hook = await self.gateway.registry.create_hook(self.integration_id, draft)
        await self.gateway.registry.enable(hook.id)
        return hook.id

    async def one(self, number: int, **query: Any):
        answer = await self.gateway.chain.run(Query("search", **query), Result(b'{"n":%d}' % number))
        return answer.result.body, answer.outcomes[0]

    async def ask(self, count: int):
        return await asyncio.gather(*(self.one(number) for number in range(count)))

    @property
    def shared(self) -> list[list[Any]]:
        """The events of each shared call."""
        return [orjson.loads(r.body) for r in self.server.requests if r.header("content-type") == BATCH]


@asynccontextmanager
async def opened(**calls: Any) -> AsyncIterator[Place]:
    given = {"allow_http": True, "allow": ["127.0.0.1"], "require_ownership": False, "coalesce_ms": 10, **calls}
    settings = Settings(store={"url": "memory:"}, calls=given, breaker={"min_calls": 2})
    async with HookServer() as server, open_gateway(settings) as gateway:
        envelope = Envelope(may_reject=True)
        made = await gateway.registry.register(IntegrationDraft("fake", server.url, envelope=envelope))
        yield Place(gateway, server, made.integration.id, made.secret)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with opened() as it:
        yield it


async def test_results_of_concurrent_queries_share_a_signed_call_of_several_events(place: Place) -> None:
    hook_id = await place.hook()
    found = await asyncio.gather(
        place.one(1, params={"q": 1}, tenant="a", id="q_1", traceparent=TRACE, tracestate='k="v'),
        place.one(2, params={"q": 2}, depth=2, id="q_2"),
    )
    assert [body for body, _ in found] == [b'{"n":1,"seen":true}', b'{"n":2,"seen":true}']
    (request,) = place.server.requests
    assert request.header("content-type") == BATCH
    assert request.header("gateway-depth") == "3"
    assert 1000 <= int(request.header("gateway-timeout-ms")) <= 2000  # of the budget, not of the hook's limit
    first, second = orjson.loads(request.body)
    assert (first["subject"], first["hookid"], first["tenant"]) == ("q_1", hook_id, "a")
    assert first["data"] == {
        "query": {"type": "search", "capability": None, "tenant": "a", "params": {"q": 1}, "context": None},
        "result": {"n": 1},
    }
    assert first["traceparent"].startswith("00-" + "a" * 32)
    assert first["tracestate"] == 'k="v'
    assert second["subject"] == "q_2"
    assert len({first["id"], second["id"], request.header("webhook-id")}) == 3
    signature.verify(
        [signature.key_of(place.secret)],
        message_id=request.header("webhook-id"),
        timestamp=request.header("webhook-timestamp"),
        signature=request.header("webhook-signature"),
        body=request.body,
        now=float(request.header("webhook-timestamp")),
    )
    outcomes = [outcome for _, outcome in found]
    assert [outcome.status for outcome in outcomes] == ["applied", "applied"]
    assert sum(outcome.bytes_out for outcome in outcomes) == len(request.body) - len(b"[,]")
    assert {outcome.bytes_in for outcome in outcomes} == {len(b'{"n":1,"seen":true}')}
    assert {outcome.call_id for outcome in outcomes} == {request.header("webhook-id")}


async def test_a_result_without_company_is_a_call_as_any_other(place: Place) -> None:
    await place.hook()
    assert (await place.one(1))[0] == b'{"n":1,"seen":true}'
    assert place.server.requests[0].header("content-type") == "application/cloudevents+json"


@pytest.mark.parametrize(
    ("calls", "fields"),
    [
        ({"coalesce_ms": 0}, {}),
        ({}, {"coalesce": False}),
        ({}, {"delivery": Delivery.BINARY}),
    ],
)
async def test_no_call_is_shared_where_that_is_not_wanted(calls, fields) -> None:
    async with opened(**calls) as place:
        place.server.on("/hook", unchanged)
        await place.hook(**fields)
        await place.ask(3)
        assert len(place.server.requests) == 3
        assert place.shared == []


@pytest.mark.parametrize(("calls", "fields"), [({}, {"timeout_ms": 1900}), ({"budget_ms": 1900}, {})])
async def test_no_call_is_shared_where_there_is_no_time(calls, fields, monkeypatch) -> None:
    """Less than four windows. They are long ones, so that the calls can be made within what is left of that."""
    async with opened(**calls) as place:
        coalescer = place.gateway.chain._turn._sending._coalescer
        monkeypatch.setattr(coalescer, "_settings", CoalesceSettings(window=0.5))
        place.server.on("/hook", unchanged)
        await place.hook(**fields)
        await place.ask(3)
        assert len(place.server.requests) == 3
        assert place.shared == []


async def unchanged(_request) -> Reply:
    return Reply(204)


async def test_a_call_has_so_many_results_and_so_many_bytes_at_most(place: Place) -> None:
    await place.hook()
    found = await place.ask(150)
    assert [orjson.loads(body)["n"] for body, _ in found] == list(range(150))
    assert sorted(len(events) for events in place.shared) == [22, 64, 64]
    place.server.requests.clear()
    half = Result(b'{"n":1,"x":"%s"}' % (b"x" * 50_000))
    await asyncio.gather(*(place.gateway.chain.run(Query("search"), half) for _ in range(12)))
    assert [len(events) for events in place.shared] == [5, 5, 2]


async def test_a_large_result_is_sent_alone(place: Place) -> None:
    await place.hook()
    large = Result(b'{"n":1,"x":"%s"}' % (b"x" * 100_000))
    await asyncio.gather(*(place.gateway.chain.run(Query("search"), large) for _ in range(2)))
    assert place.shared == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 500}, "status"),
        ({"status": 410}, "status"),
        ({"status": "200"}, "protocol"),
        ({"id": None}, "protocol"),
        ({"id": "another"}, "protocol"),
        ({"contenttype": "text/html"}, "content_type"),
        ({"contenttype": "application/json-patch+json"}, "bad_patch"),
        ({"data": {"deep": orjson.Fragment(b"[" * 200 + b"]" * 200)}}, "bad_json"),
        ({"status": 422}, "status"),
    ],
)
async def test_a_bad_answer_to_one_hurts_no_other(answer, reason, place: Place) -> None:
    place.reply = lambda events: answers_of(events, n1=answer)
    await place.hook()
    found = await place.ask(3)
    assert [body for body, _ in found] == [b'{"n":0,"seen":true}', b'{"n":1}', b'{"n":2,"seen":true}']
    assert [outcome.status for _, outcome in found] == ["applied", "failed", "applied"]
    assert found[1][1].reason == reason


async def test_every_form_of_answer_will_do(place: Place) -> None:
    def reply(events):
        patch = [{"op": "add", "path": "/patched", "value": 1}]
        return [
            {"id": events[0]["id"], "status": 204},
            {"id": events[1]["id"], "contenttype": "application/json-patch+json", "data": patch},
            {"id": events[2]["id"], "contenttype": "application/merge-patch+json", "data": {"merged": 1}, "more": 1},
            {"id": events[3]["id"], "data": orjson.Fragment(b'{"n": 1.50}')},
            {"id": "unknown", "data": 1},
        ][::-1]

    place.reply = reply
    await place.hook()
    found = await place.ask(4)
    assert [body for body, _ in found] == [b'{"n":0}', b'{"n":1,"patched":1}', b'{"n":2,"merged":1}', b'{"n": 1.50}']
    assert [(o.status, o.changed) for _, o in found] == [("unchanged", False)] + [("applied", True)] * 3


async def test_two_answers_to_one_event_are_none(place: Place) -> None:
    place.reply = lambda events: [*answers_of(events), {"id": events[0]["id"], "status": 204}]
    await place.hook()
    (_, first), (_, second) = await place.ask(2)
    assert (first.reason, second.status) == ("protocol", "applied")


async def test_an_answer_can_reject_its_own_query(place: Place) -> None:
    problem = {"status": 422, "contenttype": "application/problem+json", "data": {"title": "Not this one."}}
    place.reply = lambda events: answers_of(events, n1=problem)
    await place.hook()
    found: list[Any] = await asyncio.gather(*(place.one(n) for n in range(3)), return_exceptions=True)
    zero, one, two = found
    assert isinstance(one, QueryRejected)
    assert one.problem == {"title": "Not this one."}
    assert zero[1].status == two[1].status == "applied"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(500), "status"),
        (Reply(422, [("content-type", "application/problem+json")], b"{}"), "status"),
        (Reply(429, [("retry-after", "60")]), "status"),
        (Reply(410), "gone"),
        (Reply.json(b"[", "application/json"), "bad_json"),
        (Reply.json(b'{"n":1}', "application/json"), "bad_json"),
        (Reply.json(b"[" * 5_000 + b"]" * 5_000, "application/json"), "bad_json"),
        (Reply.json(b"[]", "text/html"), "content_type"),
        (Reply.json(b"[]", "application/json"), "protocol"),
    ],
)
async def test_what_fails_the_call_fails_each_query_by_itself(reply, reason, place: Place) -> None:
    place.reply = lambda events: reply
    hook_id = await place.hook()
    found = await place.ask(3)
    assert [body for body, _ in found] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert {outcome.reason for _, outcome in found} == {reason}
    if reason not in {"gone", "protocol"} and reply.status != 429:
        assert place.gateway.protections.present(hook_id).breaker.view().calls == 1


async def test_204_for_the_call_is_unchanged_for_each(place: Place) -> None:
    place.reply = lambda events: Reply(204)
    await place.hook()
    assert [outcome.status for _, outcome in await place.ask(3)] == ["unchanged"] * 3


async def test_a_shared_call_takes_one_place(place: Place) -> None:
    release = asyncio.Event()

    async def reply(events):
        await release.wait()
        return answers_of(events)

    place.reply = reply
    hook_id = await place.hook(max_concurrency=1)
    many = asyncio.create_task(place.ask(10))
    await place.server.arrived()
    assert place.gateway.protections.present(hook_id).bulkhead.in_use == 1
    release.set()
    await many
    assert place.gateway.protections.present(hook_id).bulkhead.in_use == 0


async def test_who_goes_away_leaves_the_others_their_answers(place: Place) -> None:
    release = asyncio.Event()

    async def reply(events):
        await release.wait()
        return answers_of(events)

    place.reply = reply
    await place.hook()
    early, late, stays = (asyncio.create_task(place.one(number)) for number in range(3))
    await asyncio.sleep(0)
    early.cancel()
    await place.server.arrived()
    late.cancel()
    await asyncio.wait([early, late])
    release.set()
    assert (await stays)[0] == b'{"n":2,"seen":true}'
    assert [event["data"]["result"]["n"] for event in place.shared[0]] == [1, 2]


async def test_when_all_have_gone_away_the_call_is_cut_off(place: Place) -> None:
    place.reply = lambda events: asyncio.Event().wait()
    hook_id = await place.hook()
    tasks = [asyncio.create_task(place.one(number)) for number in range(3)]
    await place.server.arrived()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert place.gateway.protections.present(hook_id).bulkhead.in_use == 0
    await place.server.no_connections()


async def test_who_goes_away_before_the_call_is_made_is_not_sent(place: Place) -> None:
    await place.hook()
    tasks = [asyncio.create_task(place.one(number)) for number in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (await place.one(7))[0] == b'{"n":7,"seen":true}'
    assert len(place.server.requests) == 1


async def test_each_waits_until_its_own_deadline_and_the_hook_is_told_the_earliest(place: Place) -> None:
    release = asyncio.Event()

    async def reply(events):
        await release.wait()
        return answers_of(events)

    place.reply = reply
    hook_id = await place.hook(timeout_ms=10_000)
    hook = place.gateway.registry.snapshot.get(hook_id)
    coalescer = place.gateway.chain._turn._sending._coalescer
    now = asyncio.get_running_loop().time()

    async def one(seconds):
        query = Query("search")
        event = QueryEvent(query, "/gateway")
        return await coalescer.run(hook, query, event, Result(b'{"n":1}'), now + seconds, Exchanged())

    short, longer, long = (asyncio.create_task(one(seconds)) for seconds in (0.8, 1.2, 10))
    for late, least in ((short, 790), (longer, 1190)):
        after, outcome, _ = await late
        assert (after.body, outcome.reason) == (b'{"n":1}', "timeout")
        assert least < outcome.milliseconds < 5000
    assert 100 <= int(place.server.requests[0].header("gateway-timeout-ms")) <= 800
    release.set()
    after, outcome, _ = await long
    assert (after.body, outcome.status) == (b'{"n":1,"seen":true}', "applied")


async def test_an_answer_says_for_how_long_it_may_be_used_again(place: Place) -> None:
    def reply(events):
        body = orjson.dumps(answers_of(events, n1={"cachecontrol": "no-store"}))
        return Reply(200, [("content-type", "application/json"), ("cache-control", "max-age=60")], body)

    place.reply = reply
    await place.hook()
    await place.ask(2)
    assert [outcome.status for _, outcome in await place.ask(2)] == ["cached", "applied"]


async def test_of_shared_calls_is_counted_how_many_there_were(place: Place) -> None:
    await place.hook()
    await place.ask(5)
    rendered = place.gateway.metrics.render().decode()
    assert "gateway_shared_calls_total 1.0" in rendered
    assert "gateway_shared_call_results_total 5.0" in rendered
