"""Who is calling: bearer keys, and what each kind of key reaches."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import ConfigError, NotFound
from gateway.model import Actor, ActorKind
from gateway.service.failed_auth import FailedAuth
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
    """Who is calling: an integration by its id, the operator, or (neither) someone without a key.

    `actor` is the same for the audit log, with the source address.
    """

    integration_id: str | None = None
    operator: bool = False
    actor: Actor = field(default=Actor(ActorKind.EMBEDDED), compare=False)

    def __str__(self) -> str:
        return "operator" if self.operator else self.integration_id or "anyone"


ANONYMOUS: Final = Caller()


class Directory(Protocol):
    """What is asked of the registry here."""

    async def authenticate(self, api_key: str) -> Integration | None:
        """The integration whose valid key this is."""
        ...

    def fingerprint(self, operator_key: str) -> str:
        """The short name of an operator key."""
        ...


class Authenticator:
    """Tells the caller from the `Authorization` header.

    Operator keys are kept as digests and compared in constant time over all of them, so neither a
    memory dump nor a stopwatch gives one away. `failures` limits how often a source may be wrong.
    """

    def __init__(
        self, operator_keys: Collection[str], directory: Directory, failures: FailedAuth | None = None
    ) -> None:
        """Raises `ConfigError` for a key that could never be sent."""
        for key in operator_keys:
            if not _KEY.fullmatch(key):
                msg = "An operator key must be visible ASCII characters without spaces, and not empty."
                raise ConfigError(msg)
        self._directory = directory
        self.replace_operators(operator_keys)
        self._failures = failures or FailedAuth()

    def replace_operators(self, operator_keys: Collection[str]) -> None:
        """These are the operators' keys from now on; the ones before are not."""
        self._operators = {sha256(key.encode()).digest(): self._directory.fingerprint(key) for key in operator_keys}

    @property
    def fingerprints(self) -> list[str]:
        """The short names of the operator keys, in their order."""
        return list(self._operators.values())

    async def caller(self, authorization: Sequence[str], address: str | None = None) -> Caller:
        """The caller, from all values of the header and the source address.

        Raises `Refused`: 401 if they name nobody, 429 if that happened too often from this address.
        """
        if not authorization:
            detail = "Send a key: 'authorization: Bearer <operator key or integration API key>'."
            raise Refused(401, detail, {"www-authenticate": _CHALLENGE})
        self._failures.check(address)
        caller = await self._known(authorization, address)
        if isinstance(caller, Refused):
            self._failures.failed(address)
            raise caller
        self._failures.succeeded(address)
        return caller

    async def _known(self, authorization: Sequence[str], address: str | None) -> Caller | Refused:
        scheme, _, key = authorization[0].strip().partition(" ")
        key = key.strip()
        if len(authorization) > 1 or scheme.lower() != "bearer" or not _KEY.fullmatch(key):
            detail = "The authorization header must be one 'Bearer <key>'."
            return Refused(401, detail, {"www-authenticate": _CHALLENGE})
        fingerprint = self._operator(key)
        if fingerprint is not None:
            return Caller(operator=True, actor=Actor(ActorKind.OPERATOR, fingerprint, address=address))
        integration = await self._directory.authenticate(key)
        if integration is None:
            detail = "This key is not known, or no longer valid."
            return Refused(401, detail, {"www-authenticate": f'{_CHALLENGE}, error="invalid_token"'})
        actor = Actor(ActorKind.INTEGRATION, integration.id, integration.name, address)
        return Caller(integration.id, actor=actor)

    def _operator(self, key: str) -> str | None:
        """The fingerprint of an operator's key."""
        digest = sha256(key.encode()).digest()
        found = None
        for known, fingerprint in self._operators.items():
            if hmac.compare_digest(digest, known):
                found = fingerprint
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
