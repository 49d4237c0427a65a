"""Hooks on ASGI applications of every kind, served by a real server on a real socket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest
from fastapi import FastAPI
from litestar import Litestar
from litestar import get as litestar_get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft, Query, Settings, open_gateway
from gateway.config import JournalSettings
from gateway.testing.hook_server import HookServer
from gateway_asgi import HooksMiddleware, Request
from tests.integration.embedded.conftest import asgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway import Gateway

BEFORE = b'{"rows":[1,2]}'
CALLS = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, "max_result_bytes": 1_000}
SETTINGS = Settings(store={"url": "memory:"}, calls=CALLS)
TABLE = {"/search": "search", "/items/*": "items"}


@pytest.fixture
async def server() -> AsyncIterator[HookServer]:
    async with HookServer() as it:
        yield it


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway(SETTINGS) as it:
        yield it


async def enable(gateway: Gateway, url: str, path: str, policy: FailurePolicy = FailurePolicy.IGNORE) -> None:
    envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
    made = await gateway.registry.register(IntegrationDraft("one", url, envelope=envelope))
    limit = 200 if path == "/hang" else 2000
    draft = HookDraft("it", path, types=frozenset({"search"}), timeout_ms=limit, failure_policy=policy)
    hook = await gateway.registry.create_hook(made.integration.id, draft)
    await gateway.registry.enable(hook.id)


async def search(_request):
    return Response(BEFORE, media_type="application/json", headers={"etag": '"1"', "x-own": "kept"})


async def stream(_request):
    async def pieces():
        for piece in (b'{"rows":', b"[1", b",2]}"):
            yield piece

    return StreamingResponse(pieces(), media_type="application/json")


async def large(_request):
    async def pieces():
        yield b'["'
        for _ in range(30):
            yield b"x" * 100
        yield b'"]'

    return StreamingResponse(pieces(), media_type="application/json", headers={"content-length": "3004"})


async def text(_request):
    return PlainTextResponse("plain")


async def echo(request):
    return JSONResponse({"got": (await request.body()).decode()})


async def conditions(request):
    return JSONResponse({"asked": sorted(name for name in request.headers if name.startswith(("if-", "range")))})


def starlette(**options):
    routes = [
        Route("/search", search, methods=["GET", "HEAD", "POST"]),
        Route("/other", search),
        Route("/items/stream", stream),
        Route("/items/large", large),
        Route("/items/text", text),
        Route("/echo", echo, methods=["POST"]),
        Route("/conditions", conditions),
    ]
    return Starlette(routes=routes, **options)


async def get(url, method="GET", **options):
    async with (
        aiohttp.ClientSession(auto_decompress=True) as session,
        session.request(method, url, **options) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


async def test_a_json_answer_goes_through_the_hooks_and_tells_so(gateway: Gateway, server: HookServer) -> None:
    await enable(gateway, server.url, "/replace")
    async with asgi(HooksMiddleware(starlette(), TABLE, gateway=gateway)) as url:
        status, body, headers = await get(f"{url}/search?q=lisbon", headers={"gateway-depth": "1"})
    assert (status, body) == (200, b'{"replaced":true}')
    assert headers["gateway-hooks"].startswith("it;applied;ms=")
    assert headers["server-timing"].startswith("hook-it;dur=")
    assert headers["content-length"] == str(len(body))
    assert headers["x-own"] == "kept"
    assert "etag" not in headers
    (request,) = server.requests
    assert request.header("gateway-depth") == "2"
    assert json.loads(request.body)["data"]["query"]["params"] == {"q": "lisbon"}


@pytest.mark.parametrize("path", ["/other", "/items/text", "/items/stream", "/nowhere"])
async def test_an_answer_that_no_hook_is_for_passes_as_it_is(path: str, gateway: Gateway, server: HookServer) -> None:
    await enable(gateway, server.url, "/replace")
    async with asgi(starlette()) as plain, asgi(HooksMiddleware(starlette(), TABLE, gateway=gateway)) as url:
        expected, found = await get(plain + path), await get(url + path)
    assert found[:2] == expected[:2]
    assert "gateway-hooks" not in found[2]
    assert server.requests == []


async def test_an_answer_in_pieces_is_a_result_once_it_is_whole(gateway: Gateway, server: HookServer) -> None:
    await enable(gateway, server.url, "/replace")
    app = HooksMiddleware(starlette(), {"/items/*": "search"}, gateway=gateway)
    async with asgi(app) as url:
        assert (await get(f"{url}/items/stream"))[1] == b'{"replaced":true}'
        (request,) = server.requests
        assert json.loads(request.body)["data"]["result"] == {"rows": [1, 2]}


async def test_an_answer_beyond_the_limit_streams_on_and_says_that_its_hooks_were_skipped(
    gateway: Gateway, server: HookServer
) -> None:
    await enable(gateway, server.url, "/replace")
    async with asgi(HooksMiddleware(starlette(), {"/items/*": "search"}, gateway=gateway)) as url:
        status, body, headers = await get(f"{url}/items/large")
    assert (status, body) == (200, b'["' + b"x" * 3_000 + b'"]')
    assert headers["gateway-hooks"].startswith("it;skipped;reason=size")
    assert server.requests == []


async def test_an_answer_beyond_the_limit_that_a_hook_must_not_miss_is_a_problem_document(
    gateway: Gateway, server: HookServer
) -> None:
    await enable(gateway, server.url, "/replace", FailurePolicy.FAIL)
    async with asgi(HooksMiddleware(starlette(), {"/items/*": "search"}, gateway=gateway)) as url:
        status, body, headers = await get(f"{url}/items/large")
    assert (status, json.loads(body)["reason"], headers["content-length"]) == (502, "size", str(len(body)))
    assert server.requests == []


async def test_a_hook_that_hangs_leaves_the_answer_as_it_was(gateway: Gateway, server: HookServer) -> None:
    await enable(gateway, server.url, "/hang")
    async with asgi(HooksMiddleware(starlette(), TABLE, gateway=gateway)) as url:
        status, body, headers = await get(f"{url}/search")
    assert (status, body) == (200, BEFORE)
    assert headers["gateway-hooks"].startswith("it;failed;reason=timeout;ms=")


@pytest.mark.parametrize(("path", "status", "word"), [("/hang", 504, "timeout"), ("/reject", 422, "not allowed")])
async def test_a_query_without_an_answer_is_a_problem_document(
    path: str, status: int, word: str, gateway: Gateway, server: HookServer
) -> None:
    await enable(gateway, server.url, path, FailurePolicy.FAIL)
    async with asgi(HooksMiddleware(starlette(), TABLE, gateway=gateway)) as url:
        found, body, headers = await get(f"{url}/search")
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
    assert word in body.decode()
    assert headers["content-length"] == str(len(body))
    assert "etag" not in headers


async def test_the_application_still_gets_the_body_that_the_query_was_read_from(
    gateway: Gateway, server: HookServer
) -> None:
    await enable(gateway, server.url, "/unchanged")

    async def query_of(request: Request) -> Query | None:
        return request.query("search", params=json.loads(await request.body() or b"null"))

    async with asgi(HooksMiddleware(starlette(), query_of, gateway=gateway)) as url:
        _, body, _ = await get(f"{url}/echo", "POST", data=b'{"q":[1]}')
    assert json.loads(body) == {"got": '{"q":[1]}'}
    assert json.loads(server.requests[0].body)["data"]["query"]["params"] == {"q": [1]}


async def test_conditions_on_the_unchanged_bytes_do_not_reach_the_application(
    gateway: Gateway, server: HookServer
) -> None:
    await enable(gateway, server.url, "/unchanged")
    app = HooksMiddleware(starlette(), {"/conditions": "search"}, gateway=gateway)
    asked = {"if-none-match": '"1"', "range": "bytes=0-1", "if-range": '"1"'}
    async with asgi(app) as url:
        assert (await get(f"{url}/conditions", headers=asked))[1] == b'{"asked":[]}'


async def test_compression_goes_outside_and_a_compressed_answer_is_no_result(
    gateway: Gateway, server: HookServer
) -> None:
    await enable(gateway, server.url, "/replace")
    gzip = Middleware(GZipMiddleware, minimum_size=1)
    inner = Middleware(HooksMiddleware, query_of=TABLE, gateway=gateway)
    async with (
        asgi(starlette(middleware=[gzip, inner])) as outside,
        asgi(starlette(middleware=[inner, gzip])) as inside,
    ):
        assert (await get(f"{outside}/search"))[1] == b'{"replaced":true}'
        assert (await get(f"{inside}/search"))[1] == BEFORE


def fastapi():
    app = FastAPI()

    @app.get("/search")
    async def answer():
        return {"rows": [1, 2]}

    return app


def litestar():
    @litestar_get("/search")
    async def answer() -> dict:
        return {"rows": [1, 2]}

    return Litestar([answer], openapi_config=None)


async def plain(scope, receive, send):
    """No framework, and no lifespan."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"application/json")]})
    await send({"type": "http.response.body", "body": BEFORE})


FRAMEWORKS = {"fastapi": fastapi, "litestar": litestar, "starlette": starlette, "plain": lambda: plain}


@pytest.mark.parametrize("name", FRAMEWORKS)
async def test_every_framework_gets_hooks_and_a_gateway_of_its_own(name: str, server: HookServer, tmp_path) -> None:
    settings = Settings(
        store={"url": f"sqlite:///{tmp_path}/gateway.db"},
        calls=CALLS,
        control={"listen": "127.0.0.1:0", "operator_keys": ["operator-key-0123456789"]},
    )
    app = HooksMiddleware(FRAMEWORKS[name](), TABLE, settings=settings, control=True)
    async with asgi(app) as url:
        await enable(await app._gateway(), server.url, "/replace")
        status, body, headers = await get(f"{url}/search")
        assert (status, body) == (200, b'{"replaced":true}')
        assert headers["gateway-hooks"].startswith("it;applied")
    async with open_gateway(settings) as again:  # it is closed: another may open the file, and finds what was made
        assert again.registry.snapshot.enabled_count == 1


async def test_a_gateway_that_cannot_be_opened_stops_the_start_and_says_why(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(store={"url": f"sqlite:///{tmp_path}/absent/gateway.db"}, calls=CALLS)
    with pytest.raises(SystemExit):
        async with asgi(HooksMiddleware(starlette(), TABLE, settings=settings)):
            pass
    assert "there is no directory" in caplog.text


async def test_without_a_lifespan_a_gateway_that_cannot_be_opened_leaves_the_answers_as_they_are(tmp_path) -> None:
    settings = Settings(store={"url": f"sqlite:///{tmp_path}/absent/gateway.db"}, calls=CALLS)
    async with asgi(HooksMiddleware(starlette(), TABLE, settings=settings), lifespan="off") as url:
        assert (await get(f"{url}/search"))[:2] == (200, BEFORE)


async def test_many_first_requests_at_once_open_one_gateway(tmp_path) -> None:
    settings = Settings(store={"url": f"sqlite:///{tmp_path}/gateway.db"}, calls=CALLS)
    app = HooksMiddleware(plain, TABLE, settings=settings)
    async with asgi(app, lifespan="off") as url:
        answers = await asyncio.gather(*(get(f"{url}/search") for _ in range(10)))
        assert {answer[:2] for answer in answers} == {(200, BEFORE)}
    await app._close()


def test_an_open_gateway_and_settings_for_another_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="either an open gateway, or settings"):
        HooksMiddleware(plain, TABLE, gateway=object(), settings=SETTINGS)


async def test_a_query_with_a_debug_key_is_traced_and_the_application_does_not_see_the_key(server):
    key = "a-debug-key-of-enough-length"
    settings = SETTINGS.model_copy(update={"journal": JournalSettings(debug_keys=[key])})

    async def seen(request):
        return JSONResponse({"seen": "gateway-debug" in request.headers})

    async with open_gateway(settings) as gateway:
        await enable(gateway, server.url, "/merge-patch")
        app = HooksMiddleware(Starlette(routes=[Route("/search", seen)]), TABLE, gateway=gateway)
        async with asgi(app) as url, aiohttp.ClientSession() as session:
            async with session.get(f"{url}/search", headers={"gateway-debug": key}) as response:
                assert await response.json() == {"seen": False, "merged": True}
                trace = gateway.insight.traces.get(response.headers["gateway-trace-id"])
            assert [outcome.hook for outcome in trace.outcomes] == ["it"]
            async with session.get(f"{url}/search", headers={"gateway-debug": "wrong"}) as response:
                assert "gateway-trace-id" not in response.headers
