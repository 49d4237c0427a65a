"""The exam that every transport passes, for pytest.

In the test file of a transport:

    class TestMyTransport(TransportExam):
        def open_transport(self, guard, ssl_context):
            return MyTransport(guard, ssl_context)

Where an implementation cannot be as strict as the exam asks,
`otherwise` says, by path of the fake server, which error it gives instead, and `forgives` names the paths
whose faults it does not mind: there, the exam only asks that it returns or raises a `CallError` in time.
"""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from gateway.errors import CallError, ConnectFailed, ProtocolViolated
from gateway.testing.hook_server import Raw, Reply, Request
from gateway.testing.transport_bench import JSON, SOON, case
from gateway.testing.transport_faults import FaultCases
from gateway.testing.transport_reach import ReachCases
from gateway.testing.transport_tls import TlsCases
from gateway.transport import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

__all__ = ["TransportExam"]

UNSENDABLE: Final[Sequence[tuple[str, str]]] = (
    ("x-a", "1\r\nx-injected: 1"),
    ("x-a", "1\nx-injected: 1"),
    ("x-a", "1\rx-injected: 1"),
    ("x-a", "1\x00"),
    ("x-a", "caf\u010d"),
    ("x-a\r\nx-injected", "1"),
    ("x a", "1"),
    ("x-a:", "1"),
    ("", "1"),
    ("Host", "elsewhere.example"),
    ("content-length", "0"),
    ("Transfer-Encoding", "chunked"),
    ("connection", "upgrade"),
)


class TransportExam(FaultCases, ReachCases, TlsCases):
    """Inherit from it in a test file, with the class's name beginning with `Test`."""

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    @case
    async def test_a_request_arrives_exactly_as_it_was_given(self, method: str) -> None:
        body = b"" if method in {"GET", "OPTIONS", "DELETE"} else b'{"\xc3\xa4":1}\x00\r\n\r\n'
        headers = [("content-type", "application/json"), ("x-a", "1"), ("X-B", 'two, three;q=0.5\t"4"'), ("x-a", "2")]
        async with self.bench() as call:
            await call("/unchanged?a=1&b=%20", body, method=method, headers=headers)
            (request,) = call.server.requests
        assert (method, "/unchanged?a=1&b=%20", body) == (request.method, request.target, request.body)
        arrived = [(name, value) for name, value in request.headers if name in {"content-type", "x-a", "x-b"}]
        assert [(name.lower(), value) for name, value in headers] == arrived
        assert request.header("host") == f"127.0.0.1:{call.server.port}"
        assert request.header("content-length") in ({str(len(body))} if body else {None, "0"})
        assert request.header("cookie") is None

    @case
    async def test_a_body_of_a_megabyte_arrives_whole_and_comes_back_whole(self) -> None:
        body = bytes(range(256)) * 4096
        async with self.bench() as call:
            reply = await call("/echo", body, limits=Limits(body=len(body)))
            assert call.server.requests[0].body == body
        assert (200, body, len(body)) == (reply.status, reply.body, reply.received)

    @case
    async def test_a_reply_is_returned_whole_with_names_in_lower_case_and_repeated_headers_repeated(self) -> None:
        headers = [("Content-Type", "application/json"), ("X-Twice", "1"), ("x-twice", " 2 "), ("X-Empty", "")]

        async def answer(request: Request) -> Reply:
            return Reply(201, headers, b"[1]")

        async with self.bench() as call:
            call.server.on("/custom", answer)
            reply = await call("/custom")
        expected = [("content-type", "application/json"), ("x-twice", "1"), ("x-twice", "2"), ("x-empty", "")]
        assert expected == [h for h in reply.headers if h[0] != "content-length"]
        assert (
            reply.status,
            reply.body,
            reply.received,
            reply.header("x-twice"),
            reply.header("x-absent"),
        ) == (201, b"[1]", 3, "1, 2", None)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/unchanged", b""),
            ("/empty-200", b""),
            ("/chunked", b'{"a":1}'),
            ("/until-close", b'{"until":"close"}'),
            ("/http10", b'{"version":"1.0"}'),
            ("/early-hints", b"{}"),
            ("/gzip", b'{"ok":true}' * 50),
            ("/deflate", b'{"ok":true}' * 50),
        ],
    )
    @case
    async def test_every_orderly_form_of_a_body_is_read(self, path: str, body: bytes) -> None:
        async with self.bench() as call:
            assert body == (await call(path)).body
            assert body == (await call(path)).body

    @pytest.mark.parametrize("path", ["/redirect", "/gone", "/reject", "/status/429", "/status/500", "/nowhere"])
    @case
    async def test_any_status_is_a_reply_and_no_redirect_is_followed(self, path: str) -> None:
        async with self.bench() as call:
            reply = await call(path)
            assert [path] == [request.target for request in call.server.requests]
        assert reply.status in {302, 410, 422, 429, 500, 404}

    @case
    async def test_cookies_are_not_kept(self) -> None:
        async with self.bench() as call:
            await call("/set-cookie")
            await call("/unchanged")
            assert call.server.requests[1].header("cookie") is None

    @case
    async def test_replies_that_differ_only_in_length_or_content_are_told_apart(self) -> None:
        async with self.bench() as call:
            for size in (1, 1, 9, 10, 10, 0, 999, 1000, 1):
                body = bytes(48 + size % 10 for _ in range(size))
                reply = await call("/echo", body)
                assert (200, body, size, str(size)) == (
                    reply.status,
                    reply.body,
                    reply.received,
                    reply.header("content-length"),
                )

    # ------------------------------------------------------------ connections

    @case
    async def test_a_connection_is_used_again(self) -> None:
        async with self.bench() as call:
            for path in ("/unchanged", "/echo", "/chunked", "/gzip", "/reject", "/early-hints", "/empty-200"):
                await call(path)
            assert call.server.accepted == 1

    @case
    async def test_pools_do_not_share_connections(self) -> None:
        async with self.bench() as call:
            await call("/unchanged", pool="hook-a")
            await call("/unchanged", pool="hook-b")
            assert call.server.accepted == 2

    @pytest.mark.parametrize("path", ["/until-close", "/http10", "/unchanged-with-length"])
    @case
    async def test_a_connection_on_which_the_end_of_a_reply_is_not_certain_is_not_used_again(self, path: str) -> None:
        async with self.bench() as call:
            await call(path)
            await call("/unchanged")
            assert call.server.accepted == 2

    @pytest.mark.parametrize("path", ["/pipelined", "/half-pipelined"])
    @case
    async def test_a_reply_nobody_asked_for_never_meets_the_next_call(self, path: str) -> None:
        async with self.bench() as call:
            await call(path)
            assert (await call("/echo", b'"mine"')).body == b'"mine"'
            assert call.server.accepted == 2 or path in self.forgives

    @case
    async def test_a_reply_that_comes_while_the_connection_is_idle_closes_it(self) -> None:
        async with self.bench() as call:
            call.server.on("/late-extra", _late_extra)
            await call("/late-extra")
            await call.server.no_connections()
            assert (await call("/echo", b'"mine"')).body == b'"mine"'

    @case
    async def test_a_kept_connection_that_the_server_closed_meanwhile_costs_nothing(self) -> None:
        async with self.bench() as call:
            await call("/unchanged")
            call.server.close_idle()  # the transport cannot know yet when it sends the next request
            assert (await call("/unchanged")).status == 204
            assert call.server.accepted == 2
            call.server.close_idle()
            await call.server.no_connections()
            assert (await call("/unchanged")).status == 204

    @case
    async def test_a_request_is_sent_again_only_once_and_only_after_a_kept_connection_died_without_a_byte(self) -> None:
        async with self.bench() as call:
            with pytest.raises(ConnectFailed):
                await call("/hang-up")
            assert [request.target for request in call.server.requests] == ["/hang-up"]
            await call("/unchanged")
            with pytest.raises(ConnectFailed):
                await call("/hang-up")
            assert [request.target for request in call.server.requests[1:]] == ["/unchanged", "/hang-up", "/hang-up"]
            await call("/unchanged")
            with pytest.raises(ProtocolViolated):
                await call("/cut-body")
            assert [request.target for request in call.server.requests[4:]] == ["/unchanged", "/cut-body"]

    @case
    async def test_fifty_calls_at_once_each_get_their_own_reply(self) -> None:
        async with self.bench() as call:
            replies = await asyncio.gather(*(call("/echo", b'"%d"' % i, pool=f"hook-{i % 3}") for i in range(50)))
            assert [b'"%d"' % i for i in range(50)] == [reply.body for reply in replies]
            assert call.server.accepted <= 50

    @pytest.mark.parametrize("header", UNSENDABLE)
    @case
    async def test_a_header_that_could_change_the_request_is_never_sent(self, header: tuple[str, str]) -> None:
        async with self.bench() as call:
            with pytest.raises(CallError):
                await call("/unchanged", headers=[*JSON, header])
            assert call.server.requests == []

    @pytest.mark.parametrize("method", ["HEAD", "CONNECT", "get", "P OST", "POST / HTTP/1.1\r\nx: y\r\n\r\nPOST", ""])
    @case
    async def test_a_method_that_could_change_the_request_is_never_sent(self, method: str) -> None:
        async with self.bench() as call:
            with pytest.raises(CallError):
                await call("/unchanged", method=method)
            assert call.server.requests == []


async def _late_extra(request: Request) -> Raw:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield Reply(200, JSON, b"{}").encode()
        await asyncio.sleep(SOON)
        yield Reply(200, JSON, b'"poison"').encode()

    return Raw(pieces(), close=False)
