"""The answer of an upstream read from bytes alone, without a socket: for tests that send any bytes in any pieces."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from gateway.errors import GatewayError
from gateway.service.messages import RequestHead
from gateway.service.upstream.connection import Connection
from gateway.service.upstream.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.service.messages import Headers, ResponseHead
    from gateway.service.upstream.answer import AnswerBody, WholeBody
    from gateway.service.upstream.connect import Connector
    from gateway.service.upstream.limits import Limits

__all__ = ["AnswerRead", "read_answer"]


@dataclass(frozen=True, slots=True)
class AnswerRead:
    """What became of some bytes. `head` is `None` if there was no final answer; `failed`: it broke off, or was refused.

    `kept`: the connection was kept for another request.
    """

    interim: list[ResponseHead]
    head: ResponseHead | None
    body: bytes
    trailers: Headers
    failed: bool
    kept: bool


class _NoSocket:
    """As much of a transport as a connection uses."""

    closed = False

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def abort(self) -> None:
        """Close."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def pause_reading(self) -> None:
        """What comes nevertheless is held."""

    def resume_reading(self) -> None:
        """Go on."""

    def get_write_buffer_size(self) -> int:
        """All was sent."""
        return 0

    def get_extra_info(self, _name: str) -> None:
        """There is nothing to know."""


def read_answer(
    message: bytes, cuts: Iterable[int], limits: Limits, *, method: str = "GET", upgrade: bool = False
) -> AnswerRead:
    """Read `message`, in pieces that end at `cuts`, as the answer to a request; then the connection ends.

    Raises nothing but what is a fault of the code under test.
    """
    loop = asyncio.new_event_loop()
    try:
        return _read(loop, message, cuts, limits, RequestHead(method, "/", [(b"upgrade", b"x")] if upgrade else []))
    finally:
        loop.close()


def _read(
    loop: asyncio.AbstractEventLoop, message: bytes, cuts: Iterable[int], limits: Limits, request: RequestHead
) -> AnswerRead:
    pool = Pool(cast("Connector", None), limits)
    connection = Connection(loop, pool)
    connection.connection_made(cast("asyncio.Transport", _NoSocket()))
    asked = connection.begin(b"", request, whole=True)
    kept = False
    edges = sorted({0, len(message), *(min(cut, len(message)) for cut in cuts)})
    for start, end in pairwise(edges):
        connection.data_received(message[start:end])
        kept = pool.idle == 1
    if connection.open:
        connection.eof_received()
    connection.connection_lost(None)
    pool.close()
    interim: list[ResponseHead] = []
    try:
        answer = asked.result()  # raises InvalidStateError if nobody has decided it
        while answer.following is not None:
            interim.append(answer.head)
            answer = answer.following.result()
    except GatewayError:
        return AnswerRead(interim, None, b"", [], failed=True, kept=kept)
    body, failed = _whole(answer.body)
    return AnswerRead(interim, answer.head, body, answer.body.trailers, failed=failed, kept=kept)


def _whole(body: AnswerBody | WholeBody) -> tuple[bytes, bool]:
    """All there is of it, and whether it breaks off then."""
    pieces: list[bytes] = []
    while True:
        reading = body.read()
        try:
            reading.send(None)
        except StopIteration as done:
            if not done.value:
                return b"".join(pieces), False
            pieces.append(done.value)
        except GatewayError:
            return b"".join(pieces), True
        else:
            reading.close()
            raise AssertionError("Somebody would wait for ever.")
