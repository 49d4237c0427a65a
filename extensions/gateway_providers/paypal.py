"""PayPal: signed with RSA-SHA256 by a certificate that a header names.

Source: https://developer.paypal.com/api/rest/webhooks/rest/#link-selfverificationmethod
"""

from __future__ import annotations

import base64
import binascii
import re
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.errors import WebhookRefused
from gateway_providers.certificates import CertificateStore, signing_certificate
from gateway_providers.reading import text_at
from gateway_providers.sender import Challenge, Event, Incoming, Sender, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_providers.certificates import Certificates

__all__ = ["paypal"]

_CERTIFICATE_URL = re.compile(r"https://api(?:-m)?(?:\.sandbox)?\.paypal\.com/v1/notifications/certs/[A-Za-z0-9._-]+\Z")
_MOST_AGE_SECONDS: Final = 4 * 86_400  # PayPal tries again for three days and keeps the first attempt's time


@dataclass(frozen=True, slots=True)
class _PayPal:
    webhook_id: str
    certificates: Certificates
    now: Callable[[], float]

    @property
    def name(self) -> str:
        return "paypal"

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        ident = incoming.header("paypal-transmission-id")
        sent = incoming.header("paypal-transmission-time")
        url = incoming.header("paypal-cert-url") or ""
        if not ident or not sent:
            raise WebhookRefused("paypal-transmission-id or paypal-transmission-time is absent")
        self._check_time(sent)
        if incoming.header("paypal-auth-algo") != "SHA256withRSA":
            raise WebhookRefused("paypal-auth-algo is not SHA256withRSA")
        if not _CERTIFICATE_URL.match(url):
            raise WebhookRefused("paypal-cert-url is not where PayPal has its certificates")
        try:
            signature = base64.b64decode(incoming.header("paypal-transmission-sig") or "", validate=True)
        except (binascii.Error, ValueError):
            raise WebhookRefused("paypal-transmission-sig is not base64") from None
        key = signing_certificate(self.certificates.get(url), datetime.fromtimestamp(self.now(), UTC)).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise WebhookRefused("the certificate of PayPal holds no RSA key")
        text = f"{ident}|{sent}|{self.webhook_id}|{zlib.crc32(incoming.body)}"
        try:
            key.verify(signature, text.encode("utf-8", "replace"), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise WebhookRefused("paypal-transmission-sig does not match") from None
        value = parsed(incoming.body)
        kind = text_at(value, "event_type")
        if kind is None:
            raise WebhookRefused("the type of the event is absent")
        return (Event(self.name, kind, value, text_at(value, "id"), text_at(value, "create_time")),)

    def _check_time(self, sent: str) -> None:
        try:
            at = datetime.fromisoformat(sent)
        except ValueError:
            raise WebhookRefused("paypal-transmission-time is no time") from None
        if at.tzinfo is None or abs(self.now() - at.timestamp()) > _MOST_AGE_SECONDS:
            raise WebhookRefused("paypal-transmission-time is too far from the present")


def paypal(
    webhook_id: str, *, certificates: Certificates | None = None, now: Callable[[], float] = time.time
) -> Sender:
    """PayPal: `PayPal-Transmission-Sig` for the webhook with this id. Needs the package cryptography.

    What is signed holds a CRC-32 of the body and no digest: that is PayPal's scheme. So keep to https.
    """
    if not webhook_id:
        raise ValueError("the id of the webhook, as PayPal shows it, is part of what is signed")
    return _PayPal(webhook_id, certificates or CertificateStore(), now)
