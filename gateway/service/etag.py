"""Versions as entity tags: `ETag`, `If-Match`, `If-None-Match` (RFC 9110, section 13)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import PreconditionFailed
from gateway.service.problem import Refused

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

__all__ = ["etag", "expected_version", "is_known"]

_TAG: Final = r'(?:W/)?"[!#-~\x80-\xff]*"'
_LIST: Final = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*(?:{_TAG})?)*")
_EACH: Final = re.compile(_TAG)


def etag(version: int) -> str:
    """The strong entity tag of a version."""
    return f'"{version}"'


def expected_version(headers: CIMultiDictProxy[str], current: int) -> int | None:
    """The version that a change must find, from `If-Match`; `None` if any will do.

    Raises `PreconditionFailed` if `current` is not among those that the caller named (a weak tag never
    is), and `Refused` (400) if the header is malformed.
    """
    tags = _tags(headers, "if-match")
    if tags is None or tags == ["*"]:
        return None
    if etag(current) in tags:
        return current
    msg = f"If-Match does not name the present version, {etag(current)}: read it again, then repeat the change."
    raise PreconditionFailed(msg)


def is_known(headers: CIMultiDictProxy[str], current: int) -> bool:
    """Whether the caller has this version already, by `If-None-Match` (weak comparison)."""
    tags = _tags(headers, "if-none-match")
    return tags is not None and (tags == ["*"] or etag(current) in [tag.removeprefix("W/") for tag in tags])


def _tags(headers: CIMultiDictProxy[str], name: str) -> list[str] | None:
    if name not in headers:
        return None
    value = ", ".join(headers.getall(name)).strip()
    if value == "*":
        return ["*"]
    if not _LIST.fullmatch(value):
        raise Refused(400, f"{name} must be '*' or entity tags in double quotes, such as \"3\".")
    return _EACH.findall(value)
