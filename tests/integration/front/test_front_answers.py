"""Requests in, answers out: what is sent for each way of answering, and what becomes of the connection."""

from __future__ import annotations

import asyncio
import re

import pytest

from gateway.service.messages import ResponseHead

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_a_request_is_answered_and_the_connection_kept(serve):
    async with serve() as served:
        client = await served.connect()
        for number in range(3):
            await client.send(b"GET /%d?q=%%20 HTTP/1.1\r\nHost: a.example:8080\r\nX-One:  1 \r\n\r\n" % number)
            got = await client.answer()
            assert got.status == 200
            assert got.body == b"GET /%d?q=%%20 1\nhost: a.example:8080\nx-one: 1\n\n" % number
            assert got.header(b"connection") is None
        assert served.front.accepted == 1


async def test_an_answer_has_a_date(serve):
    async with serve() as served:
        got = await served.ask(GET)
        assert re.fullmatch(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", got.header(b"date"))


async def test_the_handlers_date_wins_and_its_framing_does_not(serve):
    async def handler(exchange):
        framing = [(b"connection", b"x"), (b"content-length", b"9"), (b"transfer-encoding", b"chunked")]
        exchange.answer(200, [(b"date", b"today"), *framing, (b"keep-alive", b"1")], b"abc")

    async with serve(handler) as served:
        got = await served.ask(GET)
        assert got.headers == [(b"date", b"today"), (b"content-length", b"3")]
        assert got.body == b"abc"


@pytest.mark.parametrize(
    ("method", "status", "length"), [("HEAD", 200, b"3"), ("GET", 204, None), ("GET", 304, None), ("HEAD", 204, None)]
)
async def test_answers_that_have_no_content_get_none(serve, method, status, length):
    async def handler(exchange):
        exchange.answer(status, [], b"abc")

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(b"%b / HTTP/1.1\r\nhost: a\r\n\r\n" % method.encode() * 2)
        for _ in range(2):
            got = await client.answer("HEAD")
            assert (got.status, got.header(b"content-length")) == (status, length)


@pytest.mark.parametrize("length", [None, 7])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_body_is_sent_piece_by_piece(serve, method, length):
    async def handler(exchange):
        await exchange.begin(ResponseHead(200, b"Fine", [(b"x", b"y")]), length)
        for piece in (b"one", b"", b"four"):
            await exchange.write(piece)
        await exchange.end([(b"x-sum", b"1")])

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(b"%b / HTTP/1.1\r\nhost: a\r\n\r\n" % method.encode() * 2)
        for _ in range(2):
            got = await client.answer(method)
            assert got.header(b"x") == b"y"
            assert got.body == (b"" if method == "HEAD" else b"onefour")
            assert got.trailers == ([(b"x-sum", b"1")] if (method, length) == ("GET", None) else [])
            assert got.header(b"content-length") == (b"7" if length else None)


async def test_informational_answers_come_first(serve):
    async def handler(exchange):
        await exchange.informational(ResponseHead(103, b"Early Hints", [(b"link", b"</a>")]))
        exchange.answer(200, [], b"")

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(GET)
        hints = await client.answer()
        assert (hints.status, hints.headers) == (103, [(b"link", b"</a>")])
        assert (await client.answer()).status == 200
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1\r\nhost: a", True),
        (b"HTTP/1.1\r\nhost: a\r\nconnection: keep-alive", True),
        (b"HTTP/1.1\r\nhost: a\r\nconnection: Close", False),
        (b"HTTP/1.1\r\nhost: a\r\nconnection: x , close", False),
        (b"HTTP/1.1\r\nhost: a\r\nconnection: x\r\nconnection: close", False),
        (b"HTTP/1.0", False),
        (b"HTTP/1.0\r\nconnection: Keep-Alive", True),
        (b"HTTP/1.0\r\nconnection: keep-alive, close", False),
    ],
)
async def test_a_connection_is_kept_as_long_as_both_sides_want(serve, head, kept):
    async with serve() as served:
        client = await served.connect()
        await client.send(b"GET / " + head + b"\r\n\r\n")
        got = await client.answer()
        if kept:
            assert got.header(b"connection") == (b"keep-alive" if b"1.0" in head else None)
            await client.send(GET)
            assert (await client.answer()).status == 200
        else:
            assert got.header(b"connection") == b"close"
            assert await client.is_closed()


async def test_a_body_of_unknown_length_ends_with_the_connection_for_http_1_0(serve):
    async def handler(exchange):
        await exchange.begin(ResponseHead(200), None)
        await exchange.write(b"abc")
        await exchange.end()

    async with serve(handler) as served:
        got = await served.ask(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert (got.body, got.header(b"connection"), got.header(b"transfer-encoding")) == (b"abc", b"close", None)


async def test_a_body_that_would_end_with_the_connection_is_reset_when_it_breaks_off(serve):
    async def handler(exchange):
        await exchange.begin(ResponseHead(200), None)
        await exchange.write(b"abc")
        raise LookupError

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(serve):
    running = []

    async def handler(exchange):
        running.append(exchange.head.target)
        assert len(running) == 1
        await asyncio.sleep(0)
        body = await exchange.body.read() if exchange.body else b""
        running.remove(exchange.head.target)
        exchange.answer(200, [], exchange.head.target.encode() + body)

    async with serve(handler) as served:
        client = await served.connect()
        sent = []
        for number in range(50):
            sent.append(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number)
            sent.append(b"POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n%02d" % number)
            sent.append(
                b"POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n%02d\r\n0\r\n\r\n" % number
            )
        await client.send(b"".join(sent))
        for number in range(50):
            assert (await client.answer()).body == b"/%d" % number
            assert (await client.answer()).body == b"/p%02d" % number
            assert (await client.answer()).body == b"/c%02d" % number


async def test_many_pipelined_requests_wait_in_the_socket_rather_than_in_memory(serve, until):
    go = asyncio.Event()

    async def handler(exchange):
        await go.wait()
        exchange.answer(204, [], b"")

    async with serve(handler, max_header_bytes=1024) as served:
        client = await served.connect()
        requests = 4000
        sending = asyncio.create_task(client.send(GET * requests))
        await until(lambda: served.front.connections)
        (connection,) = served.front._connections
        await until(lambda: connection._paused)
        assert len(connection._pending) <= 1024 + 256 * 1024  # at most one read of the socket beyond the limit
        go.set()
        for _ in range(requests):
            assert (await client.answer()).status == 204
        await sending


@pytest.mark.parametrize("bad", [b"a\rb", b"a\nb", b"a\r\nb", b"a\r"])
@pytest.mark.parametrize("where", ["name", "value", "reason", "date"])
async def test_a_line_end_in_the_head_of_an_answer_is_not_sent(serve, bad, where):
    async def handler(exchange):
        fields = {"name": (bad, b"x"), "date": (b"date", bad)}
        field = fields.get(where, (b"x", bad if where == "value" else b"x"))
        with pytest.raises(ValueError, match="line end"):
            await exchange.begin(ResponseHead(200, bad if where == "reason" else b"", [field]), 0)
        if where != "reason":
            with pytest.raises(ValueError, match="line end"):
                exchange.answer(200, [field], b"")
        exchange.answer(204, [], b"")

    async with serve(handler) as served:
        assert (await served.ask(GET)).status == 204


@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1, 3_000_000])
async def test_answers_of_any_size_arrive_whole(serve, size):
    async def handler(exchange):
        if exchange.head.target == "/chunked":
            await exchange.begin(ResponseHead(200), None)
            await exchange.write(b"x" * size)
            await exchange.end()
        else:
            exchange.answer(200, [], b"x" * size)

    async with serve(handler) as served:
        client = await served.connect()
        for target in (b"/", b"/chunked"):
            await client.send(GET.replace(b" / ", b" %b " % target))
            assert (await client.answer()).body == b"x" * size


async def boom(_exchange):
    raise LookupError("secret")


async def nothing(_exchange):
    return


async def line_end(exchange):
    exchange.answer(200, [(b"x", b"a\r\nset-cookie: b")], b"")


async def odd_status(exchange):
    exchange.answer(100, [], b"")


@pytest.mark.parametrize("handler", [boom, nothing, line_end, odd_status])
async def test_a_handler_in_error_is_a_500_and_the_next_request_is_served(serve, handler):
    async with serve(handler) as served:
        client = await served.connect()
        await client.send(GET * 2)
        for _ in range(2):
            got = await client.answer()
            assert (got.status, got.header(b"content-type")) == (500, b"application/problem+json")
            assert b"urn:gateway:request:req_" in got.body
            assert b"secret" not in got.body


async def breaks_off(exchange):
    await exchange.begin(ResponseHead(200), 10)
    await exchange.write(b"abc")
    raise LookupError


async def ends_early(exchange):
    await exchange.begin(ResponseHead(200), 10)
    await exchange.write(b"abc")
    await exchange.end()


async def does_not_end(exchange):
    await exchange.begin(ResponseHead(200), 10)
    await exchange.write(b"abc")


async def says_too_much(exchange):
    await exchange.begin(ResponseHead(200), 5)
    await exchange.write(b"abc")
    await exchange.write(b"abc")


async def aborts(exchange):
    await exchange.begin(ResponseHead(200), 10)
    await exchange.write(b"abc")
    exchange.abort()


@pytest.mark.parametrize("handler", [breaks_off, ends_early, does_not_end, says_too_much, aborts])
async def test_an_answer_that_cannot_be_completed_is_broken_off(serve, handler):
    async with serve(handler) as served:
        client = await served.connect()
        await client.send(GET)
        try:
            whole = await client.rest()
        except ConnectionResetError:
            whole = b""
        assert len(whole.partition(b"\r\n\r\n")[2]) < (5 if handler is says_too_much else 10)
        assert [(told.status, told.complete) for told in served.told] == [(200, False)]


async def test_each_request_is_told_once_with_its_sizes(serve):
    async def handler(exchange):
        exchange.notes["upstream_ms"] = 3
        body = await exchange.body.read()
        exchange.answer(201, [], body * 2)

    async with serve(handler) as served:
        await served.ask(b"POST /a?b HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        (told,) = served.told
        assert told._replace(seconds=0.0) == (
            "POST", "/a?b", 201, 3, 6, 0.0, "127.0.0.1", 1, "http", True, {"upstream_ms": 3},
        )  # fmt: skip


async def test_another_handler_takes_the_next_request_and_the_old_one_ends_its_own(serve, until):
    go = asyncio.Event()

    async def old(exchange):
        await go.wait()
        exchange.answer(200, [], b"old")

    async def new(exchange):
        exchange.answer(200, [], b"new")

    async with serve(old) as served:
        one, two = await served.connect(), await served.connect()
        await one.send(GET)
        await until(lambda: served.front.in_flight)
        await asyncio.sleep(0)
        served.front.handler = new
        await two.send(GET)
        assert (await two.answer()).body == b"new"
        go.set()
        assert (await one.answer()).body == b"old"
