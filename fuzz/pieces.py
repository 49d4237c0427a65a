"""Structured input: choices, texts and JSON documents out of the fuzzer's bytes.

Random bytes hardly ever are JSON; choices among parts of it always are. It reads from front to back, and
whatever is left out is zero or empty, so that any input can be used and a small change of it makes a small change.
(The fuzzer's own FuzzedDataProvider does the same, but cannot be used, or written for, without the fuzzer.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

END: Final = b"\x1d\x1d"  # of a text

_STRINGS: Final = ("a", "b", "", "0", "é", "\\u0000", "\\ud83d\\ude00", "\\ud800", '[\\"{', "\\\\", "/", "~1")
_NUMBERS: Final = (
    "0", "1", "-0", "-1", "1.0", "0.10", "1e2", "1E-400", "1e400", "9007199254740993", "18446744073709551616",
    "-9223372036854775809", "0.1000000000000000055511151231257827", "123456789012345678901234567890", "1.50",
)  # fmt: skip
_SEGMENTS: Final = ("a", "b", "0", "1", "-", "01", "~0", "~1", "", "é", "-1", "99999999999", "~", "2")
_OPERATIONS: Final = ("add", "remove", "replace", "move", "copy", "test", "add", "none")


def text(value: str | bytes) -> bytes:
    """A text as `Pieces.raw` reads it: for seeds."""
    return (value.encode() if isinstance(value, str) else value) + END


class Pieces:
    """What the fuzzer's bytes say, from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, count: int) -> int:
        """A whole number from 0 up to, but without, `count` (at most 256)."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1] % count

    def flag(self) -> bool:
        """Yes or no."""
        return self.below(2) == 1

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[self.below(len(options))]

    def raw(self) -> bytes:
        """A text, as bytes, up to its end mark."""
        found = self._data.find(END, self._at)
        end = len(self._data) if found < 0 else found
        value = self._data[self._at : end]
        self._at = end + len(END)
        return value

    def header(self) -> str:
        """A text as a header's value is read by a server: any character, bytes that are no UTF-8 included."""
        return self.raw().decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        """All that is left."""
        value, self._at = self._data[self._at :], len(self._data)
        return value

    def document(self) -> bytes:
        """A JSON document (now and then not quite), or any bytes."""
        return self.raw() if self.below(4) == 3 else self.json().encode()

    def json(self, depth: int = 0) -> str:
        """The text of a JSON value."""
        kind = self.below(12)
        if kind < 3 or depth > 8:
            return ("null", "true", "false", "[]")[min(kind, 3)]
        if kind < 6:
            return self.pick(_NUMBERS)
        if kind < 8:
            return self._string()
        parts = self.below(5)
        if kind < 10:
            return "[" + ",".join(self.json(depth + 1) for _ in range(parts)) + "]"
        return "{" + ",".join(f"{self._string()}:{self.json(depth + 1)}" for _ in range(parts)) + "}"

    def patch(self) -> bytes:
        """A JSON Patch with pointers into small documents."""
        return ("[" + ",".join(self._operation() for _ in range(self.below(6))) + "]").encode()

    def _operation(self) -> str:
        members = [f'"op":"{self.pick(_OPERATIONS)}"', f'"path":"{self._pointer()}"']
        if self.flag():
            members.append(f'"from":"{self._pointer()}"')
        if self.flag():
            members.append(f'"value":{self.json(4)}')
        return "{" + ",".join(members) + "}"

    def _pointer(self) -> str:
        return "".join("/" + self.pick(_SEGMENTS) for _ in range(self.below(4)))

    def _string(self) -> str:
        return f'"{self.pick(_STRINGS)}"'
