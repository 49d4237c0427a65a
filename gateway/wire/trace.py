"""W3C trace context: the headers `traceparent` and `tracestate`.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from random import getrandbits
from typing import Final

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
_TRACESTATE: Final = re.compile(r"[ -~]{1,512}\Z")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


def around_spans(traceparent: str | None) -> tuple[str, str]:
    """What stands before and behind the span in the `traceparent` of each call for what came with `traceparent`.

    They belong to the same trace; to a new, sampled one if there was none or it is malformed.
    """
    found = _TRACEPARENT.match(traceparent) if traceparent else None
    if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return f"00-{(getrandbits(128) or 1).to_bytes(16).hex()}-", "-01"  # an identifier, not a secret
    return f"00-{found[1]}-", f"-{found[3]}"


def new_span() -> str:
    """The id of one call."""
    return (getrandbits(64) or 1).to_bytes(8).hex()  # an identifier, not a secret


def child(traceparent: str | None) -> str:
    """The `traceparent` of the only call that is made for what came with `traceparent`."""
    before, behind = around_spans(traceparent)
    return before + new_span() + behind


def state(tracestate: str | None) -> str | None:
    """`tracestate` if it may be passed on."""
    return tracestate if tracestate and _TRACESTATE.match(tracestate) else None
