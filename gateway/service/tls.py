"""TLS towards clients: a certificate with its key that can be replaced while connections are open.

TLS 1.2 and 1.3 (RFC 8446, RFC 5246); HTTP/1.1 by ALPN (RFC 7301).
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.errors import ConfigError
from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

__all__ = ["WATCH_SECONDS", "Certificate", "CertificateFiles", "Loaded", "Section", "load"]

WATCH_SECONDS: Final = 10.0  # how soon a certificate that was renewed is in use
Section = Literal["server", "control"]  # of the settings
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
EXPIRED: Final = "it has expired"
_HAS_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_MOST_BYTES: Final = 1024 * 1024

_log = get_logger("tls")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate, with its intermediates behind it, and its key are, both in PEM (RFC 7468).

    Without `key`, it is in the file of the certificate. `section` of the settings names them.
    """

    certificate: Path
    key: Path | None
    section: Section

    @property
    def identity(self) -> tuple[object, ...]:
        """What changes when one of the files does."""
        return tuple(_identity(path) for path in (self.certificate, self.key) if path is not None)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A certificate that was read, fits its key, and has been tried.

    `not_after` in seconds since 1970, if that is known and was still to come; `doubt` is why a client that checks would
    refuse it.
    """

    files: CertificateFiles
    identity: tuple[object, ...]
    context: ssl.SSLContext
    not_after: float | None
    doubt: str | None


def load(files: CertificateFiles) -> Loaded:
    """Read the files. Raises `ConfigError`, which names the setting and the file, and never holds what is in it."""
    identity = files.identity
    setting = f"{files.section}.tls_certificate"
    text = _read(files.certificate, setting)
    found = _CERTIFICATE.search(text)
    if found is None:
        raise ConfigError(f"{setting}: {files.certificate}: is not a certificate in PEM form")
    key_setting, key_file = (setting, files.certificate)
    if files.key is not None:
        key_setting, key_file = (f"{files.section}.tls_key", files.key)
        text = _read(files.key, key_setting)
    if "PRIVATE KEY-----" not in text:
        beside = "" if files.key is not None else f"; name the file that does with {files.section}.tls_key"
        raise ConfigError(f"{key_setting}: {key_file}: holds no private key in PEM form{beside}")

    def no_password() -> str:
        raise ConfigError(f"{key_setting}: {key_file}: the key is encrypted; store it without a passphrase")

    context = _context()
    try:
        context.load_cert_chain(files.certificate, files.key, password=no_password)
    except ssl.SSLError as e:
        if e.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"{key_setting}: {key_file}: does not fit the certificate in {files.certificate}"
            ) from None
        why = f" ({e.reason.lower().replace('_', ' ')})" if e.reason else ""
        if not _is_certificate(found.group()):
            raise ConfigError(f"{setting}: {files.certificate}: is not a certificate that can be read{why}") from None
        raise ConfigError(f"{key_setting}: {key_file}: is not a private key that can be used{why}") from None
    except OSError as e:  # gone since it was read
        raise ConfigError(f"{setting}: {files.certificate}: cannot be read: {(e.strerror or '').lower()}") from None
    not_after, doubt = _tried(context, found.group())
    return Loaded(files, identity, context, not_after, doubt)


class Certificate:
    """The certificate of a server. `context` is given to it once; what it presents follows `use`.

    `now` gives seconds since 1970.
    """

    def __init__(self, loaded: Loaded, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._loaded = loaded
        self._seen = loaded.identity
        self.context = loaded.context
        self.context.sni_callback = self._present  # called for every handshake, with a server name or without
        self._tell_doubt()

    def _present(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._loaded.context

    @property
    def loaded(self) -> Loaded:
        """What is in use."""
        return self._loaded

    @property
    def expired(self) -> bool:
        """Whether it is past its time."""
        not_after = self._loaded.not_after
        return self._loaded.doubt == EXPIRED or (not_after is not None and self._now() >= not_after)

    def use(self, loaded: Loaded) -> None:
        """Present this one from the next handshake on. Connections that are open keep theirs."""
        self._loaded = loaded
        self._seen = loaded.identity
        self._tell_doubt()

    def look(self) -> bool:
        """Use the files if they have changed; whether they were taken. What cannot be used is logged, once."""
        files = self._loaded.files
        identity = files.identity
        if identity == self._seen:
            return False
        self._seen = identity
        try:
            loaded = load(files)
        except ConfigError as e:
            _log.warning("tls.not_renewed", why=e.detail, kept="the certificate that was in use")
            return False
        self.use(loaded)
        _log.info("tls.renewed", file=str(files.certificate), not_after=loaded.not_after)
        return True

    @asynccontextmanager
    async def watched(self, seconds: float = WATCH_SECONDS) -> AsyncIterator[None]:
        """Within this context, look after the files every `seconds`."""
        task = asyncio.create_task(self._watch(seconds), name="certificate")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.look()

    def _tell_doubt(self) -> None:
        if self._loaded.doubt is not None:
            _log.warning("tls.doubtful", file=str(self._loaded.files.certificate), why=self._loaded.doubt)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(path: Path, setting: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{setting}: {path}: there is no such file") from None
    except OSError as e:
        raise ConfigError(f"{setting}: {path}: cannot be read: {(e.strerror or 'unknown error').lower()}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{setting}: {path}: is larger than any certificate")
    return content.decode("latin-1")


def _identity(path: Path) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116  four numbers of one call
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_certificate(text: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except ssl.SSLError:
        return False
    return True


def _tried(context: ssl.SSLContext, certificate: str) -> tuple[float | None, str | None]:
    """When the certificate ends, and why a client that trusts it would still refuse it, from a handshake in memory."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client_context.load_verify_locations(cadata=certificate)
        client = client_context.wrap_bio(to_client, to_server)
        server = context.wrap_bio(to_server, to_client, server_side=True)
        while not _went_on(client):
            _went_on(server)
    except ssl.SSLCertVerificationError as e:
        if e.verify_code == _HAS_EXPIRED:
            return None, EXPIRED
        return None, e.verify_message.lower()
    except ssl.SSLError as e:
        return None, (e.reason or "no handshake comes about with it").lower().replace("_", " ")
    told: dict[str, Any] = client.getpeercert() or {}
    until = told.get("notAfter")
    return (ssl.cert_time_to_seconds(until) if isinstance(until, str) else None), None


def _went_on(side: ssl.SSLObject) -> bool:
    """Whether this side's handshake is done."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
