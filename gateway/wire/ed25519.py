"""Ed25519 keys for signatures of messages: Standard Webhooks 1.0, scheme `v1a`.

A private key is `whsk_` and the base64 of 64 bytes: the seed and the public key behind it. A public key is
`whpk_` and the base64 of 32 bytes. The package `cryptography` does the arithmetic; it is an extra, and is
imported when the first key is used.

Sources: RFC 8032, and
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
SIGNATURE_BYTES: Final = 64

_SEED_BYTES: Final = 32
_PUBLIC_BYTES: Final = 32
_EXTRA: Final = (
    "Signatures of the scheme v1a (Ed25519) need the extra 'ed25519': pip install 'query-hook-gateway[ed25519]'."
)


def require_ed25519() -> Any:
    """The module that does the arithmetic. Raises `ConfigError` naming the extra if it is not installed."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        raise ConfigError(_EXTRA) from None
    return ed25519


def new_signing_key() -> str:
    """A new private key, as `whsk_<base64>`. Raises `ConfigError` without the extra."""
    key = require_ed25519().Ed25519PrivateKey.generate()
    return PRIVATE_PREFIX + _base64(key.private_bytes_raw() + key.public_key().public_bytes_raw())


def public_key_of(private: str) -> str:
    """The public key (`whpk_…`) of a private one. Raises `ValueError`, which does not show the key."""
    return PUBLIC_PREFIX + _base64(_private_bytes(private)[_SEED_BYTES:])


class SigningKey:
    """A private key, loaded when it signs for the first time.

    Raises `ValueError` for what is no `whsk_…`, and `ConfigError` without the extra.
    """

    __slots__ = ("_loaded", "_seed")

    def __init__(self, private: str) -> None:
        self._seed = _private_bytes(private)[:_SEED_BYTES]
        self._loaded: Ed25519PrivateKey | None = None
        require_ed25519()

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`: 64 bytes."""
        if self._loaded is None:
            self._loaded = require_ed25519().Ed25519PrivateKey.from_private_bytes(self._seed)
        return self._loaded.sign(content)


class PublicKey:
    """A public key. Raises `ValueError` for what is no `whpk_…`, and `ConfigError` without the extra."""

    __slots__ = ("_loaded",)

    def __init__(self, public: str) -> None:
        raw = _decoded(public, PUBLIC_PREFIX)
        if raw is None or len(raw) != _PUBLIC_BYTES:
            msg = "a public key is 'whpk_' followed by the base64 of 32 bytes"
            raise ValueError(msg)
        self._loaded: Ed25519PublicKey = require_ed25519().Ed25519PublicKey.from_public_bytes(raw)

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Whether `signature` is one of `content` by the owner of this key."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._loaded.verify(signature, content)
        except InvalidSignature:
            return False
        return True


def _private_bytes(private: str) -> bytes:
    raw = _decoded(private, PRIVATE_PREFIX)
    if raw is None or len(raw) != _SEED_BYTES + _PUBLIC_BYTES:
        msg = "a private key is 'whsk_' followed by the base64 of 64 bytes"
        raise ValueError(msg)
    return raw


def _decoded(text: str, prefix: str) -> bytes | None:
    if not text.startswith(prefix):
        return None
    return canonical_base64(text[len(prefix) :])


def canonical_base64(text: str) -> bytes | None:
    """The bytes of `text`, if it is the one base64 spelling of them: no bit of it may differ unnoticed."""
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _base64(raw) == text else None


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()
