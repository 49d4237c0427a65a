"""What `Cache-Control` and its neighbours say about using a reply again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import freshness


def seconds(control=None, **others):
    headers = {"cache-control": control, **others}
    return freshness.seconds(headers.get)


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (None, 0),
        ("", 0),
        ("max-age=60", 60),
        ("Max-Age = 60", 60),
        ('max-age="60"', 60),
        ("public, max-age=60, must-revalidate", 60),
        ("max-age=60,max-age=30", 30),
        ("max-age=0", 0),
        ("max-age=-1", 0),
        ("max-age=1.5", 0),
        ("max-age=sixty", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=\u0661", 0),  # ARABIC-INDIC DIGIT ONE
        ("max-age=99999999999999999999", 2**31),
        ("public", 0),
        ("no-store", 0),
        ("max-age=60, no-store", 0),
        ("no-cache, max-age=60", 0),
        ('max-age=60, no-cache="set-cookie"', 0),
        ("private, max-age=60", 0),
        ("PRIVATE,max-age=60", 0),
        ("max-age=60, s-maxage=10", 10),
        ("s-maxage=10, max-age=60", 10),
        ("s-maxage=120, max-age=60", 120),
        ("s-maxage=0, max-age=60", 0),
        ("s-maxage=oops, max-age=60", 0),
        ('extension="max-age=5", max-age=60', 60),
        ('extension="a, no-store", max-age=60', 60),
        ("not-max-age=60", 0),
        ("max-age=60, immutable, stale-while-revalidate=600", 60),
    ],
)
def test_a_reply_may_be_used_again_for_as_long_as_a_shared_cache_may(control, expected):
    assert seconds(control) == expected


@pytest.mark.parametrize(("age", "expected"), [("0", 60), ("20", 40), (" 20 ", 40), ("60", 0), ("90", 0), ("old", 0)])
def test_the_time_it_spent_in_other_caches_counts(age, expected):
    assert seconds("max-age=60", age=age) == expected


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ("Accept-Encoding", 60),
        ("Origin, Cookie", 60),
        ("*", 0),
        ("Accept, Webhook-Id", 0),
        ("gateway-timeout-ms", 0),
        ("ce-id", 0),
        ("Traceparent", 0),
    ],
)
def test_a_reply_that_depends_on_what_differs_from_call_to_call_is_not_used_again(vary, expected):
    assert seconds("max-age=60", vary=vary) == expected


@given(st.text(), st.none() | st.text(), st.none() | st.text())
def test_any_headers_whatever_give_a_number_within_bounds(control, age, vary):
    assert 0 <= seconds(control, age=age, vary=vary) <= 2**31
