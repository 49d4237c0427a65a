"""What became of one hook for one query."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from msgspec import Struct, structs


class Status(StrEnum):
    """The outcome of one hook."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    CACHED = "cached"  # either of the two, from the cache
    SHADOWED = "shadowed"  # called, never applied
    SKIPPED = "skipped"
    FAILED = "failed"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Why a hook was skipped (the first seven) or failed (the others)."""

    DEPTH = "depth"
    BUDGET = "budget"
    SIZE = "size"
    CONDITION = "condition"
    SAMPLING = "sampling"
    PROJECTION = "projection"
    ENCODING = "encoding"

    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    DNS = "dns"
    BLOCKED_ADDRESS = "blocked_address"
    STATUS = "status"
    CONTENT_TYPE = "content_type"
    TOO_LARGE = "too_large"
    BAD_JSON = "bad_json"
    BAD_PATCH = "bad_patch"
    SIGNATURE = "signature"
    CONTRACT = "contract"
    OVERLOAD = "overload"
    BREAKER_OPEN = "breaker_open"
    REJECTED_NOT_ALLOWED = "rejected_not_allowed"
    GONE = "gone"
    PROTOCOL = "protocol"


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What became of one hook for one query. (A struct: made for every call, in a fraction of a dataclass's time.)

    `hook` and `integration` are names, `hook_id` and `integration_id` the ids; `generation` is the hook's.
    `milliseconds` is the time spent on it; `bytes_out` and `bytes_in` are body bytes sent and received;
    `changed` says whether the result after it differs from the one before. `detail` is a sentence for the
    hook's owner, without any body. `fatal`: it failed, and the query failed with it (failure policy `fail`).
    `call_id` is the `webhook-id` of the call, if one was made.
    `batches` is in how many batches of rows the result was sent (0: as a whole), and `batches_failed` how many of them
    failed; their rows are as they were before.
    """

    hook: str
    integration: str
    status: Status
    reason: Reason | None = None
    hook_id: str = ""
    integration_id: str = ""
    generation: int = 0
    milliseconds: float = 0.0
    bytes_out: int = 0
    bytes_in: int = 0
    changed: bool = False
    detail: str | None = None
    fatal: bool = False
    call_id: str | None = None
    batches: int = 0
    batches_failed: int = 0

    def _replace(self, **changes: Any) -> Self:
        """The same with these changes, as of a named tuple."""
        return structs.replace(self, **changes)
