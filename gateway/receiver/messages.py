"""One HTTP request and one HTTP reply, whatever server they go through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

PROBLEM: Final = "application/problem+json"

HeadersLike = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
"""Header names and values, as text or bytes, in any case: what servers and serverless platforms give."""


class Headers:
    """The headers of a request by name, whatever case they came in. A repeated one is joined by ", "."""

    __slots__ = ("_values",)

    def __init__(self, given: HeadersLike = ()) -> None:
        values: dict[str, str] = {}
        for name, value in given.items() if isinstance(given, Mapping) else given:
            if value is None:
                continue
            key = _text(name).lower()
            values[key] = f"{values[key]}, {_text(value)}" if key in values else _text(value)
        self._values = values

    def __call__(self, name: str) -> str | None:
        """The value of the header `name` (lower case), `None` if it is absent."""
        return self._values.get(name)

    def items(self) -> Iterable[tuple[str, str]]:
        """All of them, names in lower case."""
        return self._values.items()


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("latin-1")
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()  # no half characters


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. `path` is `None` where it is not known; it has no query. `body` is the raw bytes.

    `arrived` is when its head was there, on the clock that the deadline is told by (`time.monotonic`).
    """

    method: str
    path: str | None
    headers: Headers
    body: bytes
    arrived: float


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What to answer: the status, headers with lower-case names, and the body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of the header `name` (lower case), `None` if it is absent."""
        return next((value for key, value in self.headers if key == name), None)

    def with_headers(self, *more: tuple[str, str]) -> HttpReply:
        """The same with more headers."""
        return HttpReply(self.status, (*self.headers, *more), self.body)


def problem(status: int, title: str, detail: str, **members: Any) -> HttpReply:
    """A problem document (RFC 9457) as the reply."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    return HttpReply(status, (("content-type", PROBLEM),), orjson.dumps(document))
