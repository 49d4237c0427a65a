"""Whatever comes, a receiver answers it: valid or rejected, and never an exception of another kind."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import WebhookRefused
from gateway.receiver import HookReceiver
from gateway.wire.cloudevents import STRUCTURED_TYPE
from gateway.wire.diff import difference
from gateway.wire.keyring import KeyRing
from gateway.wire.patch import apply_json_patch

SECRET = "whsec_" + "A" * 43 + "="
NOW = 1_700_000_000.0
KEYS = KeyRing([(SECRET, None)])
NAMES = st.sampled_from(
    [
        "webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "gateway-timeout-ms", "gateway-depth",
        "ce-specversion", "ce-type", "ce-subject", "ce-hookid", "webhook-request-origin", "traceparent", "Content-Type",
    ]
)  # fmt: skip
VALUES = (
    st.sampled_from(["1.0", "query.result.search", STRUCTURED_TYPE, "application/json", "1700000000", "msg_1", "v1,"])
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3)
)
HEADERS = st.lists(st.tuples(NAMES | st.text(max_size=5) | st.binary(max_size=5), VALUES), max_size=8)
BODIES = (
    st.binary(max_size=200)
    | st.sampled_from(
        [b'{"id":"a"}', b"{}", b'{"specversion":"1.0","id":"a","data":{"query":{"type":"x"},"result":1}}']
    )
    | st.builds(
        lambda kind, result: (
            b'{"specversion":"1.0","id":"a","data":{"query":{"type":%b},"result":%b}}' % (kind, result)
        ),
        st.sampled_from([b'"x"', b"1", b"null", b'"\\ud800"', b'"\xff"']),
        st.sampled_from([b"1", b"NaN", b"", b"[", b'"\\ud800"', b'{"a":1e999}', b"[" * 200 + b"]" * 200]),
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, width=16) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("ab/~01", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def receiver():
    made = HookReceiver([SECRET], now=lambda: NOW, clock=lambda: 0.0)

    @made.default
    def look(call):
        with call.edit() as result:
            if isinstance(result, dict):
                result["seen"] = True

    return made


@given(HEADERS, BODIES, st.sampled_from([None, "POST", "GET", "OPTIONS", "X"]), st.none() | st.text(max_size=10))
def test_any_bytes_get_an_answer(headers, body, method, path):
    made = receiver()
    reply = made(headers, body, method=method, path=path)
    assert reply.status in {200, 204, 400, 401, 403, 404, 405, 413, 415}
    try:
        made.verify(headers, body)
    except WebhookRefused:
        return
    raise AssertionError("nobody signed this")


@given(HEADERS, BODIES, st.text(st.characters(codec="utf-8"), min_size=1, max_size=5) | st.just("msg_1"))
def test_any_bytes_that_the_gateway_signed_get_an_answer(headers, body, ident):
    kept = [
        (name, value)
        for name, value in headers
        if not (name if isinstance(name, str) else name.decode("latin-1")).lower().startswith("webhook-")
    ]
    signed = [
        ("webhook-id", ident),
        ("webhook-timestamp", str(int(NOW))),
        ("webhook-signature", KEYS.sign(ident, int(NOW), body, NOW)),
    ]
    reply = receiver()([*kept, *signed], body)
    assert reply.status in {200, 204, 400, 401, 415, 500}
    if reply.status != 401:
        KEYS.verify(reply.header, reply.body, now=NOW, expected_id=ident)
    if reply.status == 500:  # a handler that looks at a result which is none
        assert b'"\\ud800"' in body


@given(JSON, JSON)
def test_the_difference_of_two_documents_leads_from_one_to_the_other(before, after):
    operations = difference(before, after, most=1000)
    patched = apply_json_patch(deepcopy(before), operations)
    assert difference(patched, after, most=0) == []
    assert difference(after, deepcopy(after), most=0) == []
