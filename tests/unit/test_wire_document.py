"""Reading and writing JSON without changing what nobody asked to change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import document

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(alphabet='ab"\\[]{}\n\u00e9', max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


def depth(value: Any) -> int:
    """How deep `value` nests, by walking it."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(value=VALUES, cap=st.integers(0, 8))
def test_the_depth_found_in_the_bytes_is_that_of_the_value(value: Any, cap: int) -> None:
    for body in (orjson.dumps(value), json.dumps(value, indent=1).encode()):
        assert document.depth_exceeds(body, cap) == (depth(value) > cap)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b'{"a":1,}',
        b"\xff",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"{}x",
        b"'a'",
        b'"\\ud800"',
        b'["\t"]',
        b"[01]",
        b"[1.]",
        b"[-]",
        b"[1,]",
        b'{"a" 1}',
        b"[tru]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_not_standard_json_of_bounded_depth_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        document.parse(body, max_depth=100)
    with pytest.raises(ValueError, match="it "):
        document.check(body, max_depth=100)


@given(body=st.binary(max_size=60) | VALUES.map(orjson.dumps) | VALUES.map(lambda v: orjson.dumps(v)[:-1]))
def test_checking_a_document_finds_what_parsing_it_finds(body: bytes) -> None:
    def refused(read: Callable[..., object]) -> bool:
        try:
            read(body, max_depth=100)
        except ValueError:
            return True
        return False

    assert refused(document.check) == refused(document.parse)


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567890123",
        "-12345678901234567890123",
        "0.1234567890123456789",
        "1e400",
        "1E5",
        "-0.0",
        "100000000000000000000.5",
        "9007199254740993",
        "18446744073709551616",
        "12.50",
        "0.100",
        "-0",
    ],
)
def test_a_number_that_a_float_cannot_hold_survives_reading_and_writing(text: str) -> None:
    body = b'{"a":' + text.encode() + b',"b":[1,2.5]}'
    assert document.write(document.parse_exact(body)) == body


@given(value=VALUES)
def test_a_document_survives_reading_and_writing(value: Any) -> None:
    assert document.write(document.parse_exact(orjson.dumps(value))) == orjson.dumps(value)


def depth_of(value: Any) -> int:
    """How deep a value nests, counted one by one."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((depth_of(inner) for inner in (value.values() if isinstance(value, dict) else value)), default=0)


TRICKY = st.recursive(
    st.text('[]{}"\\ax', max_size=4) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\ax', max_size=3), inner, max_size=4),
    max_leaves=30,
)


@given(
    value=TRICKY, wrapped=st.integers(0, 20), siblings=st.lists(TRICKY, max_size=3), length=st.sampled_from([0, 5_000])
)
def test_the_depth_is_what_counting_it_finds_whatever_stands_in_strings(
    value: Any, wrapped: int, siblings: list[Any], length: int
) -> None:
    for number in range(wrapped):
        value = {"x" * length: value} if number == 7 else [value, *siblings]
    depth = depth_of(value)
    body = orjson.dumps(value)
    assert not document.depth_exceeds(body, depth)
    assert not depth or document.depth_exceeds(body, depth - 1)


def test_a_string_without_an_end_is_no_json_however_many_brackets_there_are() -> None:
    with pytest.raises(ValueError, match="it is not JSON"):
        document.check(b'["' + b"[" * 5000, max_depth=100)
