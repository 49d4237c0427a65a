"""What is kept of bodies: excerpts, without what the operator wants nobody to read."""

from __future__ import annotations

import json

import pytest

from gateway.wire.redaction import HIDDEN, Redaction, parse_pattern

EVENT = "application/cloudevents+json"
ROWS = {"rows": [{"id": 1, "email": "a@b"}, {"id": 2, "email": "c@d"}], "meta": {"by": "x"}}
HIDDEN_ROWS = {"rows": [{"id": 1, "email": HIDDEN}, {"id": 2, "email": HIDDEN}], "meta": {"by": "x"}}
EMAILS = Redaction(["/result/rows/*/email", "/query/params/secret"])


def event(result, params=None):
    return json.dumps({"id": "1", "data": {"query": {"params": params}, "result": result}}).encode()


def test_without_patterns_the_beginning_of_any_body_is_kept():
    kept = Redaction().request(b"\xff" + b"x" * 9, "text/plain", 4)
    assert (kept.text, kept.size, kept.note) == ("�xxx", 10, "cut after 4 bytes")
    assert Redaction().reply(500, b"oops", "text/html", 4).note is None


def test_in_a_structured_call_query_and_result_are_redacted():
    kept = json.loads(EMAILS.request(event(ROWS, {"secret": 1, "q": 2}), EVENT, 10_000).text)
    assert kept["data"] == {"query": {"params": {"secret": HIDDEN, "q": 2}}, "result": HIDDEN_ROWS}
    assert kept["id"] == "1"


def test_in_a_batch_of_events_each_is_redacted():
    batch = b"[" + event(ROWS) + b"," + event({}) + b"]"
    kept = json.loads(EMAILS.request(batch, "application/cloudevents-batch+json", 10_000).text)
    assert [each["data"]["result"] for each in kept] == [HIDDEN_ROWS, {}]


def test_in_a_binary_call_and_in_replies_the_body_is_the_result():
    body = json.dumps(ROWS).encode()
    assert json.loads(EMAILS.request(body, "application/json", 10_000).text) == HIDDEN_ROWS
    assert json.loads(EMAILS.reply(200, body, "application/json; charset=utf-8", 10_000).text) == HIDDEN_ROWS
    assert json.loads(EMAILS.reply(200, body, "application/merge-patch+json", 10_000).text) == HIDDEN_ROWS


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("/rows/0/email", "a@b", HIDDEN),
        ("/rows/-", {"id": 3, "email": "e@f"}, {"id": 3, "email": HIDDEN}),
        ("/rows", [{"email": "e@f"}], [{"email": HIDDEN}]),
        ("", ROWS, HIDDEN_ROWS),
        ("/rows/0/email/inside", "a@b", HIDDEN),
        ("/meta", {"email": "kept"}, {"email": "kept"}),
        ("/rows/0/id", 7, 7),
    ],
)
def test_in_a_patch_the_values_are_redacted_wherever_they_go(path, value, expected):
    patch = [{"op": "add", "path": path, "value": value}, {"op": "remove", "path": "/rows/0/email"}]
    kept = EMAILS.reply(200, json.dumps(patch).encode(), "application/json-patch+json", 10_000)
    assert json.loads(kept.text) == [{"op": "add", "path": path, "value": expected}, patch[1]]
    assert EMAILS.diff(patch)[0]["value"] == expected


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (500, b'{"rows": [{"email": "a@b"}]}', "application/json"),
        (200, b'{"rows": [{"email": "a@b"}', "application/json"),
        (200, b"a@b", "text/html"),
        (200, b"a@b", None),
        (200, b'{"op": "add"}', "application/json-patch+json"),
        (200, b'[{"value": "a@b"}]', "application/json-patch+json"),
    ],
)
def test_what_the_patterns_cannot_be_applied_to_is_withheld(status, body, content_type):
    kept = EMAILS.reply(status, body, content_type, 10_000)
    assert kept.text is None
    assert kept.note.startswith("withheld")
    assert kept.size == len(body)


def test_what_is_too_large_to_be_redacted_as_a_whole_is_withheld():
    kept = EMAILS.reply(200, json.dumps(ROWS).encode(), "application/json", 20)
    assert kept.text is None
    assert "more than 20 bytes" in kept.note


def test_a_queries_params_are_redacted_without_touching_them():
    params = {"secret": 1}
    assert EMAILS.query(params, None) == {"params": {"secret": HIDDEN}, "context": None}
    assert params == {"secret": 1}


def test_numbers_stay_as_they_are_written():
    assert EMAILS.reply(200, b'{"n":1.00000000000000000001}', "application/json", 100).text == (
        '{"n":1.00000000000000000001}'
    )


@pytest.mark.parametrize("pattern", ["rows", "/rows", "", "/result/a~2b", "/result/~"])
def test_a_pattern_that_is_none_or_leads_nowhere_is_refused(pattern):
    with pytest.raises(ValueError, match=r"JSON Pointer|leads nowhere"):
        parse_pattern(pattern)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"3", b'[{"data": {}}, {}]', b"null"])
def test_what_only_claims_to_be_a_call_is_withheld_or_has_nothing_to_hide(body):
    for kind in (EVENT, "application/cloudevents-batch+json", "application/json"):
        kept = EMAILS.request(body, kind, 10_000)
        assert kept.text is None or json.loads(kept.text) == json.loads(body)


def test_only_a_text_that_is_the_body_to_the_byte_is_exact():
    assert Redaction().request(b"abc", "text/plain", 4).exact
    assert not Redaction().request(b"abcde", "text/plain", 4).exact
    assert not Redaction().request(b"\xff", "text/plain", 4).exact
    assert not EMAILS.request(event(ROWS), EVENT, 10_000).exact
