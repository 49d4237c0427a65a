"""Which queries a canary is called for: a draw that comes out the same each time."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import orjson

from gateway.model import StickyBy

if TYPE_CHECKING:
    from gateway.model import Query

_ALL: Final = 2**64
_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def lot(hook_id: str, sticky_by: StickyBy, query: Query) -> float:
    """A number from 0 up to 100, the same for the same hook and tenant, or hook and query.

    Queries are the same if their type, capability, tenant and params are, also where those are more than can be sent,
    such as integers beyond 64 bits; only a query with params that are no JSON at all draws by its id. A query without a
    tenant draws by itself. Each hook draws anew, so that not the same tenants are in for every canary.
    """
    if sticky_by is StickyBy.TENANT and query.tenant is not None:
        key = b"t" + query.tenant.encode("utf-8", "surrogatepass")
    else:
        key = _key_of(query)
    drawn = blake2b(key, digest_size=8, key=hook_id.encode()[:64]).digest()
    return int.from_bytes(drawn, "big") * 100 / _ALL


def _key_of(query: Query) -> bytes:
    asked = [query.type, query.capability, query.tenant, query.params]
    try:
        return b"q" + orjson.dumps(asked, option=_OPTIONS)
    except TypeError:  # of an embedded caller, whose params need not be JSON before they are sent
        pass
    try:
        return b"j" + json.dumps(asked, sort_keys=True).encode()  # takes any integer, and text that is no UTF-8
    except (TypeError, ValueError, RecursionError):
        return b"i" + query.id.encode("utf-8", "surrogatepass")


def is_chosen(hook_id: str, sticky_by: StickyBy, percent: float, query: Query) -> bool:
    """Whether `query` is among the `percent` of a canary. Who is, stays so when `percent` grows."""
    return lot(hook_id, sticky_by, query) < percent
