"""Signatures: what is signed verifies, and nothing else does."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway.errors import WebhookRefused
from gateway.wire import signature

NOW = 1_700_000_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the secret of the specification's own examples
KEY = signature.key_of(SECRET)


def check(
    header: str | None,
    *,
    body: bytes = b"{}",
    message_id: str | None = "msg_1",
    timestamp: str | None = str(NOW),
    keys: tuple[bytes, ...] = (KEY,),
    expected_id: str | None = None,
) -> None:
    signature.verify(
        keys,
        message_id=message_id,
        timestamp=timestamp,
        signature=header,
        body=body,
        now=NOW,
        expected_id=expected_id,
    )


def test_a_message_signed_here_verifies_with_the_reference_library() -> None:
    body = b'{"test": 2432232314}'
    now = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": str(now),
        "webhook-signature": signature.sign([KEY], "msg_p5jXN8AQM9LWM0D4loKWxJek", now, body),
    }
    assert Webhook(SECRET).verify(body, headers) == {"test": 2432232314}


def test_a_message_signed_by_the_reference_library_verifies_here() -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    header = Webhook(SECRET).sign("msg_1", at, '{"test": 1}')
    check(header, body=b'{"test": 1}')


def test_the_published_example_of_the_specification_is_reproduced() -> None:
    header = signature.sign([KEY], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert header == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_during_a_rotation_either_secret_verifies() -> None:
    other = signature.key_of(signature.new_secret())
    header = signature.sign([other, KEY], "msg_1", NOW, b"{}")
    assert header.count("v1,") == 2
    check(header, keys=(KEY,))
    check(header, keys=(other,))


GOOD = signature.sign([KEY], "msg_1", NOW, b"{}")


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("another body", {"body": b"{ }"}),
        ("another id", {"message_id": "msg_2"}),
        ("no id", {"message_id": None}),
        ("no timestamp", {"timestamp": None}),
        ("an old timestamp", {"timestamp": str(NOW - 301)}),
        ("a timestamp of the future", {"timestamp": str(NOW + 301)}),
        ("a timestamp with a sign", {"timestamp": f"+{NOW}"}),
        ("a timestamp with a leading zero", {"timestamp": f"0{NOW}"}),
        ("a timestamp with a space", {"timestamp": f" {NOW}"}),
        ("a timestamp in other digits", {"timestamp": "１７０００００００００"}),
        ("a timestamp with a fraction", {"timestamp": f"{NOW}.0"}),
        ("another key", {"keys": (b"x" * 24,)}),
        ("no key at all", {"keys": ()}),
        ("an id that is not text", {"message_id": "\ud800"}),
        ("not the id of the request", {"expected_id": "msg_other"}),
    ],
)
def test_a_message_is_refused_with(why: str, change: dict[str, object]) -> None:
    check(GOOD)
    with pytest.raises(WebhookRefused):
        check(GOOD, **change)  # type: ignore[arg-type]  # a table of keyword arguments


@pytest.mark.parametrize("header", [None, "", "v1", "v1,", "v2," + GOOD[3:], GOOD[:-1], GOOD.lower(), "v1a" + GOOD[2:]])
def test_a_malformed_signature_is_refused(header: str | None) -> None:
    with pytest.raises(WebhookRefused):
        check(header)


@given(
    header=st.text(max_size=200),
    message_id=st.text(max_size=40),
    timestamp=st.text(max_size=20),
    body=st.binary(max_size=200),
)
def test_any_input_is_either_valid_or_refused(header: str, message_id: str, timestamp: str, body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        check(header, message_id=message_id, timestamp=timestamp, body=body)


@given(body=st.binary(max_size=500), message_id=st.text(min_size=1, max_size=40, alphabet=st.characters(codec="ascii")))
def test_what_is_signed_verifies_and_one_changed_byte_does_not(body: bytes, message_id: str) -> None:
    header = signature.sign([KEY], message_id, NOW, body)
    check(header, body=body, message_id=message_id)
    with pytest.raises(WebhookRefused):
        check(header, body=body + b"\0", message_id=message_id)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAAA", "whsec_not base64!", "whsec_" + "A" * 200, "whsec_ä"])
def test_a_secret_that_is_none_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="a signing secret") as caught:
        signature.key_of(secret)
    assert secret.removeprefix("whsec_") not in str(caught.value) or secret == "whsec_"


@given(key=st.binary(max_size=200), start=st.binary(max_size=100), body=st.binary(max_size=300))
def test_a_key_that_was_taken_in_signs_each_message_as_hmac_does(key: bytes, start: bytes, body: bytes) -> None:
    taken_in = signature.HmacKey(key)
    for content in (body, b"", body * 9):
        expected = base64.b64encode(hmac.digest(key, start + content, "sha256"))
        assert expected == taken_in.signature(start, content)
