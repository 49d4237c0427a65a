"""Strict reading of JSON documents: UTF-8, standard JSON, bounded depth, no number changed."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
import orjson

_SYNTAX: Final = msgspec.json.Decoder(msgspec.Raw)  # walks over the document without making its values
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE: Final = bytes(c for c in range(256) if c not in b'[]{}"')
# What a float or a 64-bit integer may not hold exactly: 16 digits or more, or an exponent.
_LONG_NUMBER: Final = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE]")


def depth_exceeds(body: bytes, cap: int) -> bool:
    """Whether valid JSON in `body` nests deeper than `cap` arrays and objects. Runs in C, not per byte."""
    if len(body) < 4096 and body.count(b"[") + body.count(b"{") <= cap:
        return False
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    left = body.translate(_AS_SQUARE, _NOT_STRUCTURE).replace(b'""', b"")  # strings without a bracket in them
    if b'"' in left:
        left = b"".join(left.split(b'"')[::2])
    for _ in range(cap):
        if not left:
            return False
        left = left.replace(b"[]", b"")  # the innermost level
    return bool(left)


def check(body: bytes, *, max_depth: int) -> None:
    """Raise `ValueError` with a sentence where `parse` would. Makes no values, so it costs a third of it."""
    if depth_exceeds(body, max_depth):
        msg = f"it nests deeper than {max_depth} levels"
        raise ValueError(msg)
    try:
        body.decode()
        _SYNTAX.decode(body)
    except UnicodeDecodeError as e:
        msg = f"it is not UTF-8 at byte {e.start}"
        raise ValueError(msg) from None
    except (msgspec.DecodeError, RecursionError) as e:
        msg = f"it is not JSON: {e}"
        raise ValueError(msg) from None


def parse(body: bytes, *, max_depth: int) -> Any:
    """The value of the JSON document `body`.

    Raises `ValueError` with a sentence if it is not UTF-8, not standard JSON (`NaN` is not), or nests
    deeper than `max_depth`.
    """
    if depth_exceeds(body, max_depth):
        msg = f"it nests deeper than {max_depth} levels"
        raise ValueError(msg)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as e:
        msg = f"it is not JSON: {e.msg} at byte {e.pos}"
        raise ValueError(msg) from None


def parse_exact(body: bytes) -> Any:
    """The value of a valid JSON document, such that `write` gives every number back as it was.

    Numbers that Python's float or a 64-bit integer might not hold exactly become `orjson.Fragment`s:
    opaque, but written back to the letter. Documents without such numbers cost one regular-expression
    search more than a plain parse.
    """
    if not _LONG_NUMBER.search(body):
        return orjson.loads(body)
    return json.loads(
        body,
        parse_float=lambda text: orjson.Fragment(text) if _LONG_NUMBER.search(text.encode()) else float(text),
        parse_int=lambda text: orjson.Fragment(text) if len(text) > 18 else int(text),
    )


def write(value: Any) -> bytes:
    """The document whose value is `value`."""
    return orjson.dumps(value)
