"""Signatures of the scheme v1a: what is signed verifies, also by another program, and nothing else does."""

from __future__ import annotations

import base64
import sys

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, WebhookRefused
from gateway.wire import ed25519, signature
from gateway.wire.ed25519 import PublicKey, SigningKey
from gateway.wire.keyring import KeyRing

NOW = 1_700_000_000
# RFC 8032, section 7.1, test 1
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
PRIVATE_TEXT = "whsk_" + base64.b64encode(SEED + PUBLIC).decode()
PUBLIC_TEXT = "whpk_" + base64.b64encode(PUBLIC).decode()
SIGNING = SigningKey(PRIVATE_TEXT)
PUBLIC_KEY = PublicKey(PUBLIC_TEXT)
SECRET = signature.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def check(header, *, body=b"{}", message_id="msg_1", timestamp=str(NOW), keys=(), public_keys=(PUBLIC_KEY,), **more):
    signature.verify(
        keys,
        message_id=message_id,
        timestamp=timestamp,
        signature=header,
        body=body,
        now=NOW,
        public_keys=public_keys,
        **more,
    )


def test_the_published_vector_of_the_standard_is_reproduced():
    expected = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert SIGNING.sign(b"").hex() == expected
    assert ed25519.public_key_of(PRIVATE_TEXT) == PUBLIC_TEXT


def test_another_program_verifies_what_is_signed_here():
    private = ed25519.new_signing_key()
    header = signature.sign([], "msg_1", NOW, b'{"a": 1}', [SigningKey(private)])
    scheme, _, value = header.partition(",")
    raw = base64.b64decode(ed25519.public_key_of(private).removeprefix("whpk_"), validate=True)
    assert (scheme, len(raw)) == ("v1a", 32)
    other = Ed25519PublicKey.from_public_bytes(raw)
    other.verify(base64.b64decode(value, validate=True), b'msg_1.1700000000.{"a": 1}')
    with pytest.raises(InvalidSignature):
        other.verify(base64.b64decode(value), b'msg_1.1700000000.{"a": 2}')


def test_what_another_program_signs_verifies_here():
    other = Ed25519PrivateKey.generate()
    public = PublicKey("whpk_" + base64.b64encode(other.public_key().public_bytes_raw()).decode())
    header = "v1a," + base64.b64encode(other.sign(b"msg_1.1700000000.{}")).decode()
    check(header, public_keys=(public,))
    with pytest.raises(WebhookRefused):
        check(header)


def test_a_call_carries_v1_and_v1a_and_several_of_each_during_a_rotation():
    old = ed25519.new_signing_key()
    ring = KeyRing(
        [(signature.new_secret(), None), (signature.new_secret(), NOW + 10.0), (signature.new_secret(), NOW - 1.0)],
        [(PRIVATE_TEXT, None), (old, NOW + 10.0), (ed25519.new_signing_key(), NOW - 1.0)],
    )
    header = ring.sign("msg_1", NOW, b"{}", NOW)
    assert [part.partition(",")[0] for part in header.split(" ")] == ["v1", "v1", "v1a", "v1a"]
    check(header)
    check(header, public_keys=(PublicKey(ed25519.public_key_of(old)),))
    assert [part.partition(",")[0] for part in ring.sign("msg_1", NOW, b"{}", NOW + 60).split(" ")] == ["v1", "v1a"]


def test_either_scheme_is_enough_and_unknown_ones_are_passed_over():
    good = signature.sign([], "msg_1", NOW, b"{}", [SIGNING])
    check(f"v9,abc v1,bm90IGl0 nonsense {good}")
    check(f"v1a,AAAA {signature.sign([SECRET], 'msg_1', NOW, b'{}')}", keys=(SECRET,))
    for renamed in ("v1", "v1A", "v1b", "V1a", "v1a,v1a", ""):
        with pytest.raises(WebhookRefused):
            check(good.replace("v1a", renamed, 1), keys=(SECRET,))


def test_a_key_without_its_scheme_accepts_nothing():
    """A public key is no secret: whoever knows it must not be able to sign with it as `v1`."""
    with pytest.raises(WebhookRefused):
        check(signature.sign([PUBLIC], "msg_1", NOW, b"{}"), keys=(SECRET,))


def test_only_the_first_signatures_are_looked_at():
    good = signature.sign([], "msg_1", NOW, b"{}", [SIGNING])
    bad = "v1a," + base64.b64encode(b"\1" * 64).decode()
    check(" ".join([bad] * 3 + [good]))
    with pytest.raises(WebhookRefused):
        check(" ".join([bad] * 4 + [good]))
    check(" ".join(["v2,x"] * 31 + [good]))
    with pytest.raises(WebhookRefused):
        check(" ".join(["v2,x"] * 32 + [good]))


def test_another_spelling_of_the_same_signature_is_refused():
    """The last digit of the base64 has four bits that say nothing."""
    good = signature.sign([], "msg_1", NOW, b"{}", [SIGNING])
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = good[:-3] + digits[digits.index(good[-3]) + 1] + good[-2:]
    assert base64.b64decode(other[4:]) == base64.b64decode(good[4:])
    for spelling in (other, good.rstrip("="), good + "=", good.replace("v1a,", "v1a, "), good[:20] + "\n" + good[20:]):
        with pytest.raises(WebhookRefused):
            check(spelling)


def flipped(data: bytes, bit: int) -> bytes:
    at = bit % (len(data) * 8)
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


@pytest.mark.parametrize("scheme", ["v1", "v1a"])
@given(
    body=st.binary(min_size=1, max_size=200),
    which=st.sampled_from(["id", "timestamp", "signature", "body"]),
    n=st.integers(0, 4000),
)
def test_one_flipped_bit_anywhere_is_refused(scheme, body, which, n):
    header = signature.sign(
        [SECRET] if scheme == "v1" else [], "msg_1", NOW, body, [SIGNING] if scheme == "v1a" else []
    )
    message = {"id": b"msg_1", "timestamp": b"%d" % NOW, "signature": header.encode(), "body": body}

    def told(message):
        check(
            message["signature"].decode("latin-1"),
            keys=(SECRET,),
            message_id=message["id"].decode("latin-1"),
            timestamp=message["timestamp"].decode("latin-1"),
            body=message["body"],
        )

    told(message)
    with pytest.raises(WebhookRefused):
        told({**message, which: flipped(message[which], n)})


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(["v1", "v1a", "v2", ""]), st.binary(max_size=80) | st.text(max_size=90)), max_size=40
    ),
    body=st.binary(max_size=60),
)
def test_any_signatures_are_refused_or_valid_and_nothing_else_happens(parts, body):
    def written(value):
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value

    with pytest.raises(WebhookRefused):
        check(" ".join(f"{scheme},{written(value)}" for scheme, value in parts) or "x", keys=(SECRET,), body=body)


@pytest.mark.parametrize(
    "text",
    ["", "whpk_", "whpk_AAAA", PUBLIC_TEXT[:-1], PUBLIC_TEXT + "=", PUBLIC_TEXT[5:], PRIVATE_TEXT, "whpk_" + "ä" * 44,
     PUBLIC_TEXT[:-2] + "p="],
)  # fmt: skip
def test_a_public_key_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="a public key is 'whpk_'"):
        PublicKey(text)


@pytest.mark.parametrize(
    "text", ["whsk_", "whsk_AAAA", PUBLIC_TEXT, PRIVATE_TEXT[5:], "whsk_" + base64.b64encode(SEED).decode()]
)
def test_a_private_key_that_is_none_is_refused_without_being_shown(text):
    for use in (SigningKey, ed25519.public_key_of):
        with pytest.raises(ValueError, match="a private key is 'whsk_'") as caught:
            use(text)
        assert text.removeprefix("whsk_")[:8] not in str(caught.value) or len(text) < 10


def test_no_key_shows_itself():
    ring = KeyRing([("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None)], [(PRIVATE_TEXT, None)])
    shown = repr(ring) + repr(SIGNING) + str(SIGNING)
    for secret in ("MfKQ9r8G", PRIVATE_TEXT[5:20], repr(SEED), SEED.hex()):
        assert secret not in shown


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    for use in (ed25519.new_signing_key, lambda: SigningKey(PRIVATE_TEXT), lambda: PublicKey(PUBLIC_TEXT)):
        with pytest.raises(ConfigError, match=r"need the extra 'ed25519': pip install 'query-hook-gateway\[ed25519\]'"):
            use()


def test_without_ed25519_keys_the_extra_is_not_imported():
    import subprocess

    code = (
        "import sys; from gateway.wire.keyring import KeyRing; "
        "KeyRing([('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', None)]).sign('msg_1', 1, b'', 1.0); "
        "assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
