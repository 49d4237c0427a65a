"""How requests are sent to upstreams: bodies, early answers, what is sent again, and the ways to get there."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.errors import GatewayError, UpstreamFailed
from gateway.service.messages import RequestHead
from tests.integration.upstream.conftest import Pieces, always, ask, head, until, whole

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def keeping(seen, answer=OK):
    async def script(peer):
        while True:
            seen.append(await peer.request())
            peer.send(answer)

    return script


BODIES = {
    "none": (None, b"content-length: 0\r\n", b""),
    "empty": (b"", b"content-length: 0\r\n", b""),
    "bytes": (b"hello", b"content-length: 5\r\n", b"hello"),
    "many bytes": (b"x" * 300_000, b"content-length: 300000\r\n", b"x" * 300_000),
    "pieces of known length": (lambda: Pieces(b"hel", b"lo", length=5), b"content-length: 5\r\n", b"hello"),
    "many pieces of known length": (
        lambda: Pieces(b"x" * 100_000, b"y" * 100_000, length=200_000),
        b"content-length: 200000\r\n",
        b"x" * 100_000 + b"y" * 100_000,
    ),
    "no pieces of known length": (lambda: Pieces(length=0), b"content-length: 0\r\n", b""),
    "pieces": (lambda: Pieces(b"hel", b"lo"), b"transfer-encoding: chunked\r\n", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    "no pieces": (lambda: Pieces(), b"transfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    "a large piece": (
        lambda: Pieces(b"x" * 70_000),
        b"transfer-encoding: chunked\r\n",
        b"11170\r\n" + b"x" * 70_000 + b"\r\n0\r\n\r\n",
    ),
    "pieces with trailers": (
        lambda: Pieces(b"!", trailers=[(b"x-sum", b"7"), (b"content-length", b"9")]),
        b"transfer-encoding: chunked\r\n",
        b"1\r\n!\r\n0\r\nx-sum: 7\r\n\r\n",
    ),
}


@pytest.mark.parametrize("sent", BODIES)
async def test_a_body_is_sent_as_it_is_with_its_length_or_in_chunks(serve, client, sent):
    body, framing, wire = BODIES[sent]
    seen = []
    server = await serve(keeping(seen))
    upstream = (await client()).at(server.url)
    for _ in range(2):
        given = body() if callable(body) else body
        false = [(b"content-length", b"77"), (b"transfer-encoding", b"gzip")]
        assert await whole(upstream, "POST", "/q?a=1", (b"x-a", b"1"), *false, body=given) == (200, b"ok")
    assert seen == [(b"POST /q?a=1 HTTP/1.1\r\nhost: api.test\r\nx-a: 1\r\n" + framing + b"\r\n", wire)] * 2
    assert server.accepted == 1


async def test_a_get_without_body_has_no_framing(serve, client):
    seen = []
    server = await serve(keeping(seen))
    await whole((await client()).at(server.url))
    assert seen == [(b"GET / HTTP/1.1\r\nhost: api.test\r\n\r\n", b"")]


@pytest.mark.parametrize(
    "bad",
    [
        RequestHead("GET", "/a b"),
        RequestHead("GET", "/\r\nx: 1"),
        RequestHead("GET", "/\u20ac"),
        RequestHead("GE T", "/"),
        RequestHead("", "/"),
        RequestHead("GET", "/", [(b"x", b"1\r\ny: 2")]),
        RequestHead("GET", "/", [(b"x", b"1\ny: 2")]),
        RequestHead("GET", "/", [(b"x\r", b"1")]),
        RequestHead("GET", "/", [(b"x", b"1\0")]),
    ],
)
async def test_a_head_that_would_be_read_as_something_else_is_not_sent(serve, client, bad):
    server = await serve(OK)
    with pytest.raises(UpstreamFailed, match="cannot be written"):
        await (await client()).at(server.url).send(bad, None)
    assert server.accepted == 0


async def test_headers_in_one_list_are_sent_as_they_are_at_the_time(serve, client):
    seen = []
    server = await serve(keeping(seen))
    upstream = (await client()).at(server.url)
    headers = [(b"host", b"api.test"), (b"x-a", b"1")]
    for change in (lambda: None, lambda: None, lambda: headers.append((b"x-b", b"2")), headers.pop, headers.clear):
        change()
        await (await upstream.send(RequestHead("GET", "/", headers), None)).whole(10)
    await (await upstream.send(RequestHead("POST", "/", headers), b"ok")).whole(10)
    first = b"GET / HTTP/1.1\r\n"
    assert [sent for sent, _ in seen] == [
        first + b"host: api.test\r\nx-a: 1\r\n\r\n",
        first + b"host: api.test\r\nx-a: 1\r\n\r\n",
        first + b"host: api.test\r\nx-a: 1\r\nx-b: 2\r\n\r\n",
        first + b"host: api.test\r\nx-a: 1\r\n\r\n",
        first + b"\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n",
    ]


async def test_headers_of_more_lists_than_are_remembered_are_sent_as_they_are(serve, client):
    seen = []
    server = await serve(keeping(seen))
    upstream = (await client()).at(server.url)
    heads = [RequestHead("GET", "/", [(b"x-a", b"%d" % number)]) for number in range(600)]
    for sent in heads * 2:
        await (await upstream.send(sent, None)).whole(10)
    assert [sent for sent, _ in seen] == [b"GET / HTTP/1.1\r\nx-a: %d\r\n\r\n" % number for number in range(600)] * 2


async def test_a_base_path_stands_before_the_request_s_own(serve, client):
    server = await serve(OK)
    upstreams = await client()
    upstream = upstreams.at(server.url + "/api/v1/")
    assert upstream.target("/q?x=/") == "/api/v1/q?x=/"
    assert upstreams.at(server.url).target("/q") == "/q"
    await whole(upstream)
    await whole(upstreams.at(server.url))
    assert [status.url for status in upstreams.status()] == [server.url]
    assert server.accepted == 1


async def test_an_upstream_on_a_unix_socket_may_have_a_base_path_too(serve, client, tmp_path):
    server = await serve(OK, path=str(tmp_path / "api:1.sock"))
    upstream = (await client()).at(f"http+unix://{tmp_path}/api%3A1.sock:/base")
    assert (upstream.target("/q"), upstream.authority) == ("/base/q", b"localhost")
    assert await whole(upstream) == (200, b"ok")
    assert await whole(upstream) == (200, b"ok")
    assert server.accepted == 1


async def test_an_upstream_may_be_at_an_ipv6_address(serve, client):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    server = await serve(OK, host="::1")
    upstream = (await client()).at(server.url)
    assert upstream.authority == f"[::1]:{server.port}".encode()
    assert await whole(upstream) == (200, b"ok")


# ------------------------------------------------------------ bodies and answers at the same time


async def test_an_early_refusal_is_delivered_and_the_rest_of_the_body_not_sent(serve, client):
    ended = asyncio.Event()
    go = asyncio.Event()

    async def script(peer):
        await peer.head()
        peer.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nno")
        await go.wait()
        peer.send(b"!")
        await peer.ended()
        ended.set()

    server = await serve(script)
    upstreams = await client()
    body = Pieces(b"x" * 1000, length=1_000_000)
    body.more.clear()
    answer = await ask(upstreams.at(server.url), "POST", body=body)
    assert (answer.head.status, await answer.body.read()) == (413, b"no")
    body.more.set()
    await asyncio.sleep(0)
    assert len(body.pieces) == 1  # nobody asks for it any more
    go.set()
    assert await answer.whole(10) == (b"!", True)
    answer.release()
    await ended.wait()
    assert (body.reads, upstreams.status()[0].open) == (1, 0)


class Fed:
    """A body whose pieces come when the test puts them."""

    length = None
    trailers = ()

    def __init__(self):
        self.coming = asyncio.Queue()

    async def read(self):
        return await self.coming.get()


async def test_an_answer_may_begin_before_the_body_has_ended_and_both_go_on(serve, client):
    async def script(peer):
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            size = int(await peer.reader.readuntil(b"\r\n"), 16)
            piece = await peer.reader.readexactly(size + 2)
            peer.send(b"%x\r\n" % size + piece)
            if not size:
                break
        await peer.head()
        peer.send(OK)

    server = await serve(script)
    upstream = (await client()).at(server.url)
    body = Fed()
    answer = await ask(upstream, "POST", body=body)
    for piece in (b"one", b"two", b"three"):
        body.coming.put_nowait(piece)
        assert await answer.body.read() == piece
    body.coming.put_nowait(b"")
    assert await answer.body.read() == b""
    answer.release()
    assert await whole(upstream) == (200, b"ok")
    assert server.accepted == 1


async def test_with_expect_the_body_waits_until_the_upstream_wants_it(serve, client):
    go = asyncio.Event()
    asked = asyncio.Event()

    async def script(peer):
        await peer.head()
        asked.set()
        await go.wait()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.reader.readexactly(5) == b"hello"
        peer.send(OK)
        await peer.ended()

    server = await serve(script)
    upstream = (await client()).at(server.url)
    body = Pieces(b"hello", length=5)
    sending = asyncio.create_task(whole(upstream, "POST", "/", (b"expect", b"100-continue"), body=body))
    await asked.wait()
    assert body.reads == 0
    go.set()
    assert await sending == (200, b"ok")


async def test_with_expect_a_refusal_comes_before_any_of_the_body(serve, client):
    server = await serve(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n")
    body = Pieces(b"hello")

    async def script(peer):
        await peer.head()
        peer.send(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n")
        await peer.ended()

    server = await serve(script)
    upstreams = await client()
    status, _ = await whole(upstreams.at(server.url), "POST", "/", (b"expect", b"100-continue"), body=body)
    assert (status, body.reads, upstreams.status()[0].open) == (417, 0, 0)


class ClientGone(GatewayError):
    """The client has gone away."""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda: Pieces(b"he", length=5, error=ClientGone()), ClientGone),
        (lambda: Pieces(b"he", length=100_000, error=ClientGone()), ClientGone),
        (lambda: Pieces(b"he", error=ClientGone()), ClientGone),
        (lambda: Pieces(b"he", length=5), UpstreamFailed),
        (lambda: Pieces(b"he", length=100_000), UpstreamFailed),
        (lambda: Pieces(b"x" * 100_000, b"y", length=100_000), None),
        (lambda: Pieces(b"x" * 100_001, length=100_000), UpstreamFailed),
        (lambda: Pieces(b"x" * 6, length=5), UpstreamFailed),
    ],
)
async def test_a_body_that_breaks_off_ends_the_exchange_with_its_error(serve, client, body, error):
    server = await serve(OK)
    upstreams = await client()
    upstream = upstreams.at(server.url)
    if error is None:
        assert await whole(upstream, "POST", body=body()) == (200, b"ok")
        return
    with pytest.raises(error):
        await whole(upstream, "POST", body=body())
    assert [status.open for status in upstreams.status()] == [0]
    assert await whole(upstream) == (200, b"ok")


# ------------------------------------------------------------ connections that break


def breaking(times, answer=b""):
    """Close the first `times` connections after a request; answer on all others."""
    left = [times]

    async def script(peer):
        if left[0]:
            left[0] -= 1
            await peer.request()
            peer.send(answer)
        else:
            await always(OK)(peer)

    return script


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
async def test_an_idempotent_request_is_sent_again_when_no_byte_of_an_answer_came(serve, client, method):
    server = await serve(breaking(1))
    answer = await ask((await client()).at(server.url), method, body=b"x" if method == "PUT" else None)
    assert answer.head.status == 200
    assert server.accepted == 2


async def test_a_large_body_that_is_still_here_is_sent_again_from_its_beginning(serve, client):
    seen = []
    left = [1]

    async def script(peer):
        seen.append(await peer.request())
        if left[0]:
            left[0] -= 1
            return
        peer.send(OK)
        await peer.ended()

    server = await serve(script)
    body = bytes(range(256)) * 1000
    assert await whole((await client()).at(server.url), "PUT", body=body) == (200, b"ok")
    assert [wire == body for _, wire in seen] == [True, True]


@pytest.mark.parametrize(
    ("method", "body", "limits", "answer"),
    [
        ("POST", b"x", {}, b""),
        ("PATCH", b"x", {}, b""),
        ("PUT", lambda: Pieces(b"x"), {}, b""),
        ("GET", None, {"retries": 0}, b""),
        ("GET", None, {}, b"H"),
        ("GET", None, {}, b"HTTP/1.1 103 Hints\r\n\r\n"),
    ],
)
async def test_other_requests_are_not_sent_again(serve, client, method, body, limits, answer):
    server = await serve(breaking(1, answer))
    upstreams = await client(**limits)
    with pytest.raises(UpstreamFailed) as caught:
        await ask(upstreams.at(server.url), method, body=body() if callable(body) else body)
    assert (caught.value.reason, caught.value.status, server.accepted) == ("broke_off", 502, 1)
    assert upstreams.status()[0].failures == {"broke_off": 1}


@pytest.mark.parametrize("retries", [1, 3])
async def test_a_request_is_sent_again_so_often_and_not_more(serve, client, retries):
    server = await serve(breaking(10))
    with pytest.raises(UpstreamFailed, match="closed the connection before it had answered"):
        await ask((await client(retries=retries)).at(server.url))
    assert server.accepted == 1 + retries


async def test_a_408_on_a_kept_connection_is_about_its_idleness(serve, client):
    async def script(peer):
        await peer.request()
        peer.send(OK)
        if server.accepted == 1:
            await peer.request()
            peer.send(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await peer.ended()

    server = await serve(script)
    upstream = (await client()).at(server.url)
    assert await whole(upstream) == (200, b"ok")
    assert await whole(upstream) == (200, b"ok")
    assert server.accepted == 2


async def test_what_is_sent_while_nobody_asked_closes_the_connection_and_answers_nobody(serve, client):
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(OK)
        if server.accepted == 1:
            await go.wait()
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        else:
            await peer.request()
            peer.send(OK)
        await peer.ended()

    server = await serve(script)
    upstreams = await client()
    upstream = upstreams.at(server.url)
    await whole(upstream)
    go.set()
    await until(lambda: not upstreams.status()[0].open)
    assert await whole(upstream) == (200, b"ok")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http+unix:///nowhere/at/all.sock"])
async def test_a_refused_connection_says_where_it_went(client, url):
    with pytest.raises(UpstreamFailed, match="No connection to the query API behind the gateway: ") as caught:
        await ask((await client()).at(url))
    assert (caught.value.reason, caught.value.status) == ("refused", 502)


async def test_a_name_that_does_not_exist_is_told_without_the_name_which_is_for_the_log(client):
    with pytest.raises(UpstreamFailed, match=r"The host of .* cannot be found: ") as caught:
        await ask((await client()).at("http://nowhere.invalid"))
    assert (caught.value.reason, caught.value.status, caught.value.place) == ("dns", 502, "http://nowhere.invalid")


async def test_the_head_that_was_given_is_left_as_it_was(serve, client):
    server = await serve(OK)
    given = head("POST", "/", (b"content-length", b"3"))
    answer = await (await client()).at(server.url).send(given, b"abc")
    answer.release()
    assert given == head("POST", "/", (b"content-length", b"3"))
