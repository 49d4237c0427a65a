"""What an application's request tells of the query that it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from gateway.model import Query
from gateway.pipeline.http_query import MAX_QUERY_BYTES
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Request"]


class Request:
    """A request before the application answers it.

    `method`, `path` and `headers` (names in lower case; the last of equal ones counts) are as they came. Its body can
    be looked at with `body`, and the application still gets it all.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: Final[str] = scope["method"]
        self.path: Final[str] = scope["path"]
        self.headers: Final[dict[str, str]] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._query_string: bytes = scope.get("query_string", b"")
        self._receive = receive
        self._messages: list[Message] = []
        self._read: bytes | None = None

    @property
    def url_params(self) -> dict[str, str]:
        """The parameters of the URL's query; the last of equal ones counts."""
        return dict(parse_qsl(self._query_string.decode("latin-1"), keep_blank_values=True))

    async def body(self) -> bytes | None:
        """The whole body; `None` if it is larger than 1 MiB, or the client went away."""
        if self._read is None:
            pieces: list[bytes] = []
            size = 0
            more = True
            while more:
                message = await self._receive()
                self._messages.append(message)
                if message["type"] != "http.request":
                    return None
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > MAX_QUERY_BYTES:
                    return None
                more = message.get("more_body", False)
            self._read = b"".join(pieces)
        return self._read

    def query(
        self, query_type: str, *, capability: str | None = None, tenant: str | None = None, params: Any = None
    ) -> Query:
        """A query of this type; without `params`, they are those of the URL. Depth and trace come from the headers."""
        return Query(
            type=query_type,
            capability=capability,
            tenant=tenant,
            params=self.url_params if params is None else params,
            depth=depth_of(self.headers.get(DEPTH)),
            traceparent=self.headers.get("traceparent"),
            tracestate=self.headers.get("tracestate"),
        )

    async def replay(self) -> Message:
        """What the application receives: first what was looked at, then what follows."""
        return self._messages.pop(0) if self._messages else await self._receive()
