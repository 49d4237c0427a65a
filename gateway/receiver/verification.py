"""Whether a message is from the gateway: Standard Webhooks over the raw bytes, then whether it came before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ConfigError, WebhookRefused
from gateway.wire import signature
from gateway.wire.keyring import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.receiver.messages import Headers, HttpReply

__all__ = ["Verifier"]

_LONGEST_ID = 512


class Verifier:
    """Checks what comes and signs what goes.

    `secrets` (`whsec_…`) hold for both; several are accepted at once, so that they can be rotated. `public_keys`
    (`whpk_…`) verify the gateway's Ed25519 signatures, `signing_keys` (`whsk_…`) sign replies with such. A message
    more than `tolerance_seconds` old, or early, is refused. `now` gives seconds since 1970.
    Raises `ConfigError` without anything to verify with, or for a key that is none.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        *,
        public_keys: Iterable[str] = (),
        signing_keys: Iterable[str] = (),
        tolerance_seconds: float = signature.TOLERANCE_SECONDS,
        now: Callable[[], float],
    ) -> None:
        shared = [secret.strip() for secret in ([secrets] if isinstance(secrets, str) else secrets)]
        public = list(public_keys)
        if not shared and not public:
            raise ConfigError("A receiver needs at least one secret (whsec_…) or public key (whpk_…) to verify with.")
        try:
            self._keys = KeyRing([(each, None) for each in shared], [(each, None) for each in signing_keys], public)
        except ValueError as error:
            raise ConfigError(f"A key of the receiver cannot be used: {error}.") from None
        self._signs = bool(shared) or bool(signing_keys)
        self._tolerance = tolerance_seconds
        self._now = now

    @property
    def window_seconds(self) -> float:
        """For how long one message may be accepted, from the earliest moment to the latest."""
        return 2 * self._tolerance

    def verify(self, headers: Headers, body: bytes) -> str:
        """The id of the message (`webhook-id`), if it is authentic and fresh; `WebhookRefused` otherwise.

        Whatever the headers and the body are, it is one of the two.
        """
        self._keys.verify(headers, body, now=self._now(), expected_id=None, tolerance_seconds=self._tolerance)
        message_id = headers(signature.ID)
        if (
            message_id is None
            or len(message_id) > _LONGEST_ID
            or not message_id.isascii()
            or not message_id.isprintable()
        ):
            raise WebhookRefused(f"{signature.ID} is not a line of printable ASCII, or too long")
        return message_id

    def signed(self, message_id: str, reply: HttpReply) -> HttpReply:
        """The reply with a signature that binds it to the request with the id `message_id`."""
        if not self._signs:
            return reply
        now = self._now()
        return reply.with_headers(
            (signature.ID, message_id),
            (signature.TIMESTAMP, str(int(now))),
            (signature.SIGNATURE, self._keys.sign(message_id, int(now), reply.body, now)),
        )
