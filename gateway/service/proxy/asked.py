"""A request as routes look at it, and where the parts of a query come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import parse_qs

import orjson
from jsonpointer import JsonPointer, JsonPointerException

from gateway.pipeline.http_answer import is_json
from gateway.service.messages import value_of
from gateway.service.proxy.paths import Misread
from gateway.wire.strict_names import is_named_once

if TYPE_CHECKING:
    from gateway.service.messages import RequestHead
    from gateway.service.proxy.paths import Segments

__all__ = ["ABSENT", "Asked", "Take"]

ABSENT: Final = object()
_MOST_FIELDS: Final = 1000

Parameters: TypeAlias = "dict[str, str | list[str]]"


class Asked:
    """A request: its head, the segments of its path, and its body where that has been read."""

    __slots__ = ("_document", "_query", "body", "head", "segments")

    def __init__(self, head: RequestHead, segments: Segments, body: bytes | None = None) -> None:
        self.head: Final = head
        self.segments: Final = segments
        self.body = body
        self._query: Parameters | None = None
        self._document: Any = None

    @property
    def query(self) -> Parameters:
        """The parameters of the URL's query, decoded: each a text, or a list of them if it was sent several times."""
        if self._query is None:
            self._query = _parameters(self.head.target.partition("?")[2])
        return self._query

    @property
    def is_form(self) -> bool:
        """Whether the body is a form, as browsers send one (URL Standard, section 5)."""
        kind = value_of(self.head.headers, b"content-type")
        return kind is not None and kind.partition(b";")[0].strip().lower() == b"application/x-www-form-urlencoded"

    @property
    def document(self) -> Any:
        """The value of the JSON body, or the fields of a form by name; `ABSENT` where there is neither.

        A field is a text, or a list of them if it was sent several times.
        """
        if self._document is None:
            self._document = self._parsed()
        return self._document

    def headers(self, name: bytes) -> list[str]:
        """The values of the header `name`, line by line."""
        return [_text(value) for found, value in self.head.headers if found == name]

    def _parsed(self) -> Any:
        if not self.body:
            return ABSENT
        if self.is_form:
            return _fields(self.body)
        kind = value_of(self.head.headers, b"content-type")
        if kind is None or not is_json(kind.decode("latin-1")):
            return ABSENT
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return ABSENT
        return ABSENT if value is None else value


@dataclass(frozen=True, slots=True)
class Take:
    """Where a value comes from.

    `where` says how to read `what`: the value itself (`fixed`), the name of a `header` in lower case or of a parameter
    of the URL (`query`), the number of a segment of the `path` from 0, or a JSON Pointer into the `body`.
    """

    where: Literal["fixed", "header", "query", "path", "body"]
    what: str | int

    def value(self, asked: Asked) -> Any:
        """The value in the request; `None` if it is not there. What is sent twice is joined, or a list."""
        if self.where == "fixed":
            return self.what
        if self.where == "header":
            return ", ".join(asked.headers(str(self.what).encode())) or None
        if self.where == "query":
            return asked.query.get(str(self.what))
        if isinstance(self.what, int):
            return asked.segments[self.what] if self.what < len(asked.segments) else None
        if asked.document is ABSENT:
            return None
        try:
            return JsonPointer(self.what).resolve(asked.document)
        except JsonPointerException:
            return None

    def name(self, asked: Asked) -> str | None:
        """The value as a name: text as it is, numbers and booleans as JSON writes them, nothing else.

        A name decides which hooks there are. So one that is there twice raises `Misread`: the gateway might read the
        first and the upstream the last.
        """
        value: Any
        if self.where == "header":
            value = self._only(asked.headers(str(self.what).encode()), "header")
        elif self.where == "query":
            value = asked.query.get(str(self.what))
            if isinstance(value, list):
                value = self._only(value, "parameter")
        else:
            value = self.value(asked)
            if isinstance(value, list) and asked.is_form:
                value = self._only(value, "field")
            elif self.where == "body" and asked.body and asked.document is not ABSENT and not asked.is_form:
                self._named_once(asked.body)
        if isinstance(value, str):
            return value or None
        if isinstance(value, (bool, int, float)):
            return orjson.dumps(value).decode()
        return None

    def _only(self, values: list[str], kind: str) -> str | None:
        if len(values) > 1 and any(value != values[0] for value in values):
            raise Misread(f"The {kind} {self.what} is there {len(values)} times with different values; send it once.")
        return values[0] if values else None

    def _named_once(self, body: bytes) -> None:
        if not is_named_once(body, str(self.what)):
            raise Misread(f"A member on the way to {self.what} in the body is there twice; send it once.")


def _parameters(query: str) -> Parameters:
    if "%" not in query and "+" not in query:
        found: Parameters = {}  # the same for what is not encoded and comes once, in a fifth of the time
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if not pair or name in found:
                break
            found[name] = value
        else:
            return found
    return _by_name(parse_qs(query, keep_blank_values=True))


def _fields(body: bytes) -> Any:
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:  # no UTF-8, or too many
        return ABSENT
    return _by_name(found)


def _by_name(found: dict[str, list[str]]) -> Parameters:
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
