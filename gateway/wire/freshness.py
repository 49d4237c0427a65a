"""For how long a reply may be used again, as its headers say: what of RFC 9111 matters for a gateway.

The gateway is a shared cache without validation: what is not fresh is asked for anew. So `no-cache` is like
`no-store`, and `private`, being meant for one user's own cache, forbids it as well. `s-maxage` is for shared
caches and goes before `max-age`. Only what is said counts: nothing is guessed from other headers.

Source: https://www.rfc-editor.org/rfc/rfc9111
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTIVE: Final = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?')
_FORBIDDING: Final = frozenset({"no-store", "no-cache", "private"})
_SECONDS: Final = re.compile(r"[0-9]+\Z", re.ASCII)
_LONGEST: Final = 2**31  # RFC 9111, 1.2.2: what is greater counts as this
# Request headers that differ from call to call, or that say for whom it is made: a reply that depends on one of them
# is a reply to that call only.
_PER_CALL: Final = re.compile(r"(?:\*|webhook-.*|gateway-.*|ce-.*|traceparent|tracestate)\Z")


def seconds(header: Callable[[str], str | None]) -> float:
    """For how many seconds the reply may be used again, from now on; 0 for not at all.

    `header` gives the value of a header by its name in lower case, `None` for an absent one. Whatever is malformed or
    contradicts itself counts as 0 (RFC 9111, 4.2.1).
    """
    control = header("cache-control")
    if control is None:
        return 0.0
    fresh = _granted(control)
    if fresh <= 0:
        return 0.0
    vary = header("vary")
    if vary is not None and any(_PER_CALL.match(name.strip().lower()) for name in vary.split(",")):
        return 0.0
    age = header("age")
    if age is not None:
        fresh -= _whole(age.strip(), otherwise=_LONGEST)
    return float(max(0, fresh))


def _granted(control: str) -> int:
    """The lifetime that a `Cache-Control` value grants to a shared cache, in seconds."""
    shared: int | None = None
    plain: int | None = None
    for name, quoted, bare in _DIRECTIVE.findall(control):
        directive = name.lower()
        if directive in _FORBIDDING:
            return 0
        if directive == "s-maxage":
            shared = min(_whole(quoted or bare), _LONGEST if shared is None else shared)
        elif directive == "max-age":
            plain = min(_whole(quoted or bare), _LONGEST if plain is None else plain)
    return (plain or 0) if shared is None else shared


def _whole(text: str, otherwise: int = 0) -> int:
    if not _SECONDS.match(text):
        return otherwise
    return _LONGEST if len(text) > 10 else min(int(text), _LONGEST)
