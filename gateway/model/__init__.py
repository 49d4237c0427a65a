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

__all__ = [
    "EMBEDDED",
    "GATEWAY",
    "Actor",
    "ActorKind",
    "ApiKeyHash",
    "AuditEntry",
    "Delivery",
    "Envelope",
    "FailurePolicy",
    "Hook",
    "HookState",
    "Integration",
    "OnOverload",
    "Outcome",
    "Query",
    "Reason",
    "Result",
    "SigningSecret",
    "Status",
    "TlsSettings",
]
