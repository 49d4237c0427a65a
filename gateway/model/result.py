"""What the data-query phase produced."""

from __future__ import annotations

from typing import Any, Final

import orjson

JSON: Final = "application/json"
_UNPARSED: Final = object()


class Result:
    """A JSON document, carried as bytes and parsed only when something asks for the value.

    `body` is the document exactly as it was produced; `content_type` its media type. `value` is the
    parsed document: parsed once, then kept, so treat it as read-only and make a changed result with
    `Result.of`. Raises `ValueError` from `value` if the bytes are not JSON.
    """

    __slots__ = ("_value", "body", "content_type")

    def __init__(self, body: bytes, content_type: str = JSON) -> None:
        self.body: Final = body
        self.content_type: Final = content_type
        self._value: Any = _UNPARSED

    @classmethod
    def of(cls, value: Any, content_type: str = JSON) -> Result:
        """The result whose document is `value` (anything that orjson can write)."""
        return cls(orjson.dumps(value), content_type)

    @classmethod
    def from_any(cls, produced: Any) -> Result:
        """What a data-query phase produced, as a result: one already, the bytes of a document, or a value for JSON."""
        if isinstance(produced, Result):
            return produced
        return cls(produced) if isinstance(produced, bytes) else cls.of(produced)

    @property
    def value(self) -> Any:
        """The parsed document."""
        if self._value is _UNPARSED:
            self._value = orjson.loads(self.body)
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        return self.body == other.body and self.content_type == other.content_type

    def __hash__(self) -> int:
        return hash((self.body, self.content_type))

    def __repr__(self) -> str:
        return f"Result({len(self.body)} bytes of {self.content_type})"
