"""Strict reading of JSON documents: UTF-8, standard JSON, bounded depth, no number changed."""

from __future__ import annotations

import json
import re
from itertools import accumulate
from operator import add
from typing import Any, Final

import msgspec
import orjson

_SYNTAX: Final = msgspec.json.Decoder(msgspec.Raw)  # walks over the document without making its values
_AS_BITS: Final = bytes.maketrans(b"{}[]", b"1010")
_NOT_STRUCTURE: Final = bytes(c for c in range(256) if c not in b'[]{}"')
# What stands behind a backslash stays there, so that no other character comes to stand behind it.
_NEITHER_STRUCTURE_NOR_ESCAPE: Final = bytes(c for c in _NOT_STRUCTURE if c not in b"\\/bfnrtu")
_STRINGS: Final = re.compile(rb'"[^"]*"?')  # the last one may lack its end in what is no JSON
_LAYERS: Final = 4  # of arrays and objects; few documents have more
# For eight brackets as the bits of a byte, 1 an opening one: how much deeper it is behind them, as a signed byte ...
_DEEPER: Final = bytes((2 * bits.bit_count() - 8) & 0xFF for bits in range(256))
# ... and how much deeper it gets among them.
_DEEPEST: Final = bytes(max(2 * (bits >> 8 - count).bit_count() - count for count in range(9)) for bits in range(256))
# What a float or a 64-bit integer may not give back as it was: 16 digits or more, an exponent, a zero at the end of a
# fraction, a negative zero.
_LONG_NUMBER: Final = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE]|\.[0-9]+0\Z|\A-0\Z")
_ENDS_IN_ZERO: Final = re.compile(rb"\.[0-9]+0(?![0-9])")
_NEGATIVE_ZERO: Final = re.compile(rb"-0(?![0-9.])")
# The same search for the first two, ten times as fast: every digit and point a 9, every e an e, all else a blank.
_DIGITS: Final = bytes(ord("9") if c in b"0123456789." else ord("e") if c in b"eE" else ord(" ") for c in range(256))
_MANY_DIGITS: Final = b"9" * 16


def depth_exceeds(body: bytes, cap: int) -> bool:
    """Whether valid JSON in `body` nests deeper than `cap` arrays and objects.

    Takes time in proportion to the size, whatever the document: a hostile one must not hold up the others. Most are
    known to be shallow by the number of their brackets, or of those that are left when the innermost arrays and objects
    were taken away a few times, each time one level. Otherwise the brackets are packed into bits, so that
    the only loop over them takes eight at a time.
    """
    size = len(body)
    if size <= 2 * cap or size - len(body.replace(b"[", b"", cap + 1).replace(b"{", b"", cap + 1)) <= cap:
        return False
    if b"\\" in body and b'\\"' in body:
        body = body.translate(None, _NEITHER_STRUCTURE_NOR_ESCAPE).replace(b"\\\\", b"").replace(b'\\"', b"")
    left = _brackets(body.translate(_AS_BITS, _NOT_STRUCTURE))
    for _ in range(_LAYERS):
        if left.count(b"1") <= cap:
            return False
        size = len(left)
        left = left.replace(b"10", b"")
        cap -= 1
        if len(left) > size // 4 * 3:  # far more than the innermost ones: it may be deep indeed
            break
    return _deepest(left) > cap


def _brackets(structure: bytes) -> bytes:
    """The brackets of `structure`, brackets and quotes, that are not in strings."""
    brackets = structure.translate(None, b'"')
    quotes = len(structure) - len(brackets)
    if quotes == 2 * structure.count(b'""'):  # wherever there are quotes, they come in pairs: no bracket between them
        return brackets
    return _STRINGS.sub(b"", structure.replace(b'""', b""))


def _deepest(brackets: bytes) -> int:
    size = -(-len(brackets) // 8)
    eights = int(brackets.ljust(8 * size, b"0") or b"0", 2).to_bytes(size, "big")
    before = accumulate(memoryview(eights.translate(_DEEPER)).cast("b"), initial=0)
    return max(map(add, before, eights.translate(_DEEPEST)), default=0)


def check(body: bytes, *, max_depth: int) -> None:
    """Raise `ValueError` with a sentence where `parse` would. Makes no values, so it costs a third of it."""
    if depth_exceeds(body, max_depth):
        msg = f"it nests deeper than {max_depth} levels"
        raise ValueError(msg)
    try:
        if not body.isascii():
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
    opaque, but written back to the letter. Documents without such numbers cost a search more than a plain parse.
    """
    kinds = body.translate(_DIGITS)
    if not (_MANY_DIGITS in kinds or b"9e" in kinds or _ENDS_IN_ZERO.search(body) or _NEGATIVE_ZERO.search(body)):
        return orjson.loads(body)
    return json.loads(
        body,
        parse_float=lambda text: orjson.Fragment(text) if _LONG_NUMBER.search(text.encode()) else float(text),
        parse_int=lambda text: orjson.Fragment(text) if len(text) > 18 or text == "-0" else int(text),
    )


def write(value: Any) -> bytes:
    """The document whose value is `value`."""
    return orjson.dumps(value)
