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


def child(traceparent: str | None) -> str:
    """The `traceparent` of a call made for a query that came with `traceparent`.

    The same trace with a new span; a new, sampled trace if there was none or it is malformed.
    """
    span = f"{random.getrandbits(64) or 1:016x}"  # an identifier, not a secret
    found = _TRACEPARENT.match(traceparent) if traceparent else None
    if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return f"00-{random.getrandbits(128) or 1:032x}-{span}-01"  # an identifier, not a secret
    return f"00-{found[1]}-{span}-{found[3]}"


def state(tracestate: str | None) -> str | None:
    """`tracestate` if it may be passed on."""
    return tracestate if tracestate and _TRACESTATE.match(tracestate) else None
