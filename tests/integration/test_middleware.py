"""Hooks on the handlers of an existing aiohttp application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from gateway import Envelope, FailurePolicy, Gateway, HookDraft, IntegrationDraft, Query, Settings, open_gateway
from gateway.service.middleware import hooks_middleware, query_of_request
from gateway.testing.hook_server import HookServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_aiohttp.plugin import AiohttpClient

BEFORE = b'{"rows": [1.50]}'


@pytest.fixture
async def server() -> AsyncIterator[HookServer]:
    async with HookServer() as it:
        yield it


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    calls = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False}
    async with open_gateway(Settings(store={"url": "memory:"}, calls=calls)) as it:
        yield it


async def enable(gateway: Gateway, server: HookServer, path: str, policy: FailurePolicy = FailurePolicy.IGNORE) -> None:
    envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
    made = await gateway.registry.register(IntegrationDraft("one", server.url, envelope=envelope))
    limit = 100 if path == "/hang" else 2000
    draft = HookDraft("it", path, types=frozenset({"search"}), timeout_ms=limit, failure_policy=policy)
    hook = await gateway.registry.create_hook(made.integration.id, draft)
    await gateway.registry.enable(hook.id)


def query_of(request: web.Request) -> Query | None:
    kind = request.match_info.get("kind")
    return None if kind is None else query_of_request(request, kind, tenant=request.headers.get("x-tenant"))


def application(gateway: Gateway) -> web.Application:
    app = web.Application(middlewares=[hooks_middleware(gateway.chain, query_of)])

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=BEFORE, content_type="application/json", headers={"etag": '"1"', "x-own": "kept"})

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        await response.write(BEFORE)
        return response

    async def text(_: web.Request) -> web.Response:
        return web.Response(text="plain")

    async def created(_: web.Request) -> web.Response:
        return web.Response(status=201, body=BEFORE, content_type="application/json")

    app.router.add_get("/query/{kind}", answer)
    app.router.add_get("/query/{kind}/stream", stream)
    app.router.add_get("/query/{kind}/text", text)
    app.router.add_get("/query/{kind}/created", created)
    app.router.add_get("/other", answer)
    return app


async def test_a_json_answer_goes_through_the_hooks_and_tells_so(
    gateway: Gateway, server: HookServer, aiohttp_client: AiohttpClient
) -> None:
    await enable(gateway, server, "/replace")
    client = await aiohttp_client(application(gateway))
    response = await client.get("/query/search?q=lisbon", headers={"x-tenant": "acme", "gateway-depth": "1"})
    assert (response.status, await response.read()) == (200, b'{"replaced":true}')
    assert response.headers["gateway-hooks"].startswith("it;applied;ms=")
    assert response.headers["server-timing"].startswith("hook-it;dur=")
    assert response.headers["x-own"] == "kept"
    assert "etag" not in response.headers
    (request,) = server.requests
    assert request.header("gateway-depth") == "2"
    assert b'"params":{"kind":"search","q":"lisbon"}' in request.body
    assert b'"tenant":"acme"' in request.body


@pytest.mark.parametrize(
    "path", ["/other", "/query/form", "/query/search/stream", "/query/search/text", "/query/search/created"]
)
async def test_every_other_answer_passes_as_it_is(
    path: str, gateway: Gateway, server: HookServer, aiohttp_client: AiohttpClient
) -> None:
    await enable(gateway, server, "/replace")
    client = await aiohttp_client(application(gateway))
    response = await client.get(path)
    assert await response.read() == (b"plain" if path.endswith("text") else BEFORE)
    assert "gateway-hooks" not in response.headers
    assert server.requests == []


async def test_a_hook_that_hangs_leaves_the_answer_as_it_was(
    gateway: Gateway, server: HookServer, aiohttp_client: AiohttpClient
) -> None:
    await enable(gateway, server, "/hang")
    client = await aiohttp_client(application(gateway))
    response = await client.get("/query/search")
    assert (response.status, await response.read()) == (200, BEFORE)
    assert response.headers["gateway-hooks"].startswith("it;failed;reason=timeout;ms=")


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [("/hang", 504, "timeout"), ("/garbage", 502, "protocol"), ("/reject", 422, "This query is not allowed.")],
)
async def test_a_query_without_an_answer_is_a_problem_document(
    path: str, status: int, told: str, gateway: Gateway, server: HookServer, aiohttp_client: AiohttpClient
) -> None:
    await enable(gateway, server, path, FailurePolicy.FAIL)
    client = await aiohttp_client(application(gateway))
    response = await client.get("/query/search")
    assert (response.status, response.content_type) == (status, "application/problem+json")
    problem = await response.json()
    assert problem["status"] == status
    assert problem["hook"] == "it"
    assert told in await response.text()
    assert "gateway-hooks" in response.headers
