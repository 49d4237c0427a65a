"""The standalone gateway in front of a query API that knows nothing of it."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft, Settings
from gateway.runtime import open_gateway
from gateway.service.serving import listening
from gateway.testing.hook_server import HookServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway import Gateway

BEFORE = b'{"rows": [1.50], "total": 1}'


class Upstream:
    """A query API that remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[web.Request, bytes]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/upload":
            size = 0
            async for piece in request.content.iter_chunked(65_536):
                size += len(piece)
            return web.json_response({"size": size})
        self.requests.append((request, await request.read()))
        match request.path:
            case "/text":
                return web.Response(text="plain", headers={"x-own": "1"})
            case "/missing":
                return web.json_response({"error": "no"}, status=404)
            case "/moved":
                return web.Response(status=302, headers={"location": "/elsewhere"})
            case "/zipped":
                headers = {"content-encoding": "gzip"}
                return web.Response(body=gzip.compress(BEFORE), content_type="application/json", headers=headers)
            case "/cookies":
                response = web.Response(body=BEFORE, content_type="application/json")
                response.set_cookie("a", "1")
                response.set_cookie("b", "2")
                return response
            case "/broken":
                response_ = web.StreamResponse(headers={"content-type": "application/json", "content-length": "100"})
                await response_.prepare(request)
                await response_.write(b"{")
                assert request.transport is not None
                request.transport.abort()
                return response_
            case "/unreadable":
                return web.Response(body=b'{"data": {"a": 1}, "b": NaN}', content_type="application/json")
            case "/nested":
                return web.json_response({"status": "success", "data": {"rows": [1]}, "big": 1})
            case "/large":
                response_ = web.StreamResponse(headers={"content-type": "application/json"})
                await response_.prepare(request)
                await response_.write(b"[" + b"1," * 1_000_000 + b"1]")
                return response_
        if request.headers.get("if-none-match") == '"v1"':
            return web.Response(status=304, headers={"etag": '"v1"'})
        if request.headers.get("range") == "bytes=0-1":
            headers = {"content-range": f"bytes 0-1/{len(BEFORE)}", "etag": '"v1"'}
            return web.Response(status=206, body=BEFORE[:2], content_type="application/json", headers=headers)
        headers = {"etag": '"v1"', "last-modified": "Tue, 14 Nov 2023 22:13:50 GMT", "cache-control": "max-age=60"}
        return web.Response(body=BEFORE, content_type="application/json", headers=headers)


class Set:
    def __init__(self, gateway: Gateway, url: str, server: HookServer, upstream: Upstream) -> None:
        self.gateway = gateway
        self.url = url
        self.server = server
        self.upstream = upstream
        self.session: aiohttp.ClientSession

    async def hook(self, path: str, **fields: Any) -> None:
        envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
        made = await self.gateway.registry.register(IntegrationDraft("one", self.server.url, envelope=envelope))
        hook = await self.gateway.registry.create_hook(
            made.integration.id, HookDraft("it", path, **{"timeout_ms": 200 if path == "/hang" else 2000, **fields})
        )
        await self.gateway.registry.enable(hook.id)

    async def ask(self, path: str, method: str = "GET", **options: Any) -> tuple[int, bytes, Any]:
        async with self.session.request(method, self.url + path, allow_redirects=False, **options) as response:
            return response.status, await response.read(), response.headers


@asynccontextmanager
async def opened(*routes: dict[str, Any], **calls: Any) -> AsyncIterator[Set]:
    upstream = Upstream()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    given: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "control": {"listen": "127.0.0.1:0"},
        "store": {"url": "memory:"},
        "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, **calls},
    }
    if routes:
        given["routes"] = [{"upstream": upstream.url, **route} for route in routes]
    else:
        given["upstream"] = upstream.url
    async with (
        HookServer() as server,
        open_gateway(Settings(**given)) as gateway,
        listening(gateway, ["an-operator-key-for-tests"]) as (_, url),
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        assert url is not None
        it = Set(gateway, url, server, upstream)
        it.session = session
        yield it
    await runner.cleanup()


async def test_a_result_goes_through_the_hooks_and_tells_so() -> None:
    async with opened() as it:
        await it.hook("/merge-patch")
        status, body, headers = await it.ask("/query?q=lisbon&q=porto&n=1", headers={"traceparent": "x"})
        assert (status, body) == (200, b'{"rows":[1.50],"total":1,"merged":true}')
        assert headers["gateway-hooks"].startswith("it;applied;ms=")
        assert headers["server-timing"].startswith("hook-it;dur=")
        assert headers["content-length"] == str(len(body))
        assert headers["cache-control"] == "no-cache", "whoever stores it must ask again: hooks may be others by then"
        event = orjson.loads(it.server.requests[0].body)
        assert event["data"]["query"]["params"] == {"q": ["lisbon", "porto"], "n": "1"}
        assert event["type"] == "query.result.query"


async def test_what_identifies_the_unchanged_result_does_not_go_with_a_changed_one() -> None:
    async with opened() as it:
        await it.hook("/replace")
        conditions = {"if-none-match": '"v1"', "range": "bytes=0-1", "accept-encoding": "gzip, br"}
        status, body, headers = await it.ask("/query", headers=conditions)
        assert (status, body) == (200, b'{"replaced":true}')
        assert not {"last-modified", "accept-ranges"} & {name.lower() for name in headers}
        assert headers["etag"].startswith('W/"qhg1-'), "a tag of the gateway's own"
        (*_, last) = it.upstream.requests
        assert not {"if-none-match", "range"} & {name.lower() for name in last[0].headers}
        assert last[0].headers["accept-encoding"] == "gzip", "what it can undo, and no more"


async def test_without_a_hook_for_it_a_result_streams_through_untouched() -> None:
    async with opened() as it:
        await it.hook("/replace", types=frozenset({"another"}))
        status, body, headers = await it.ask("/query", headers={"if-none-match": '"v0"'})
        assert (status, body, headers["etag"]) == (200, BEFORE, '"v1"')
        assert "gateway-hooks" not in headers
        assert it.upstream.requests[0][0].headers["if-none-match"] == '"v0"'


@pytest.mark.parametrize(
    ("path", "expected"), [("/text", (200, b"plain")), ("/missing", (404, b'{"error": "no"}')), ("/moved", (302, b""))]
)
async def test_what_is_no_result_passes_as_it_is(path: str, expected: tuple[int, bytes]) -> None:
    async with opened() as it:
        await it.hook("/replace")
        status, body, headers = await it.ask(path)
        assert (status, body) == expected
        assert "gateway-hooks" not in headers
        if path == "/moved":
            assert headers["location"] == "/elsewhere"


async def test_methods_that_are_no_queries_pass_with_their_bodies() -> None:
    async with opened() as it:
        await it.hook("/replace")
        status, body, _ = await it.ask("/query", "DELETE", data=b"x" * 100_000)
        assert (status, body) == (200, BEFORE)
        assert it.upstream.requests[0][1] == b"x" * 100_000
        assert (await it.ask("/query", "HEAD"))[:2] == (200, b"")


async def test_a_large_upload_streams_through() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 65_536

    async with opened() as it:
        status, body, _ = await it.ask("/upload", "PUT", data=pieces())
        assert (status, orjson.loads(body)) == (200, {"size": 200 * 65_536})


async def test_a_result_over_the_limit_passes_unmodified_and_says_why() -> None:
    async with opened(max_result_bytes=1_000) as it:
        await it.hook("/replace")
        status, body, headers = await it.ask("/large")
        assert (status, len(body)) == (200, 2_000_003)
        assert headers["gateway-hooks"] == "it;skipped;reason=size;ms=0"
        assert it.server.requests == []


async def test_a_compressed_result_goes_through_the_hooks_too() -> None:
    async with opened() as it:
        await it.hook("/merge-patch")
        status, body, headers = await it.ask("/zipped")
        assert (status, body) == (200, b'{"rows":[1.50],"total":1,"merged":true}')
        assert "content-encoding" not in headers


async def test_a_compressed_result_that_no_hook_changed_passes_byte_for_byte() -> None:
    async with opened() as it:
        await it.hook("/unchanged")
        _, body, headers = await it.ask("/zipped")
        assert gzip.decompress(body) == BEFORE
        assert headers["content-encoding"] == "gzip"


async def test_every_cookie_of_the_upstream_arrives() -> None:
    async with opened() as it:
        await it.hook("/replace")
        _, _, headers = await it.ask("/cookies")
        assert [c.partition(";")[0] for c in headers.getall("set-cookie")] == ["a=1", "b=2"]


async def test_a_result_inside_the_upstreams_answer_is_taken_out_and_put_back() -> None:
    async with opened({"path": "/nested", "type": {"query": "t"}, "result_at": "/data"}) as it:
        await it.hook("/json-patch")
        status, body, headers = await it.ask("/nested?t=form")
        assert status == 200
        assert orjson.loads(body) == {"status": "success", "data": {"rows": [1], "patched": True}, "big": 1}
        assert "gateway-hooks" in headers
        (event,) = [orjson.loads(request.body) for request in it.server.requests]
        assert event["data"]["result"] == {"rows": [1]}
        assert event["data"]["query"]["type"] == "form"
        assert "gateway-hooks" not in (await it.ask("/nested"))[2], "without a type it is no query"


async def test_around_a_result_that_cannot_be_read_a_hook_that_must_not_fail_fails() -> None:
    async with opened({"path": "/unreadable", "result_at": "/data"}) as it:
        await it.hook("/replace")
        status, body, headers = await it.ask("/unreadable")
        assert (status, body) == (200, b'{"data": {"a": 1}, "b": NaN}')
        assert headers["gateway-hooks"].startswith("it;skipped;reason=encoding")
        (hook,) = it.gateway.registry.snapshot.select("query", None, None)
        await it.gateway.registry.change_hook(hook.hook_id, {"failure_policy": FailurePolicy.FAIL})
        status, body, _ = await it.ask("/unreadable")
        assert (status, orjson.loads(body)["reason"]) == (502, "encoding")


UPGRADE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "x3JJHMbDL1EzLkh9GBhXDw==",
}


async def test_a_result_that_an_upstream_gives_instead_of_a_websocket_goes_through_the_hooks() -> None:
    async with opened() as it:
        await it.hook("/replace")
        assert (await it.ask("/query", headers=UPGRADE))[:2] == (200, b'{"replaced":true}')


async def test_a_route_for_queries_only_refuses_everything_else() -> None:
    async with opened({"path": "/*", "type": {"query": "t"}, "only_queries": True}) as it:
        await it.hook("/replace")
        assert (await it.ask("/query?t=a"))[:2] == (200, b'{"replaced":true}')
        assert (await it.ask("/query?t=a", headers=UPGRADE))[:2] == (200, b'{"replaced":true}')
        assert (await it.ask("/query"))[0] == 400
        status, _, headers = await it.ask("/query?t=a", "PUT", data=b"x")
        assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        assert (await it.ask("/query?t=a", "OPTIONS"))[0] == 200


async def test_a_path_without_a_route_is_not_found() -> None:
    async with opened({"path": "/query/*"}) as it:
        status, body, _ = await it.ask("/elsewhere")
        assert (status, orjson.loads(body)["title"]) == (404, "Not Found")


async def test_a_route_reads_type_capability_tenant_and_params_from_where_it_says() -> None:
    route = {
        "path": "/query/*",
        "type": {"path": 1},
        "capability": {"header": "x-capability"},
        "tenant": {"body": "/who/tenant"},
        "params": {"body": "/ask"},
    }
    async with opened(route) as it:
        await it.hook("/unchanged")
        asked = {"who": {"tenant": "acme"}, "ask": {"q": 1}}
        _, body, _ = await it.ask("/query/search", "POST", json=asked, headers={"x-capability": "air"})
        assert body == BEFORE
        (event,) = [orjson.loads(request.body) for request in it.server.requests]
        query = {"type": "search", "capability": "air", "tenant": "acme", "params": {"q": 1}, "context": None}
        assert event["data"]["query"] == query


async def test_hop_by_hop_headers_stay_on_their_hop() -> None:
    async with opened() as it:
        headers = {
            "connection": "x-secret-hop",
            "x-secret-hop": "1",
            "te": "trailers, deflate",
            "keep-alive": "timeout=5",
            "x-kept": "1",
            "host": "api.example",
        }
        await it.ask("/query", headers=headers)
        asked = it.upstream.requests[0][0].headers
        assert "x-secret-hop" not in asked
        assert asked["te"] == "trailers", "on the next hop, it is the gateway that takes trailers"
        assert "keep-alive" not in asked
        assert asked["x-kept"] == "1"
        assert asked["via"].startswith("1.1 query-hook-gateway-")
        assert asked["x-forwarded-host"] == "api.example"


@pytest.mark.parametrize(("path", "status"), [("/hang", 504), ("/garbage", 502), ("/reject", 422)])
async def test_a_query_without_an_answer_is_a_problem_document(path: str, status: int) -> None:
    async with opened() as it:
        await it.hook(path, failure_policy=FailurePolicy.FAIL)
        got, body, headers = await it.ask("/query")
        assert (got, headers["content-type"]) == (status, "application/problem+json")
        assert orjson.loads(body)["hook"] == "it"
        assert "gateway-hooks" in headers


async def test_an_upstream_that_is_down_or_breaks_off_is_a_bad_gateway() -> None:
    async with opened() as it:
        await it.hook("/replace")
        status, _, headers = await it.ask("/broken")
        assert (status, headers["content-type"]) == (502, "application/problem+json")
    settings = Settings(
        listen="127.0.0.1:0",
        control={"listen": "127.0.0.1:0"},
        store={"url": "memory:"},
        upstream=it.upstream.url,
    )
    async with (
        open_gateway(settings) as gateway,
        listening(gateway, ["an-operator-key-for-tests"]) as (_, url),
        aiohttp.ClientSession() as session,
        session.get(f"{url}/query") as response,
    ):
        assert response.status == 502
        problem = await response.json()
        assert problem["detail"].startswith("No connection to the query API behind the gateway: ")
        assert problem["reason"] == "refused"


async def test_a_client_that_goes_away_cancels_the_call_to_the_hook() -> None:
    async with opened() as it:
        await it.hook("/hang", timeout_ms=2000)
        asking = asyncio.create_task(it.ask("/query"))
        await it.server.arrived()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await it.server.no_connections()


async def test_bytes_that_are_no_http_are_refused_and_logged_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "gateway")
    async with opened() as it:
        host, port = it.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nno colon here\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    (record,) = [record for record in caplog.records if record.getMessage().startswith("front.refused")]
    assert "status=400" in record.getMessage()
    assert record.exc_info is None
