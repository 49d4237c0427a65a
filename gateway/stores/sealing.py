"""Secrets at rest: encrypted with AES-256-GCM where there is a key, plain where there is none.

Each sealed value carries the id of its key in its scheme (`aesgcm:3f9a01c2`), so that a key can be replaced,
and is bound to its row (associated data), so that it is worth nothing in another one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError, StoreCorrupt, StoreSealed, StoreTooNew

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN: Final = "plain"
_AES: Final = "aesgcm:"
_PREFIX: Final = "gwe_"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


def new_encryption_key() -> str:
    """A new key as text: `gwe_` and 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def parse_encryption_key(text: str) -> bytes:
    """The 32 bytes that the text of a key stands for. Raises `ValueError`, which never holds the text."""
    digits = text.strip().removeprefix(_PREFIX)
    try:
        key = base64.b64decode(digits + "=" * (-len(digits) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError("must be a key of 32 bytes as `gateway config new-key` makes it")
    return key


@dataclass(frozen=True, slots=True)
class EncryptionKeys:
    """The key that secrets are encrypted with, and older ones that may still be needed to read them."""

    current: bytes = field(repr=False)
    previous: tuple[bytes, ...] = field(default=(), repr=False)


class Vault:
    """Seals and opens the secrets of one store. Raises `ConfigError` if the library for it is not installed."""

    def __init__(self, keys: EncryptionKeys | None) -> None:
        self._ciphers: dict[str, Any] = {}
        self._scheme = PLAIN
        self._unusable: type[Exception] = ValueError
        if keys is None:
            return
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError:
            raise ConfigError(
                "To encrypt secrets takes the extra `encryption`: pip install 'query-hook-gateway[encryption]'.",
            ) from None
        self._unusable = InvalidTag
        for key in (keys.current, *keys.previous):
            self._ciphers.setdefault(_scheme_of(key), AESGCM(key))
        self._scheme = _scheme_of(keys.current)

    @property
    def encrypts(self) -> bool:
        """Whether there is a key."""
        return self._scheme != PLAIN

    def is_present(self, scheme: str) -> bool:
        """Whether a value of this scheme is sealed as one would be now."""
        return scheme == self._scheme

    def check(self, schemes: Iterable[str]) -> None:
        """Raise `StoreSealed` if a value of one of these schemes could not be opened for want of a key."""
        wanting = sorted({s.removeprefix(_AES) for s in schemes if s.startswith(_AES) and s not in self._ciphers})
        if not wanting:
            return
        ids = ", ".join(wanting)
        if not self._ciphers:
            raise StoreSealed(
                f"has secrets that are encrypted (key {ids}), and no key is configured: "
                "set store.encryption_key_file or store.encryption_key",
            )
        given = ", ".join(s.removeprefix(_AES) for s in self._ciphers)
        raise StoreSealed(
            f"has secrets that are encrypted with another key ({ids}) than those configured ({given}): "
            "add that key to store.previous_encryption_keys",
        )

    def seal(self, text: str, *identity: str | int) -> tuple[str, str]:
        """The scheme and the value to be kept of `text`, for the row with this identity."""
        if self._scheme == PLAIN:
            return PLAIN, text
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._scheme].encrypt(nonce, text.encode(), _associated(identity))
        return self._scheme, base64.b64encode(nonce + sealed).decode()

    def open(self, scheme: str, value: str, *identity: str | int) -> str:
        """The text that was sealed for the row with this identity.

        Raises `StoreTooNew`, `StoreSealed`, and `StoreCorrupt` for a value that was changed or belongs to another row.
        """
        if scheme == PLAIN:
            return value
        self.check([scheme])
        cipher = self._ciphers.get(scheme)
        if cipher is None:
            raise StoreTooNew(
                f"A credential in the database is kept in the form {scheme!r}, which this version does not know: "
                "use the version that wrote it, or a later one.",
            )
        try:
            sealed = base64.b64decode(value, validate=True)
            opened: bytes = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(identity))
            return opened.decode()
        except (self._unusable, ValueError):
            raise StoreCorrupt(
                "A secret in the database is damaged, or was moved there from another row; restore it from a copy.",
            ) from None


def _scheme_of(key: bytes) -> str:
    return _AES + hmac.digest(key, b"query-hook-gateway: id of an encryption key", hashlib.sha256)[:4].hex()


def _associated(identity: tuple[str | int, ...]) -> bytes:
    return json.dumps(["query-hook-gateway", *identity]).encode()
