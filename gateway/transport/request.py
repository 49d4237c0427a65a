"""From a call to the bytes of its request head; nothing that could end a line early gets through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, overload

import msgspec

from gateway.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.transport.protocol import Endpoint

__all__ = ["FilledForm", "HeadForm", "HeadWriter"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE: Final = bytes(range(0x20, 0x7F)) + b"\t"
# The transport's own business: two opinions about where a request ends make a smuggled request.
_OWN: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BODILESS: Final = frozenset({"GET", "DELETE", "OPTIONS"})
_NAMES_KEPT: Final = 1024


class HeadWriter:
    """Writes request heads. Remembers the header names that it found in order, so that each is judged once.

    HEAD and CONNECT are not offered: their replies end by other rules, and no hook is called by them.
    """

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: set[str] = set()

    def write(self, endpoint: Endpoint, method: str, headers: Sequence[tuple[str, str]], length: int) -> bytes:
        """The head for a body of `length` bytes. Raises `CallError` for what must not be sent.

        The check of the whole head is one pass in C: without its visible ASCII, nothing but the line
        ends that were put there may be left.
        """
        if method not in _METHODS:
            raise CallError(f"The method {method!r} is not one of {', '.join(sorted(_METHODS))}.")
        names = self._names
        lines = [f"{name}: {value}\r\n" if name in names else self._line(name, value) for name, value in headers]
        framing = f"content-length: {length}\r\n" if length or method not in _BODILESS else ""
        text = f"{method} {endpoint.target} HTTP/1.1\r\nhost: {endpoint.authority}\r\n{framing}{''.join(lines)}\r\n"
        try:
            head = text.encode("ascii")
        except UnicodeEncodeError:
            raise CallError("A header of the call has a character outside ASCII and was not sent.") from None
        if head.translate(None, _VISIBLE) != b"\r\n" * (len(lines) + (4 if framing else 3)):
            raise CallError("A header of the call has a control character or a line break and was not sent.")
        return head

    def _line(self, name: str, value: str) -> str:
        if not _TOKEN.fullmatch(name):
            raise CallError("A header name of the call is not a valid name and was not sent.")
        if name.lower() in _OWN:
            raise CallError(f"The header {name!r} is set by the transport; the call must not bring its own.")
        if len(self._names) >= _NAMES_KEPT:
            self._names.clear()
        self._names.add(name)
        return f"{name}: {value}\r\n"


class HeadForm:
    """The head of the POST requests to one endpoint that have the same headers, some of them with values of their own.

    `headers` in order; `None` stands for a value that each request fills in. What is the same in all requests is
    judged and written once. Raises `CallError` for what must not be sent.
    """

    __slots__ = ("_parts", "endpoint", "headers")

    def __init__(self, endpoint: Endpoint, headers: Sequence[tuple[str, str | None]]) -> None:
        HeadWriter().write(endpoint, "POST", [(name, value or "") for name, value in headers], 0)  # for its refusals
        self.endpoint: Final = endpoint
        self.headers: Final = tuple(headers)
        self._parts: list[str] = []  # what stays the same, and room for a value, in turns
        stays = f"POST {endpoint.target} HTTP/1.1\r\nhost: {endpoint.authority}\r\n"
        for name, value in (("content-length", None), *headers):
            if value is None:
                self._parts += (f"{stays}{name}: ", "")
                stays = "\r\n"
            else:
                stays += f"{name}: {value}\r\n"
        self._parts.append(stays + "\r\n")

    def write(self, values: Sequence[str], length: int) -> bytes:
        """The head with these values, for a body of `length` bytes. Raises `CallError` for what must not be sent."""
        parts = self._parts.copy()
        parts[1::2] = (str(length), *values)
        try:
            if "".join(values).encode("ascii").translate(None, _VISIBLE):
                raise CallError("A header of the call has a control character or a line break and was not sent.")
        except UnicodeEncodeError:
            raise CallError("A header of the call has a character outside ASCII and was not sent.") from None
        return "".join(parts).encode()


class FilledForm(msgspec.Struct, frozen=True, eq=False):
    """The headers of one request, a sequence of pairs: a form and the values that are filled in, in order."""

    form: HeadForm
    values: Sequence[str]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        values = iter(self.values)
        return ((name, next(values) if value is None else value) for name, value in self.form.headers)

    def __len__(self) -> int:
        return len(self.form.headers)

    @overload
    def __getitem__(self, index: int) -> tuple[str, str]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[str, str]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, str] | Sequence[tuple[str, str]]:
        return list(self)[index]


Sequence.register(FilledForm)
