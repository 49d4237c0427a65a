"""Who is calling: bearer keys, and what each kind of key reaches."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import ConfigError, NotFound
from gateway.service.problem import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gateway.model import Integration

__all__ = ["Access", "Authenticator", "Caller", "Directory", "admit", "no_integration"]

_CHALLENGE: Final = 'Bearer realm="gateway"'
_KEY: Final = re.compile(r"[\x21-\x7e]+")  # what fits into the header: visible ASCII without spaces


class Access(Enum):
    """Who may use an operation."""

    ANYONE = "anyone"
    OPERATOR = "operator"
    OWN_INTEGRATION = "own_integration"  # the operator, and the integration that the path names
    HOOKS = "hooks"  # the operator, and any integration within its own hooks


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: an integration by its id, the operator, or (neither) someone without a key."""

    integration_id: str | None = None
    operator: bool = False

    def __str__(self) -> str:
        return "operator" if self.operator else self.integration_id or "anyone"


ANONYMOUS: Final = Caller()
OPERATOR: Final = Caller(operator=True)


class Directory(Protocol):
    """What is asked of the registry here."""

    def authenticate(self, api_key: str) -> Integration | None:
        """The integration whose valid key this is."""
        ...


class Authenticator:
    """Tells the caller from the `Authorization` header.

    Operator keys are kept as digests and compared in constant time over all of them, so neither a
    memory dump nor a stopwatch gives one away.
    """

    def __init__(self, operator_keys: Collection[str], directory: Directory) -> None:
        """Raises `ConfigError` for a key that could never be sent."""
        for key in operator_keys:
            if not _KEY.fullmatch(key):
                msg = "An operator key must be visible ASCII characters without spaces, and not empty."
                raise ConfigError(msg)
        self._digests = tuple(sha256(key.encode()).digest() for key in operator_keys)
        self._directory = directory

    def caller(self, authorization: Sequence[str]) -> Caller:
        """The caller, from all values of the header. Raises `Refused` (401) if they name nobody."""
        if not authorization:
            detail = "Send a key: 'authorization: Bearer <operator key or integration API key>'."
            raise Refused(401, detail, {"www-authenticate": _CHALLENGE})
        scheme, _, key = authorization[0].strip().partition(" ")
        key = key.strip()
        if len(authorization) > 1 or scheme.lower() != "bearer" or not _KEY.fullmatch(key):
            detail = "The authorization header must be one 'Bearer <key>'."
            raise Refused(401, detail, {"www-authenticate": _CHALLENGE})
        if self._is_operator(key):
            return OPERATOR
        integration = self._directory.authenticate(key)
        if integration is None:
            detail = "This key is not known, or no longer valid."
            raise Refused(401, detail, {"www-authenticate": f'{_CHALLENGE}, error="invalid_token"'})
        return Caller(integration_id=integration.id)

    def _is_operator(self, key: str) -> bool:
        digest = sha256(key.encode()).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found


def no_integration(integration_id: str) -> NotFound:
    """The same words for an integration that is not there and for one that the caller may not see."""
    return NotFound(f"There is no integration {integration_id[:80]!r}.")


def admit(caller: Caller, access: Access, integration_id: str | None) -> None:
    """Let the caller through, or not.

    `integration_id` is the one that the path names, if it names one. Raises `NotFound` for anything
    that is not the caller's own, so that guessing ids teaches nothing, and `Refused` (403) for what
    only the operator may do.
    """
    if caller.operator or access in (Access.ANYONE, Access.HOOKS):
        return
    if integration_id is not None and integration_id != caller.integration_id:
        raise no_integration(integration_id)
    if access is Access.OPERATOR:
        raise Refused(403, "Only the operator may do this; the key is an integration's.")
