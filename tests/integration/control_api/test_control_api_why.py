"""The answers to "why", over the real control API, a real gateway and a real (fake) integration server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from gateway import Envelope, HookDraft, IntegrationDraft, Query, Result, Settings, open_gateway
from gateway.model import Granularity, Mode
from gateway.service.control import control_app
from gateway.testing.hook_server import HookServer, Reply

OPERATOR = "operator-key-for-tests"
QUERY = {"type": "search", "capability": "air", "tenant": "acme", "params": {"q": "lisbon"}}
RESULT = {"rows": [{"id": 1, "price": 1.5}]}


@dataclass
class Setup:
    gateway: Any
    server: HookServer
    client: Any
    integration_id: str
    api_key: str

    async def hook(self, path, name=None, enabled=True, **fields):
        name = name or path.strip("/").replace("/", "-")
        hook = await self.gateway.registry.create_hook(self.integration_id, HookDraft(name=name, path=path, **fields))
        if enabled:
            await self.gateway.registry.enable(hook.id)
        return hook.id

    async def ask(self, query=None, result=None):
        return await self.gateway.chain.run(query or Query("search", "air", "acme"), Result.of(result or RESULT))

    async def call(self, method, path, body=None, key=OPERATOR, **params):
        async with self.client.request(
            method, path, json=body, params=params, headers={"authorization": f"Bearer {key}"}
        ) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
def options():
    return {}


@pytest.fixture
async def setup(aiohttp_client, options):
    calls = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False}
    settings = Settings.model_validate({"store": {"url": "memory:"}, "calls": calls, **options})
    async with HookServer() as server, open_gateway(settings) as gateway:
        made = await gateway.registry.register(
            IntegrationDraft("fake", server.url, envelope=Envelope(tenants=frozenset({"acme", "globex"})))
        )
        app = control_app(gateway.registry, operator_keys=[OPERATOR], metrics=gateway.metrics, insight=gateway.insight)
        yield Setup(gateway, server, await aiohttp_client(app), made.integration.id, made.api_key)


async def merge_patch(_request):
    return Reply(200, [("content-type", "application/merge-patch+json")], b'{"count": 1}')


class TestOutcomes:
    async def test_an_integration_sees_what_became_of_its_replies_and_why(self, setup):
        hook_id = await setup.hook("/bad-json")
        await setup.ask()
        status, page = await setup.call("GET", f"/v1/hooks/{hook_id}/outcomes", key=setup.api_key)
        assert status == 200
        (item,) = page["items"]
        assert (item["status"], item["reason"], item["hook"]) == ("failed", "bad_json", "bad-json")
        assert "cannot be used" in item["detail"]
        assert item["call_id"] == setup.server.requests[0].header("webhook-id")
        assert item["query"]["type"] == "search"
        assert (item["request"], item["reply"], item["diff"]) == (None, None, None)
        assert page["next_cursor"] is None

    async def test_the_latest_comes_first_page_by_page(self, setup):
        hook_id = await setup.hook("/unchanged")
        for number in range(5):
            await setup.ask(Query("search", "air", "acme", id=f"q{number}"))
        seen, cursor = [], {}
        while True:
            _, page = await setup.call("GET", f"/v1/hooks/{hook_id}/outcomes", limit="2", **cursor)
            seen += [item["query"]["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == ["q4", "q3", "q2", "q1", "q0"]

    @pytest.mark.parametrize(
        ("criteria", "expected"),
        [
            ({"status": "failed"}, ["failed"]),
            ({"status": "unchanged"}, ["unchanged"]),
            ({"reason": "status"}, ["failed"]),
            ({"outcome": "unchanged,timeout"}, ["unchanged"]),
            ({"outcome": "status"}, ["failed"]),
            ({"since": "2100-01-01T00:00:00Z"}, []),
            ({"until": "2100-01-01T00:00:00Z"}, ["failed", "unchanged"]),
        ],
    )
    async def test_they_are_narrowed_by_outcome_and_time(self, setup, criteria, expected):
        answers = iter([Reply(204), Reply(500)])

        async def one_after_the_other(_request):
            return next(answers)

        setup.server.on("/changing", one_after_the_other)
        hook_id = await setup.hook("/changing")
        await setup.ask()
        await setup.ask()
        _, page = await setup.call("GET", f"/v1/hooks/{hook_id}/outcomes", **criteria)
        assert [item["status"] for item in page["items"]] == expected

    @pytest.mark.parametrize("criteria", [{"status": "timeout"}, {"cursor": "x"}, {"since": "now"}, {"limit": "0"}])
    async def test_criteria_that_make_no_sense_are_refused_by_name(self, setup, criteria):
        hook_id = await setup.hook("/unchanged")
        status, problem = await setup.call("GET", f"/v1/hooks/{hook_id}/outcomes", **criteria)
        assert status == 422
        assert [error["field"] for error in problem["errors"]] == [f"?{name}" for name in criteria]

    async def test_those_of_another_integration_are_not_there(self, setup):
        hook_id = await setup.hook("/unchanged")
        other = await setup.gateway.registry.register(IntegrationDraft("other", setup.server.url))
        for path, method in (("outcomes", "GET"), ("test", "POST")):
            body = {"query": QUERY, "result": RESULT} if method == "POST" else None
            status, _ = await setup.call(method, f"/v1/hooks/{hook_id}/{path}", body, key=other.api_key)
            assert status == 404


class TestBodies:
    @pytest.fixture
    def options(self):
        return {"journal": {"bodies": True, "redact": ["/result/rows/*/email", "/query/params/secret"]}}

    async def test_they_are_kept_where_the_operator_wants_it_without_what_is_to_be_hidden(self, setup):
        async def price(request):
            sent = json.loads(request.body)["data"]["result"]
            rows = [{**row, "price": 2} for row in sent["rows"]]
            return Reply(200, [("content-type", "application/json")], json.dumps({"rows": rows}).encode())

        setup.server.on("/price", price)
        hook_id = await setup.hook("/price")
        query = Query("search", "air", "acme", params={"secret": "s3cret", "q": "lisbon"})
        await setup.ask(query, {"rows": [{"email": "who@example.com", "price": 1}]})
        _, page = await setup.call("GET", f"/v1/hooks/{hook_id}/outcomes", key=setup.api_key)
        (item,) = page["items"]
        data = json.loads(item["request"]["body"])["data"]
        assert data["query"]["params"] == {"secret": "[redacted]", "q": "lisbon"}
        assert data["result"] == {"rows": [{"email": "[redacted]", "price": 1}]}
        assert json.loads(item["reply"]["body"]) == {"rows": [{"email": "[redacted]", "price": 2}]}
        assert item["diff"] == {"patch": [{"op": "replace", "path": "/rows/0/price", "value": 2}], "note": None}
        assert "who@example.com" not in json.dumps(page)
        assert "s3cret" not in json.dumps(page)

    async def test_the_store_is_bounded_in_bytes(self, setup):
        journal = setup.gateway.insight.journal
        hook_id = await setup.hook("/unchanged")
        object.__setattr__(journal._settings, "max_bytes", 10_000)
        for _ in range(20):
            await setup.ask()
        details = [journal.detail(entry) for entry in journal.entries(hook_id)]
        assert sum(detail.size for detail in details if detail) <= 10_000
        assert details[0] is not None
        assert details[-1] is None


class TestTrial:
    @pytest.mark.parametrize("enabled", [True, False])
    async def test_a_hook_is_called_for_real_and_nothing_is_applied(self, setup, enabled):
        setup.server.on("/count", merge_patch)
        hook_id = await setup.hook("/count", enabled=enabled)
        status, told = await setup.call(
            "POST", f"/v1/hooks/{hook_id}/test", {"query": QUERY, "result": RESULT}, key=setup.api_key
        )
        assert status == 200, told
        assert told["outcome"]["status"] == "applied"
        assert told["diff"] == [{"op": "add", "path": "/count", "value": 1}]
        assert told["reply"]["status"] == 200
        assert told["reply"]["body"] == '{"count": 1}'
        request = told["request"]
        assert (request["method"], request["url"]) == ("POST", f"{setup.server.url}/count")
        assert request["headers"]["webhook-id"] == setup.server.requests[0].header("webhook-id")
        assert json.loads(request["body"])["data"] == {"query": {**QUERY, "context": None}, "result": RESULT}
        _, page = await setup.call("GET", f"/v1/hooks/{hook_id}/outcomes")
        assert page["items"] == []

    async def test_a_failure_says_why_and_does_not_open_the_breaker_of_queries(self, setup):
        hook_id = await setup.hook("/bad-json")
        for _ in range(10):
            _, told = await setup.call("POST", f"/v1/hooks/{hook_id}/test", {"query": QUERY, "result": RESULT})
            assert (told["outcome"]["status"], told["outcome"]["reason"]) == ("failed", "bad_json")
            assert told["diff"] == []
        answer = await setup.ask()
        assert answer.outcomes[0].reason == "bad_json"

    async def test_the_address_guard_holds(self, setup):
        registry = setup.gateway.registry
        made = await registry.register(IntegrationDraft("far", "http://localhost.example:1"))
        hook = await registry.create_hook(made.integration.id, HookDraft("x", "/x"))
        _, told = await setup.call("POST", f"/v1/hooks/{hook.id}/test", {"query": QUERY, "result": RESULT})
        assert told["outcome"]["reason"] in {"dns", "blocked_address"}
        assert told["reply"] is None

    @pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.CANARY])
    async def test_scope_and_rows_hold_and_the_mode_does_not_matter(self, setup, mode):
        scoped = await setup.hook("/merge-patch", reads=("/rows/*/price",), mode=mode, percent=0.0)
        _, told = await setup.call("POST", f"/v1/hooks/{scoped}/test", {"query": QUERY, "result": RESULT})
        assert json.loads(told["request"]["body"])["data"]["result"] == {"rows": [{"price": 1.5}]}
        assert (told["outcome"]["reason"], told["diff"]) == ("contract", [])
        rows = await setup.hook("/unchanged", granularity=Granularity.ROWS, rows_at="/rows", batch_rows=2)
        body = {"query": QUERY, "result": {"rows": [1, 2, 3]}}
        _, told = await setup.call("POST", f"/v1/hooks/{rows}/test", body)
        assert (told["outcome"]["batches"], len(told["more"])) == (2, 1)

    async def test_a_410_of_a_trial_does_not_disable_the_hook(self, setup):
        async def gone(_request):
            return Reply(410)

        setup.server.on("/gone", gone)
        hook_id = await setup.hook("/gone")
        _, told = await setup.call("POST", f"/v1/hooks/{hook_id}/test", {"query": QUERY, "result": RESULT})
        assert told["outcome"]["reason"] == "gone"
        assert setup.gateway.registry.hook(hook_id).enabled

    async def test_an_integration_that_the_operator_switched_off_is_not_called_by_its_own_key(self, setup):
        hook_id = await setup.hook("/unchanged")
        await setup.gateway.registry.change_integration(setup.integration_id, {"enabled": False})
        body = {"query": QUERY, "result": RESULT}
        status, _ = await setup.call("POST", f"/v1/hooks/{hook_id}/test", body, key=setup.api_key)
        assert status == 409
        assert setup.server.requests == []
        status, _ = await setup.call("POST", f"/v1/hooks/{hook_id}/test", body)
        assert status == 200

    async def test_the_result_must_be_given(self, setup):
        hook_id = await setup.hook("/unchanged")
        status, problem = await setup.call("POST", f"/v1/hooks/{hook_id}/test", {"query": {}})
        assert status == 422
        assert {error["field"] for error in problem["errors"]} == {"/query/type", "/result"}


class TestExplain:
    async def test_it_names_those_that_would_run_in_order_and_makes_no_call(self, setup):
        await setup.hook("/b", order=2)
        await setup.hook("/a", order=1, timeout_ms=300)
        status, told = await setup.call("POST", "/v1/explain", {"query": QUERY})
        assert status == 200
        assert [each["hook"] for each in told["would_run"]] == ["a", "b"]
        assert told["would_run"][0]["limits"]["timeout_ms"] == 300
        assert told["would_not_run"] == []
        assert setup.server.requests == []

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"enabled": False}, "disabled"),
            ({"types": frozenset({"form"})}, "type"),
            ({"capabilities": frozenset({"rail"})}, "capability"),
            ({"tenants": frozenset({"globex"})}, "tenant"),
        ],
    )
    async def test_it_says_why_another_one_would_not(self, setup, fields, reason):
        hook_id = await setup.hook("/unchanged", **fields)
        _, told = await setup.call("POST", "/v1/explain", {"query": QUERY})
        assert told["would_run"] == []
        (one,) = told["would_not_run"]
        assert (one["hook_id"], one["reason"]) == (hook_id, reason)
        assert (await setup.ask()).outcomes == ()

    async def test_the_envelope_is_a_reason_of_its_own(self, setup):
        await setup.hook("/unchanged")
        _, told = await setup.call("POST", "/v1/explain", {"query": {**QUERY, "tenant": "initech"}})
        (one,) = told["would_not_run"]
        assert one["reason"] == "envelope"
        assert "'initech'" in one["detail"]

    async def test_the_reason_of_a_disabled_or_suspended_hook_is_told(self, setup):
        hook_id = await setup.hook("/unchanged")
        await setup.gateway.registry.suspend(setup.integration_id, "it does not answer health checks")
        _, told = await setup.call("POST", "/v1/explain", {"query": QUERY})
        assert told["would_not_run"][0]["reason"] == "suspended"
        assert "health checks" in told["would_not_run"][0]["detail"]
        await setup.gateway.registry.disable(hook_id, reason="maintenance")
        _, told = await setup.call("POST", "/v1/explain", {"query": QUERY})
        assert told["would_not_run"][0]["reason"] == "disabled"
        assert "maintenance" in told["would_not_run"][0]["detail"]

    async def test_a_switched_off_integration_is_a_reason(self, setup):
        await setup.hook("/unchanged")
        await setup.gateway.registry.change_integration(setup.integration_id, {"enabled": False})
        _, told = await setup.call("POST", "/v1/explain", {"query": QUERY})
        assert told["would_not_run"][0]["reason"] == "integration_disabled"

    async def test_an_open_breaker_is_a_reason(self, setup):
        await setup.hook("/bad-json")
        for _ in range(5):
            await setup.ask()
        _, told = await setup.call("POST", "/v1/explain", {"query": QUERY})
        assert told["would_not_run"][0]["reason"] == "breaker_open"

    @pytest.mark.parametrize(
        ("fields", "result", "reason"),
        [
            ({"condition": "query.params.q == 'porto'"}, None, "condition"),
            ({"condition": "size(result.rows) > 5"}, None, "condition"),
            ({"condition": "size(result.rows) > 5"}, RESULT, "condition"),
            ({"condition": "size(result.rows) > 0"}, RESULT, None),
            ({"mode": Mode.CANARY, "percent": 0.0}, None, "sampling"),
            ({"mode": Mode.CANARY, "percent": 100.0}, None, None),
            ({"mode": Mode.SHADOW}, None, None),
            ({"reads": ("/rows/*/price",)}, RESULT, None),
            ({"reads": ("/no/such/place",)}, RESULT, "projection"),
            ({"granularity": Granularity.ROWS, "rows_at": "/rows"}, RESULT, None),
            ({"granularity": Granularity.ROWS, "rows_at": "/items"}, RESULT, "projection"),
        ],
    )
    async def test_it_says_what_a_query_says(self, setup, fields, result, reason):
        await setup.hook("/unchanged", **fields)
        body = {"query": QUERY} if result is None else {"query": QUERY, "result": result}
        status, told = await setup.call("POST", "/v1/explain", body)
        assert status == 200, told
        assert [each["reason"] for each in told["would_not_run"]] == ([] if reason is None else [reason])
        if result is not None or reason != "condition" or "result" not in fields["condition"]:
            query = Query("search", "air", "acme", params={"q": "lisbon"})
            ((outcome,),) = ((await setup.ask(query, result)).outcomes,)
            assert outcome.reason == reason

    async def test_an_integration_is_told_of_its_own_hooks_only(self, setup):
        await setup.hook("/unchanged")
        registry = setup.gateway.registry
        other = await registry.register(IntegrationDraft("other", setup.server.url))
        await registry.enable((await registry.create_hook(other.integration.id, HookDraft("mine", "/mine"))).id)
        _, told = await setup.call("POST", "/v1/explain", {"query": QUERY}, key=other.api_key)
        assert [each["hook"] for each in told["would_run"]] == ["mine"]
        assert told["would_not_run"] == []
        _, told = await setup.call("POST", "/v1/explain", {"query": QUERY})
        assert len(told["would_run"]) == 2
