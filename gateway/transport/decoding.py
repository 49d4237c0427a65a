"""Compressed reply bodies, undone piece by piece under a cap."""

from __future__ import annotations

import zlib
from typing import Final

from gateway.errors import ProtocolViolated, ReplyTooLarge

__all__ = ["Inflater", "inflater_for"]

_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def inflater_for(codings: str, limit: int) -> Inflater | None:
    """What undoes the value `codings` of a `content-encoding` header; `None` for `identity`.

    Codings other than gzip and deflate, and more than one, raise `ProtocolViolated`: the request asks for none.
    """
    coding = codings.strip().lower()
    if coding in {"", "identity"}:
        return None
    bits = _WINDOW_BITS.get(coding)
    if bits is None:
        raise ProtocolViolated(f"The reply has the content encoding {codings[:40]!r}, which was not asked for.")
    return Inflater(bits, limit)


class Inflater:
    """Decompresses one body of at most `limit` bytes; never makes more than `limit` + 1 on the way."""

    __slots__ = ("_left", "_limit", "_zlib")

    def __init__(self, window_bits: int, limit: int) -> None:
        self._zlib = zlib.decompressobj(window_bits)
        self._limit = limit
        self._left = limit

    def feed(self, piece: bytes) -> bytes:
        """The next decompressed bytes. Raises `ReplyTooLarge` past the cap, `ProtocolViolated` if broken."""
        stream = self._zlib
        try:
            out = stream.decompress(piece, self._left + 1)
        except zlib.error:
            raise ProtocolViolated("The compressed body of the reply is broken.") from None
        self._left -= len(out)
        if self._left < 0:
            raise ReplyTooLarge(f"The decompressed body of the reply is larger than {self._limit} bytes.")
        if stream.unused_data:
            raise ProtocolViolated("Bytes follow the end of the reply's compressed body.")
        return out

    def finish(self) -> None:
        """Raise `ProtocolViolated` unless the compressed stream came to its own end."""
        if not self._zlib.eof:
            raise ProtocolViolated("The compressed body of the reply is cut short.")
