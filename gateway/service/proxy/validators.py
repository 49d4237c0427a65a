"""Entity tags of the gateway's own, for results that hooks may have changed (RFC 9110, section 8.8.3)."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

__all__ = ["entity_tag", "is_met_by", "is_ours"]

_PREFIX: Final = b"qhg1-"  # with a number, so that another way to make tags makes other tags
_TAGS: Final = re.compile(rb'(?:W/)?"([^"]*)"')


def entity_tag(body: bytes, content_type: bytes, coding: bytes) -> bytes:
    """The tag of a body as it goes out.

    Weak, because no ranges are served of a result. It depends on nothing but what is sent: the same result has the
    same tag, whichever hooks made it, in whichever process.
    """
    digest = blake2b(content_type + b"\0" + coding + b"\0", digest_size=16)
    digest.update(body)
    return b'W/"' + _PREFIX + digest.hexdigest().encode() + b'"'


def is_met_by(if_none_match: bytes, tag: bytes) -> bool:
    """Whether a client that sends `if_none_match` has the very thing that has `tag`, by the weak comparison."""
    if if_none_match.strip(b" \t") == b"*":
        return True
    return tag[3:-1] in _TAGS.findall(if_none_match)


def is_ours(value: bytes | None) -> bool:
    """Whether a condition holds a tag of a gateway's own, which no upstream knows."""
    return value is not None and b'"' + _PREFIX in value
