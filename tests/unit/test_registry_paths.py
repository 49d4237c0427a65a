"""Sets of JSON Pointers with `*`: what lies within what, and what two have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.paths import narrowed, within

TOKENS = st.sampled_from(["a", "b", "*"])
POINTERS = st.lists(TOKENS, max_size=3).map(lambda tokens: "".join("/" + token for token in tokens))
SETS = st.lists(POINTERS, min_size=1, max_size=3).map(tuple)
# Every place of a document three levels deep whose members are a, b and c.
PLACES = [
    "".join("/" + token for token in path)
    for path in [(), *((x,) for x in "abc"), *((x, y) for x in "abc" for y in "abc")]
    + [(x, y, z) for x in "abc" for y in "abc" for z in "abc"]
]


def reached(pointers: tuple[str, ...]) -> set[str]:
    """The places that the pointers stand for, found the slow way."""
    found = set()
    for place in PLACES:
        tokens = place.split("/")
        for pointer in pointers:
            wanted = pointer.split("/")
            if len(tokens) >= len(wanted) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=False)):
                found.add(place)
    return found


@pytest.mark.parametrize(
    ("pointer", "allowed", "is_within"),
    [
        ("/rows/*/price", [""], True),
        ("/rows/*/price", ["/rows"], True),
        ("/rows/*/price", ["/rows/*/price"], True),
        ("/rows/3/price", ["/rows/*/price"], True),
        ("/rows/*/price", ["/rows/3/price"], False),
        ("/rows", ["/rows/*/price"], False),
        ("", ["/rows"], False),
        ("/rowsandmore", ["/rows"], False),
        ("/a~1b", ["/a~1b"], True),
        ("/a/b", ["/a~1b"], False),
        ("/a", [], False),
    ],
)
def test_a_pointer_lies_within_another_that_stands_for_all_it_finds(
    pointer: str, allowed: list[str], *, is_within: bool
) -> None:
    assert within(pointer, allowed) is is_within


@pytest.mark.parametrize(
    ("wanted", "allowed", "both"),
    [
        (None, None, None),
        (None, ("/a",), ("/a",)),
        (("/a",), None, ("/a",)),
        (("/rows/*/price",), ("/rows",), ("/rows/*/price",)),
        (("/rows",), ("/rows/*/price",), ("/rows/*/price",)),
        (("/rows/*/price",), ("/rows/3",), ("/rows/3/price",)),
        (("/a", "/b"), ("/b/c", "/d"), ("/b/c",)),
        (("/a",), ("/b",), ()),
        ((), None, ()),
    ],
)
def test_a_set_is_narrowed_to_what_is_in_both(
    wanted: tuple[str, ...] | None, allowed: tuple[str, ...] | None, both: tuple[str, ...] | None
) -> None:
    assert narrowed(wanted, allowed) == both


@given(SETS, SETS)
def test_what_is_in_both_sets_is_what_each_of_them_reaches(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    both = narrowed(one, other)
    assert both is not None
    assert reached(both) == reached(one) & reached(other)


@given(POINTERS, SETS)
def test_a_pointer_within_a_set_reaches_nothing_beyond_it(pointer: str, allowed: tuple[str, ...]) -> None:
    if within(pointer, allowed):
        assert reached((pointer,)) <= reached(allowed)
