"""Signatures: a message is valid or `WebhookRefused`; what was signed is valid, what was changed is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from fuzz.pieces import END, Pieces, text
from gateway.errors import WebhookRefused
from gateway.wire import signature
from gateway.wire.ed25519 import PublicKey, SigningKey, public_key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOW: Final = 1_700_000_000
_KEYS: Final = (bytes(range(32)), bytes(range(100, 132)))
# The first test vector of RFC 8032: seed and public key.
_PRIVATE: Final = "whsk_" + base64.b64encode(
    bytes.fromhex(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
).decode()  # fmt: skip
_SIGNING: Final = (SigningKey(_PRIVATE),)
_PUBLIC: Final = (PublicKey(public_key_of(_PRIVATE)),)
WORDS: Final = (END, b"v1,", b"v1a,", b" ", b"=", b"1700000000", b"-", b"+", b"\xd9\xa1", b"\x00")


def check(data: bytes) -> None:
    """Sign a message, change some of it, verify it."""
    pieces = Pieces(data)
    changed = [pieces.flag() for _ in range(4)]
    schemes = pieces.below(4)
    body = pieces.raw()
    ident, stamp = "msg_1", _NOW + pieces.below(250)
    keys, private = (_KEYS if schemes != 3 else ()), (_SIGNING if schemes in {2, 3} else ())
    signed = signature.sign(keys, ident, stamp, body, private)
    message_id: str | None = pieces.header() if changed[0] else ident
    timestamp: str | None = pieces.header() if changed[1] else str(stamp)
    value: str | None = signed
    if changed[2]:
        value = pieces.header().replace("$", signed) if pieces.flag() else _bit_flipped(signed, pieces.below(256))
    told = pieces.raw() if changed[3] else body
    expected = ident if pieces.flag() else None
    try:
        signature.verify(
            _KEYS[: 1 + pieces.below(2)], message_id=message_id, timestamp=timestamp, signature=value, body=told,
            now=_NOW + 100.5, expected_id=expected, public_keys=_PUBLIC,
        )  # fmt: skip
    except WebhookRefused as refusal:
        assert signed not in refusal.detail
        assert (message_id, timestamp, value, told) != (ident, str(stamp), signed, body), "it was signed like that"
        return
    assert message_id
    assert timestamp
    assert timestamp == str(int(timestamp))
    assert abs(int(timestamp) - _NOW - 100.5) <= 300
    assert value
    assert expected in {None, message_id}
    content = f"{message_id}.{timestamp}.".encode() + told
    macs = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in _KEYS]
    asymmetric = base64.b64encode(_SIGNING[0].sign(content)).decode()
    good = {*(f"v1,{mac}" for mac in macs), f"v1a,{asymmetric}"}
    assert good & set(value.split(" ")[:32]), "none of its signatures is right"


def _bit_flipped(value: str, where: int) -> str:
    at = where % len(value)
    return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]


def seeds() -> Mapping[str, bytes]:
    """Messages as they come, well and not."""
    body = text('{"specversion":"1.0","data":{"result":{"rows":[]}}}')
    whole = bytes(4)
    return {
        "valid": whole + b"\x00" + body + b"\x05\x01\x01",
        "valid-both": whole + b"\x02" + body + b"\x05\x01\x01",
        "valid-v1a": whole + b"\x03" + body + b"\x05\x00\x00",
        "other-id": b"\x01\x00\x00\x00\x00" + body + b"\x05" + text("msg_2") + b"\x01",
        "other-body": b"\x00\x00\x00\x01\x00" + body + b"\x05" + text("{}") + b"\x01",
        "old": b"\x00\x01\x00\x00\x00" + body + b"\x05" + text("1600000000"),
        "plus": b"\x00\x01\x00\x00\x00" + body + b"\x05" + text("+1700000000"),
        "arabic": b"\x00\x01\x00\x00\x00" + body + b"\x05" + text("١٧٠٠٠٠٠٠٠٠"),
        "many": b"\x00\x00\x01\x00\x02" + body + b"\x05" + b"\x01" + text("v1,AAAA v2,b v1a,c $ v1,"),
        "bit": b"\x00\x00\x01\x00\x03" + body + b"\x05" + b"\x00\x20",
        "no-text": b"\x01\x00\x01\x00\x00" + body + b"\x05" + text(b"\xff\xfe") + b"\x01" + text(b"v1,\xff v1a,\xff"),
    }
