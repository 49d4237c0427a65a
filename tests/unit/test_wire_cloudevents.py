"""A call as a CloudEvent."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Query, Result
from gateway.wire import nesting, retry_after, trace
from gateway.wire.cloudevents import QueryEvent, header_value, rfc3339

QUERY = Query("search", "air", "acme", {"q": "lisbon"}, {"user": 7}, id="q_1")


def test_the_structured_form_holds_the_attributes_the_query_and_the_result() -> None:
    body = QueryEvent(QUERY, "/gateway").structured("msg_1", "hk_1", 1_700_000_000.25, Result(b'{"rows": [1]}'))
    assert orjson.loads(body) == {
        "specversion": "1.0",
        "id": "msg_1",
        "source": "/gateway",
        "type": "query.result.search",
        "time": "2023-11-14T22:13:20.250Z",
        "subject": "q_1",
        "capability": "air",
        "tenant": "acme",
        "hookid": "hk_1",
        "datacontenttype": "application/json",
        "data": {
            "query": {
                "type": "search",
                "capability": "air",
                "tenant": "acme",
                "params": {"q": "lisbon"},
                "context": {"user": 7},
            },
            "result": {"rows": [1]},
        },
    }


def test_the_result_stands_in_the_structured_form_byte_for_byte() -> None:
    odd = b'{ "n" : 1.50, "big": 123456789012345678901234 }'
    assert odd in QueryEvent(QUERY, "/gateway").structured("msg_1", "hk_1", 0.0, Result(odd))


def test_attributes_that_are_absent_are_left_out() -> None:
    body = orjson.loads(QueryEvent(Query("form"), "/g").structured("m", "h", 0.0, Result(b"1")))
    assert "capability" not in body
    assert "tenant" not in body
    assert body["data"]["query"]["capability"] is None


def test_the_binary_form_says_the_attributes_in_headers() -> None:
    headers = dict(QueryEvent(QUERY, "/gateway").binary("msg_1", "hk_1", 0.0))
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "msg_1",
        "ce-source": "/gateway",
        "ce-type": "query.result.search",
        "ce-time": "1970-01-01T00:00:00.000Z",
        "ce-subject": "q_1",
        "ce-capability": "air",
        "ce-tenant": "acme",
        "ce-hookid": "hk_1",
    }


@given(text=st.text(max_size=30))
def test_any_text_survives_as_a_header_of_printable_ascii(text: str) -> None:
    value = header_value(text)
    assert value.isascii()
    assert value.isprintable()
    assert " " not in value
    assert unquote(value) == text


@given(
    name=st.text(max_size=20), params=st.none() | st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3)
)
def test_any_query_makes_one_json_document(name: str, params: Any) -> None:
    body = QueryEvent(Query(name, params=params), "/g").structured("m", "h", 0.0, Result(b"[]"))
    assert orjson.loads(body)["data"] == {
        "query": {"type": name, "capability": None, "tenant": None, "params": params, "context": None},
        "result": [],
    }


def test_times_are_told_in_utc_with_milliseconds() -> None:
    assert rfc3339(1_700_000_000.9996) == "2023-11-14T22:13:20.999Z"


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def test_a_call_joins_the_trace_of_its_query() -> None:
    version, trace_id, span, flags = trace.child(PARENT).split("-")
    assert (version, trace_id, flags) == ("00", "0af7651916cd43dd8448eb211c80319c", "00")
    assert span != "b7ad6b7169203331"


@pytest.mark.parametrize("parent", [None, "", "garbage", PARENT[:-1], PARENT.upper(), "00-" + "0" * 32 + PARENT[35:]])
def test_without_a_trace_to_join_a_new_one_begins(parent: str | None) -> None:
    version, trace_id, span, flags = trace.child(parent).split("-")
    assert (version, len(trace_id), len(span), flags) == ("00", 32, 16, "01")
    assert trace_id != "0" * 32


@pytest.mark.parametrize(
    ("value", "depth"), [(None, 0), ("", 0), ("2", 2), ("-1", 0), ("x", 0), ("²", 0), ("9999999", 0)]
)
def test_a_depth_that_is_none_counts_as_none(value: str | None, depth: int) -> None:
    assert nesting.depth_of(value) == depth


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("-7", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after.seconds(value, 1_700_000_000) == seconds


def test_a_header_that_was_no_utf_8_is_refused_in_both_forms_alike():
    event = QueryEvent(Query(type="search", id="q", tenant="caf\udce9"), "/gateway")
    with pytest.raises(TypeError, match="UTF-8"):
        event.structured("msg_1", "hk_1", 0.0, Result(b"{}"))
    with pytest.raises(TypeError, match="UTF-8"):
        event.binary("msg_1", "hk_1", 0.0)
