"""Signatures of messages: Standard Webhooks 1.0, schemes `v1` (HMAC-SHA256) and `v1a` (Ed25519), for both sides.

The signed content is `{id}.{timestamp}.{body}` over the raw bytes of the body. The header
`webhook-signature` holds one `v1,<base64>` per valid secret and one `v1a,<base64>` per valid private key,
separated by spaces, so that a receiver can change to a new secret or key while the old one still holds.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import secrets as _random
from typing import TYPE_CHECKING, Final

from gateway.errors import WebhookRefused
from gateway.wire.ed25519 import SIGNATURE_BYTES, canonical_base64

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.wire.ed25519 import PublicKey, SigningKey

PREFIX: Final = "whsec_"
ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
TOLERANCE_SECONDS: Final = 300

_BLOCK: Final = 64  # bytes that SHA-256 takes at a time

_CANONICAL_INTEGER = re.compile(r"(?:0|[1-9][0-9]{0,11})\Z")
_MAX_SIGNATURES = 32
_MAX_ASYMMETRIC = 4  # to check one costs as much as a hundred of the others


def new_secret() -> str:
    """A new signing secret of 256 random bits, as `whsec_<base64>`."""
    return PREFIX + binascii.b2a_base64(_random.token_bytes(32), newline=False).decode()


def key_of(secret: str) -> bytes:
    """The HMAC key in a `whsec_…` secret (the prefix may be absent).

    Raises `ValueError` if it is not base64 of 16 to 64 bytes. The message does not show the secret.
    """
    try:
        key = binascii.a2b_base64(secret.removeprefix(PREFIX), strict_mode=True)
    except (binascii.Error, ValueError):
        msg = "a signing secret is 'whsec_' followed by base64"
        raise ValueError(msg) from None
    if not 16 <= len(key) <= 64:
        msg = f"a signing secret holds 16 to 64 bytes; this one holds {len(key)}"
        raise ValueError(msg)
    return key


class HmacKey:
    """The key of a shared secret for HMAC-SHA256, taken in once for all messages.

    What RFC 2104, section 4, advises: the first block of both hashes depends on the key alone. To go on from there
    takes half the time of `hmac.digest`, and the body is not copied.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def signature(self, start: bytes, body: bytes) -> bytes:
        """What follows `v1,` for the content `start` + `body`."""
        inner = self._inner.copy()
        inner.update(start)
        inner.update(body)
        mac = self._outer.copy()
        mac.update(inner.digest())
        return binascii.b2a_base64(mac.digest(), newline=False)


def sign(
    keys: Iterable[bytes | HmacKey],
    message_id: str,
    timestamp: int,
    body: bytes,
    signing_keys: Iterable[SigningKey] = (),
) -> str:
    """The value of `webhook-signature`: one signature per key. `timestamp` in seconds since 1970."""
    start = f"{message_id}.{timestamp}.".encode()
    signatures = ["v1," + _taken_in(key).signature(start, body).decode() for key in keys]
    if signing_keys:
        signatures += ["v1a," + _base64(key.sign(start + body)).decode() for key in signing_keys]
    return " ".join(signatures)


def verify(
    keys: Iterable[bytes | HmacKey],
    *,
    message_id: str | None,
    timestamp: str | None,
    signature: str | None,
    body: bytes,
    now: float,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    expected_id: str | None = None,
    public_keys: Sequence[PublicKey] = (),
) -> None:
    """Return if the message is authentic and fresh; raise `WebhookRefused` otherwise, never anything else.

    One valid signature is enough: `v1` by one of `keys` or `v1a` by one of `public_keys`. Other schemes are
    passed over, and so is what comes after the first 32 signatures and the first four of `v1a`. `message_id`,
    `timestamp` and `signature` are header values (`None` if absent). `now` in seconds since 1970. With
    `expected_id`, the message must carry that very id: so a reply is bound to its request.
    """
    if not message_id or not timestamp or not signature:
        msg = f"one of {ID}, {TIMESTAMP}, {SIGNATURE} is absent"
        raise WebhookRefused(msg)
    if expected_id is not None and message_id != expected_id:
        msg = f"{ID} is not the id of the request"
        raise WebhookRefused(msg)
    if not _CANONICAL_INTEGER.match(timestamp):
        msg = f"{TIMESTAMP} is not a whole number of seconds since 1970"
        raise WebhookRefused(msg)
    if abs(now - int(timestamp)) > tolerance_seconds:
        msg = f"{TIMESTAMP} is more than {tolerance_seconds:g} s away from the present"
        raise WebhookRefused(msg)
    try:
        start = f"{message_id}.{timestamp}.".encode()
    except UnicodeEncodeError:
        msg = f"{ID} is not text"
        raise WebhookRefused(msg) from None
    symmetric, asymmetric = _given(signature)
    matched = False
    for key in keys:
        expected = _taken_in(key).signature(start, body)
        for candidate in symmetric:
            matched |= hmac.compare_digest(expected, candidate)
    if not matched and public_keys and asymmetric:
        content = start + body
        matched = any(key.verifies(candidate, content) for candidate in asymmetric for key in public_keys)
    if not matched:
        msg = f"no signature in {SIGNATURE} matches"
        raise WebhookRefused(msg)


def _given(header: str) -> tuple[list[bytes], list[bytes]]:
    """The signatures in a header: those of `v1` as they are written, those of `v1a` as bytes."""
    symmetric: list[bytes] = []
    asymmetric: list[bytes] = []
    for part in header.split(" ", _MAX_SIGNATURES)[:_MAX_SIGNATURES]:
        scheme, _, value = part.partition(",")
        if scheme == "v1":
            symmetric.append(value.encode("utf-8", "replace"))
        elif scheme == "v1a" and len(asymmetric) < _MAX_ASYMMETRIC:
            raw = canonical_base64(value)
            if raw is not None and len(raw) == SIGNATURE_BYTES:
                asymmetric.append(raw)
    return symmetric, asymmetric


def _taken_in(key: bytes | HmacKey) -> HmacKey:
    return HmacKey(key) if isinstance(key, bytes) else key


def _base64(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False)
