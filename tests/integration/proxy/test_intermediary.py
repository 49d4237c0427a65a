"""The gateway among other intermediaries: who it says it is, where requests come from, what goes no further."""

from __future__ import annotations

import gzip
import io

import orjson
import pytest

from gateway.testing.hook_server import Reply

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_both_sides_are_told_of_the_gateway(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET /a?b=%20 HTTP/1.0\r\nhost: api.example\r\nvia: 1.1 cdn\r\n\r\n")
        upstream, first, headers = await api.asked()
        assert first == "GET /a?b=%20 HTTP/1.1"
        cdn, _, own = headers["via"].partition(", 1.0 ")
        assert cdn == "1.1 cdn"
        assert own.startswith("query-hook-gateway-")
        assert headers["host"] == api.url.removeprefix("http://")
        assert headers["forwarded"] == "for=127.0.0.1;host=api.example;proto=http"
        assert [headers[f"x-forwarded-{name}"] for name in ("for", "host", "proto")] == [
            "127.0.0.1", "api.example", "http",
        ]  # fmt: skip
        await upstream.send(b"HTTP/1.1 200 OK\r\nvia: 1.1 inner\r\ncontent-length: 0\r\n\r\n")
        assert (await client.head())[1]["via"] == f"1.1 inner, 1.1 {own}"


@pytest.mark.parametrize(("trusted", "told"), [([], "127.0.0.1"), (["127.0.0.0/8"], "192.0.2.7, 127.0.0.1")])
async def test_only_trusted_proxies_may_say_where_a_request_comes_from(origin, serve, trusted, told):
    served = await serve(origin.url, trusted_proxies=trusted)
    await served.ask(
        "/q", headers={"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https", "x-real-ip": "1.1.1.1"}
    )
    asked = origin.asked[0][2]
    assert asked["x-forwarded-for"] == told
    assert asked["x-forwarded-proto"] == ("https" if trusted else "http")
    assert ("x-real-ip" in asked) == bool(trusted)


async def test_a_request_that_goes_in_a_circle_is_ended(origin, serve):
    inner = await serve(origin.url)
    outer = await serve(inner.url)
    assert (await outer.ask("/q"))[0] == 200, "one gateway in front of another is no circle"
    via = origin.asked[0][2]["via"]
    status, headers, body = await outer.ask("/q", headers={"via": via})
    assert (status, headers["content-type"]) == (508, "application/problem+json")
    assert "come through this gateway before" in orjson.loads(body)["detail"]


async def test_what_an_upstream_says_of_hooks_is_not_taken_for_the_gateways_own(origin, serve):
    origin.headers |= {"gateway-hooks": "forged;applied", "gateway-trace-id": "tr_x", "server-timing": "db;dur=1"}
    served = await serve(origin.url)
    assert (await served.ask("/q"))[1]["gateway-hooks"] == "forged;applied", "nothing of its own to say"
    await served.hook("/unchanged")
    _, headers, _ = await served.ask("/q")
    assert headers.getall("gateway-hooks")[0].startswith("it;unchanged;ms=")
    assert len(headers.getall("gateway-hooks")) == 1
    assert "gateway-trace-id" not in headers
    assert headers.getall("server-timing")[0] == "db;dur=1"


async def test_trace_is_not_answered_and_options_may_be_for_the_gateway_itself(origin, serve):
    served = await serve(origin.url)
    assert (await served.ask("/q", "TRACE"))[0] == 405
    status, headers, _ = await served.ask("/q", "OPTIONS", headers={"max-forwards": "0"})
    assert (status, headers["allow"].split(", ")[:2]) == (204, ["GET", "HEAD"])
    assert origin.asked == []
    assert (await served.ask("/q", "OPTIONS", headers={"max-forwards": "2"}))[0] == 200
    assert origin.asked[0][2]["max-forwards"] == "1"
    async with served.client() as client:
        await client.send(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await client.head())[0] == "HTTP/1.1 204 No Content"


async def test_what_is_known_of_repeated_headers_does_not_leak_into_requests_that_differ_otherwise(origin, serve):
    served = await serve(origin.url)
    same = b"host: a\r\nmax-forwards: 5\r\nif-match: x\r\nconnection: x-mine\r\nx-mine: 1\r\n\r\n"
    async with served.client() as client:
        for line in (b"OPTIONS / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n") * 2:
            await client.send(line + same)
            _, headers = await client.head()
            await client.exactly(int(headers.get("content-length", 0)))
    seen = [headers for _, _, headers, _ in origin.asked]
    assert [headers["max-forwards"] for headers in seen] == ["4", "5", "4", "5"]
    assert all("x-mine" not in headers and headers["if-match"] == "x" for headers in seen)
    assert all(headers["forwarded"].endswith(";host=a;proto=http") for headers in seen)
    assert len({headers["via"] for headers in seen}) == 1


async def test_an_upgrade_to_another_protocol_of_http_goes_no_further(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\n")
        await client.send(b"upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
        upstream, _, headers = await api.asked()
        assert not {"upgrade", "connection", "http2-settings"} & headers.keys()
        await upstream.send(OK)
        assert (await client.head())[0] == "HTTP/1.1 200 OK"


async def test_a_header_that_connection_names_chooses_no_route(origin, serve):
    served = await serve(origin.url, {"path": "/q", "headers": {"x-api": "v2"}})
    assert (await served.ask("/q", headers={"x-api": "v2"}))[0] == 200
    assert (await served.ask("/q", headers={"x-api": "v2", "connection": "x-api"}))[0] == 404


@pytest.mark.parametrize("path", ["/open/..%2fsecret", "/open/%2e%2e/secret", "/secret%3bx", "/open/..;/secret"])
async def test_no_spelling_of_a_path_gets_round_the_hooks(origin, serve, path):
    served = await serve(origin.url, {"path": "/secret"}, {"path": "/open/*", "methods": []})
    async with served.client() as client:
        await client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        first, headers = await client.head()
        assert (first, headers["content-type"]) == ("HTTP/1.1 400 Bad Request", "application/problem+json")
    assert origin.asked == []


async def test_a_route_fits_by_header_and_names_what_becomes_of_a_path(origin, serve):
    route = {
        "path": "/t/{tenant}/search",
        "headers": {"x-api": "v2"},
        "type": "search",
        "tenant": {"path": "tenant"},
        "params": {"q": {"query": "q"}, "size": {"body": "/size"}, "lang": "en"},
        "methods": ["POST"],
    }
    served = await serve(origin.url, route, {"path": "/t/*", "type": "other"})
    await served.hook("/unchanged", types=frozenset({"search"}))
    _, headers, _ = await served.ask("/t/acme/search?q=x", "POST", json={"size": 3}, headers={"x-api": "v2"})
    assert "gateway-hooks" in headers
    (event,) = [orjson.loads(request.body) for request in served.hooks.requests]
    asked = event["data"]["query"]
    assert (asked["type"], asked["tenant"]) == ("search", "acme")
    assert asked["params"] == {"q": "x", "size": 3, "lang": "en"}
    assert "gateway-hooks" not in (await served.ask("/t/acme/search", headers={"x-api": "v2"}))[1], "not by GET"
    assert "gateway-hooks" not in (await served.ask("/t/acme/search", "POST", headers={"x-api": "v1"}))[1]


async def test_an_answer_is_a_result_by_its_status_and_its_type(origin, serve):
    route = {"path": "/*", "result_status": [200, 404], "result_types": ["text/json", "application/*+json"]}
    served = await serve(origin.url, route)
    await served.hook("/replace")
    for path, is_result in (
        ("/typed?as=text/json", True),
        ("/typed?as=application/geo%2Bjson", True),
        ("/typed?as=application/json", False),
        ("/typed", False),
    ):
        assert ("gateway-hooks" in (await served.ask(path))[1]) is is_result, path
    served = await serve(origin.url, {"path": "/*", "result_status": [404]})
    await served.hook("/replace")
    assert [(await served.ask(f"/status?s={s}"))[2] for s in (404, 200)] == [b'{"replaced":true}', origin.body]


async def test_a_name_sent_twice_is_refused_with_what_to_do(origin, serve):
    served = await serve(origin.url, {"path": "/*", "type": {"query": "t"}})
    status, _, body = await served.ask("/q?t=a&t=b")
    assert (status, orjson.loads(body)["detail"]) == (
        400, "The parameter t is there 2 times with different values; send it once.",
    )  # fmt: skip


@pytest.mark.parametrize("coding", [None, "gzip"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_body_tells_the_query_however_it_is_framed_or_compressed(origin, serve, coding, chunked):
    served = await serve(origin.url, {"path": "/*", "type": {"body": "/type"}})
    await served.hook("/unchanged", types=frozenset({"search"}))
    sent = b'{"type": "search"}' if coding is None else gzip.compress(b'{"type": "search"}')

    async def pieces():
        yield sent[:5]
        yield sent[5:]

    headers = {"content-type": "application/json"} | ({"content-encoding": coding} if coding else {})
    _, told, _ = await served.ask("/q", "POST", data=pieces() if chunked else sent, headers=headers)
    assert "gateway-hooks" in told
    assert (origin.asked[0][2].get("content-encoding"), origin.asked[0][3]) == (coding, b'{"type": "search"}')


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large_to_be_looked_into_is_sent_on_and_its_query_told_without_it(origin, serve, chunked):
    served = await serve(origin.url)
    await served.hook("/unchanged")
    sent = orjson.dumps({"q": "x" * 1_500_000})

    async def pieces():
        for start in range(0, len(sent), 65_536):
            yield sent[start : start + 65_536]

    headers = {"content-type": "application/json"}
    data = pieces() if chunked else io.BytesIO(sent)
    status, told, _ = await served.ask("/q?a=1", "POST", data=data, headers=headers)
    assert status == 200
    assert "gateway-hooks" in told
    (event,) = [orjson.loads(request.body) for request in served.hooks.requests]
    assert event["data"]["query"]["params"] == {"a": "1"}
    assert origin.asked[0][3] == sent


async def test_a_result_inside_a_document_is_changed_and_all_else_keeps_its_bytes(origin, serve):
    origin.body = b'{"took": 1.50, "hits": {"rows": [1.0, 2]}, "id": 12345678901234567890123}'
    served = await serve(origin.url, {"path": "/*", "result_at": "/hits/rows"})

    async def summed(_request):
        return Reply.json(b"[3.0]")

    served.hooks.on("/sum", summed)
    await served.hook("/sum")
    _, _, body = await served.ask("/q")
    assert body == b'{"took":1.50,"hits":{"rows":[3.0]},"id":12345678901234567890123}'
    origin.body = b'{"error": "none"}'
    status, headers, body = await served.ask("/q")
    assert (status, body) == (200, origin.body)
    assert "gateway-hooks" not in headers


async def test_an_empty_answer_is_no_result_whatever_it_calls_itself(origin, serve):
    origin.body = b""
    served = await serve(origin.url)
    await served.hook("/replace")
    status, headers, body = await served.ask("/q")
    assert (status, headers["etag"], body) == (200, '"v1"', b"")
    assert "gateway-hooks" not in headers
    assert served.hooks.requests == []


async def test_an_upstream_that_is_not_there_is_told_and_the_log_has_its_address(serve, caplog):
    served = await serve("http://127.0.0.1:9")
    status, headers, body = await served.ask("/q")
    problem = orjson.loads(body)
    assert (status, headers["content-type"]) == (502, "application/problem+json")
    assert (problem["title"], problem["reason"]) == ("Bad Gateway", "refused")
    assert "127.0.0.1" not in problem["detail"]  # what is inside is nobody else's business
    (record,) = [record for record in caplog.records if record.getMessage().startswith("upstream.failed")]
    assert "upstream=http://127.0.0.1:9 path=/q status=502 reason=refused" in record.getMessage()
    assert b'gateway_upstream_failures_total{reason="refused"} 1.0' in served.gateway.metrics.render()


async def test_an_upstream_that_takes_too_long_is_a_gateway_timeout(api, serve):
    served = await serve(api.url, upstreams={"answer_timeout_seconds": 1})
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        first, headers = await client.head()
        assert first == "HTTP/1.1 504 Gateway Timeout"
        problem = orjson.loads(await client.exactly(int(headers["content-length"])))
        assert problem["reason"] == "timeout"


async def test_a_client_that_goes_away_ends_the_call_to_the_hook(api, serve):
    served = await serve(api.url)
    await served.hook("/hang")
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        await served.hooks.arrived()
    await served.hooks.no_connections()
