"""One HTTP/1.1 connection to an upstream: writes requests, reads answers as they come, keeps the time limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.errors import UpstreamFailed
from gateway.service.messages import value_of
from gateway.service.upstream import faults
from gateway.service.upstream.answer import HELD, AnswerBody, UpstreamAnswer, WholeBody
from gateway.service.upstream.chunks import Chunks
from gateway.service.upstream.heads import HeadReader
from gateway.service.upstream.outflow import Outflow, something_came
from gateway.service.upstream.phases import CHUNKED, HEAD, IDLE, OVER, SIZED, TO_END, TUNNEL, UNSENT, WHERE
from gateway.service.upstream.times import TimeLimits

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.service.messages import RequestHead
    from gateway.service.upstream.heads import ReadHead
    from gateway.service.upstream.pool import Pool

__all__ = ["Connection"]

_BODILESS: Final = frozenset({204, 304})
_INTERIM: Final = 64  # 1xx in front of one answer; more are a flood


class Connection(asyncio.Protocol):
    """An open connection that does one exchange at a time, over and over.

    `begin` writes a request and gives the first of its answers. As soon as an answer is whole and another
    may follow, the connection goes back to its pool by itself. Any byte between two exchanges closes it: an
    answer that nobody asked for must never meet the next request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
        self.loop = loop
        self.began = False  # a byte of an answer to the present request has come
        self.reused = False  # it has answered before
        self.since = 0.0  # loop time; it was opened, came back to its pool or was taken from it
        self.kept_for = pool.limits.keep_alive  # seconds
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._phase = OVER
        self._held = b""
        self._request: RequestHead | None = None  # says how the answer is to be read
        self._keep = self._paused = False
        self._heads = HeadReader(pool.known_heads, pool.limits.head)
        self._asked: asyncio.Future[UpstreamAnswer] | None = None  # the first answer
        self._next: asyncio.Future[UpstreamAnswer] | None = None  # the next one, up to the final one
        self._interim_count = 0
        self._body: AnswerBody | None = None
        self._left = 0
        self._chunks: Chunks | None = None
        self._upload: asyncio.Task[None] | None = None
        self._go_ahead: asyncio.Future[None] | None = None
        self._times = TimeLimits(loop, self.fail)
        self.out: Final = Outflow(loop, self._times, pool.limits.write)  # what is written after the first piece

    @property
    def open(self) -> bool:
        """Whether it can be used."""
        return self._phase != OVER

    # ------------------------------------------------------------ a request

    def begin(self, request: bytes, head: RequestHead, *, whole: bool) -> asyncio.Future[UpstreamAnswer]:
        """Write `request`, which is the whole of it or its `head`, and get the first answer.

        The future belongs to this request alone: whatever becomes of the connection, it never gets the answer to
        another one. It may raise `UpstreamFailed`.
        """
        self._request = head
        self.began = False
        self._interim_count = 0
        asked = self._asked = self._next = self.loop.create_future()
        assert self._transport is not None
        if whole:
            self._times.answer_by(self._pool.limits.answer, self.since)
        if whole and self._pool.busy > 1:
            self._phase, self._held = UNSENT, request
            self._pool.writes.add(self, self.loop)
        else:
            self._phase = HEAD
            self._transport.write(request)
        return asked

    def flush(self) -> None:
        """Write the request that is held back."""
        if self._phase == UNSENT and self._transport is not None and not self._transport.is_closing():
            self._phase = HEAD
            self._transport.write(self._held)

    def give_up(self, asked: asyncio.Future[UpstreamAnswer]) -> None:
        """Nobody waits for answers to this request any more: close, unless the connection is through with it."""
        if self._asked is asked:
            self.abort()

    def await_answer(self) -> None:
        """The request is written: from now on the time until the head of the answer is limited."""
        if self._phase == HEAD:
            self._times.answer_by(self._pool.limits.answer, self.loop.time())

    def uploading(self, upload: asyncio.Task[None], go_ahead: asyncio.Future[None] | None) -> None:
        """The body of the request is being sent by `upload`, which waits for `go_ahead` first."""
        self._upload = upload
        self._go_ahead = go_ahead

    def uploaded(self) -> None:
        """All of the request is written."""
        self._upload = None
        self.await_answer()

    def upload_failed(self, error: GatewayError) -> None:
        """The body of the request broke off. That is of no account if the upstream has refused it already."""
        if self._upload is not None:
            self._upload = None
            self.fail(error)

    # ------------------------------------------------------------ an answer

    def await_piece(self, *, quiet: bool) -> None:
        """Somebody waits for the next piece of the body."""
        idle = self._pool.limits.idle
        if idle and not quiet:
            self._times.piece_by(idle)

    def read_on(self) -> None:
        """What was held of the body was taken."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def let_go(self, body: AnswerBody | WholeBody) -> None:
        """Nobody reads `body` any more."""
        mine = self._body
        if mine is not None and mine is body:
            self._body = None
            mine.fail(faults.given_up())
            self.abort()

    def stream(self) -> AnswerBody:
        """The bytes that come after a 101."""
        assert self._body is not None
        return self._body

    # ------------------------------------------------------------ the end

    def fail(self, error: GatewayError) -> None:
        """Close at once; whoever waits for something of it gets `error`."""
        if self._phase == OVER:
            return
        waiter, body = self._next, self._body
        self._asked = self._next = self._body = None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # so that nothing is said of it if nobody waits for a final answer after an interim one
        if body is not None:
            body.fail(error)
        self.out.fail(error)

    def abort(self) -> None:
        """Close at once."""
        if self._phase != OVER:
            self._phase = OVER
            self._pool.forget(self)
        self._times.end()
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written is sent."""
        if self._phase != OVER and self._transport is not None:
            self._phase = OVER
            self._pool.forget(self)
            self._transport.close()

    def write_eof(self) -> None:
        """End the sending, where that is possible without ending the reading."""
        transport = self._transport
        if transport is not None and self._phase == TUNNEL and transport.can_write_eof():
            transport.write_eof()

    def stale(self) -> bool:
        """Whether the other side has closed it, or has sent what nobody asked for: asks the system, not the loop."""
        transport = self._transport
        return self._phase != IDLE or transport is None or transport.is_closing() or something_came(transport)

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open (after the TLS handshake, if there is one)."""
        self._transport = self.out.transport = cast("asyncio.Transport", transport)
        self._phase = IDLE
        self.since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._phase != HEAD:
            self._take_more(data)
            return
        self.began = True
        while True:
            try:
                found = self._heads.feed(data)
            except UpstreamFailed as error:
                self.fail(error)
                return
            if found is None:
                return
            head, data = found
            if head.status >= 200:
                self._take_final(head, data)
                return
            if not self._take_interim(head, data) or not data:
                return

    def eof_received(self) -> bool:
        """The other side sends no more."""
        phase = self._phase
        if phase == TO_END:
            self._keep = False
            self._finish()
        elif phase == TUNNEL:
            if self._body is not None:
                self._body.end()
            # A transport with TLS cannot be half closed.
            return self._transport is not None and self._transport.get_extra_info("ssl_object") is None
        elif phase == IDLE:
            self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, by us, by an orderly end or by a reset (`exc`)."""
        self._transport = self.out.transport = None
        in_head = self._phase == HEAD and self.began
        self.fail(faults.lost(exc, "in the middle of the head of its answer" if in_head else WHERE.get(self._phase)))

    def pause_writing(self) -> None:
        """The other side reads slowly."""
        self.out.pause()

    def resume_writing(self) -> None:
        """It has read."""
        self.out.resume()

    # ------------------------------------------------------------ reading

    def _take_more(self, data: bytes) -> None:
        phase = self._phase
        self._times.read_by = 0.0
        if phase == SIZED:
            self._take_sized(data)
        elif phase == CHUNKED:
            self._take_chunked(data)
        elif phase in {TO_END, TUNNEL}:
            self._feed(data)
        else:  # nobody asked for it, or not yet
            self.fail(faults.lost(None, WHERE.get(phase)))

    def _take_interim(self, head: ReadHead, rest: bytes) -> bool:
        """Whether another head is to follow."""
        self._interim_count += 1
        if head.status == 101:
            if self._request is None or value_of(self._request.headers, b"upgrade") is None:
                self.fail(faults.unasked_switch())
                return False
            self._phase = TUNNEL
            self._times.read_by = 0.0
            self._body = AnswerBody(self, None, quiet=True)
            if self._next is not None and not self._next.done():
                self._next.set_result(UpstreamAnswer(head.response(), self._body, self))
            self._feed(rest)
            return False
        if self._interim_count > _INTERIM:
            self.fail(faults.endless_interim())
            return False
        if head.status == 100 and self._go_ahead is not None and not self._go_ahead.done():
            self._go_ahead.set_result(None)
        if self._upload is None:
            self.await_answer()
        waiter, following = self._next, self.loop.create_future()
        self._next = following
        if waiter is not None and not waiter.done():
            waiter.set_result(UpstreamAnswer(head.response(), WholeBody(b""), None, following))
        return True

    def _take_final(self, head: ReadHead, rest: bytes) -> None:
        self._times.read_by = 0.0
        waiter = self._next  # before the connection may go back to its pool
        status, length = head.status, head.length
        self._keep = head.keep
        if head.kept_for is not None:
            self.kept_for = min(self._pool.limits.keep_alive, head.kept_for)
        bodiless = self._request is not None and self._request.method == "HEAD"
        if bodiless or status in _BODILESS:
            if not bodiless and (head.chunked or (length and status == 204)):
                self._keep = False  # what was announced may still come: not in front of another answer
            length = 0
        elif head.chunked:
            length = None
        if length is not None and len(rest) >= length and self._upload is None:  # most answers come in one piece
            if len(rest) > length:  # bytes behind the answer: it stands, but nothing else may follow here
                self._keep = False
                rest = rest[:length]
            self._finish()
            if waiter is not None and not waiter.done():
                waiter.set_result(UpstreamAnswer(head.response(), WholeBody(rest), None))
            return
        body = self._body = AnswerBody(self, length, quiet=head.quiet)
        if self._upload is not None:
            if status >= 300:  # whoever refuses a request does not want the rest of it
                self._upload.cancel()
                self._upload = None
                self._keep = False
            elif self._go_ahead is not None and not self._go_ahead.done():
                self._go_ahead.set_result(None)
        if length is not None:
            self._phase = SIZED
            self._left = length
            self._take_sized(rest)
        elif head.chunked:
            self._phase = CHUNKED
            self._chunks = Chunks(self._pool.limits.head)
            if rest:
                self._take_chunked(rest)
        else:
            self._phase = TO_END
            self._keep = False
            self._feed(rest)
        if waiter is not None and not waiter.done():
            waiter.set_result(UpstreamAnswer(head.response(), body, self))

    def _take_sized(self, data: bytes) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            self._feed(data)
            return
        if left < 0:  # bytes behind the answer: it stands, but nothing else may follow here
            self._keep = False
            data = data[:left]
        if data and self._body is not None:
            self._body.feed(data)
        self._finish()

    def _take_chunked(self, data: bytes) -> None:
        chunks = self._chunks
        assert chunks is not None
        try:
            content = chunks.feed(data)
        except UpstreamFailed as error:
            self.fail(error)
            return
        if not chunks.complete:
            self._feed(content)
            return
        body = self._body
        if body is not None:
            if content:
                body.feed(content)
            body.trailers = chunks.trailers
        self._chunks = None
        if chunks.surplus:
            self._keep = False
        self._finish()

    def _feed(self, data: bytes) -> None:
        body = self._body
        if data and body is not None:
            body.feed(data)
            if body.held > HELD and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()

    def _finish(self) -> None:
        """The answer is whole."""
        body = self._body
        self._body = self._asked = self._next = None
        transport = self._transport
        # Bytes that are still unsent belong to a request that was answered before it was read.
        if self._keep and self._upload is None and transport is not None and not transport.get_write_buffer_size():
            self._phase = IDLE
            self.reused = True
            if self._paused:
                self.read_on()
            self._pool.put(self)
        else:
            self.abort()
        if body is not None:
            body.end()
