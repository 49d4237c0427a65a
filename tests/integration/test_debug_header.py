"""The full trace of one query, for who asks for it with a key: at the proxy, the middleware and `POST /v1/query`."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft, Settings, open_gateway
from gateway.model import Mode
from gateway.pipeline.debug import DebugHeader
from gateway.pipeline.trace import Traces
from gateway.service.middleware import hooks_middleware, query_of_request
from gateway.service.serving import listening
from gateway.testing.clock import ManualClock
from gateway.testing.hook_server import HookServer

OPERATOR = "operator-key-for-tests"
DEBUG = "a-debug-key-of-enough-length"
RESULT = {"rows": [{"id": 1, "email": "who@example.com"}]}


class Set:
    def __init__(self, gateway, server, session, control_url, gateway_url, integration_id, seen):
        self.gateway, self.server, self.session = gateway, server, session
        self.control_url, self.url, self.integration_id, self.seen = control_url, gateway_url, integration_id, seen

    async def hook(self, path, **fields):
        hook = await self.gateway.registry.create_hook(
            self.integration_id, HookDraft(name=path.strip("/").replace("/", "-"), path=path, **fields)
        )
        await self.gateway.registry.enable(hook.id)
        return hook.id

    async def ask(self, value=None):
        headers = {} if value is None else {"gateway-debug": value}
        async with self.session.get(f"{self.url}/search?q=lisbon", headers=headers) as response:
            return response.status, response.headers, await response.read()

    async def trace(self, headers):
        url = f"{self.control_url}/v1/traces/{headers['gateway-trace-id']}"
        async with self.session.get(url, headers={"authorization": f"Bearer {OPERATOR}"}) as response:
            assert response.status == 200
            return await response.json()


@asynccontextmanager
async def upstream():
    seen = []

    async def search(request):
        seen.append(request.headers)
        return web.json_response(RESULT)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", search)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


@pytest.fixture
async def setup():
    async with upstream() as (url, seen):
        settings = Settings.model_validate(
            {
                "listen": "127.0.0.1:0",
                "upstream": url,
                "control": {"listen": "127.0.0.1:0"},
                "store": {"url": "memory:"},
                "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False},
                "journal": {"debug_keys": [DEBUG], "redact": ["/result/rows/*/email", "/query/params/token"]},
                "data_source": {"url": url},
            }
        )
        async with (
            HookServer() as server,
            open_gateway(settings) as gateway,
            listening(gateway, [OPERATOR]) as (control_url, gateway_url),
            aiohttp.ClientSession() as session,
        ):
            envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
            made = await gateway.registry.register(IntegrationDraft("fake", server.url, envelope=envelope))
            yield Set(gateway, server, session, control_url, gateway_url, made.integration.id, seen)


@pytest.mark.parametrize("key", [OPERATOR, DEBUG])
async def test_with_a_key_the_whole_story_of_the_query_can_be_read(setup, key):
    await setup.hook("/merge-patch", timeout_ms=300, order=1)
    await setup.hook("/bad-json", order=2)
    status, headers, body = await setup.ask(key)
    assert status == 200
    assert json.loads(body) == {**RESULT, "merged": True}
    trace = await setup.trace(headers)
    assert trace["id"] == headers["gateway-trace-id"]
    assert (trace["query"]["type"], trace["query"]["params"]) == ("query", {"q": "lisbon"})
    patched, garbled = trace["hooks"]
    assert (patched["hook"], patched["status"], patched["limits"]["timeout_ms"]) == ("merge-patch", "applied", 300)
    (call,) = patched["calls"]
    assert call["diff"]["patch"] == [{"op": "add", "path": "/merged", "value": True}]
    assert call["request"]["headers"]["webhook-id"] == patched["call_id"]
    assert call["reply"]["body"] == '{"merged":true}'
    assert (garbled["status"], garbled["reason"]) == ("failed", "bad_json")
    (call,) = garbled["calls"]
    assert call["diff"]["patch"] == []
    assert "who@example.com" not in json.dumps(trace)
    assert json.loads(call["request"]["body"])["data"]["result"]["merged"] is True


@pytest.mark.parametrize("value", [None, "", "wrong", OPERATOR + "x", "k\xe9y"])
async def test_without_one_the_header_might_as_well_not_be_there(setup, value):
    await setup.hook("/merge-patch")
    _, headers, body = await setup.ask(value)
    assert json.loads(body) == {**RESULT, "merged": True}
    assert "gateway-trace-id" not in headers
    assert not value or value not in str(headers)


@pytest.mark.parametrize("value", [OPERATOR, DEBUG, "wrong"])
async def test_it_is_not_sent_on(setup, value):
    await setup.hook("/merge-patch")
    await setup.ask(value)
    assert "gateway-debug" not in setup.seen[0]
    assert setup.server.requests[0].header("gateway-debug") is None


async def test_a_query_that_meets_no_hook_has_a_trace_without_hooks(setup):
    _, headers, body = await setup.ask(DEBUG)
    assert json.loads(body) == RESULT
    trace = await setup.trace(headers)
    assert (trace["query"]["type"], trace["hooks"]) == ("query", [])


@pytest.mark.parametrize("path", ["/reject", "/status/500"])
async def test_a_query_that_failed_has_one_too(setup, path):
    setup.server.on("/it", lambda request: setup.server.answer(type(request)("POST", path, (), b"")))
    await setup.hook("/it", failure_policy=FailurePolicy.FAIL)
    status, headers, _ = await setup.ask(DEBUG)
    assert status in {422, 502}
    trace = await setup.trace(headers)
    assert trace["hooks"][0]["status"] in {"rejected", "failed"}


async def test_the_debug_key_reaches_nothing_else_and_an_integration_reads_no_trace(setup):
    await setup.hook("/merge-patch")
    _, headers, _ = await setup.ask(DEBUG)
    made = await setup.gateway.registry.register(IntegrationDraft("other", setup.server.url))
    for key, expected in ((DEBUG, 401), (made.api_key, 403)):
        url = f"{setup.control_url}/v1/traces/{headers['gateway-trace-id']}"
        async with setup.session.get(url, headers={"authorization": f"Bearer {key}"}) as response:
            assert response.status == expected


async def test_at_the_control_api_the_operators_key_suffices(setup):
    await setup.hook("/merge-patch")
    auth = {"authorization": f"Bearer {OPERATOR}", "gateway-debug": "1"}
    body = {"type": "search", "params": {"token": "s3cret"}}
    async with setup.session.post(f"{setup.control_url}/v1/query", json=body, headers=auth) as response:
        trace = await setup.trace(response.headers)
    assert trace["query"]["params"] == {"token": "[redacted]"}
    assert "s3cret" not in json.dumps(trace)
    await setup.hook("/status/500", failure_policy=FailurePolicy.FAIL)
    async with setup.session.post(f"{setup.control_url}/v1/query", json=body, headers=auth) as response:
        assert response.status == 502
        assert len((await setup.trace(response.headers))["hooks"]) == 2


async def test_behind_the_middleware_too(setup, aiohttp_client):
    await setup.hook("/merge-patch")

    async def search(_request):
        return web.json_response(RESULT)

    app = web.Application(
        middlewares=[
            hooks_middleware(
                setup.gateway.chain, lambda request: query_of_request(request, "search"), debug=setup.gateway.debug
            )
        ]
    )
    app.router.add_get("/search", search)
    client = await aiohttp_client(app)
    async with client.get("/search", headers={"gateway-debug": DEBUG}) as response:
        trace = await setup.trace(response.headers)
    assert trace["hooks"][0]["status"] == "applied"
    async with client.get("/search", headers={"gateway-debug": "wrong"}) as response:
        assert "gateway-trace-id" not in response.headers


async def test_a_call_in_shadow_is_part_of_the_trace_once_it_has_ended(setup):
    hook_id = await setup.hook("/merge-patch", mode=Mode.SHADOW)
    _, headers, _ = await setup.ask(DEBUG)
    async with asyncio.timeout(5):
        while not list(setup.gateway.insight.journal.entries(hook_id)):  # noqa: ASYNC110  no event to wait for
            await asyncio.sleep(0)
    (hook,) = (await setup.trace(headers))["hooks"]
    assert (hook["status"], hook["calls"][0]["outcome"]["status"]) == ("shadowed", "applied")


def test_after_too_many_wrong_keys_none_is_right_until_the_window_ends():
    clock = ManualClock()
    debug = DebugHeader(Traces(10, 1_000), [DEBUG], max_wrong=3, window=10.0, clock=clock)

    def traced(value):
        with debug.tracing(value) as trace:
            return trace is not None

    assert traced(DEBUG)
    assert [traced(f"wrong-{number}") for number in range(3)] == [False, False, False]
    assert not traced(DEBUG)
    clock.advance(10.0)
    assert traced(DEBUG)


def test_the_oldest_traces_go_first_when_there_are_too_many():
    traces = Traces(2, 1_000)
    seen = []
    for _ in range(3):
        with traces.tracing() as trace:
            seen.append(trace.id)
    assert [traces.get(each) is not None for each in seen] == [False, True, True]
