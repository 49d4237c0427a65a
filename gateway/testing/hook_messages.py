"""What the fake integration server takes and gives: requests as they arrived, replies orderly or raw."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from http.client import responses
from urllib.parse import parse_qsl

__all__ = ["Handler", "Raw", "Reply", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. Header names are lower case."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """The value of the header `name` (lower case); repeated ones joined by ", "; `None` if absent."""
        found = [value for key, value in self.headers if key == name]
        return ", ".join(found) if found else None


@dataclass(frozen=True, slots=True)
class Reply:
    """An orderly reply; `content-length` is added."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    @classmethod
    def json(cls, body: bytes, content_type: str = "application/json", status: int = 200) -> Reply:
        """A reply with a JSON body."""
        return cls(status, [("content-type", content_type)], body)

    def encode(self) -> bytes:
        """The reply as it goes over the wire."""
        reason = responses.get(self.status, "Unknown")
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in self.headers)]
        if self.status not in {204, 304}:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, in order or not; then the connection is closed, or (`close=False`) stays open."""

    data: bytes | AsyncGenerator[bytes, None]
    close: bool = True


Handler = Callable[[Request], Awaitable[Reply | Raw | bytes]]
"""Answers a request; plain bytes are sent as they are and leave the connection open."""
