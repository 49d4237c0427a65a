"""Amazon SNS: JSON messages, signed with RSA by a certificate that the message names.

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import WebhookRefused
from gateway_providers.certificates import CertificateStore, signing_certificate
from gateway_providers.reading import text_at
from gateway_providers.sender import Challenge, Event, Incoming, Sender, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_providers.certificates import Certificates

__all__ = ["aws_sns"]

_CERTIFICATE_URL = re.compile(
    r"https://sns\.[a-z]{2}(?:-[a-z]+)+-\d\.amazonaws\.com(?:\.cn)?/SimpleNotificationService-[0-9a-f]{32}\.pem\Z"
)
_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_MOST_AGE_SECONDS: Final = 3_600


@dataclass(frozen=True, slots=True)
class _Sns:
    topics: frozenset[str]
    certificates: Certificates
    now: Callable[[], float]

    @property
    def name(self) -> str:
        return "aws-sns"

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`. A `SubscriptionConfirmation` is an event: whoever wants it visits its SubscribeURL."""
        message = parsed(incoming.body)
        kind = text_at(message, "Type") or ""
        names = _SIGNED.get(kind)
        if names is None:
            raise WebhookRefused("the message is none of the three types of SNS")
        if text_at(message, "TopicArn") not in self.topics:
            raise WebhookRefused("the message comes from another topic")
        self._check_time(message)
        self._check_signature(message, names)
        return (Event(self.name, kind, message, text_at(message, "MessageId"), text_at(message, "Timestamp")),)

    def _check_time(self, message: Any) -> None:
        try:
            sent = datetime.fromisoformat(text_at(message, "Timestamp") or "")
        except ValueError:
            raise WebhookRefused("the Timestamp is absent or no time") from None
        if sent.tzinfo is None or abs(self.now() - sent.timestamp()) > _MOST_AGE_SECONDS:
            raise WebhookRefused("the Timestamp is more than an hour away from the present")

    def _check_signature(self, message: Any, names: tuple[str, ...]) -> None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        version = text_at(message, "SignatureVersion")
        if version not in {"1", "2"}:
            raise WebhookRefused("the SignatureVersion is neither 1 nor 2")
        url = text_at(message, "SigningCertURL") or ""
        if not _CERTIFICATE_URL.match(url):
            raise WebhookRefused("SigningCertURL is not where SNS has its certificates")
        try:
            signature = base64.b64decode(text_at(message, "Signature") or "", validate=True)
        except (binascii.Error, ValueError):
            raise WebhookRefused("the Signature is not base64") from None
        certificate = signing_certificate(self.certificates.get(url), datetime.fromtimestamp(self.now(), UTC))
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise WebhookRefused("the certificate of SNS holds no RSA key")
        algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303  # version 1 is what SNS has
        text = "".join(f"{name}\n{value}\n" for name in names if (value := text_at(message, name)) is not None)
        try:
            key.verify(signature, text.encode("utf-8", "replace"), padding.PKCS1v15(), algorithm)
        except InvalidSignature:
            raise WebhookRefused("the Signature does not match") from None


def aws_sns(*topic_arns: str, certificates: Certificates | None = None, now: Callable[[], float] = time.time) -> Sender:
    """Amazon SNS: messages of these topics, versions 1 (SHA-1) and 2 (SHA-256). Needs the package cryptography.

    The certificate must lie where SNS has them (`sns.<region>.amazonaws.com`, https, no redirects) and be valid.
    """
    if not topic_arns:
        raise ValueError("name at least one topic: anybody can make SNS sign messages of a topic of their own")
    return _Sns(frozenset(topic_arns), certificates or CertificateStore(), now)
