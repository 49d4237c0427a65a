"""Pages of a sorted list: the cursor is where the last page ended, so changes in between do no harm."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from gateway.errors import FieldError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["number_of", "page"]

T = TypeVar("T")
Key = tuple[str | int, ...]
_MOST: Final = 2**53


def page(items: Sequence[T], key: Callable[[T], Key], *, cursor: str | None, limit: int) -> tuple[list[T], str | None]:
    """At most `limit` of `items` (sorted by `key`) after `cursor`, and the cursor of the next page, if there is one.

    A thing that stays where it is in the order comes exactly once, whatever is added or removed
    between two pages. Raises `InvalidInput` for a cursor that this list never gave.
    """
    start = 0
    if cursor is not None:
        start = bisect_right(items, _decode(cursor, like=key(items[0]) if items else None), key=key)
    chosen = list(items[start : start + limit])
    more = start + limit < len(items)
    return chosen, _encode(key(chosen[-1])) if more else None


def _encode(key: Key) -> str:
    return urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _decode(cursor: str, like: Key | None) -> Key:
    try:
        values: Any = orjson.loads(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        values = None
    fits = isinstance(values, list) and (
        like is None or [type(value) for value in values] == [type(value) for value in like]
    )
    if not fits:
        raise InvalidInput(FieldError("?cursor", "must be a next_cursor that this list gave, or be left out"))
    return tuple(values)


def number_of(cursor: str | None) -> int | None:
    """The number that a list of numbered entries gave as its cursor. Raises `InvalidInput` for what it never gave."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 16 or int(cursor) > _MOST:
        raise InvalidInput(FieldError("?cursor", "must be a next_cursor that this list gave, or be left out"))
    return int(cursor)
