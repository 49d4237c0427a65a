"""The seam between the gateway and the network: one HTTP exchange with an integration server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.transport.tls import TlsProfile

    PoolKey = tuple[str, str, str, int, TlsProfile | None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a request goes, parsed once.

    `host` is an ASCII host name (IDNA-encoded, no trailing dot) or an IP literal without brackets.
    `authority` is what the `host` header says. `target` is the origin form: an absolute path and an optional query.
    Connections are kept and shared per `pool` (for a hook: its id). `tls` secures them in a way of its own.
    Endpoints that may share connections have an equal `shared`: pool, origin, and how it is secured.
    """

    scheme: str
    host: str
    port: int
    authority: str
    target: str
    pool: str
    tls: TlsProfile | None = None
    shared: PoolKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", (self.pool, self.scheme, self.host, self.port, self.tls))

    @property
    def url(self) -> str:
        """The URL, for people."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def shows_certificate(self) -> bool:
        """Whether the other side may see a client certificate."""
        return self.tls is not None and self.tls.certificate_pem is not None


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one exchange, in bytes. `body` holds for the body as received and after decompression."""

    body: int = 8 * 1024 * 1024
    head: int = 64 * 1024
    header_count: int = 100


class Response(msgspec.Struct, frozen=True, eq=False):
    """A whole response.

    Header names are lower case; repeated headers stay repeated. `body` is decompressed; `received`
    counts the body bytes as they came. (A struct: one is made per call, in a sixth of a dataclass's time.)
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    received: int

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.headers)} headers, {len(self.body)} bytes)"

    def header(self, name: str) -> str | None:
        """The value of the header `name` (lower case); repeated ones joined by ", "; `None` if absent."""
        found = None
        for key, value in self.headers:
            if key == name:
                found = value if found is None else f"{found}, {value}"
        return found


class Transport(Protocol):
    """One way out of the process for calls to integration servers.

    `gateway.testing.transport_exam` is the exam that every transport passes.
    """

    async def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        limits: Limits,
    ) -> Response:
        """Send one request, return the whole response.

        `headers` come without `host` and `content-length`; the transport adds those. `deadline` is in
        the running loop's time (`loop.time()`) and holds for everything: waiting, DNS, connect, TLS,
        sending, head, body, decompression. No redirect is followed, no cookie kept, no proxy used.
        Only addresses that the guard allows are connected to. On any error and on cancellation, the
        connection is closed and nothing is left behind.

        Raises a subclass of `gateway.errors.CallError`, never anything else but `CancelledError`.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection. Exchanges in flight fail with `ConnectFailed`."""
        ...
