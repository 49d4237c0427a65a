"""What may be kept of a body: an excerpt, without what the operator wants nobody to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.wire import document
from gateway.wire.cloudevents import STRUCTURED_TYPE
from gateway.wire.reply import JSON_PATCH, MERGE_PATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN: Final = "[redacted]"
_ANY: Final = "*"
_BATCH_TYPE: Final = "application/cloudevents-batch+json"
_WITHHELD: Final = "withheld: it is not a document that journal.redact can be applied to"

Tokens = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A body as it is shown: its text, its whole size in bytes, and where the text is not all of it, why.

    `exact`: the text is the body, byte for byte: nothing was cut, withheld, redacted, or no UTF-8.
    """

    text: str | None
    size: int
    note: str | None = None
    exact: bool = False


def parse_pattern(pattern: str) -> Tokens:
    """The tokens of a JSON Pointer (RFC 6901) in which `*` is any element or member. Raises `ValueError`."""
    if pattern and not pattern.startswith("/"):
        msg = f"{pattern[:100]!r} is not a JSON Pointer: it must be empty or begin with '/'"
        raise ValueError(msg)
    if "~" in pattern.replace("~0", "").replace("~1", ""):
        msg = f"{pattern[:100]!r} is not a JSON Pointer: '~' is written '~0', and '/' in a name '~1'"
        raise ValueError(msg)
    tokens = tuple(part.replace("~1", "/").replace("~0", "~") for part in pattern.split("/")[1:])
    if not tokens or tokens[0] not in {"query", "result", "*"}:
        msg = f"{pattern[:100]!r} leads nowhere: it must begin with '/query' or '/result'"
        raise ValueError(msg)
    return tokens


class Redaction:
    """Takes out what `patterns` point to, in the document `{"query": …, "result": …}` of a call.

    They hold for whatever has the shape of the result, and for the values of patches. What cannot be parsed or is
    not one of these documents is withheld as a whole, as is what is too large to be kept whole. Without patterns, the
    beginning of any body is kept. Raises `ValueError` for a pattern that is none.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [parse_pattern(each) for each in patterns]
        self._of_query = [tokens[1:] for tokens in self._patterns if tokens[0] in {"query", _ANY}]
        self._of_result = [tokens[1:] for tokens in self._patterns if tokens[0] in {"result", _ANY}]

    def request(self, body: bytes, content_type: str, most: int) -> Excerpt:
        """An excerpt of at most `most` bytes of the body of a call."""
        if content_type in {STRUCTURED_TYPE, _BATCH_TYPE}:
            return self._excerpt(body, most, lambda value: _each_event(value, self._patterns))
        return self._excerpt(body, most, lambda value: _redacted(value, self._of_result))

    def reply(self, status: int, body: bytes, content_type: str | None, most: int) -> Excerpt:
        """The same of a reply."""
        media = (content_type or "").partition(";")[0].strip().lower()
        if not self._patterns or not body:
            return self._excerpt(body, most, None)
        if status != 200 or not (media == MERGE_PATCH or media.endswith("json")):
            return Excerpt(None, len(body), _WITHHELD)
        if media == JSON_PATCH:
            return self._excerpt(body, most, self._operations)
        return self._excerpt(body, most, lambda value: _redacted(value, self._of_result))

    def query(self, params: Any, context: Any) -> dict[str, Any]:
        """A query's params and context without what is to be hidden; the values given are not touched."""
        asked: dict[str, Any] = {"params": params, "context": context}
        if not self._of_query:
            return asked
        shown: dict[str, Any] = _redacted(document.parse_exact(document.write(asked)), self._of_query)
        return shown

    def diff(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A JSON Patch on the result without what is to be hidden; `operations` may be changed."""
        found: list[dict[str, Any]] = self._operations(operations) if self._of_result else operations
        return found

    def _excerpt(self, body: bytes, most: int, redact: Any) -> Excerpt:
        if redact is None or not self._patterns:
            text = body[:most].decode("utf-8", "replace")
            note = None if len(body) <= most else f"cut after {most} bytes"
            return Excerpt(text, len(body), note, exact=note is None and text.encode() == body)
        if len(body) > most:
            return Excerpt(None, len(body), f"withheld: it has more than {most} bytes, and cannot be redacted in part")
        try:
            text = document.write(redact(document.parse_exact(body))).decode()
        except (ValueError, TypeError, LookupError, RecursionError):
            return Excerpt(None, len(body), _WITHHELD)
        return Excerpt(text, len(body), exact=text.encode() == body)

    def _operations(self, operations: Any) -> Any:
        if not isinstance(operations, list):
            raise TypeError
        for operation in operations:
            path = operation.get("path") if isinstance(operation, dict) else None
            if not isinstance(path, str):
                raise TypeError
            if "value" not in operation:
                continue
            place = tuple(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])
            for tokens in self._of_result:
                if all(token in (_ANY, part) or part == "-" for token, part in zip(tokens, place, strict=False)):
                    operation["value"] = _redacted(operation["value"], [tokens[len(place) :]])
        return operations


def _each_event(value: Any, patterns: list[Tokens]) -> Any:
    for event in value if isinstance(value, list) else [value]:
        event["data"] = _redacted(event["data"], patterns)
    return value


def _redacted(value: Any, patterns: list[Tokens]) -> Any:
    """`value` without what the patterns find; it is changed in place where it can be."""
    for tokens in patterns:
        if not tokens:
            return HIDDEN
        places = [value]
        for token in tokens[:-1]:
            places = [place[key] for place in places for key in _keys(place, token)]
        for place in places:
            for key in list(_keys(place, tokens[-1])):
                place[key] = HIDDEN
    return value


def _keys(place: Any, token: str) -> Iterator[Any]:
    if isinstance(place, dict):
        yield from list(place) if token == _ANY else [token] * (token in place)
    elif isinstance(place, list):
        if token == _ANY:
            yield from range(len(place))
        elif token.isdecimal() and len(token) < 10 and int(token) < len(place):
            yield int(token)
