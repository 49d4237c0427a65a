"""Bodies in chunks (RFC 9112, section 7.1): strictly read, under bounds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.service.front.fields import read_trailers
from gateway.service.front.refusal import RequestRefused

if TYPE_CHECKING:
    from gateway.service.messages import Headers

__all__ = ["ChunkReader"]

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)")
_LONGEST_LINE: Final = 1024
_MOST_EXTENSIONS: Final = 16 * 1024  # bytes, for all chunks of a body: nobody here reads them


class ChunkReader:
    """Takes the chunks of one body apart. After `feed` has returned an end, nothing more is fed.

    `trailers` is complete then. Sizes and bounds that are broken raise `RequestRefused`.
    """

    __slots__ = ("_after", "_extensions", "_held", "_left", "_most_trailers", "_trailing", "_widest", "trailers")

    def __init__(self, max_trailer_bytes: int, max_trailers: int) -> None:
        self.trailers: Headers = []
        self._widest = max_trailer_bytes
        self._most_trailers = max_trailers
        self._held = b""  # the beginning of a line, or of the trailers
        self._left = 0  # bytes of the present chunk
        self._after = False  # the chunk's data is over, its CRLF is not
        self._trailing = False
        self._extensions = 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """The content in `data`, and where in it the body has ended; -1 while it has not."""
        held = len(self._held)
        if held:
            data = self._held + data
            self._held = b""
        at = 0
        size = len(data)
        pieces = []
        while True:
            if self._left:
                piece = data[at : at + self._left] if at or self._left < size else data
                at += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if self._left:
                    break
                self._after = True
            if self._trailing:
                end = self._end(data, at)
                if end >= 0:
                    return b"".join(pieces), end - held
                break
            if self._after:
                if size - at < 2:
                    self._hold(data, at, b"\r\n")
                    break
                if data[at : at + 2] != b"\r\n":
                    raise RequestRefused(400, "A chunk of the body is not followed by CRLF.")
                at += 2
                self._after = False
            line_end = data.find(b"\n", at, at + _LONGEST_LINE)
            if line_end < 0:
                if size - at >= _LONGEST_LINE:
                    raise RequestRefused(400, f"The line of a chunk's size is longer than {_LONGEST_LINE} bytes.")
                self._held = data[at:]
                break
            self._begin(data[at : line_end + 1])
            at = line_end + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), -1

    def _begin(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line, 0, len(line) - 2) if line.endswith(b"\r\n") else None
        if found is None:
            raise RequestRefused(400, "The size of a chunk is not a hexadecimal number followed by CRLF.")
        self._extensions += len(found[2])
        if self._extensions > _MOST_EXTENSIONS:
            raise RequestRefused(400, f"The chunk extensions of the body are longer than {_MOST_EXTENSIONS} bytes.")
        self._left = int(found[1], 16)
        self._trailing = not self._left

    def _end(self, data: bytes, at: int) -> int:
        """Where the trailers that begin at `at` end; -1 if that is not known yet."""
        if data.startswith(b"\r\n", at):
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        if (len(data) if end < 0 else end) - at > self._widest:
            most = self._widest
            raise RequestRefused(
                431, f"The trailers of the body are longer than {most} bytes (server.max_header_bytes)."
            )
        if end < 0:
            self._held = data[at:]
            return -1
        self.trailers = read_trailers(data[at : end + 2], self._most_trailers)
        return end + 4

    def _hold(self, data: bytes, at: int, expected: bytes) -> None:
        self._held = data[at:]
        if not expected.startswith(self._held):
            raise RequestRefused(400, "A chunk of the body is not followed by CRLF.")
