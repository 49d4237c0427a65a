"""What a failed call says about its hook: not every failure is the hook's.

The breaker of a hook opens for all queries, so it must not be in the hands of whoever sends one. What depends
on the query, on the gateway's own rules, or on what other hooks left of the time, therefore says nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.model import Reason

if TYPE_CHECKING:
    from gateway.errors import CallError
    from gateway.pipeline.call import Exchanged

_FAIR_SHARE: Final = 0.5


class Verdict(Enum):
    """What one failed call says."""

    WELL = "well"  # the hook answered, if not to our liking
    FAILED = "failed"
    NOTHING = "nothing"


# BLOCKED_ADDRESS is the gateway's own rule, found out before anything is sent. After GONE the hook is disabled.
# OVERLOAD is the gateway's own lack of room for the reply.
_SAYS_NOTHING: Final = frozenset({Reason.BLOCKED_ADDRESS, Reason.GONE, Reason.OVERLOAD})
# The server could not at this moment: 408 Request Timeout, 425 Too Early, 429 Too Many Requests.
_TROUBLE: Final = frozenset({408, 425, 429})


def verdict(error: CallError, seen: Exchanged, *, granted: float, limit: float) -> Verdict:
    """What `error` says, of a call that had `granted` seconds of the `limit` that calls of its hook have at best."""
    reason = error.reason
    if reason in _SAYS_NOTHING or not seen.began:
        return Verdict.NOTHING
    if reason == Reason.REJECTED_NOT_ALLOWED:
        return Verdict.WELL
    if reason == Reason.STATUS and 400 <= seen.status < 500 and seen.status not in _TROUBLE:
        return Verdict.WELL  # it found fault with this one request
    if reason == Reason.TIMEOUT and granted < _FAIR_SHARE * limit:
        return Verdict.NOTHING  # the hooks before it, or the wait for a place, had taken its time
    return Verdict.FAILED
