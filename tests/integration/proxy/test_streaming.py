"""What is no result streams through, both ways, as it comes."""

from __future__ import annotations

import asyncio

import pytest

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_each_server_sent_event_reaches_the_client_at_once(api, serve):
    served = await serve(api.url)
    await served.hook("/replace")
    async with served.client() as client:
        await client.send(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        _, headers = await client.head()
        assert headers["content-type"] == "text/event-stream"
        for number in range(3):  # the next one is sent only after the client has got this one
            event = b"data: %d\n\n" % number
            await upstream.send(b"%x\r\n%b\r\n" % (len(event), event))
            assert await client.chunk() == event


async def test_a_body_in_chunks_reaches_the_upstream_piece_by_piece_with_its_trailers(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(
            b"PUT /x HTTP/1.1\r\nhost: a\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        upstream, _, headers = await api.asked()
        assert (headers["transfer-encoding"], headers["trailer"]) == ("chunked", "x-sum")
        assert await upstream.chunk() == b"abc"
        await client.send(b"2\r\nde\r\n")
        assert await upstream.chunk() == b"de"
        await client.send(b"0\r\nx-sum: 5\r\ncontent-length: 9\r\n\r\n")
        assert await upstream.chunk() == b""
        assert await upstream.trailers() == ["x-sum: 5"]
        await upstream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert (await client.head())[0] == "HTTP/1.1 204 No Content"


async def test_trailers_of_an_answer_reach_the_client(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n")
        upstream, _, headers = await api.asked()
        assert (headers["te"], headers["connection"]) == ("trailers", "te")
        await upstream.send(CHUNKED[:-2] + b"trailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n")
        _, headers = await client.head()
        assert headers["trailer"] == "x-sum"
        assert [await client.chunk(), await client.chunk()] == [b"abc", b""]
        assert await client.trailers() == ["x-sum: 3"]


async def test_a_client_that_asks_first_is_told_to_go_on_by_the_upstream(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        upstream, _, headers = await api.asked()
        assert headers["expect"] == "100-continue"
        await upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert (await client.head())[0] == "HTTP/1.1 100 Continue"
        await client.send(b"abc")
        assert await upstream.exactly(3) == b"abc"
        await upstream.send(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
        assert (await client.head())[0] == "HTTP/1.1 201 Created"


async def test_a_client_that_asks_first_is_not_asked_for_a_body_that_the_upstream_refuses(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\nexpect: 100-continue\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig")
        first, headers = await client.head()
        assert first.startswith("HTTP/1.1 413")
        assert await client.exactly(3) == b"big"
        assert headers["connection"] == "close"


async def test_hints_come_before_the_answer(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")
        first, headers = await client.head()
        assert (first, headers["link"]) == ("HTTP/1.1 103 Early Hints", "</a.css>; rel=preload")
        await upstream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        assert (await client.head())[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("answer", "status", "length"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 12345\r\n\r\n", 200, "12345"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n", 200, None),
        (b'HTTP/1.1 304 Not Modified\r\netag: "v1"\r\n\r\n', 304, None),
    ],
)
async def test_a_head_request_has_no_body_and_the_length_that_the_upstream_tells(api, serve, answer, status, length):
    served = await serve(api.url)
    async with served.client() as client:
        for _ in range(2):  # twice: the connections must be in step afterwards
            await client.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
            upstream, first, _ = await api.asked()
            assert first == "HEAD / HTTP/1.1"
            await upstream.send(answer)
            first, headers = await client.head()
            assert int(first.split()[1]) == status
            assert headers.get("content-length") == length
            await upstream.close()


async def test_an_answer_without_length_ends_where_the_upstream_ends_it(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nabc")
        _, headers = await client.head()
        assert headers["transfer-encoding"] == "chunked"
        assert await client.chunk() == b"abc"
        await upstream.close()
        assert await client.chunk() == b""


async def test_an_answer_that_breaks_off_is_not_passed_for_a_whole_one(api, serve, caplog):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(CHUNKED + b"3\r\nabc\r\n")
        await client.head()
        assert await client.chunk() == b"abc"
        await upstream.close()
        assert await client.some() == b"", "the connection breaks, without a last chunk"
    (record,) = [record for record in caplog.records if record.getMessage().startswith("upstream.failed")]
    assert "reason=broke_off" in record.getMessage()


@pytest.mark.parametrize("during", ["head", "body"])
async def test_a_client_that_goes_away_takes_its_request_to_the_upstream_along(api, serve, during):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream, _, _ = await api.asked()
        if during == "body":
            await upstream.send(CHUNKED + b"3\r\nabc\r\n")
            await client.head()
    assert await upstream.some() == b""


async def test_an_upstream_that_answers_before_the_whole_request_is_heard(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(CHUNKED + b"2\r\nhi\r\n")
        await client.head()
        assert await client.chunk() == b"hi", "while the client is still sending"
        await client.send(b"0\r\n\r\n")
        assert [await upstream.chunk(), await upstream.chunk()] == [b"abc", b""]
        await upstream.send(b"0\r\n\r\n")
        assert await client.chunk() == b""


async def test_a_slow_client_slows_the_upstream_down(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(CHUNKED)
        await client.head()
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        sent = 0

        async def flood():
            nonlocal sent
            while sent < 2_000:  # 128 MB; it stops long before
                await upstream.send(piece)
                sent += 1

        flooding = asyncio.create_task(flood())
        before = -1
        while before != sent:  # until nothing more goes out for a while
            before = sent
            await asyncio.wait([flooding], timeout=0.5)
        assert sent < 2_000, "the gateway holds no more than some buffers"
        while (size := len(await client.chunk())) and sent < 2_000:
            assert size
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
