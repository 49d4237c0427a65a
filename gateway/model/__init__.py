"""Frozen data: what the gateway talks about. No I/O and no clock here; imports `errors` at most."""

from gateway.model.audit import EMBEDDED, GATEWAY, Actor, ActorKind, AuditEntry
from gateway.model.hook import Hook, HookState, OnOverload
from gateway.model.integration import (
    ApiKeyHash,
    Delivery,
    Envelope,
    FailurePolicy,
    Integration,
    SigningSecret,
    TlsSettings,
)
from gateway.model.outcome import Outcome, Reason, Status
from gateway.model.query import Query
from gateway.model.result import Result
from gateway.model.rollout import CanaryBounds, Mode, StickyBy
from gateway.model.scope import Granularity, OnViolation, RowCount

__all__ = [
    "EMBEDDED",
    "GATEWAY",
    "Actor",
    "ActorKind",
    "ApiKeyHash",
    "AuditEntry",
    "CanaryBounds",
    "Delivery",
    "Envelope",
    "FailurePolicy",
    "Granularity",
    "Hook",
    "HookState",
    "Integration",
    "Mode",
    "OnOverload",
    "OnViolation",
    "Outcome",
    "Query",
    "Reason",
    "Result",
    "RowCount",
    "SigningSecret",
    "Status",
    "StickyBy",
    "TlsSettings",
]
