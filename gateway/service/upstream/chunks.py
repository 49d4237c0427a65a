"""Undoing the chunked transfer coding, by the strict parser of llhttp, under caps (RFC 9112, section 7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.errors import UpstreamFailed
from gateway.service.upstream.heads import NO_TRAILERS

if TYPE_CHECKING:
    from gateway.service.messages import Headers

__all__ = ["Chunks"]

_HEAD: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_FRAME: Final = 9  # bytes on the wire for one of content; a chunk of one byte takes six


class Chunks:
    """One chunked body. What chunk sizes, extensions and trailers take beyond the content is at most `spare` bytes.

    `complete`: the end was seen. `surplus`: bytes follow it, so nothing else may be read from the connection.
    """

    __slots__ = ("_content", "_in_head", "_parser", "_pieces", "_spare", "_wire", "complete", "surplus", "trailers")

    def __init__(self, spare: int) -> None:
        self.complete = False
        self.surplus = False
        self.trailers: Headers = []
        self._pieces: list[bytes] = []
        self._spare = spare
        self._wire = 0
        self._content = 0
        self._in_head = True
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._parser.feed_data(_HEAD)
        self._in_head = False

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, perhaps none. Raises `UpstreamFailed`."""
        parser = self._parser
        if parser is None:
            self.surplus = True
            return b""
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            if not self.complete:
                self.close()
                raise UpstreamFailed(
                    "The answer of the query API behind the gateway has chunks that are not valid.", reason="protocol"
                ) from None
            self.surplus = True
        pieces = self._pieces
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._content += len(content)
        self._wire += len(data)
        if self._wire > _FRAME * self._content + self._spare:
            self.close()
            raise UpstreamFailed(
                "The chunk sizes, extensions and trailers in the answer of the query API behind the gateway are larger "
                "than they may be (upstreams.max_header_bytes).",
                reason="protocol",
            )
        if self.complete:
            self.close()
        return content

    def close(self) -> None:
        """Let go of the parser, which holds this object."""
        self._parser = None

    # ------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """Another message: there is none."""
        if self.complete:
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """One trailer field."""
        if not self._in_head:
            name = name.lower()
            if name not in NO_TRAILERS:
                self.trailers.append((name, value.strip(b" \t")))

    def on_body(self, piece: bytes) -> None:
        """Content of a chunk."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The end of the last chunk and its trailers."""
        self.complete = True
