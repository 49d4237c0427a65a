"""One connection of a client: takes requests off it, one after another, and lets each be answered."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.service.front.bell import Bell
from gateway.service.front.body import RequestBody, too_slow
from gateway.service.front.chunks import ChunkReader
from gateway.service.front.exchange import Exchange
from gateway.service.front.heads import HeadReader, after_empty_lines
from gateway.service.front.outgoing import Outgoing
from gateway.service.front.refusal import PROBLEM_HEADERS, ClientGone, RequestRefused, problem_body
from gateway.service.front.tunnel import ClientTunnel
from gateway.service.front.writing import response_head
from gateway.service.messages import RequestHead

if TYPE_CHECKING:
    from gateway.service.front.fields import Fields
    from gateway.service.front.front import Front
    from gateway.service.front.writing import HttpDate

__all__ = ["Connection"]

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_UNREAD_BODY_KEPT: Final = 64 * 1024  # bytes that are read and dropped, to keep the connection
_LINGER_SECONDS: Final = 5.0


class Connection(Outgoing):
    """A connection and the one request on it that is being answered; later ones wait, as bytes.

    It has no timer of its own: the server looks after all its connections about once a second (`check`).
    """

    __slots__ = (
        "_bell", "_context", "_exchange", "_handling", "_heads", "_in_head", "_lingering", "_paused", "_pending",
        "_read_deadline", "_task", "_tunnel", "client", "date", "front", "incoming", "scheme",
    )  # fmt: skip

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop, scheme: str) -> None:
        super().__init__(loop, front.clock, front.settings.write_timeout_seconds)
        self.front = front
        self.scheme = scheme
        self.client: str | None = None
        self.date: HttpDate = front.date
        self.incoming: RequestBody | None = None  # a body that has not come to its end
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None  # handles all requests, from the first one on
        self._handling = False  # the task has begun to handle the present one
        self._bell = Bell(loop)  # what the task waits for between two requests
        self._context = copy_context()
        self._tunnel: ClientTunnel | None = None
        self._pending = b""  # bytes that come after the present request, or part of a head
        self._heads = HeadReader(front.settings, scheme)
        self._in_head = True  # the time for a head is running
        self._paused = False
        self._lingering = False  # answered for the last time; what still comes is dropped
        self._read_deadline = inf

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open (after the TLS handshake, if there is one)."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.client = peer[0].removeprefix("::ffff:") if "." in peer[0] else peer[0]
        self._read_deadline = self.front.clock() + self.front.settings.head_timeout_seconds
        refusal = self.front.admit(self)
        if refusal is not None:
            self._refuse(refusal)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, of its body, of what comes after it, or of a tunnel."""
        if self._exchange is None and self.incoming is None and not (self._pending or self._closing or self.slow):
            self._read(data)
        elif self._tunnel is not None:
            self._tunnel.feed(data)
            if self._tunnel.is_full:
                self._pause()
        elif self._closing:
            return
        elif self.incoming is not None:
            self._feed(self.incoming, data)
        else:
            self._pending += data
            if self._exchange is None and not self.slow:
                self._read(self._pending)
            elif len(self._pending) > self.front.settings.max_header_bytes:
                self._pause()

    def eof_received(self) -> bool:
        """The client sends no more. Within a tunnel, it may still read; before an answer, it is taken to be gone."""
        if self._tunnel is not None:
            self._tunnel.end()
            self._paused = True  # there is nothing left to read
            return self.scheme == "http"
        self.flush()
        self._stop_handling()
        self._closing = True
        self._watch_writing()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self._read_deadline = inf
        self._pending = b""
        if self._tunnel is not None:
            self._tunnel.end()
        if self._tunnel is None or not self._tunnel.closed:
            self._stop_handling()
        self.front.forget(self)
        self._bell.ring()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self._exchange is None and self.incoming is None and not self._closing:
            self._go_on(self.front.clock())

    # ------------------------------------------------------------ for the exchange, its body and its tunnel

    def send_continue(self) -> None:
        """Ask for the body of a request that waits to be asked (RFC 9110, section 10.1.1)."""
        if self._exchange is not None and not self._exchange.begun:
            self.write(_CONTINUE)

    def await_body(self) -> None:
        """Someone waits for more of the body."""
        self._read_deadline = self.front.clock() + self.front.settings.body_timeout_seconds
        self.want_more()

    def body_awaited(self) -> None:
        """No one waits any more."""
        self._read_deadline = inf

    def want_more(self) -> None:
        """Read from the socket again, if that was paused."""
        if self._paused and not self.lost:
            self._paused = False
            self._transport.resume_reading()

    def leave_http(self, data: bytes) -> ClientTunnel:
        """Send the 101 in `data`; from now on, what comes belongs to the tunnel."""
        tunnel = self._tunnel = ClientTunnel(self, self._pending)
        self._pending = b""
        self.write(data)
        return tunnel

    # ------------------------------------------------------------ for the server

    def check(self, now: float) -> None:
        """Act on what is overdue."""
        if now >= self._read_deadline:
            self._read_deadline = inf
            self._overdue()
        self.check_writing(now)

    def begin_draining(self) -> None:
        """Close if nothing is going on here; else the present answer is the last one.

        A request that has arrived and was not read yet is answered.
        """
        if self._exchange is None and self.incoming is None and not self._pending and not self._closing:
            if self.something_came():
                self._read_deadline = self.front.clock() + _LINGER_SECONDS
            else:
                self.close()

    # ------------------------------------------------------------ reading requests

    def _read(self, data: bytes) -> None:
        """Begin the request at the start of `data`, if its head is whole; else keep it."""
        front = self.front
        try:
            read = self._heads.repeated(data)
            if read is None:
                data = after_empty_lines(data)
                read = self._heads.read(data)
                if read is None:
                    self._hold(data)
                    return
            method, target, minor, fields, rest = read
            body = None
            if fields.length or fields.chunked:
                body = self._new_body(fields, method, minor)
                rest = body.feed(rest)
                if not body.complete:
                    self.incoming = body
        except RequestRefused as refusal:
            self._refuse(refusal)
            return
        self._pending = rest
        self._in_head = False
        self._read_deadline = inf
        if (rest and len(rest) > front.settings.max_header_bytes) or (body is not None and body.is_full):
            self._pause()
        elif self._paused:
            self.want_more()
        head = RequestHead(method, target, fields.headers, minor)
        keep = not fields.close and (minor == 1 or fields.keep_alive)
        self._exchange = Exchange(self, head, fields, body, front.clock(), keep)
        front.in_flight += 1
        if self._task is None:
            self._begin_task()
        else:
            self._bell.ring()

    def _new_body(self, fields: Fields, method: str, minor: int) -> RequestBody:
        if method == "TRACE":
            raise RequestRefused(400, "A TRACE request has no body.")
        settings = self.front.settings
        if fields.chunked:
            length, reader = None, ChunkReader(settings.max_header_bytes, settings.max_headers)
        else:
            length, reader = fields.length, None
        return RequestBody(self, length, reader, expects=fields.expects and minor == 1)

    def _hold(self, data: bytes) -> None:
        """Keep a part of a head; its time runs from its first byte on."""
        if data and not self._in_head:
            self._in_head = True
            self._read_deadline = self.front.clock() + self.front.settings.head_timeout_seconds
        self._pending = data
        self.want_more()

    def _feed(self, body: RequestBody, data: bytes) -> None:
        try:
            rest = body.feed(data)
        except RequestRefused as refusal:
            body.fail(refusal)
            self._pause()  # what follows cannot be understood any more
            if self._exchange is None:
                self.abort()
            return
        if body.complete:
            self.incoming = None
            self._pending = rest
        if self._exchange is None:
            body.drop()
            if body.complete and not self.slow:
                self._go_on(self.front.clock())
        elif body.is_full:
            self._pause()

    def _pause(self) -> None:
        if not (self._paused or self.lost or self._transport.is_closing()):
            self._paused = True
            self._transport.pause_reading()

    # ------------------------------------------------------------ handling one

    def _begin_task(self) -> None:
        self._task = self.loop.create_task(self._serve(), context=self._context.copy())

    async def _serve(self) -> None:
        """Handle one request after another until the connection is gone."""
        front, task = self.front, self._task
        assert task is not None  # this one
        try:
            while True:
                exchange = self._exchange
                if exchange is None:
                    if self.lost:
                        return
                    await self._bell
                    continue
                self._handling = True
                try:
                    await front.handler(exchange)
                    if self._tunnel is not None:
                        exchange.ended = True
                    elif not (exchange.ended or self._closing):
                        self._fail(exchange, 500, front.unanswered(exchange))
                except RequestRefused as refusal:
                    self._fail(exchange, refusal.status, problem_body(refusal.status, refusal.detail))
                except ClientGone:
                    exchange.abort()
                except Exception as error:  # noqa: BLE001  # the last line of defence: no handler can break the server
                    self._fail(exchange, 500, front.broken(exchange, error))
                finally:
                    self._finished(exchange)
                if copy_context() != self._context or task.cancelling():
                    return  # what the handler left in the task is none of the next request's business
                if self._exchange is not None:
                    await asyncio.sleep(0)  # others have their turn before a request that came along with this one
        finally:
            self._task = None
            if self._exchange is not None:
                self._begin_task()

    def _fail(self, exchange: Exchange, status: int, problem: bytes) -> None:
        """Answer with an error if nothing else is out; else break off what is."""
        if exchange.begun:
            if not exchange.ended:
                exchange.abort()
            return
        exchange.keep = exchange.keep and status == 500 and self.incoming is None
        exchange.answer(status, PROBLEM_HEADERS, problem)

    def _finished(self, exchange: Exchange) -> None:
        """A request has been handled, one way or another: go on with the next one, or end."""
        front = self.front
        self._exchange = None
        self._handling = False
        exchange.fields.memo = exchange.memo
        now = front.clock()
        front.finished(exchange, self, now)
        if self.lost:
            return
        body = self.incoming
        if body is not None:
            body.drop()
        if self._tunnel is not None:
            self.close()
        elif not exchange.ended:
            exchange.abort()
        elif not exchange.keep or front.is_draining:
            self._end(linger=body is not None or self._pending != b"")
        elif body is None:
            self._go_on(now)
        elif (body.remaining or _UNREAD_BODY_KEPT) >= _UNREAD_BODY_KEPT or body.expects:
            self._end(linger=True)
        else:
            self._read_deadline = now + front.settings.body_timeout_seconds
            self.want_more()

    def _go_on(self, now: float) -> None:
        """Take the next request, or wait for one."""
        if self.slow:
            return
        front = self.front
        if self._pending:
            self._read(self._pending)
        elif front.is_draining:
            self.close()
        else:
            if self._paused:
                self.want_more()
            self._read_deadline = now + front.settings.idle_timeout_seconds

    # ------------------------------------------------------------ ends

    def _refuse(self, refusal: RequestRefused) -> None:
        """Answer what is no request, and read no more of it."""
        body = problem_body(refusal.status, refusal.detail)
        framing = b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        head = response_head(refusal.status, b"", [*PROBLEM_HEADERS, *refusal.headers], self.date, framing)
        self.write(head + body)
        self.front.refused(refusal, self, len(body))
        self._end(linger=True)

    def _end(self, *, linger: bool) -> None:
        """Close. To `linger` is to read on for a while: a reset for unread bytes could overtake the answer."""
        if not linger:
            self.close()
            return
        self.flush()
        self._closing = self._lingering = True
        self._pending = b""
        self.incoming = None
        self._watch_writing()
        self._read_deadline = self.front.clock() + _LINGER_SECONDS
        if not self.lost and not self._transport.is_closing():
            self.want_more()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _overdue(self) -> None:
        if self._lingering:
            self.abort()
        elif self._exchange is not None:
            if self.incoming is not None:
                self._exchange.keep = False
                self.incoming.fail(too_slow(self.front.settings.body_timeout_seconds))
        elif self.incoming is not None:
            self.abort()
        elif self._pending:
            seconds = self.front.settings.head_timeout_seconds
            self._refuse(RequestRefused(408, f"The head of the request was not complete after {seconds:g} seconds."))
        else:
            self.close()

    def _stop_handling(self) -> None:
        """The client has gone away: whoever answers it need not."""
        if self.incoming is not None:
            self.incoming.fail(ClientGone())
        exchange = self._exchange
        if exchange is None or exchange.ended:
            return
        if self._handling and self._task is not None:
            self._task.cancel()
        else:
            self._finished(exchange)  # nobody has begun to
