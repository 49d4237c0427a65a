"""Row-wise hooks through the chain: batches of a result, called side by side and put together in their order."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import Envelope, FailurePolicy, HookDraft, HookFailed, IntegrationDraft, Query, QueryRejected, Result
from gateway import Settings as GatewaySettings
from gateway.model import Granularity, RowCount
from gateway.pipeline.provenance import hooks_header
from gateway.runtime import Gateway, open_gateway
from gateway.testing.hook_server import HookServer, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUERY = Query("search")
ANYTHING = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)


class Place:
    """A gateway with one row-wise hook, whose replies are made by `self.reply(document)`."""

    def __init__(self, gateway: Gateway, server: HookServer, integration_id: str) -> None:
        self.gateway = gateway
        self.server = server
        self.integration_id = integration_id
        self.reply: Any = None
        self.under_way = self.most = 0
        server.on("/rows", self._answer)

    async def _answer(self, request) -> Reply:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            answer = self.reply(orjson.loads(request.body)["data"]["result"])
            answer = await answer if asyncio.iscoroutine(answer) else answer
        finally:
            self.under_way -= 1
        return answer if isinstance(answer, Reply) else Reply.json(orjson.dumps(answer))

    async def hook(self, **fields: Any) -> str:
        given = {"granularity": Granularity.ROWS, "rows_at": "/rows", "batch_rows": 2, "timeout_ms": 5000, **fields}
        draft = HookDraft("rows", "/rows", **given)
        (hook,) = await self.gateway.registry.replace_hooks(self.integration_id, [draft])
        await self.gateway.registry.enable(hook.id)
        return hook.id

    async def ask(self, body: bytes):
        answer = await self.gateway.chain.run(QUERY, Result(body))
        return answer.result.body, answer.outcomes[0]

    @property
    def sent(self) -> list[Any]:
        """The documents that were sent, in the order of their first rows."""
        documents = [orjson.loads(request.body)["data"]["result"] for request in self.server.requests]
        return sorted(documents, key=lambda document: str(document["rows"][:1]))


@asynccontextmanager
async def opened(**calls: Any) -> AsyncIterator[Place]:
    given = {"allow_http": True, "allow": ["127.0.0.1"], "require_ownership": False, **calls}
    settings = GatewaySettings(store={"url": "memory:"}, calls=given, breaker={"enabled": False})
    async with HookServer() as server, open_gateway(settings) as gateway:
        made = await gateway.registry.register(IntegrationDraft("fake", server.url, envelope=ANYTHING))
        yield Place(gateway, server, made.integration.id)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with opened() as it:
        yield it


def doubled(document):
    return {**document, "rows": [row * 2 for row in document["rows"]]}


async def test_each_batch_is_the_same_document_with_only_its_rows(place: Place) -> None:
    place.reply = doubled
    await place.hook()
    after, outcome = await place.ask(b'{"columns":["n"],"rows":[1,2,3,4,5],"total":1.50}')
    assert after == b'{"columns":["n"],"rows":[2,4,6,8,10],"total":1.50}'
    assert place.sent == [
        {"columns": ["n"], "rows": [1, 2], "total": 1.5},
        {"columns": ["n"], "rows": [3, 4], "total": 1.5},
        {"columns": ["n"], "rows": [5], "total": 1.5},
    ]
    assert (outcome.status, outcome.changed, outcome.batches, outcome.batches_failed) == ("applied", True, 3, 0)
    assert outcome.bytes_out == sum(len(request.body) for request in place.server.requests)
    assert outcome.bytes_in > 0


async def test_batches_are_called_at_once_and_put_together_in_order(place: Place) -> None:
    arrived = asyncio.Event()

    async def reply(document):
        if place.under_way == 4:
            arrived.set()
        await arrived.wait()
        return doubled(document)

    place.reply = reply
    await place.hook(batch_rows=1)
    assert orjson.loads((await place.ask(b'{"rows":[1,2,3,4]}'))[0])["rows"] == [2, 4, 6, 8]
    assert place.most == 4


@pytest.mark.parametrize(
    ("calls", "fields", "most"), [({"parallel_batches": 3}, {}, 3), ({}, {"max_concurrency": 2}, 2)]
)
async def test_no_more_at_once_than_the_gateway_and_the_hook_want(calls, fields, most) -> None:
    async with opened(**calls) as place:

        async def reply(document):
            for _ in range(5):
                await asyncio.sleep(0)
            return doubled(document)

        place.reply = reply
        await place.hook(batch_rows=1, **fields)
        body = orjson.dumps({"rows": list(range(40))})
        assert orjson.loads((await place.ask(body))[0])["rows"] == [2 * n for n in range(40)]
        assert place.most == most


async def test_a_batch_that_fails_keeps_its_rows_and_the_outcome_says_so(place: Place) -> None:
    place.reply = lambda document: Reply(500) if 3 in document["rows"] else doubled(document)
    await place.hook()
    after, outcome = await place.ask(b'{"rows":[1,2,3,4.50,5]}')
    assert after == b'{"rows":[2,4,3,4.50,10]}'
    assert (outcome.status, outcome.reason, outcome.changed) == ("applied", None, True)
    assert (outcome.batches, outcome.batches_failed) == (3, 1)
    assert outcome.detail == "1 of 3 batches failed: status"
    assert hooks_header([outcome]).endswith(";batches=3;batches_failed=1")
    rendered = place.gateway.metrics.render().decode()
    assert 'gateway_hook_batches_total{failed="yes",hook="rows",integration="fake"} 1.0' in rendered
    assert 'gateway_fail_open_total{hook="rows",integration="fake"} 1.0' in rendered


async def test_if_all_batches_fail_the_hook_failed(place: Place) -> None:
    place.reply = lambda document: Reply(500)
    await place.hook()
    before = b'{"rows":[1,2,3]}'
    after, outcome = await place.ask(before)
    assert after == before
    assert (outcome.status, outcome.reason, outcome.batches_failed) == ("failed", "status", 2)
    assert outcome.detail == "2 of 2 batches failed: status; the hook answered with status 500"


async def test_where_failures_are_not_ignored_one_failed_batch_fails_the_query(place: Place) -> None:
    place.reply = lambda document: Reply(500) if 3 in document["rows"] else doubled(document)
    await place.hook(failure_policy=FailurePolicy.FAIL)
    with pytest.raises(HookFailed) as caught:
        await place.ask(b'{"rows":[1,2,3,4]}')
    assert caught.value.reason == "status"
    assert caught.value.outcomes[0].fatal


async def test_a_batch_can_reject_the_query(place: Place) -> None:
    problem = orjson.dumps({"title": "No row of mine."})
    place.reply = lambda document: (
        Reply.json(problem, "application/problem+json", 422) if 3 in document["rows"] else doubled(document)
    )
    await place.hook()
    with pytest.raises(QueryRejected) as caught:
        await place.ask(b'{"rows":[1,2,3,4]}')
    assert caught.value.problem == {"title": "No row of mine."}
    assert [outcome.status for outcome in caught.value.outcomes] == ["rejected"]


async def test_batches_that_hang_end_with_the_deadline_and_the_others_count(place: Place) -> None:
    async def reply(document):
        if 3 in document["rows"]:
            await asyncio.Event().wait()
        return doubled(document)

    place.reply = reply
    await place.hook(timeout_ms=1000)
    after, outcome = await place.ask(b'{"rows":[1,2,3,4,5,6]}')
    assert after == b'{"rows":[2,4,3,4,10,12]}'
    assert outcome.detail == "1 of 3 batches failed: timeout"


async def test_after_the_deadline_no_batch_is_begun() -> None:
    async with opened(parallel_batches=1) as place:
        place.reply = lambda document: asyncio.Event().wait()
        await place.hook(batch_rows=1, timeout_ms=500)
        after, outcome = await place.ask(b'{"rows":[1,2,3,4,5,6]}')
        assert after == b'{"rows":[1,2,3,4,5,6]}'
        assert (outcome.reason, outcome.batches_failed) == ("timeout", 6)
        assert len(place.server.requests) == 1


async def test_a_hook_that_is_gone_is_not_called_for_the_other_batches() -> None:
    async with opened(parallel_batches=1) as place:
        place.reply = lambda document: Reply(410)
        await place.hook(batch_rows=1)
        _, outcome = await place.ask(b'{"rows":[1,2,3]}')
        assert (outcome.reason, outcome.batches_failed) == ("gone", 3)
        assert len(place.server.requests) == 1


@pytest.mark.parametrize(
    "changed",
    [
        lambda document: {**doubled(document), "total": 7},
        lambda document: {**doubled(document), "more": None},
        lambda document: doubled({"rows": document["rows"]}),
        lambda document: {**document, "rows": {}},
        lambda document: document["rows"],
        lambda document: Reply.json(b'{"total":null}', "application/merge-patch+json"),
        lambda document: Reply.json(b'[{"op":"remove","path":"/rows"}]', "application/json-patch+json"),
    ],
)
async def test_a_reply_that_changes_anything_but_rows_breaks_the_contract(changed, place: Place) -> None:
    place.reply = lambda document: changed(document) if 1 in document["rows"] else doubled(document)
    await place.hook()
    after, outcome = await place.ask(b'{"rows":[1,2,3,4],"total":4}')
    assert after == b'{"rows":[1,2,6,8],"total":4}'
    assert outcome.detail == "1 of 2 batches failed: contract"
    after, outcome = await place.ask(b'{"rows":[1],"total":4}')
    assert after == b'{"rows":[1],"total":4}'
    assert (outcome.reason, outcome.detail) == (
        "contract",
        "the reply to a batch of rows changed something outside its rows",
    )


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (lambda document: Reply(204), None),
        (
            lambda document: Reply.json(
                b'[{"op":"replace","path":"/rows/0","value":0}]', "application/json-patch+json"
            ),
            0,
        ),
        (lambda document: Reply.json(b'{"rows":[0]}', "application/merge-patch+json"), 0),
        (lambda document: Reply.json(b'{"total":1.5e0 ,"rows":[0]}'), 0),
    ],
)
async def test_every_form_of_reply_will_do(reply, expected, place: Place) -> None:
    place.reply = reply
    await place.hook(batch_rows=1)
    before = b'{"rows":[12345678901234567890123,2],"total":1.50}'
    after, outcome = await place.ask(before)
    assert after == (before if expected is None else b'{"rows":[0,0],"total":1.50}')
    assert outcome.status == ("unchanged" if expected is None else "applied")


@pytest.mark.parametrize(
    ("row_count", "new", "well"),
    [
        (None, [], True),
        (None, [0, 0, 0], True),
        (RowCount.MAY_SHRINK, [], True),
        (RowCount.MAY_SHRINK, [0, 0, 0], False),
        (RowCount.MAY_GROW, [0, 0, 0], True),
        (RowCount.MAY_GROW, [], False),
        (RowCount.SAME, [], False),
        (RowCount.SAME, [0, 0], True),
    ],
)
async def test_the_number_of_rows_may_differ_as_far_as_is_allowed(row_count, new, well, place: Place) -> None:
    place.reply = lambda document: {"rows": new if 1 in document["rows"] else [9, 9]}
    await place.hook(row_count=row_count)
    after, outcome = await place.ask(b'{"rows":[1,2,3,4]}')
    assert orjson.loads(after)["rows"] == [*(new if well else [1, 2]), 9, 9]
    assert outcome.batches_failed == (0 if well else 1)


@pytest.mark.parametrize("body", [b"{}", b'{"rows":{}}', b'{"rows":null}', b"[1]", b'"rows"', b"no JSON"])
async def test_a_result_without_rows_is_not_sent(body, place: Place) -> None:
    await place.hook()
    after, outcome = await place.ask(body)
    assert after == body
    assert (outcome.status, outcome.reason) == ("skipped", "projection")
    assert outcome.detail == "there is no array at rows_at '/rows' of the result"
    assert place.server.requests == []


async def test_without_any_rows_there_is_one_call_with_none(place: Place) -> None:
    place.reply = lambda document: {"rows": [1]}
    await place.hook()
    assert (await place.ask(b'{"rows":[]}'))[0] == b'{"rows":[1]}'


async def test_a_small_result_is_sent_as_the_bytes_it_is(place: Place) -> None:
    place.reply = lambda document: Reply(204)
    await place.hook()
    before = b'{ "rows" : [1.50, 2] }'
    assert (await place.ask(before))[0] == before
    assert before in place.server.requests[0].body


async def test_the_document_itself_may_be_the_array(place: Place) -> None:
    place.reply = lambda rows: [row * 2 for row in rows]
    await place.hook(rows_at="")
    assert (await place.ask(b"[1,2,3]"))[0] == b"[2,4,6]"


async def test_all_replies_together_are_no_larger_than_one_may_be() -> None:
    async with opened(max_reply_bytes=1_000, parallel_batches=1) as place:
        place.reply = lambda document: {"rows": ["x" * 400]}
        await place.hook(batch_rows=1)
        after, outcome = await place.ask(b'{"rows":[1,2,3,4]}')
        assert orjson.loads(after)["rows"] == ["x" * 400, "x" * 400, 3, 4]
        assert outcome.detail == "2 of 4 batches failed: too_large"


async def test_cancelling_the_query_cancels_all_batches(place: Place) -> None:
    place.reply = lambda document: asyncio.Event().wait()
    hook_id = await place.hook(batch_rows=1)
    task = asyncio.create_task(place.ask(b'{"rows":[1,2,3,4]}'))
    await place.server.arrived(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.gateway.protections.present(hook_id).bulkhead.in_use == 0
    await place.server.no_connections()


async def test_a_batch_whose_rows_are_the_same_as_before_is_known(place: Place) -> None:
    place.reply = lambda document: Reply(
        200, [("content-type", "application/json"), ("cache-control", "max-age=60")], orjson.dumps(doubled(document))
    )
    await place.hook()
    await place.ask(b'{"rows":[1,2,3,4]}')
    after, outcome = await place.ask(b'{"rows":[1,2,3,5]}')
    assert (after, outcome.status) == (b'{"rows":[2,4,6,10]}', "applied")
    assert len(place.server.requests) == 3
    after, outcome = await place.ask(b'{"rows":[1,2,3,5]}')
    assert (after, outcome.status, outcome.changed) == (b'{"rows":[2,4,6,10]}', "cached", True)


ROWS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.integers(-(2**62), 2**62) | st.text(max_size=3) | st.none(), max_size=3),
    max_size=12,
)


def test_row_by_row_is_the_same_as_all_at_once_for_any_size_of_batch() -> None:
    def pure(document):
        return {
            **document,
            "rows": [{**row, "a": [row.get("a"), "seen"]} for row in document["rows"] if "b" not in row],
        }

    with asyncio.Runner() as runner:
        context = opened()
        place = runner.run(context.__aenter__())
        place.reply = pure

        async def both(rows, size):
            body = orjson.dumps({"n": 1, "rows": rows, "z": [1.5]})
            found = []
            for granularity in Granularity:
                await place.hook(batch_rows=size, granularity=granularity)
                found.append(orjson.loads((await place.ask(body))[0]))
            assert found[0] == found[1] == pure(orjson.loads(body))

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
        @given(ROWS, st.integers(1, 6))
        def same(rows, size):
            runner.run(both(rows, size))

        try:
            same()
        finally:
            runner.run(context.__aexit__(None, None, None))


async def test_a_projected_row_wise_hook_sees_its_columns_only_and_in_batches(place: Place) -> None:
    place.reply = lambda document: {"rows": [{"n": row["n"] * 2} for row in document["rows"]]}
    await place.hook(reads=("/rows/*/n",))
    after, outcome = await place.ask(b'{"rows":[{"n":1,"k":"a"},{"n":2,"k":"b"},{"n":3,"k":"c"}],"total":3}')
    assert after == b'{"rows":[{"n":2,"k":"a"},{"n":4,"k":"b"},{"n":6,"k":"c"}],"total":3}'
    assert place.sent == [{"rows": [{"n": 1}, {"n": 2}]}, {"rows": [{"n": 3}]}]
    assert (outcome.status, outcome.batches) == ("applied", 2)
