"""What a hook's answer means: the reply forms, and how each becomes the next result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.errors import ReplyUnusable
from gateway.model import Reason, Result
from gateway.wire import document
from gateway.wire.patch import PatchError, apply_json_patch, apply_merge_patch

if TYPE_CHECKING:
    from collections.abc import Callable

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
PROBLEM: Final = "application/problem+json"
ACCEPT: Final = f"{JSON}, {JSON_PATCH}, {MERGE_PATCH}"
ACCEPT_WITH_REJECT: Final = f"{ACCEPT}, {PROBLEM}"

_FEW_OPERATIONS: Final = 100
_FEW_BYTES: Final = 256 * 1024
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The result stays as it is."""


class Replace(msgspec.Struct, frozen=True):
    """The body is the new result. (A struct: one is made per call, in a sixth of a dataclass's time.)"""

    result: Result


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """RFC 6902 operations on the result that was sent."""

    operations: Any


@dataclass(frozen=True, slots=True)
class MergePatch:
    """An RFC 7396 merge patch on the result that was sent."""

    patch: Any


@dataclass(frozen=True, slots=True)
class Reject:
    """The query is to be refused, and this problem document says why."""

    problem: dict[str, Any]


Reply = Unchanged | Replace | JsonPatch | MergePatch | Reject

UNCHANGED: Final = Unchanged()


def decode(
    status: int, content_type: str | None, body: bytes, *, result_type: str, may_reject: bool, max_depth: int
) -> Reply:
    """What the answer (`status`, its `content-type`, its body) means.

    `result_type` is the media type of the result that was sent. Raises `ReplyUnusable` with the reason
    `status`, `content_type`, `bad_json`, `bad_patch`, `gone` or `rejected_not_allowed`.
    """
    if status != 200:
        if status == 204:
            return UNCHANGED
        if status == 410:
            raise ReplyUnusable(Reason.GONE, "the hook answered 410: it is gone")
        if status == 422:
            return _reject(content_type, body, may_reject=may_reject, max_depth=max_depth)
        raise ReplyUnusable(Reason.STATUS, f"the hook answered with status {status}")
    media = content_type if content_type == JSON else _media_type(content_type)
    if media in (JSON, result_type):
        try:
            document.check(body, max_depth=max_depth)
        except ValueError as e:
            raise _not_usable(e) from None
        return Replace(Result(body, result_type))
    if media == JSON_PATCH:
        return JsonPatch(_parse(body, max_depth))
    if media == MERGE_PATCH:
        return MergePatch(_parse(body, max_depth))
    shown = repr(content_type[:100]) if content_type else "absent"
    raise ReplyUnusable(Reason.CONTENT_TYPE, f"content-type of the reply is {shown}; known are {ACCEPT}")


def is_slow(reply: Reply, result: Result) -> bool:
    """Whether to apply `reply` may take more than some milliseconds (10,000 operations take half a second)."""
    if isinstance(reply, JsonPatch) and isinstance(reply.operations, list) and len(reply.operations) > _FEW_OPERATIONS:
        return True
    return isinstance(reply, (JsonPatch, MergePatch)) and len(result.body) > _FEW_BYTES


def apply(reply: Reply, result: Result, *, max_depth: int) -> Result:
    """The result after `reply` on `result`: the very same object if nothing changed.

    All or nothing: raises `ReplyUnusable` (`bad_patch`) if a patch does not fit, and `result` is as it was.
    """
    if isinstance(reply, Replace):
        return result if reply.result.body == result.body else reply.result
    if isinstance(reply, JsonPatch):
        if reply.operations == []:
            return result
        return _patched(result, lambda value: apply_json_patch(value, reply.operations), max_depth)
    if isinstance(reply, MergePatch):
        if reply.patch == {}:
            return result
        return _patched(result, lambda value: apply_merge_patch(value, reply.patch), max_depth)
    return result


def _patched(result: Result, change: Callable[[Any], Any], max_depth: int) -> Result:
    try:
        before = document.parse_exact(result.body)
    except ValueError:
        raise ReplyUnusable(Reason.BAD_PATCH, "the result is not JSON, so it cannot be patched") from None
    try:
        body = document.write(change(before))
    except PatchError as e:
        raise ReplyUnusable(Reason.BAD_PATCH, str(e)) from None
    except (TypeError, RecursionError):
        raise ReplyUnusable(Reason.BAD_PATCH, "the patched result cannot be written as JSON") from None
    if document.depth_exceeds(body, max_depth):
        raise ReplyUnusable(Reason.BAD_PATCH, f"the patched result nests deeper than {max_depth} levels")
    return Result(body, result.content_type)


def _reject(content_type: str | None, body: bytes, *, may_reject: bool, max_depth: int) -> Reject:
    if content_type is None or content_type.partition(";")[0].strip().lower() != PROBLEM:
        raise ReplyUnusable(Reason.STATUS, f"the hook answered 422 without {PROBLEM}")
    if not may_reject:
        detail = "the hook rejected the query, and its integration's envelope does not allow that (may_reject)"
        raise ReplyUnusable(Reason.REJECTED_NOT_ALLOWED, detail)
    problem = _parse(body, max_depth)
    if not isinstance(problem, dict):
        raise ReplyUnusable(Reason.BAD_JSON, "a problem document is a JSON object")
    return Reject(problem)


def _media_type(content_type: str | None) -> str | None:
    if content_type is None:
        return None
    media, semicolon, _ = content_type.partition(";")
    if semicolon:
        charset = _CHARSET.search(content_type)
        if charset and charset[1].lower() not in ("utf-8", "utf8"):
            detail = f"charset of the reply is {charset[1][:40]!r}; JSON is UTF-8"
            raise ReplyUnusable(Reason.CONTENT_TYPE, detail)
    return media.strip().lower()


def _parse(body: bytes, max_depth: int) -> Any:
    try:
        document.check(body, max_depth=max_depth)
        return document.parse_exact(body)
    except ValueError as e:
        raise _not_usable(e) from None


def _not_usable(error: ValueError) -> ReplyUnusable:
    return ReplyUnusable(Reason.BAD_JSON, f"the body of the reply cannot be used: {error}")
