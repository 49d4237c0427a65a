"""HTTP messages as the standalone gateway passes them on: heads as bytes, bodies piece by piece.

The vocabulary between `front` (which takes requests from clients), `proxy` (which decides) and `upstream` (which
speaks to the query APIs). RFC 9110 is the source of the terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Body", "Headers", "RequestHead", "ResponseHead", "Tunnel", "value_of", "values_of"]

# Names in lower case, values without white space around them, in the order in which they were sent.
Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class RequestHead:
    """The head of a request. `target` as it was sent, in origin form (`/path?query`) or `*`; `minor` of HTTP/1.x.

    The list of headers may be shared with other requests: it is replaced, never changed.
    """

    method: str
    target: str
    headers: Headers = field(default_factory=list)
    minor: int = 1

    @property
    def path(self) -> str:
        """The target's path, as it was sent: percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target's query, as it was sent, without the question mark."""
        return self.target.partition("?")[2]


@dataclass(slots=True)
class ResponseHead:
    """The head of a response; `reason` is the phrase after the status, which means nothing."""

    status: int
    reason: bytes = b""
    headers: Headers = field(default_factory=list)


class Body(Protocol):
    """A body that comes in pieces, for one reader. What is not read is not taken from the socket for long."""

    @property
    def length(self) -> int | None:
        """How many bytes it has altogether; `None` if that is not known before its end."""
        ...

    @property
    def trailers(self) -> Headers:
        """The trailer fields; complete once `read` has returned the empty piece."""
        ...

    async def read(self) -> bytes:
        """The next piece, as soon as there is one; an empty one at the end, again and again.

        Raises a `GatewayError` if the body breaks off.
        """
        ...


class Tunnel(Protocol):
    """A connection that has left HTTP (after `101`): bytes both ways."""

    async def read(self) -> bytes:
        """The next bytes; empty once the other side has ended its sending."""
        ...

    async def write(self, piece: bytes) -> None:
        """Send bytes; waits while the other side reads slowly. Raises a `GatewayError` if it is gone."""
        ...

    def write_eof(self) -> None:
        """End one's own sending."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first header `name` (in lower case), or `None`."""
    for found, value in headers:
        if found == name:
            return value
    return None


def values_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The values of all headers `name` (in lower case) as one list, as RFC 9110, section 5.3, joins them."""
    return b", ".join([value for found, value in headers if found == name])
