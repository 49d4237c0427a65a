"""Who changed what in the registry, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# These come by themselves again and again: of each hook, a store keeps the last one only.
REPEATED_ACTIONS: Final = frozenset({"hook.renewed"})


class ActorKind(StrEnum):
    """What kind of party made a change."""

    OPERATOR = "operator"  # with an operator key
    INTEGRATION = "integration"  # with the integration's own API key
    GATEWAY = "gateway"  # the gateway itself: a lease that ended, a 410, a health check
    EMBEDDED = "embedded"  # the program that the gateway is embedded in


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change.

    `id` is an operator key's fingerprint or an integration's id, `name` the integration's name, `address`
    the source address of the request; each is `None` where there is none.
    """

    kind: ActorKind
    id: str | None = None
    name: str | None = None
    address: str | None = None


GATEWAY: Final = Actor(ActorKind.GATEWAY)
EMBEDDED: Final = Actor(ActorKind.EMBEDDED)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One record that one change put or removed: an integration, a hook of it, or a subscription.

    `integration_id` is empty for a subscription of the operator's.

    `at` in seconds since 1970. `action` is like `hook.enabled`. `before` and `after` hold the fields that
    differ, as plain JSON values and never a secret; `None` stands for a record that was not there before, or
    is not there after. `number` is given by the store and grows.
    """

    at: float
    generation: int
    action: str
    actor: Actor
    integration_id: str
    integration: str
    hook_id: str | None = None
    hook: str | None = None
    before: Mapping[str, Any] | None = field(default=None, hash=False)
    after: Mapping[str, Any] | None = field(default=None, hash=False)
    number: int = 0
    subscription_id: str | None = None
    subscription: str | None = None
