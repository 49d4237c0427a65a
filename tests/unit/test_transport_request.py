"""A form writes the heads that are written without one, and refuses what is refused without one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallError
from gateway.transport import parse_endpoint
from gateway.transport.request import FilledForm, HeadForm, HeadWriter

ENDPOINT = parse_endpoint("https://hooks.example:8443/a?b=%25s", pool="hk_1")
NAMES = st.sampled_from(["x", "webhook-id", "ce-type", "x-100%"]) | st.sampled_from(["host", "a b", "", "é", "x:"])
VALUES = st.sampled_from(["", "v", "100%s", "a\tb"]) | st.sampled_from(["\r\nx: y", "\n", "\0", "\x7f", "é"])


def written(make) -> bytes | None:
    try:
        return make()
    except CallError:
        return None


@given(headers=st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=6), length=st.integers(0, 10**6))
def test_a_form_writes_and_refuses_what_a_list_of_headers_does(
    headers: list[tuple[str, str, bool]], length: int
) -> None:
    pairs = [(name, value) for name, value, _ in headers]

    def by_form() -> bytes:
        form = HeadForm(ENDPOINT, [(name, None if filled else value) for name, value, filled in headers])
        return form.write([value for _, value, filled in headers if filled], length)

    assert written(by_form) == written(lambda: HeadWriter().write(ENDPOINT, "POST", pairs, length))


def test_a_filled_form_is_a_sequence_of_its_headers() -> None:
    form = HeadForm(ENDPOINT, [("a", "1"), ("b", None), ("c", "3"), ("d", None)])
    filled = FilledForm(form, ["2", "4"])
    assert list(filled) == [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]
    assert (len(filled), filled[1], filled[2:]) == (4, ("b", "2"), [("c", "3"), ("d", "4")])


def test_a_form_takes_as_many_values_as_it_has_room_for() -> None:
    form = HeadForm(ENDPOINT, [("a", None), ("b", None)])
    for values in (["1"], ["1", "2", "3"]):
        with pytest.raises(ValueError, match="assign"):
            form.write(values, 0)
