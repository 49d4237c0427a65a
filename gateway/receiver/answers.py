"""What a handler may answer, and how it becomes an HTTP reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from gateway.model import Result
from gateway.receiver.messages import PROBLEM, HttpReply, problem
from gateway.wire import reply as wire
from gateway.wire.diff import TooDifferent, difference
from gateway.wire.reply import UNCHANGED, JsonPatch, MergePatch, Reject, Replace, Unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Answer",
    "TryLater",
    "as_answer",
    "encoded",
    "joined",
    "json_patch",
    "merge_patch",
    "of_edit",
    "reject",
    "replace",
    "try_later",
    "unchanged",
]

# Past this many operations a patch costs the gateway more than a new document.
_MOST_OPERATIONS: Final = 1000
_SMALL: Final = 8192  # bytes; below, a patch is preferred even if the document is shorter: it says what was changed
_REASON: Final = "Unprocessable Content"


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, and for how many seconds the gateway may use it again for the same query and result."""

    reply: wire.Reply
    max_age: int | None = None


@dataclass(frozen=True, slots=True)
class TryLater:
    """The hook cannot answer now; the gateway does not call it for `seconds` (503 with `Retry-After`)."""

    seconds: int


def unchanged(*, max_age: int | None = None) -> Answer:
    """The result stays as it is."""
    return Answer(UNCHANGED, max_age)


def replace(value: Any, *, max_age: int | None = None) -> Answer:
    """`value` is the new result: any JSON value, a dataclass, a `msgspec.Struct`, or a `Result` with its bytes.

    Raises `TypeError` for what cannot be written as JSON.
    """
    result = value if isinstance(value, Result) else Result(_written(value))
    return Answer(Replace(result), max_age)


def json_patch(operations: Sequence[dict[str, Any]], *, max_age: int | None = None) -> Answer:
    """The result is changed by `operations` (RFC 6902); their paths begin at the result."""
    return Answer(JsonPatch(list(operations)), max_age)


def merge_patch(patch: Any, *, max_age: int | None = None) -> Answer:
    """The result is changed by a merge patch (RFC 7396): members are set, those that are `None` are removed."""
    return Answer(MergePatch(patch), max_age)


def reject(detail: str, *, title: str = _REASON, type: str = "about:blank", **members: Any) -> Answer:  # noqa: A002
    """The query is refused, with a problem document (RFC 9457). It takes `may_reject` in the envelope."""
    return Answer(Reject({"type": type, "title": title, "status": 422, "detail": detail, **members}))


def try_later(seconds: int) -> TryLater:
    """The hook cannot answer now, and is not to be called for so many seconds."""
    return TryLater(seconds)


def of_edit(before: Result, edited: Any, *, max_age: int | None = None) -> Answer:
    """What makes `edited` of the result `before`: nothing, a patch, or the whole where that is less."""
    try:
        operations = difference(before.value, edited, most=_MOST_OPERATIONS)
    except TooDifferent:
        return replace(edited, max_age=max_age)
    if not operations:
        return unchanged(max_age=max_age)
    whole = _written(edited)
    if len(_written(operations)) > max(len(whole), _SMALL):
        return Answer(Replace(Result(whole)), max_age)
    return json_patch(operations, max_age=max_age)


def as_answer(returned: Any) -> Answer | TryLater:
    """What a handler returned, as an answer: any value that is none of them is the new result."""
    match returned:
        case Answer() | TryLater():
            return returned
        case Unchanged() | Replace() | JsonPatch() | MergePatch() | Reject():
            return Answer(returned)
        case _:
            return replace(returned)


def encoded(answer: Answer | TryLater) -> HttpReply:
    """The answer as an HTTP reply, not signed yet. Raises `TypeError` for what cannot be written as JSON."""
    if isinstance(answer, TryLater):
        late = problem(503, "Service Unavailable", "the hook asks not to be called for a while")
        return late.with_headers(("retry-after", str(answer.seconds)))
    caching = () if answer.max_age is None else (("cache-control", f"max-age={answer.max_age}"),)
    match answer.reply:
        case Unchanged():
            return HttpReply(204, caching)
        case Replace(result):
            return HttpReply(200, (("content-type", result.content_type), *caching), result.body)
        case JsonPatch(operations):
            return HttpReply(200, (("content-type", wire.JSON_PATCH), *caching), _written(operations))
        case MergePatch(patch):
            return HttpReply(200, (("content-type", wire.MERGE_PATCH), *caching), _written(patch))
        case Reject(document):
            return HttpReply(422, (("content-type", PROBLEM),), _written(document))


def joined(ids: Sequence[str], replies: Sequence[HttpReply]) -> HttpReply:
    """The reply to a batch: one object for each event, in their order (see `gateway.wire.batch`)."""
    elements: list[dict[str, Any]] = []
    for ident, each in zip(ids, replies, strict=True):
        element: dict[str, Any] = {"id": ident, "status": each.status}
        if each.body:
            element |= {"contenttype": each.header("content-type"), "data": msgspec.Raw(each.body)}
        if (caching := each.header("cache-control")) is not None:
            element["cachecontrol"] = caching
        elements.append(element)
    return HttpReply(200, (("content-type", wire.JSON),), msgspec.json.encode(elements))


def _written(value: Any) -> bytes:
    return orjson.dumps(value, default=msgspec.to_builtins)
