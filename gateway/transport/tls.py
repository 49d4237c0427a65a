"""What secures connections to one integration: private authorities, a client certificate, a name to expect."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from gateway.errors import ConfigError, TlsFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TlsContexts", "TlsProfile", "TlsUnusable", "check_tls"]

MAX_PEM_CHARACTERS: Final = 65_536


@dataclass(frozen=True, slots=True, weakref_slot=True)
class TlsProfile:
    """One way to secure connections. Equal ones share connections; nothing of it is ever shown.

    `ca_pem`: the only authorities that are trusted, instead of those of the transport. `certificate_pem` and
    `key_pem`: what the gateway shows when it is asked who it is. `server_name`: the name that is asked for
    and that the certificate must have, instead of the URL's host. Without `verify`, any certificate will do:
    what is sent can be read by whoever stands between. It is for endpoints that cannot do better.
    """

    ca_pem: str | None = field(default=None, repr=False, compare=False)
    certificate_pem: str | None = field(default=None, repr=False, compare=False)
    key_pem: str | None = field(default=None, repr=False, compare=False)
    server_name: str | None = field(default=None, compare=False)
    verify: bool = field(default=True, compare=False)
    ident: str = field(init=False, repr=False)  # stands for all of it, and is quick to compare

    def __post_init__(self) -> None:
        parts = (self.ca_pem, self.certificate_pem, self.key_pem, self.server_name)
        marked = "".join("-" if part is None else f"{len(part)}:{part}" for part in parts)
        if not self.verify:
            marked += "any"
        object.__setattr__(self, "ident", hashlib.sha256(marked.encode("utf-8", "surrogatepass")).hexdigest())


class TlsUnusable(ValueError):
    """A part of a profile cannot be used. `part` is the name of its field; the text shows nothing of it."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(detail)
        self.part = part


def check_tls(profile: TlsProfile) -> None:
    """Return if connections can be secured like this. Raises `TlsUnusable`."""
    _context(profile, None)


class TlsContexts:
    """The contexts of a transport: its own, and one for each profile in use, made once.

    `given` is the transport's own; without it, the system's authorities are trusted. Raises `ConfigError` for
    one that asks for less than TLS 1.2.
    """

    def __init__(self, given: ssl.SSLContext | None = None) -> None:
        if given is not None and given.minimum_version < ssl.TLSVersion.TLSv1_2:
            raise ConfigError("The TLS context for calls must ask for TLS 1.2 at least.")
        self._given = given
        self._own = given
        # A context lives as long as some endpoint has its profile: then the key leaves the memory with it.
        self._of_profile: WeakKeyDictionary[TlsProfile, ssl.SSLContext] = WeakKeyDictionary()

    def context(self, profile: TlsProfile | None) -> ssl.SSLContext:
        """The context for connections with `profile`. Raises `TlsFailed` if it cannot be made."""
        if profile is None:
            if self._own is None:
                self._own = _new_context(None)
            return self._own
        made = self._of_profile.get(profile)
        if made is None:
            try:
                made = _context(profile, self._given)
            except TlsUnusable as error:
                raise TlsFailed(f"The integration's TLS settings cannot be used: {error.part} {error}.") from None
            self._of_profile[profile] = made
        return made


def _new_context(ca_pem: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem)  # with `cadata`, the system's authorities are left out
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context(profile: TlsProfile, given: ssl.SSLContext | None) -> ssl.SSLContext:
    for part in ("ca_pem", "certificate_pem", "key_pem"):
        _check_text(part, getattr(profile, part))
    if profile.ca_pem is not None:
        try:
            context = _new_context(profile.ca_pem)
        except (ssl.SSLError, ValueError):
            raise TlsUnusable("ca_pem", "holds no certificates that can be read") from None
        if not context.get_ca_certs():
            raise TlsUnusable("ca_pem", "holds no certificate of an authority")
    else:
        context = _new_context(None)
        if given is not None:
            context.minimum_version = given.minimum_version
            for certificate in given.get_ca_certs(binary_form=True):
                context.load_verify_locations(cadata=certificate)
    if not profile.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if profile.certificate_pem is None and profile.key_pem is None:
        return context
    if profile.key_pem is None:
        raise TlsUnusable("key_pem", "is missing: a certificate is of no use without its key")
    if profile.certificate_pem is None:
        raise TlsUnusable("certificate_pem", "is missing: a key is of no use without its certificate")
    _load_chain(context, profile.certificate_pem, profile.key_pem)
    return context


def _check_text(part: str, text: str | None) -> None:
    if text is None:
        return
    if len(text) > MAX_PEM_CHARACTERS:
        raise TlsUnusable(part, f"must be at most {MAX_PEM_CHARACTERS} characters long")
    if not text.isascii() or "-----BEGIN " not in text:
        raise TlsUnusable(part, "must be PEM: text with -----BEGIN …-----")
    if part == "key_pem":
        if "ENCRYPTED" in text:
            raise TlsUnusable(part, "must not be encrypted with a pass phrase")
    elif "PRIVATE KEY-----" in text:
        raise TlsUnusable(part, "must hold certificates only, no private key")


def _load_chain(context: ssl.SSLContext, certificate_pem: str, key_pem: str) -> None:
    with _as_file(certificate_pem) as certificate, _as_file(key_pem) as key:
        try:
            context.load_cert_chain(certificate, key, password=_no_pass_phrase)
        except ssl.SSLError as error:
            raise _blamed(error, certificate_pem) from None
        except (OSError, ValueError):
            raise TlsUnusable("key_pem", "holds no private key that can be read") from None


def _no_pass_phrase() -> str:
    raise ValueError("There is no pass phrase.")


def _blamed(error: ssl.SSLError, certificate_pem: str) -> TlsUnusable:
    """Which part OpenSSL means."""
    if error.reason:
        return TlsUnusable("key_pem", "is not the key of the client certificate")
    try:
        ssl.create_default_context(cadata=certificate_pem)
    except (ssl.SSLError, ValueError):
        return TlsUnusable("certificate_pem", "holds no certificate that can be read")
    return TlsUnusable("key_pem", "holds no private key that can be read")


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A path that `ssl` can read `text` from: it takes keys from files only. Where there is such a thing, in memory."""
    memory = getattr(os, "memfd_create", None)
    number, name = tempfile.mkstemp() if memory is None else (memory("pem"), None)  # readable by its owner only
    try:
        with os.fdopen(number, "wb") as file:
            file.write(text.encode("ascii"))
            file.flush()
            yield name or f"/proc/self/fd/{number}"
    finally:
        if name is not None:
            Path(name).unlink()
