"""POST /v1/query: the whole pipeline over real HTTP, hooks included."""

from __future__ import annotations

import pytest

from gateway.pipeline import CallSettings, HookCaller, HookChain, HookGuard, QueryPipeline
from gateway.registry import Registry, RegistryRules
from gateway.service.control import control_app
from gateway.testing.hook_server import HookServer, Reply
from gateway.transport import AddressGuard
from gateway.transport.client import HttpTransport

ROWS = b'{"rows": [1, 2.50]}'


@pytest.fixture
async def hooks():
    async with HookServer() as server:
        yield server


@pytest.fixture
def asked() -> list:
    return []


@pytest.fixture
async def registry(clock, store):
    guard = AddressGuard(["127.0.0.0/8"], allow_http=True)
    async with Registry.open(store, RegistryRules(guard), now=clock) as opened:
        yield opened


@pytest.fixture
async def pipeline(registry, asked):
    transport = HttpTransport(AddressGuard(["127.0.0.0/8"], allow_http=True))
    chain = HookChain(registry.present, HookGuard(HookCaller(transport, CallSettings())))

    def data_query(query):
        asked.append(query)
        return ROWS

    yield QueryPipeline(chain, data_query)
    await transport.aclose()


@pytest.fixture
async def query_api(api, aiohttp_client, registry, metrics, pipeline, hooks):
    app = control_app(registry, operator_keys=["operator-key"], metrics=metrics, pipeline=pipeline)
    api.client = await aiohttp_client(app)
    envelope = {"failure_policy": "fail", "may_reject": True}
    made = await api.integration("it", base_url=hooks.url, envelope=envelope)
    return api, api.as_(made["api_key"])


def answering(reply):
    async def handler(request):
        return reply

    return handler


async def enabled(owner, name, **more):
    made = await owner.hook(name, **more)
    assert (await owner("POST", f"/v1/hooks/{made['id']}/enable")).status == 200


async def test_without_hooks_the_answer_is_the_data_sources_byte_for_byte(query_api):
    api, _ = query_api
    reply = await api("POST", "/v1/query", {"type": "search"})
    assert (reply.status, reply.body) == (200, ROWS)
    assert reply.headers["content-type"] == "application/json"
    assert "gateway-hooks" not in reply.headers


async def test_the_answer_tells_what_became_of_each_hook(query_api, hooks):
    api, owner = query_api
    hooks.on("/double", answering(Reply.json(b'{"rows":[2,5]}')))
    await enabled(owner, "double", order=1)
    await enabled(owner, "hang-up", order=2)
    reply = await api("POST", "/v1/query", {"type": "search"})
    assert (reply.status, reply.json) == (200, {"rows": [2, 5]})
    first, second = reply.headers["gateway-hooks"].split(", ")
    assert first.startswith("double;applied;ms=")
    assert second.startswith("hang-up;failed;reason=")
    assert "hook-double;dur=" in reply.headers["server-timing"]


async def test_every_part_of_the_query_reaches_the_data_source(query_api, asked):
    api, _ = query_api
    body = {"type": "search", "capability": "prices", "tenant": "acme", "params": {"a": [1]}, "context": "x"}
    await api("POST", "/v1/query", body, headers={"gateway-depth": "2"})
    (query,) = asked
    assert (query.type, query.capability, query.tenant, query.params, query.context, query.depth) == (
        "search", "prices", "acme", {"a": [1]}, "x", 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "reason", "status"), [("hang-up", "connect", 502), ("bad-json", "bad_json", 502), ("hang", "timeout", 504)]
)
async def test_a_hook_that_must_not_fail_and_does_fails_the_query(query_api, path, reason, status):
    api, owner = query_api
    await enabled(owner, path, failure_policy="fail", timeout_ms=50 if path == "hang" else 2000)
    reply = await api("POST", "/v1/query", {"type": "search"})
    assert (reply.status, reply.json["hook"], reply.json["reason"]) == (status, path, reason)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["gateway-hooks"].startswith(f"{path};failed;reason={reason}")


async def test_a_rejected_query_gets_the_hooks_own_problem(query_api, hooks):
    api, owner = query_api
    problem = b"""{"type": "https://it.example/quota", "title": "Quota", "status": 418, "detail": "No more today.",
        "left": 0, "instance": 7}"""
    hooks.on("/quota", answering(Reply.json(problem, "application/problem+json", 422)))
    await enabled(owner, "quota")
    reply = await api("POST", "/v1/query", {"type": "search"})
    assert reply.status == 422
    told = {name: reply.json[name] for name in ("type", "title", "status", "detail", "left", "hook")}
    assert told == {
        "type": "https://it.example/quota",
        "title": "Quota",
        "status": 422,
        "detail": "No more today.",
        "left": 0,
        "hook": "quota",
    }
    assert reply.json["instance"].startswith("urn:gateway:request:")


@pytest.mark.parametrize("body", [{}, {"type": ""}, {"type": 1}, {"type": "search", "param": {}}, []])
async def test_a_query_that_is_none_is_refused(query_api, body):
    api, _ = query_api
    assert (await api("POST", "/v1/query", body)).status == 422


async def test_only_the_operator_runs_queries(query_api):
    api, owner = query_api
    assert (await owner("POST", "/v1/query", {"type": "search"})).status == 403
    assert (await api.as_(None)("POST", "/v1/query", {"type": "search"})).status == 401
