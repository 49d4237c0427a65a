"""How messages and connections of one integration are secured: its keys, and TLS of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakValueDictionary

from gateway.errors import ConfigError, FieldError, InvalidInput
from gateway.model import TlsSettings
from gateway.registry.credentials import new_api_key
from gateway.transport.endpoint import canonical_host
from gateway.transport.tls import TlsProfile, TlsUnusable, check_tls
from gateway.wire.ed25519 import PublicKey, new_signing_key, public_key_of
from gateway.wire.keyring import KeyRing
from gateway.wire.signature import new_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.model import Integration
    from gateway.registry.drafts import IntegrationDraft

MAX_REPLY_KEYS: Final = 4  # each makes a forged reply dearer to refuse

_PARTS: Final = {"certificate_pem": "client_certificate_pem", "key_pem": "client_key_pem"}
_KEY: Final = "client_key_pem"


def key_ring(integration: Integration) -> KeyRing:
    """What the messages to and from `integration` are signed and verified with.

    Raises `ConfigError` if it has Ed25519 keys and the extra for them is missing.
    """
    return KeyRing(
        ((secret.secret, secret.expires_at) for secret in integration.secrets),
        ((key.secret, key.expires_at) for key in integration.signing_keys),
        integration.reply_public_keys,
    )


class TlsProfiles:
    """Gives integrations with equal TLS settings the very same profile, so that each is loaded once."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[str, TlsProfile] = WeakValueDictionary()

    def of(self, integration: Integration) -> TlsProfile | None:
        """The profile for connections to `integration`; `None` for the transport's own."""
        made = _profile(integration)
        return None if made is None else self._known.setdefault(made.ident, made)


def _profile(integration: Integration | IntegrationDraft) -> TlsProfile | None:
    tls = integration.tls
    if tls is None:
        return None
    name = None if tls.server_name is None else canonical_host(tls.server_name)
    return TlsProfile(tls.ca_pem, tls.client_certificate_pem, integration.client_key_pem, name)


def new_credential(what: Literal["api_key", "secret", "signing_key"]) -> tuple[str, str]:
    """A new credential: what its owner is told of it, and what signs. Raises `InvalidInput` without the extra."""
    if what == "api_key":
        key = new_api_key()
        return key, key
    if what == "secret":
        secret = new_secret()
        return secret, secret
    try:
        private = new_signing_key()
    except ConfigError as error:
        raise InvalidInput(FieldError("/what", error.detail)) from None
    return public_key_of(private), private


def security_errors(draft: IntegrationDraft | Integration) -> Iterable[FieldError]:
    """What is wrong with the keys for replies and the TLS settings of `draft`."""
    if len(draft.reply_public_keys) > MAX_REPLY_KEYS:
        yield FieldError("/reply_public_keys", f"may hold at most {MAX_REPLY_KEYS} keys")
        return
    for place, key in enumerate(draft.reply_public_keys):
        try:
            PublicKey(key)
        except (ValueError, ConfigError) as error:
            yield FieldError(f"/reply_public_keys/{place}", str(error))
    if draft.tls is None:
        if draft.client_key_pem is not None:
            yield FieldError(f"/tls/{_KEY}", "is of no use without its certificate")
        return
    if not draft.base_url.lower().startswith("https:"):
        yield FieldError("/tls", "is of no use with a base_url that is not https")
        yield FieldError("/base_url", "must be https, for the integration has TLS settings; take those away first")
    try:
        profile = _profile(draft)
    except ValueError:
        yield FieldError("/tls/server_name", "is not a host name")
        return
    try:
        check_tls(profile or TlsProfile())
    except TlsUnusable as error:
        yield FieldError(f"/tls/{_PARTS.get(error.part, error.part)}", str(error))


def with_tls(old: Integration, fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields`, where `tls` is a merge patch, as the fields of `gateway.model.Integration`.

    The private key is kept apart from the other settings, with the credentials.
    """
    changed = dict(fields)
    if "reply_public_keys" in changed:
        changed["reply_public_keys"] = tuple(changed["reply_public_keys"] or ())
    if "tls" not in changed:
        return changed
    given = changed.pop("tls")
    if given is None:
        return {**changed, "tls": None, _KEY: None}
    parts = {name: value for name, value in given.items() if name != _KEY}
    tls = replace(old.tls or TlsSettings(), **parts)
    key = given.get(_KEY, old.client_key_pem)
    return {**changed, "tls": None if tls == TlsSettings() and key is None else tls, _KEY: key}
