"""Certificates that senders sign with: got from where the sender may have them only, and kept for a while."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, Protocol

from cachetools import TTLCache

from gateway.errors import WebhookRefused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.x509 import Certificate

__all__ = ["CertificateStore", "Certificates", "signing_certificate"]

_MOST_BYTES: Final = 64 * 1024
_MOST_KEPT: Final = 64


class Certificates(Protocol):
    """Where the PEM text at a URL comes from. The sender's rules about the URL were checked before."""

    def get(self, url: str) -> bytes:
        """The bytes at `url`. Raises `WebhookRefused` if they cannot be had."""
        ...


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the URL was checked, where it leads was not."""


class CertificateStore:
    """Gets certificates over https, without redirects, and keeps them for `keep_seconds`.

    The system's authorities are trusted, or those of `context`. It blocks for up to `timeout_seconds` when it has to
    ask; call `receive` in a thread where that matters.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = 5.0,
        keep_seconds: float = 3_600.0,
        clock: Callable[[], float] = time.monotonic,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout_seconds
        self._kept: TTLCache[str, bytes] = TTLCache(_MOST_KEPT, keep_seconds, clock)
        self._opener = urllib.request.build_opener(
            _NoRedirects, urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def get(self, url: str) -> bytes:
        """See `Certificates.get`."""
        found = self._kept.get(url)
        if found is None:
            if not url.startswith("https://"):
                raise WebhookRefused("a certificate is only got over https")
            try:
                with self._opener.open(url, timeout=self._timeout) as answer:
                    found = answer.read(_MOST_BYTES + 1)
            except (OSError, ValueError):  # HTTPError and URLError are OSErrors
                raise WebhookRefused("the sender's certificate could not be got") from None
            if len(found) > _MOST_BYTES:
                raise WebhookRefused("the sender's certificate is too large")
            self._kept[url] = found
        return found


def signing_certificate(pem: bytes, now: datetime) -> Certificate:
    """The first certificate in `pem`, which must be valid at `now`. Raises `WebhookRefused`."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError):
        raise WebhookRefused("what the sender's URL holds is no certificate") from None
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise WebhookRefused("the sender's certificate is not valid at this time")
    return certificate
