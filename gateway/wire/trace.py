"""W3C trace context: the headers `traceparent` and `tracestate`.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import random
import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
_TRACESTATE: Final = re.compile(r"[ -~]{1,512}\Z")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


class Spans:
    """The calls made for a query that came with `traceparent`: spans of its trace.

    Of a new, sampled trace if there was none or it is malformed.
    """

    __slots__ = ("_flags", "_trace")

    def __init__(self, traceparent: str | None) -> None:
        found = _TRACEPARENT.match(traceparent) if traceparent else None
        if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
            self._trace, self._flags = f"{random.getrandbits(128) or 1:032x}", "01"  # an identifier, not a secret
        else:
            self._trace, self._flags = found[1], found[3]

    def child(self) -> str:
        """The `traceparent` of one call: a new span."""
        return f"00-{self._trace}-{random.getrandbits(64) or 1:016x}-{self._flags}"  # an identifier, not a secret


def child(traceparent: str | None) -> str:
    """The `traceparent` of the only call that is made for what came with `traceparent`."""
    return Spans(traceparent).child()


def state(tracestate: str | None) -> str | None:
    """`tracestate` if it may be passed on."""
    return tracestate if tracestate and _TRACESTATE.match(tracestate) else None
