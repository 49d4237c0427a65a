"""Taking the rows out of a JSON document and putting others in, as the bytes they are.

Nothing of a row is parsed or written anew: the rows of a document are slices of it. What stands around them is
written again without insignificant white space, its values as the bytes they were.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IS_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")
_INDEX: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z", re.ASCII)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


class NoRows(ValueError):
    """There is no array at that place of the document."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a document, and what stands before and behind them: `before` + "[" + rows + "]" + `behind`."""

    before: bytes
    rows: Sequence[msgspec.Raw | bytes]
    behind: bytes

    def document(self, rows: Sequence[msgspec.Raw | bytes]) -> bytes:
        """The same document with these rows."""
        return b"".join((self.before, b"[", b",".join(rows), b"]", self.behind))

    def batches(self, size: int) -> list[Sequence[msgspec.Raw | bytes]]:
        """The rows in order, `size` in each batch but the last; one empty batch if there are none."""
        return [self.rows[at : at + size] for at in range(0, len(self.rows), size)] or [()]

    def of(self, body: bytes, tokens: Sequence[str]) -> Sequence[msgspec.Raw | bytes] | None:
        """The rows of `body` if it says the same as this document around its rows, else `None`.

        `tokens` is where the rows are. Numbers are compared by value, objects without regard to order.
        """
        if body.startswith(self.before) and body.endswith(self.behind):
            try:
                return _ARRAY.decode(memoryview(body)[len(self.before) : len(body) - len(self.behind)])
            except msgspec.DecodeError:
                pass  # it may still say the same in other words
        try:
            found = rows_of(body, tokens)
            mine, other = (_value(each.before + b"null" + each.behind) for each in (self, found))
        except (ValueError, ArithmeticError, RecursionError):
            return None
        return found.rows if same(mine, other) else None


def tokens_of(pointer: str) -> tuple[str, ...]:
    """The parts of a JSON Pointer (RFC 6901) that is valid and has no `*`."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def rows_of(body: bytes, tokens: Sequence[str]) -> Rows:
    """The rows of the valid JSON document `body` at `tokens`. Raises `NoRows`."""
    before: list[bytes] = []
    behind: list[bytes] = []
    inner: msgspec.Raw | bytes = body
    try:
        for token in tokens:
            inner = _step(inner, token, before, behind)
        rows = _ARRAY.decode(inner)
    except (msgspec.DecodeError, KeyError, IndexError, RecursionError):
        raise NoRows from None
    return Rows(b"".join(before), rows, b"".join(reversed(behind)))


def _step(body: msgspec.Raw | bytes, token: str, before: list[bytes], behind: list[bytes]) -> msgspec.Raw:
    """The member or element `token` of `body`; what stands around it is added to `before` and `behind`."""
    if _IS_ARRAY.match(body):
        elements = _ARRAY.decode(body)
        if not _INDEX.match(token):
            raise KeyError
        at = int(token)
        chosen = elements[at]
        before.append(b"[" + b"".join(bytes(each) + b"," for each in elements[:at]))
        behind.append(b"".join(b"," + bytes(each) for each in elements[at + 1 :]) + b"]")
        return chosen
    members = _OBJECT.decode(body)
    chosen = members[token]
    names = list(members)
    at = names.index(token)
    before.append(b"{" + b"".join(_member(members, name) + b"," for name in names[:at]) + _name(token))
    behind.append(b"".join(b"," + _member(members, name) for name in names[at + 1 :]) + b"}")
    return chosen


def _member(members: dict[str, msgspec.Raw], name: str) -> bytes:
    return _name(name) + bytes(members[name])


def _name(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def _value(body: bytes) -> Any:
    """The value of a document, every number exact."""
    return json.loads(body, parse_float=Decimal, parse_int=Decimal)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, objects without regard to order. Without recursion."""
    pending = [(one, other)]
    while pending:
        a, b = pending.pop()
        if isinstance(a, dict):
            if not isinstance(b, dict) or a.keys() != b.keys():
                return False
            pending += ((value, b[name]) for name, value in a.items())
        elif isinstance(a, list):
            if not isinstance(b, list) or len(a) != len(b):
                return False
            pending += zip(a, b, strict=True)
        elif type(a) is not type(b) or a != b:
            return False
    return True
