"""What a WSGI request tells of the query that it asks."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from gateway.model import Query
from gateway.pipeline.http_query import MAX_QUERY_BYTES
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

__all__ = ["Request"]


class Request:
    """A request before the application answers it.

    `method`, `path` (with the part where the application is mounted) and `headers` (names in lower case) are as they
    came. Its body can be looked at with `body`, and the application still gets it all.
    """

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ: Final = environ
        self.method: Final[str] = environ["REQUEST_METHOD"]
        # PEP 3333: bytes as latin-1 text; what they mean is UTF-8.
        raw: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        self.path: Final = raw.encode("latin-1").decode("utf-8", "replace")
        self._body: bytes | None = None
        self._looked = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request."""
        found = {
            name[5:].replace("_", "-").lower(): value
            for name, value in self.environ.items()
            if name.startswith("HTTP_") and isinstance(value, str)
        }
        for name in ("content-type", "content-length"):
            if value := self.environ.get(name.replace("-", "_").upper()):
                found[name] = value
        return found

    @property
    def url_params(self) -> dict[str, str]:
        """The parameters of the URL's query; the last of equal ones counts."""
        return dict(parse_qsl(self.environ.get("QUERY_STRING", ""), keep_blank_values=True))

    def body(self) -> bytes | None:
        """The whole body; `None` if it is larger than 1 MiB, or the client went away."""
        if not self._looked:
            self._looked = True
            self._body = self._read()
        return self._body

    def query(
        self, query_type: str, *, capability: str | None = None, tenant: str | None = None, params: Any = None
    ) -> Query:
        """A query of this type; without `params`, they are those of the URL. Depth and trace come from the headers."""
        environ = self.environ
        return Query(
            type=query_type,
            capability=capability,
            tenant=tenant,
            params=self.url_params if params is None else params,
            depth=depth_of(environ.get(_DEPTH)),
            traceparent=environ.get("HTTP_TRACEPARENT"),
            tracestate=environ.get("HTTP_TRACESTATE"),
        )

    def _read(self) -> bytes | None:
        environ = self.environ
        length = _length(environ.get("CONTENT_LENGTH"))
        if length is None and not environ.get("wsgi.input_terminated"):
            return b""  # PEP 3333: without a length there is no body that may be read
        if length is not None and length > MAX_QUERY_BYTES:
            return None
        source = environ["wsgi.input"]
        wanted = MAX_QUERY_BYTES + 1 if length is None else length
        held = bytearray()
        while len(held) < wanted:
            piece = source.read(wanted - len(held))
            if not piece:
                break
            held += piece
        body = bytes(held)
        if len(body) > MAX_QUERY_BYTES:
            environ["wsgi.input"] = io.BufferedReader(_Rejoined(body, source))
            return None
        environ["wsgi.input"] = io.BytesIO(body)
        return body if length is None or len(body) == length else None


class _Rejoined(io.RawIOBase):
    """What was read of a body, followed by what is left of it."""

    def __init__(self, begun: bytes, rest: Any) -> None:
        self._begun = memoryview(begun)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._begun[: len(buffer)]
        if piece:
            self._begun = self._begun[len(piece) :]
        else:
            piece = self._rest.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


_DEPTH: Final = "HTTP_" + DEPTH.upper().replace("-", "_")


def _length(value: str | None) -> int | None:
    return int(value) if value and value.isascii() and value.isdigit() else None
