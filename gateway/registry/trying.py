"""A hook as it would be called, for who tries it out before it is enabled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.errors import Conflict

if TYPE_CHECKING:
    from gateway.model import Hook, Integration
    from gateway.registry.rules import RegistryRules
    from gateway.registry.snapshot import BoundHook


def bound_to_try(rules: RegistryRules, hook: Hook, integration: Integration) -> BoundHook:
    """`hook` as queries would use it if it and its integration were enabled and well.

    Raises `Conflict` where nothing of what it serves is within its envelope.
    """
    bound = rules.bind(replace(hook, enabled=True, suspended=None), replace(integration, enabled=True))
    if bound is None:
        msg = "Nothing of what the hook serves is within its integration's envelope."
        raise Conflict(msg)
    return bound
