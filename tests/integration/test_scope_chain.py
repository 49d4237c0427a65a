"""Scope and post-conditions through the chain: what a hook is sent, and what of its reply becomes the result."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway import Envelope, FailurePolicy, HookDraft, HookFailed, IntegrationDraft, Query, Result
from gateway import Settings as GatewaySettings
from gateway.model import Delivery, Granularity, OnViolation, RowCount
from gateway.pipeline import HookGuard
from gateway.runtime import Gateway, open_gateway
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire.cloudevents import QueryEvent
from gateway.wire.reply import JsonPatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUERY = Query("search")
BODY = (
    b'{"columns": ["id","price"], "rows": [{"id": 1, "price": 10.50, "secret": "s1"}, '
    b'{"id": 2, "price": 20, "secret": "s2"}], "total": 12345678901234567890, "note": "gr\\u00fc\xc3\x9fe"}'
)
PRICES = ("/rows/*/price",)


class Place:
    """A gateway with one hook, whose reply to what it is sent is `self.reply(document)`."""

    def __init__(self, gateway: Gateway, server: HookServer, integration_id: str) -> None:
        self.gateway = gateway
        self.server = server
        self.integration_id = integration_id
        self.reply: Any = None
        self.hook_id = ""
        server.on("/hook", self._answer)

    async def _answer(self, request) -> Reply:
        document = orjson.loads(request.body)
        answer = self.reply(document["data"]["result"] if "specversion" in document else document)
        return answer if isinstance(answer, Reply) else Reply.json(orjson.dumps(answer))

    async def hook(self, **fields: Any) -> None:
        draft = HookDraft("scoped", "/hook", **{"timeout_ms": 5000, **fields})
        (hook,) = await self.gateway.registry.replace_hooks(self.integration_id, [draft])
        self.hook_id = hook.id
        await self.gateway.registry.enable(hook.id)

    async def envelope(self, **fields: Any) -> None:
        await self.gateway.registry.change_integration(self.integration_id, {"envelope": fields})

    async def ask(self, body: bytes = BODY):
        """The result, the outcome."""
        given = Result(body)
        answer = await self.gateway.chain.run(QUERY, given)
        return answer.result, answer.outcomes[0]

    @property
    def sent(self) -> Any:
        """The last document that was sent."""
        return orjson.loads(self.server.requests[-1].body)["data"]["result"]


@asynccontextmanager
async def opened(**breaker: Any) -> AsyncIterator[Place]:
    calls = {"allow_http": True, "allow": ["127.0.0.1"], "require_ownership": False}
    settings = GatewaySettings(store={"url": "memory:"}, calls=calls, breaker=breaker or {"enabled": False})
    async with HookServer() as server, open_gateway(settings) as gateway:
        envelope = Envelope(failure_policy=FailurePolicy.FAIL)
        made = await gateway.registry.register(IntegrationDraft("fake", server.url, envelope=envelope))
        yield Place(gateway, server, made.integration.id)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with opened() as it:
        yield it


def priced(document):
    return {**document, "rows": [{**row, "price": 99.90} for row in document["rows"]]}


async def test_a_hook_is_sent_what_it_reads_and_nothing_else(place: Place) -> None:
    place.reply = priced
    await place.hook(reads=(*PRICES, "/columns"))
    after, outcome = await place.ask()
    assert place.sent == {"rows": [{"price": 10.5}, {"price": 20}], "columns": ["id", "price"]}
    assert b"secret" not in place.server.requests[-1].body
    assert after.body == BODY.replace(b"10.50", b"99.9").replace(b"20,", b"99.9,")
    assert (outcome.status, outcome.changed) == ("applied", True)
    assert outcome.bytes_out == len(place.server.requests[-1].body)


async def test_the_binary_form_carries_the_projection_too(place: Place) -> None:
    place.reply = lambda _: Reply(204)
    await place.hook(reads=PRICES, delivery=Delivery.BINARY)
    _, outcome = await place.ask()
    assert outcome.status == "unchanged"
    assert place.server.requests[-1].body == b'{"rows":[{"price":10.50},{"price":20}]}'


@pytest.mark.parametrize(
    ("content_type", "reply"),
    [
        ("application/json", {"rows": [{"price": 10.5}, {"price": 7}]}),
        ("application/json-patch+json", [{"op": "replace", "path": "/rows/1/price", "value": 7}]),
        ("application/merge-patch+json", {"rows": [{"price": 10.5}, {"price": 7}]}),
    ],
)
async def test_every_form_of_reply_is_merged_where_it_belongs(place: Place, content_type, reply) -> None:
    place.reply = lambda _: Reply.json(orjson.dumps(reply), content_type=content_type)
    await place.hook(reads=PRICES)
    after, outcome = await place.ask()
    assert outcome.status == "applied"
    expected = json.loads(BODY)
    expected["rows"][1]["price"] = 7
    assert json.loads(after.body) == expected
    assert b"12345678901234567890" in after.body


async def test_rows_that_are_arrays_are_sent_as_objects_with_the_index_for_a_name(place: Place) -> None:
    place.reply = lambda _: Reply.json(
        b'[{"op":"replace","path":"/rows/1/2","value":"x"}]', content_type="application/json-patch+json"
    )
    await place.hook(reads=("/rows/*/2",))
    after, _ = await place.ask(b'{"rows":[[1,2,3],[4,5,6]]}')
    assert place.sent == {"rows": [{"2": 3}, {"2": 6}]}
    assert after.body == b'{"rows":[[1,2,3],[4,5,"x"]]}'


async def test_a_change_outside_what_may_be_written_fails_with_its_place_and_leaves_every_byte(place: Place) -> None:
    place.reply = lambda document: {"rows": [{**row, "id": 7} for row in document["rows"]]}
    await place.hook(reads=("/rows/*/id", "/rows/*/price"), writes=PRICES)
    given = Result(BODY)
    answer = await place.gateway.chain.run(QUERY, given)
    (outcome,) = answer.outcomes
    assert answer.result is given
    assert (outcome.status, outcome.reason, outcome.changed) == ("failed", "contract", False)
    assert "'/rows/0/id'" in outcome.detail


async def test_under_the_policy_fail_a_broken_contract_is_an_error_for_the_caller(place: Place) -> None:
    place.reply = lambda _: {"rows": []}
    await place.hook(reads=PRICES, failure_policy=FailurePolicy.FAIL)
    with pytest.raises(HookFailed) as e:
        await place.ask()
    assert (e.value.status, e.value.reason) == (502, "contract")


async def test_what_may_not_be_written_is_dropped_where_the_hook_says_so(place: Place) -> None:
    place.reply = lambda document: {"rows": [{"id": 7, "price": 1} for _ in document["rows"]]}
    await place.hook(reads=("/rows/*/id", "/rows/*/price"), writes=PRICES, on_violation=OnViolation.DROP)
    after, outcome = await place.ask()
    assert [row["id"] for row in after.value["rows"]] == [1, 2]
    assert [row["price"] for row in after.value["rows"]] == [1, 1]
    assert (outcome.status, outcome.changed) == ("applied", True)
    assert outcome.detail == "left out what the hook may not write: '/rows/0/id' may not be changed and 1 more"


async def test_a_hook_that_sees_everything_is_held_to_what_it_may_write(place: Place) -> None:
    await place.hook(writes=("/rows/*/price",))
    place.reply = priced
    after, outcome = await place.ask()
    assert outcome.status == "applied"
    assert after.body.count(b"99.9") == 2
    assert b"12345678901234567890" in after.body
    place.reply = lambda document: {**document, "total": 1}
    after, outcome = await place.ask()
    assert (after.body, outcome.reason) == (BODY, "contract")
    assert "'/total'" in outcome.detail


async def test_a_hook_may_add_where_it_may_write_and_cannot_see(place: Place) -> None:
    place.reply = lambda document: {"rows": [{**row, "score": row["id"] * 10} for row in document["rows"]]}
    await place.hook(reads=("/rows/*/id",), writes=("/rows/*/score",))
    after, outcome = await place.ask()
    assert outcome.status == "applied"
    assert [row["score"] for row in after.value["rows"]] == [10, 20]
    assert [row["secret"] for row in after.value["rows"]] == ["s1", "s2"]


async def test_a_projection_that_finds_nothing_skips_the_hook(place: Place) -> None:
    await place.hook(reads=("/nowhere/*/price",))
    after, outcome = await place.ask()
    assert (outcome.status, outcome.reason) == ("skipped", "projection")
    assert after.body == BODY
    assert place.server.requests == []
    _, outcome = await place.ask(b"no JSON")
    assert (outcome.status, outcome.reason) == ("skipped", "projection")


async def test_narrowing_the_envelope_reaches_hooks_that_exist(place: Place) -> None:
    place.reply = priced
    await place.hook(reads=("/rows", "/columns"))
    await place.envelope(reads=("/rows/*/price", "/rows/*/id"), writes=("/rows/*/id",))
    after, outcome = await place.ask()
    assert place.sent == {"rows": [{"id": 1, "price": 10.5}, {"id": 2, "price": 20}]}
    assert (after.body, outcome.reason) == (BODY, "contract")


async def test_a_hook_whose_replies_break_its_contract_is_left_alone_after_a_while() -> None:
    async with opened(min_calls=4) as place:
        place.reply = lambda _: {"rows": []}
        await place.hook(reads=PRICES)
        reasons = [(await place.ask())[1].reason for _ in range(6)]
    assert reasons == ["contract"] * 4 + ["breaker_open"] * 2


async def test_a_reply_from_the_cache_is_merged_into_each_result_anew(place: Place) -> None:
    place.reply = lambda document: Reply(
        200, [("content-type", "application/json"), ("cache-control", "max-age=60")], orjson.dumps(priced(document))
    )
    await place.hook(reads=PRICES)
    await place.ask()
    after, outcome = await place.ask(BODY.replace(b"s1", b"other"))
    assert outcome.status == "cached"
    assert len(place.server.requests) == 1
    assert b"other" in after.body
    assert after.body.count(b"99.9") == 2


async def test_rows_of_a_projection_are_sent_in_batches(place: Place) -> None:
    place.reply = priced
    await place.hook(reads=PRICES, granularity=Granularity.ROWS, rows_at="/rows", batch_rows=1)
    after, outcome = await place.ask()
    assert outcome.batches == 2
    assert after.body == BODY.replace(b"10.50", b"99.9").replace(b"20,", b"99.9,")


@pytest.mark.parametrize(
    ("condition", "reply", "place_named"),
    [
        ({"max_growth": 1.5}, lambda document: {**document, "more": "x" * 200}, "at ''"),
        ({"row_count": RowCount.SAME, "rows_at": "/rows"}, lambda document: {**document, "rows": []}, "at '/rows'"),
        ({"keep": ("/rows/*/id",)}, lambda document: {**document, "rows": document["rows"][1:]}, "at '/rows/0/id'"),
        (
            {"result_schema": '{"properties":{"rows":{"items":{"properties":{"price":{"type":"number"}}}}}}'},
            lambda document: {**document, "rows": [document["rows"][0], {"price": "?"}]},
            "at '/rows/1/price'",
        ),
    ],
)
@pytest.mark.parametrize("who", ["hook", "envelope"])
async def test_a_broken_post_condition_fails_with_the_first_place(
    place: Place, condition, reply, place_named, who
) -> None:
    place.reply = reply
    if who == "envelope":
        await place.envelope(**condition)
        await place.hook()
    else:
        await place.hook(**condition)
    after, outcome = await place.ask()
    assert (outcome.status, outcome.reason) == ("failed", "contract")
    assert place_named in outcome.detail
    assert outcome.detail.startswith(f"the {who}'s ")
    assert after.body == BODY
    place.reply = lambda document: document
    _, outcome = await place.ask()
    assert outcome.status == "applied"


async def test_post_conditions_are_about_the_whole_result_where_a_part_is_sent(place: Place) -> None:
    place.reply = priced
    await place.hook(reads=PRICES, keep=("/rows/*/id", "/total"), row_count=RowCount.SAME, rows_at="/rows")
    _, outcome = await place.ask()
    assert (outcome.status, outcome.changed) == ("applied", True)


async def test_large_results_are_projected_and_merged_beside_the_loop_and_in_time(place: Place) -> None:
    rows = [{"id": n, "price": n + 0.5, "name": f"name, {n}"} for n in range(10_000)]
    body = json.dumps({"rows": rows}).encode()
    place.reply = priced
    await place.hook(reads=PRICES)
    (after, outcome), (again, _) = await asyncio.gather(place.ask(body), place.ask(body))
    assert outcome.status == "applied"
    assert after.value == {"rows": [{**row, "price": 99.9} for row in rows]} == again.value
    assert outcome.bytes_out < len(body) / 2


class LongPatches:
    """A caller whose hook answers with many operations, and that notes on which thread they are applied."""

    def __init__(self, count: int) -> None:
        self._answer = JsonPatch([{"op": "add", "path": "/a", "value": n} for n in range(count)])
        self.may_end = threading.Event()
        self.thread = 0

    async def call(self, *_: Any) -> JsonPatch:
        return self._answer

    def apply(self, _answer: Any, _result: Result) -> Result:
        self.thread = threading.get_ident()
        self.may_end.wait()
        return Result(b"{}")


async def guarded(place: Place, caller: LongPatches, **fields: Any):
    await place.hook(**fields)
    hook = place.gateway.registry.snapshot.get(place.hook_id)
    deadline = asyncio.get_running_loop().time() + 5
    _, outcome, _ = await HookGuard(caller).run(hook, QUERY, QueryEvent(QUERY, "/"), Result(b"{}"), deadline)
    return outcome


@pytest.mark.parametrize(("count", "beside"), [(100, False), (101, True), (10_000, True)])
async def test_a_patch_with_many_operations_is_applied_beside_the_loop(place: Place, count, beside) -> None:
    caller = LongPatches(count)
    caller.may_end.set()
    outcome = await guarded(place, caller)
    assert outcome.status == "applied"
    assert (caller.thread != threading.get_ident()) == beside


async def test_a_patch_that_takes_longer_than_there_is_time_is_too_late(place: Place) -> None:
    caller = LongPatches(10_000)
    try:
        outcome = await guarded(place, caller, timeout_ms=20)
    finally:
        caller.may_end.set()
    assert (outcome.status, outcome.reason, outcome.changed) == ("failed", "timeout", False)
