"""The body of a request, read where a query cannot be told without it, and still sent on whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import CallError
from gateway.pipeline.http_answer import is_json
from gateway.service.messages import value_of
from gateway.transport.decoding import inflater_for

if TYPE_CHECKING:
    from gateway.service.messages import Body, Headers
    from gateway.service.proxy.asked import Asked

__all__ = ["MAX_QUERY_BYTES", "read_query"]

MAX_QUERY_BYTES: Final = 1024 * 1024


class _Rejoined:
    """A body of which the beginning has been read already."""

    __slots__ = ("_begun", "_rest")

    def __init__(self, begun: bytes, rest: Body) -> None:
        self._begun = begun
        self._rest = rest

    @property
    def length(self) -> int | None:
        return self._rest.length

    @property
    def trailers(self) -> Headers:
        return self._rest.trailers

    async def read(self) -> bytes:
        begun = self._begun
        if begun:
            self._begun = b""
            return begun
        return await self._rest.read()


async def read_query(asked: Asked, body: Body) -> Body | bytes:
    """Read a JSON body or form of at most `MAX_QUERY_BYTES` into `asked`; returns what is to be sent on.

    What is larger, compressed in a way that cannot be undone, or neither by its head is sent on unread: then the query
    is told without it. A body whose client has trailers to send keeps them only if it is sent on unread.
    """
    headers = asked.head.headers
    kind = value_of(headers, b"content-type")
    if kind is None or not (asked.is_form or is_json(kind.decode("latin-1"))):
        return body
    if body.length is not None and body.length > MAX_QUERY_BYTES:
        return body
    pieces = []
    size = 0
    while piece := await body.read():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_QUERY_BYTES:
            return _Rejoined(b"".join(pieces), body)
    whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    asked.body = _plain(whole, value_of(headers, b"content-encoding"))
    return whole


def _plain(whole: bytes, coding: bytes | None) -> bytes | None:
    if coding is None:
        return whole
    try:
        inflater = inflater_for(coding.decode("latin-1"), MAX_QUERY_BYTES)
        if inflater is None:
            return whole
        plain = inflater.feed(whole)
        inflater.finish()
    except CallError:
        return None
    return plain
