"""What the messages to and from one integration are signed and verified with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.wire import signature
from gateway.wire.ed25519 import PublicKey, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_Dated = tuple[str, float | None]


class KeyRing:
    """The keys of one integration: shared secrets (`whsec_…`), private keys (`whsk_…`), public keys of the other side.

    Secrets and private keys come with the time they expire (seconds since 1970, or `None`), newest first.
    Raises `ValueError` for a key that is none, and `ConfigError` if the extra for Ed25519 is missing.
    """

    __slots__ = ("_only", "_public_keys", "_secrets", "_signing_keys")

    def __init__(
        self,
        secrets: Iterable[_Dated] = (),
        signing_keys: Iterable[_Dated] = (),
        public_keys: Iterable[str] = (),
    ) -> None:
        self._secrets = tuple((signature.HmacKey(signature.key_of(secret)), until) for secret, until in secrets)
        self._signing_keys = tuple((SigningKey(private), until) for private, until in signing_keys)
        # As nearly always: one secret without an end, and no private key.
        lasting = len(self._secrets) == 1 and self._secrets[0][1] is None and not self._signing_keys
        self._only = self._secrets[0][0] if lasting else None
        self._public_keys = tuple(PublicKey(public) for public in public_keys)

    def sign(self, message_id: str, timestamp: int, body: bytes, now: float) -> str:
        """The value of `webhook-signature` for a message: one signature for each key that holds at `now`."""
        if self._only is not None:
            return "v1," + self._only.signature(f"{message_id}.{timestamp}.".encode(), body).decode()
        return signature.sign(self._valid_secrets(now), message_id, timestamp, body, self._valid_signing_keys(now))

    def verify(
        self,
        header: Callable[[str], str | None],
        body: bytes,
        *,
        now: float,
        expected_id: str | None,
        tolerance_seconds: float = signature.TOLERANCE_SECONDS,
    ) -> None:
        """Return if a message is authentic and fresh, and has the id `expected_id`, if one is given.

        `header` gives the value of a header by its name, `None` for an absent one. Raises `WebhookRefused`.
        """
        signature.verify(
            self._valid_secrets(now),
            message_id=header(signature.ID),
            timestamp=header(signature.TIMESTAMP),
            signature=header(signature.SIGNATURE),
            body=body,
            now=now,
            tolerance_seconds=tolerance_seconds,
            expected_id=expected_id,
            public_keys=self._public_keys,
        )

    def _valid_secrets(self, now: float) -> Sequence[signature.HmacKey]:
        return [key for key, until in self._secrets if until is None or until > now]

    def _valid_signing_keys(self, now: float) -> Sequence[SigningKey]:
        return [key for key, until in self._signing_keys if until is None or until > now]
