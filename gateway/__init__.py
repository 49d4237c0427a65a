"""A gateway between a query and its answer. The public names, nothing else."""

from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError, HookFailed, InvalidInput, QueryRejected
from gateway.model import (
    CanaryBounds,
    Delivery,
    Envelope,
    FailurePolicy,
    Granularity,
    Hook,
    Integration,
    Mode,
    OnViolation,
    Outcome,
    Query,
    Reason,
    Result,
    RowCount,
    Status,
    StickyBy,
)

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.pipeline import Answer, QueryPipeline
    from gateway.registry import HookDraft, IntegrationDraft
    from gateway.runtime import Gateway, open_gateway

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "CanaryBounds",
    "Delivery",
    "Envelope",
    "FailurePolicy",
    "Gateway",
    "GatewayError",
    "Granularity",
    "Hook",
    "HookDraft",
    "HookFailed",
    "Integration",
    "IntegrationDraft",
    "InvalidInput",
    "Mode",
    "OnViolation",
    "Outcome",
    "Query",
    "QueryPipeline",
    "QueryRejected",
    "Reason",
    "Result",
    "RowCount",
    "Settings",
    "Status",
    "StickyBy",
    "__version__",
    "open_gateway",
]

_LATER = {
    "Answer": "gateway.pipeline",
    "Gateway": "gateway.runtime",
    "HookDraft": "gateway.registry",
    "IntegrationDraft": "gateway.registry",
    "QueryPipeline": "gateway.pipeline",
    "Settings": "gateway.config",
    "open_gateway": "gateway.runtime",
}


def __getattr__(name: str) -> Any:
    """Import what pulls in more than data and errors only when it is asked for."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    msg = f"module 'gateway' has no attribute {name!r}"
    raise AttributeError(msg)
