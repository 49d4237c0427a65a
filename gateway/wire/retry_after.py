"""The header `Retry-After` (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}\Z")


def seconds(value: str | None, now: float) -> float | None:
    """How long to wait, in seconds from `now` (since 1970); `None` if absent or not understood."""
    if value is None:
        return None
    if _SECONDS.match(value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
