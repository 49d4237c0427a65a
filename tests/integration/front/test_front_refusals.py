"""What is not unambiguously one request is refused, with a status that says why, and others are served on."""

from __future__ import annotations

import json

import pytest

HOST = b"host: a\r\n"


def get(target=b"/", headers=HOST, version=b"HTTP/1.1"):
    return b"GET " + target + b" " + version + b"\r\n" + headers + b"\r\n"


def post(framing, body=b""):
    return b"POST / HTTP/1.1\r\nhost: a\r\n" + framing + b"\r\n" + body


def chunked(body):
    return post(b"transfer-encoding: chunked\r\n", body)


REFUSED = [
    # the first line
    ("empty", 400, b"\x00"),
    ("tls", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("no-version", 400, b"GET /\r\n\r\n"),
    ("no-target", 400, b"GET HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("two-spaces", 400, b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("space-at-end", 400, b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n"),
    ("space-at-start", 400, b" GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("tab", 400, b"GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("bare-lf", 400, b"GET / HTTP/1.1\nhost: a\n\n"),
    ("bare-lf-in-first-line", 400, b"GET / HTTP/1.1\nhost: a\r\n\r\n"),
    ("bare-cr-in-first-line", 400, b"GET / HTTP/1.1\rhost: a\r\n\r\n"),
    ("lf-first", 400, b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("version-2", 505, get(version=b"HTTP/2.0")),
    ("version-0.9", 505, get(version=b"HTTP/0.9")),
    ("preface-of-2", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("version-lower-case", 400, get(version=b"http/1.1")),
    ("version-long", 400, get(version=b"HTTP/1.10")),
    ("version-short", 400, get(version=b"HTTP/1")),
    ("other-protocol", 400, get(version=b"RTSP/1.1")),
    ("method-lower-case", 501, b"get / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("method-odd", 501, b"G!T / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("method-long", 501, b"G" * 33 + b" / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("method-no-token", 400, b"G(T / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("connect", 501, b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"),
    ("connect-path", 501, b"CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n"),
    # the target
    ("target-space", 400, get(b"/a b")),
    ("target-control", 400, get(b"/a\x01b")),
    ("target-nul", 400, get(b"/a\x00b")),
    ("target-delete", 400, get(b"/a\x7fb")),
    ("target-latin", 400, get(b"/caf\xe9")),
    ("target-utf-8", 400, get(b"/caf\xc3\xa9")),
    ("target-fragment", 400, get(b"/a#b")),
    ("target-tab", 400, get(b"/a\tb")),
    ("target-relative", 400, get(b"a/b")),
    ("target-query-alone", 400, get(b"?a=b")),
    ("target-asterisk", 400, get(b"*")),
    ("target-authority", 400, get(b"a:80")),
    ("target-other-scheme", 400, get(b"ftp://a/")),
    ("target-user", 400, get(b"http://u@a/")),
    ("target-other-host", 400, get(b"http://b/")),
    ("target-other-port", 400, get(b"http://a:8080/")),
    ("target-no-host", 400, get(b"http:///")),
    ("target-https-over-http", 421, get(b"https://a/")),
    ("target-long", 414, get(b"/" + b"a" * 300)),
    ("target-long-and-open", 414, b"GET /" + b"a" * 400),
    # the headers
    ("no-host", 400, get(headers=b"")),
    ("no-host-with-others", 400, get(headers=b"x: y\r\n")),
    ("two-hosts", 400, get(headers=HOST * 2)),
    ("two-hosts-cases", 400, get(headers=b"Host: a\r\nhOST: b\r\n")),
    ("two-hosts-1.0", 400, get(headers=HOST * 2, version=b"HTTP/1.0")),
    ("host-empty", 400, get(headers=b"host:\r\n")),
    ("host-list", 400, get(headers=b"host: a, b\r\n")),
    ("host-space", 400, get(headers=b"host: a b\r\n")),
    ("host-path", 400, get(headers=b"host: a/b\r\n")),
    ("host-user", 400, get(headers=b"host: u@a\r\n")),
    ("host-port", 400, get(headers=b"host: a:b\r\n")),
    ("host-port-empty", 400, get(headers=b"host: a:\r\n")),
    ("host-bracket", 400, get(headers=b"host: [::1\r\n")),
    ("host-latin", 400, get(headers=b"host: caf\xe9\r\n")),
    ("space-before-colon", 400, get(headers=HOST + b"x : y\r\n")),
    ("tab-before-colon", 400, get(headers=HOST + b"x\t: y\r\n")),
    ("space-before-colon-of-length", 400, post(b"content-length : 3\r\n", b"abc")),
    ("folded", 400, get(headers=HOST + b"x: y\r\n z\r\n")),
    ("folded-tab", 400, get(headers=HOST + b"x: y\r\n\tz\r\n")),
    ("folded-first", 400, get(headers=b" " + HOST)),
    ("folded-coding", 400, post(b"transfer-encoding:\r\n chunked\r\n", b"0\r\n\r\n")),
    ("no-colon", 400, get(headers=HOST + b"xy\r\n")),
    ("no-name", 400, get(headers=HOST + b": y\r\n")),
    ("name-control", 400, get(headers=HOST + b"x\x01: y\r\n")),
    ("name-latin", 400, get(headers=HOST + b"x\xe9: y\r\n")),
    ("name-bracket", 400, get(headers=HOST + b"x(: y\r\n")),
    ("name-space", 400, get(headers=HOST + b"x y: z\r\n")),
    ("value-nul", 400, get(headers=HOST + b"x: a\x00b\r\n")),
    ("value-control", 400, get(headers=HOST + b"x: a\x1bb\r\n")),
    ("value-delete", 400, get(headers=HOST + b"x: a\x7fb\r\n")),
    ("value-bare-cr", 400, get(headers=HOST + b"x: a\rb\r\n")),
    ("value-bare-lf", 400, get(headers=HOST + b"x: a\nb: c\r\n")),
    ("bare-lf-hides-length", 400, post(b"x: y\ncontent-length: 3\r\n", b"abc")),
    ("head-large", 431, get(headers=HOST + b"x: " + b"y" * 1200 + b"\r\n")),
    ("head-large-and-open", 431, b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 1200),
    ("headers-many", 431, get(headers=HOST + b"x: y\r\n" * 20)),
    # how long the body is
    ("length-and-chunked", 400, post(b"content-length: 3\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n")),
    ("chunked-and-length", 400, post(b"transfer-encoding: chunked\r\ncontent-length: 3\r\n", b"0\r\n\r\n")),
    ("two-lengths", 400, post(b"content-length: 3\r\ncontent-length: 4\r\n", b"abcd")),
    ("two-equal-lengths", 400, post(b"content-length: 3\r\ncontent-length: 3\r\n", b"abc")),
    ("length-list", 400, post(b"content-length: 3, 3\r\n", b"abc")),
    ("length-plus", 400, post(b"content-length: +3\r\n", b"abc")),
    ("length-minus", 400, post(b"content-length: -3\r\n", b"abc")),
    ("length-space", 400, post(b"content-length: 1 1\r\n", b"abc")),
    ("length-hexadecimal", 400, post(b"content-length: 0x3\r\n", b"abc")),
    ("length-underscore", 400, post(b"content-length: 1_0\r\n", b"abc")),
    ("length-point", 400, post(b"content-length: 3.0\r\n", b"abc")),
    ("length-empty", 400, post(b"content-length:\r\n", b"abc")),
    ("length-arabic", 400, post("content-length: ٣\r\n".encode(), b"abc")),
    ("length-superscript", 400, post(b"content-length: \xb3\r\n", b"abc")),
    ("length-huge", 413, post(b"content-length: 9223372036854775808\r\n", b"abc")),
    ("length-with-underscore", 400, post(b"content_length: 3\r\n", b"abc")),
    ("coding-with-underscore", 400, post(b"transfer_encoding: chunked\r\n", b"0\r\n\r\n")),
    ("two-codings", 400, post(b"transfer-encoding: chunked\r\n" * 2, b"0\r\n\r\n")),
    ("coding-identity", 400, post(b"transfer-encoding: identity\r\n")),
    ("coding-empty", 400, post(b"transfer-encoding:\r\n", b"0\r\n\r\n")),
    ("coding-not-last", 400, post(b"transfer-encoding: chunked, gzip\r\n", b"0\r\n\r\n")),
    ("coding-twice", 400, post(b"transfer-encoding: chunked, chunked\r\n", b"0\r\n\r\n")),
    ("coding-odd", 400, post(b"transfer-encoding: xchunked\r\n", b"0\r\n\r\n")),
    ("coding-quoted", 400, post(b'transfer-encoding: "chunked"\r\n', b"0\r\n\r\n")),
    ("coding-vertical-tab", 400, post(b"transfer-encoding: \x0bchunked\r\n", b"0\r\n\r\n")),
    ("coding-parameter", 400, post(b"transfer-encoding: chunked;x=y\r\n", b"0\r\n\r\n")),
    ("coding-gzip", 501, post(b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
    ("coding-1.0", 400, b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "coding-and-length-1.0",
        400,
        b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ),
    ("trace-with-body", 400, b"TRACE / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"),
    ("expectation", 417, post(b"expect: the-best\r\ncontent-length: 3\r\n")),
    ("two-expectations", 417, post(b"expect: 100-continue, x\r\ncontent-length: 3\r\n")),
    # chunks
    ("chunk-no-size", 400, chunked(b"\r\nabc\r\n0\r\n\r\n")),
    ("chunk-letter", 400, chunked(b"g\r\nabc\r\n0\r\n\r\n")),
    ("chunk-sign", 400, chunked(b"+3\r\nabc\r\n0\r\n\r\n")),
    ("chunk-minus", 400, chunked(b"-3\r\nabc\r\n0\r\n\r\n")),
    ("chunk-0x", 400, chunked(b"0x3\r\nabc\r\n0\r\n\r\n")),
    ("chunk-space-before", 400, chunked(b" 3\r\nabc\r\n0\r\n\r\n")),
    ("chunk-space-behind", 400, chunked(b"3 \r\nabc\r\n0\r\n\r\n")),
    ("chunk-underscore", 400, chunked(b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n")),
    ("chunk-bare-lf", 400, chunked(b"3\nabc\r\n0\r\n\r\n")),
    ("chunk-bare-lf-behind", 400, chunked(b"3\r\nabc\n0\r\n\r\n")),
    ("chunk-too-long", 400, chunked(b"3\r\nabcd\r\n0\r\n\r\n")),
    ("chunk-too-short", 400, chunked(b"3\r\nab\r\n0\r\n\r\n")),
    ("chunk-huge", 400, chunked(b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n")),
    ("chunk-many-zeros", 400, chunked(b"0" * 20 + b"3\r\nabc\r\n0\r\n\r\n")),
    ("chunk-bare-cr-in-extension", 400, chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n")),
    ("chunk-bare-lf-in-extension", 400, chunked(b"3;a\nabc\r\n0\r\n\r\n")),
    ("chunk-control-in-extension", 400, chunked(b"3;a\x00\r\nabc\r\n0\r\n\r\n")),
    ("chunk-long-extension", 400, chunked(b"3;" + b"a" * 1100 + b"\r\nabc\r\n0\r\n\r\n")),
    ("chunk-endless-line", 400, chunked(b"3;" + b"a" * 2000)),
    ("chunk-many-extensions", 400, chunked(b"1;aaaaaaaaaaaaaaa\r\nx\r\n" * 1100 + b"0\r\n\r\n")),
    ("trailer-no-colon", 400, chunked(b"0\r\nx\r\n\r\n")),
    ("trailer-space", 400, chunked(b"0\r\nx : y\r\n\r\n")),
    ("trailer-folded", 400, chunked(b"0\r\nx: y\r\n z\r\n\r\n")),
    ("trailer-control", 400, chunked(b"0\r\nx: \x00\r\n\r\n")),
    ("trailers-large", 431, chunked(b"0\r\nx: " + b"y" * 1200 + b"\r\n\r\n")),
    ("trailers-large-and-open", 431, chunked(b"0\r\nx: " + b"y" * 1200)),
    ("trailers-many", 431, chunked(b"0\r\n" + b"x: y\r\n" * 20 + b"\r\n")),
]
LIMITS = {"max_header_bytes": 1024, "max_headers": 10, "max_target_bytes": 256}


@pytest.mark.parametrize(("status", "sent"), [pytest.param(s, d, id=name) for name, s, d in REFUSED])
async def test_what_is_no_request_is_refused_and_others_are_served(serve, status, sent):
    async with serve(**LIMITS) as served:
        client = await served.connect()
        await client.send(sent)
        got = await client.answer()
        assert (got.status, got.header(b"content-type")) == (status, b"application/problem+json")
        assert got.header(b"connection") == b"close"
        problem = json.loads(got.body)
        assert problem["status"] == status
        assert problem["detail"].endswith(".")
        assert status not in {414, 431} or "server.max_" in problem["detail"], "the setting is named"
        assert await client.is_closed()
        assert (await served.ask(get(b"/next"))).status == 200
        assert [told.status for told in served.told] == [status, 200]


@pytest.mark.parametrize(
    ("status", "sent"),
    [pytest.param(s, d, id=name) for name, s, d in REFUSED if name in {"bare-lf", "no-host", "chunk-letter", "tls"}],
)
async def test_a_refusal_is_the_same_byte_by_byte(serve, status, sent):
    async with serve(**LIMITS) as served:
        client = await served.connect()
        for at in range(len(sent)):
            await client.send(sent[at : at + 1])
        assert (await client.answer()).status == status


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        pytest.param(get(b'/a?b=[1]|{}^`"<>\\%zz'), b'GET /a?b=[1]|{}^`"<>\\%zz 1\nhost: a\n\n', id="visible"),
        pytest.param(get(b"//a"), b"GET //a 1\nhost: a\n\n", id="two-slashes"),
        pytest.param(get(b"http://A:80/x?y"), b"GET /x?y 1\nhost: a\n\n", id="absolute"),
        pytest.param(get(b"HTTP://a"), b"GET / 1\nhost: a\n\n", id="absolute-without-path"),
        pytest.param(get(b"http://a?x"), b"GET /?x 1\nhost: a\n\n", id="absolute-with-query-only"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", b"OPTIONS * 1\nhost: a\n\n", id="asterisk"),
        pytest.param(b"QUERY / HTTP/1.1\r\nhost: a\r\n\r\n", b"QUERY / 1\nhost: a\n\n", id="other-method"),
        pytest.param(get(version=b"HTTP/1.2"), b"GET / 1\nhost: a\n\n", id="higher-minor"),
        pytest.param(
            b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", b"GET / 0\nconnection: keep-alive\n\n", id="1.0"
        ),
        pytest.param(get(headers=b"host: [::1]:8080\r\n"), b"GET / 1\nhost: [::1]:8080\n\n", id="v6"),
        pytest.param(b"\r\n\r\n" + get(), b"GET / 1\nhost: a\n\n", id="empty-lines-first"),
        pytest.param(get(headers=b"Host:a\r\n"), b"GET / 1\nhost: a\n\n", id="no-space"),
        pytest.param(
            get(headers=HOST + b"X: \t y\xe9 \t\r\ny:\r\n"), b"GET / 1\nhost: a\nx: y\xe9\ny: \n\n", id="spaces"
        ),
        pytest.param(get(headers=HOST + b"a_b!: \xff\r\n"), b"GET / 1\nhost: a\na_b!: \xff\n\n", id="odd-but-valid"),
        pytest.param(
            post(b"content-length: 003\r\n", b"abc"), b"POST / 1\nhost: a\ncontent-length: 003\n\nabc", id="zeros"
        ),
        pytest.param(
            post(b"Transfer-Encoding: Chunked\r\n", b'1;a="b"\r\nx\r\n00A ; c\r\n0123456789\r\n0\r\n\r\n'),
            b"POST / 1\nhost: a\ntransfer-encoding: Chunked\n\nx0123456789",
            id="chunks",
        ),
    ],
)
async def test_what_is_unusual_but_clear_is_understood(serve, sent, seen):
    async with serve(**LIMITS) as served:
        client = await served.connect()
        await client.send(sent + get(b"/behind"))
        assert (await client.answer()).body == seen
        assert (await client.answer()).body.startswith(b"GET /behind ")


async def test_trailers_that_would_change_the_message_are_dropped(serve):
    async with serve() as served:
        fields = b"X-Sum: 1\r\nContent-Length: 3\r\ntransfer-encoding: x\r\nHost: b\r\nauthorization: z\r\nx-b:2\r\n"
        head = b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        got = await served.ask(head + b"1\r\na\r\n0\r\n" + fields + b"\r\n")
        assert (got.body, got.trailers) == (b"a", [(b"x-sum", b"1"), (b"x-b", b"2")])


async def test_nothing_behind_a_refused_request_is_taken_for_another(serve):
    async with serve() as served:
        client = await served.connect()
        await client.send(
            post(b"content-length: 3\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n") + get(b"/smuggled")
        )
        assert (await client.answer()).status == 400
        await client.send(get(b"/smuggled"))
        assert await client.is_closed()
        assert [told.status for told in served.told] == [400]
