"""How answers of upstreams are read: every framing there is, and every one there must not be."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UpstreamFailed
from tests.integration.upstream.conftest import always, ask, once, whole

FRAMED = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "no body": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello"),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b""),
    "1.0 kept alive": (b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
}
CLOSING = {
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
    "1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
    "1.0 with a length": (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "close": (b"HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "close and keep-alive": (b"HTTP/1.0 200 OK\r\nconnection: close, keep-alive\r\ncontent-length: 1\r\n\r\n!", b"!"),
    "bytes behind it": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello?", b"hello"),
    "an answer behind it": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        b"hello",
    ),
    "bytes behind the chunks": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n!\r\n0\r\n\r\n?", b"!"),
    "bytes behind a 204": (b"HTTP/1.1 204 No Content\r\n\r\n?", b""),
    "a length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\n!\r\n0\r\n\r\n",
        b"!",
    ),
    "chunks and a length": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n1\r\n!\r\n0\r\n\r\n",
        b"!",
    ),
    "a 204 with a length": (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", b""),
    "a 304 with chunks": (b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n", b""),
}
REFUSED = {
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "the same length twice": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "a list of lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
    "a signed length": b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
    "a length in hex": b"HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\nhello",
    "an empty length": b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nhello",
    "an endless length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
    "gzip as transfer encoding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity as transfer encoding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello",
    "chunked twice": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks with 1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\nhello",
    "a space before the name": b"HTTP/1.1 200 OK\r\n content-length: 5\r\n\r\nhello",
    "a folded line": b"HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\ncontent-length: 5\r\n\r\nhello",
    "a line without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 5\r\n\r\nhello",
    "no name": b"HTTP/1.1 200 OK\r\n: 1\r\ncontent-length: 5\r\n\r\nhello",
    "a zero in a value": b"HTTP/1.1 200 OK\r\nx-a: 1\x002\r\ncontent-length: 5\r\n\r\nhello",
    "a lone CR in a value": b"HTTP/1.1 200 OK\r\nx-a: 1\rcontent-length: 5\r\n\r\nhello",
    "lone LFs": b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello",
    "one lone LF": b"HTTP/1.1 200 OK\r\nx-a: 1\ncontent-length: 5\r\n\r\nhello",
    "an empty line first": b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/2": b"HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/0.9": b"hello",
    "something else": b"SSH-2.0-OpenSSH_9.2\r\n",
    "lower case": b"http/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "a status of two digits": b"HTTP/1.1 20 OK\r\ncontent-length: 5\r\n\r\nhello",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\ncontent-length: 5\r\n\r\nhello",
    "a status of 600": b"HTTP/1.1 600 OK\r\ncontent-length: 5\r\n\r\nhello",
    "no status": b"HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello",
    "a 101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "an interim answer with a body": b"HTTP/1.1 103 Hints\r\ncontent-length: 5\r\n\r\nhello",
    "interim answers without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 65,
    "a head that is too large": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 70_000 + b"\r\ncontent-length: 5\r\n\r\nhello",
    "a head without end": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 70_000,
}
BROKEN_BODIES = {
    "a length, chunks, and none of them": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nhello\r\n"
    ),
    "a chunk size that is none": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    "a chunk that is too long": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "a chunk line with a lone LF": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    "a chunk size beyond all numbers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
    "a trailer that is none": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n",
    "chunk extensions without end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"a" * 70_000,
    "trailers without end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x-t: 1\r\n" * 9_000,
}


@pytest.mark.parametrize("sent", FRAMED)
async def test_an_answer_is_whole_and_its_connection_is_used_again(serve, client, sent):
    wire, body = FRAMED[sent]
    server = await serve(wire)
    upstream = (await client()).at(server.url)
    for _ in range(3):
        assert (await whole(upstream))[1] == body
    assert server.accepted == 1


@pytest.mark.parametrize("sent", CLOSING)
async def test_an_answer_is_whole_and_its_connection_is_not_used_again(serve, client, sent):
    wire, body = CLOSING[sent]
    server = await serve(once(wire) if b"length" not in wire and b"chunked" not in wire else always(wire))
    upstream = (await client()).at(server.url)
    for _ in range(2):
        assert (await whole(upstream))[1] == body
    assert server.accepted == 2


@pytest.mark.parametrize("sent", REFUSED)
async def test_an_answer_that_could_be_read_in_two_ways_is_refused(serve, client, sent):
    server = await serve(REFUSED[sent])
    upstreams = await client(head=65_536)
    with pytest.raises(UpstreamFailed) as caught:
        await ask(upstreams.at(server.url))
    assert (caught.value.reason, caught.value.status) == ("protocol", 502)
    assert caught.value.detail.endswith(".")
    assert upstreams.status()[0].open == 0


@pytest.mark.parametrize("sent", BROKEN_BODIES)
async def test_a_body_that_is_broken_fails_and_ends_its_connection(serve, client, sent):
    server = await serve(BROKEN_BODIES[sent])
    upstreams = await client(head=65_536)
    with pytest.raises(UpstreamFailed) as caught:
        await whole(upstreams.at(server.url))
    assert caught.value.reason == "protocol"
    assert upstreams.status()[0].open == 0


async def test_an_answer_whose_body_is_broken_at_once_is_none(serve, client):
    server = await serve(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n")
    with pytest.raises(UpstreamFailed, match="chunks that are not valid"):
        await ask((await client()).at(server.url))


async def test_a_head_answer_has_no_body_whatever_its_length_says(serve, client):
    server = await serve(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    upstream = (await client()).at(server.url)
    for _ in range(2):
        answer = await ask(upstream, "HEAD")
        assert answer.head.headers == [(b"content-length", b"1000")]
        assert await answer.whole(10) == (b"", True)
        answer.release()
    assert server.accepted == 1


async def test_names_are_in_lower_case_and_values_without_white_space_around_them(serve, client):
    server = await serve(b"HTTP/1.1 299 Fine so far\r\nX-One: \t a b \t\r\nSet-Cookie: 1\r\nset-cookie:2\r\nX:\xe4\r\n"
                         b"content-length: 0\r\n\r\n")  # fmt: skip
    answer = await ask((await client()).at(server.url))
    assert (answer.head.status, answer.head.reason) == (299, b"Fine so far")
    assert answer.head.headers == [
        (b"x-one", b"a b"), (b"set-cookie", b"1"), (b"set-cookie", b"2"), (b"x", b"\xe4"), (b"content-length", b"0"),
    ]  # fmt: skip


async def test_what_is_done_to_one_head_does_not_show_in_the_next(serve, client):
    server = await serve(b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n")
    upstream = (await client()).at(server.url)
    first = await ask(upstream)
    first.head.headers.clear()
    assert (await ask(upstream)).head.headers == [(b"x-a", b"1"), (b"content-length", b"0")]


async def test_trailers_come_with_the_end_of_the_body_but_none_that_frame(serve, client):
    server = await serve(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n!\r\n0\r\nX-Sum: 7 \r\nHost: evil\r\n\r\n"
    )
    upstream = (await client()).at(server.url)
    answer = await ask(upstream)
    assert await answer.whole(10) == (b"!", True)
    assert answer.body.trailers == [(b"x-sum", b"7")]
    assert (await whole(upstream)) == (200, b"!")
    assert server.accepted == 1


async def test_interim_answers_are_told_and_100_is_not(serve, client):
    server = await serve(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!"
    )
    upstream = (await client()).at(server.url)
    told = []

    async def informational(head):
        await asyncio.sleep(0)
        told.append((head.status, head.headers))

    for _ in range(2):
        assert await whole(upstream, informational=informational) == (200, b"!")
    assert told == [(103, [(b"link", b"</a>")]), (102, [])] * 2
    assert await whole(upstream) == (200, b"!")
    assert server.accepted == 1


async def test_more_than_the_limit_is_not_waited_for(serve, client):
    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await peer.reader.read()

    server = await serve(script)
    answer = await ask((await client()).at(server.url))
    assert await answer.whole(4) == (b"hello", False)
    answer.release()


async def test_a_body_that_is_too_long_by_its_length_is_read_on_piece_by_piece(serve, client):
    server = await serve(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
    upstream = (await client()).at(server.url)
    answer = await ask(upstream)
    begun, all_of_it = await answer.whole(4)
    assert not all_of_it
    while piece := await answer.body.read():
        begun += piece
    assert begun == b"hello"
    answer.release()
    assert await whole(upstream) == (200, b"hello")
    assert server.accepted == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_body_that_breaks_off_fails_after_what_came_of_it(serve, client, sent, how):
    told = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(sent)
        await told.wait()
        getattr(peer, how)()

    server = await serve(script)
    upstreams = await client()
    answer = await ask(upstreams.at(server.url))
    assert await answer.body.read() == b"hello"
    told.set()
    with pytest.raises(UpstreamFailed, match="in the middle of its answer") as caught:
        await answer.body.read()
    assert caught.value.reason == "broke_off"
    with pytest.raises(UpstreamFailed):
        await answer.body.read()
    answer.release()
    assert upstreams.status()[0].open == 0


async def test_an_answer_that_is_let_go_half_read_closes_its_connection(serve, client):
    ended = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello")
        await peer.ended()
        ended.set()

    server = await serve(script)
    upstreams = await client()
    answer = await ask(upstreams.at(server.url))
    answer.release()
    answer.release()
    await ended.wait()
    assert upstreams.status()[0].open == 0
    with pytest.raises(UpstreamFailed, match="given up"):
        while await answer.body.read():
            pass
