"""A shortcut for servers that answer with the same head again and again, which is what servers do.

A head that was parsed and judged once need not be parsed again when the very same bytes come back. Only the
number in `content-length` may differ. So a whole small reply costs two comparisons instead of a run of
the parser and its callbacks (about a third of the processor time of a call). Anything that is not exactly
alike, or not whole in one piece, or followed by as much as one byte more, goes the long way.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.transport.protocol import Limits, Response

__all__ = ["FamiliarHead"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,10})(?=\r\n)", re.IGNORECASE)
_MOST_DIGITS: Final = 10
_END: Final = b"\r\n\r\n"


class FamiliarHead:
    """A response head that was judged before under `limits`: all its bytes but the digits of the length."""

    __slots__ = ("_after", "_before", "_limits", "_prefix", "_start", "_status", "_suffix")

    def __init__(self, prefix: bytes, suffix: bytes | None, response: Response, limits: Limits) -> None:
        self._prefix = prefix  # up to the digits; the whole head if `suffix` is None
        self._start = len(prefix)
        self._suffix = suffix
        self._status = response.status
        self._limits = limits
        at = next((i for i, (name, _) in enumerate(response.headers) if name == "content-length"), None)
        self._before = tuple(response.headers[:at])
        self._after = () if at is None else tuple(response.headers[at + 1 :])

    @classmethod
    def learn(cls, data: bytes, response: Response, limits: Limits) -> FamiliarHead | None:
        """Learn from `data`, which was the whole of `response` in one piece, its body neither chunked nor encoded."""
        head = data[: len(data) - response.received]
        if data.find(_END) + len(_END) != len(head):
            return None  # line ends follow the reply; the parser passes over them, so they were not noticed before
        match = _LENGTH.search(head)
        if match is not None:
            return cls(head[: match.start(1)], head[match.end(1) :], response, limits)
        return None if response.received else cls(head, None, response, limits)

    def recognise(self, data: bytes, limits: Limits) -> Response | None:
        """The response that `data` is, whole and nothing more, or `None` if it must be parsed."""
        if limits is not self._limits or not data.startswith(self._prefix):
            return None
        start = self._start
        suffix = self._suffix
        if suffix is None:
            return Response(self._status, self._before, b"", 0) if len(data) == start else None
        end = data.find(b"\r", start, start + _MOST_DIGITS + 1)
        digits = data[start:end]
        if not digits.isdigit() or not data.startswith(suffix, end):
            return None
        length = int(digits)
        begin = end + len(suffix)
        if len(data) != begin + length or length > limits.body:
            return None
        headers = (*self._before, ("content-length", digits.decode()), *self._after)
        return Response(self._status, headers, data[begin:], length)
