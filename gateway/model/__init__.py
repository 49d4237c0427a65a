"""Frozen data: what the gateway talks about. No I/O and no clock here; imports `errors` at most."""

from gateway.model.hook import Hook, HookState
from gateway.model.integration import (
    ApiKeyHash,
    Delivery,
    Envelope,
    FailurePolicy,
    Integration,
    SigningSecret,
)
from gateway.model.outcome import Outcome, Reason, Status
from gateway.model.query import Query
from gateway.model.result import Result

__all__ = [
    "ApiKeyHash",
    "Delivery",
    "Envelope",
    "FailurePolicy",
    "Hook",
    "HookState",
    "Integration",
    "Outcome",
    "Query",
    "Reason",
    "Result",
    "SigningSecret",
    "Status",
]
