"""Every error the gateway raises on purpose, as one tree.

The docstring of a class is the sentence its user reads when the error carries no better one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AddressBlocked",
    "BuffersFull",
    "CallError",
    "ConditionError",
    "ConditionFailed",
    "ConditionTooCostly",
    "ConfigError",
    "Conflict",
    "ConnectFailed",
    "ControlApiBusy",
    "ControlApiConflict",
    "ControlApiDenied",
    "ControlApiError",
    "ControlApiInvalid",
    "ControlApiNotFound",
    "ControlApiStale",
    "ControlApiUnreachable",
    "CursorMoved",
    "DnsFailed",
    "FieldError",
    "GatewayError",
    "HandlingFailed",
    "HookFailed",
    "InboxError",
    "InvalidInput",
    "ListenFailed",
    "NotFound",
    "NotOpen",
    "OwnershipRefused",
    "PreconditionFailed",
    "ProtocolViolated",
    "QueryRejected",
    "ReplyTooLarge",
    "ReplyUnusable",
    "StaleGeneration",
    "StoreCorrupt",
    "StoreError",
    "StoreLocked",
    "StoreReadOnly",
    "StoreSealed",
    "StoreTooNew",
    "TimedOut",
    "TlsFailed",
    "UpstreamFailed",
    "WebhookRefused",
]


class GatewayError(Exception):
    """The gateway could not do what was asked."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail if detail is not None else (type(self).__doc__ or "").strip())

    @property
    def detail(self) -> str:
        """One sentence for the user: what is wrong and the way out. Never holds a secret."""
        return str(self.args[0])


class ConfigError(GatewayError):
    """The configuration cannot be used."""


class NotOpen(GatewayError):
    """The gateway is not open in this process: it was closed, or opened before the process was forked."""


class ListenFailed(GatewayError):
    """The address to listen on cannot be used."""


# ---------------------------------------------------------------- control plane


class FieldError:
    """One thing that is wrong with one field of an input.

    `field` is a JSON Pointer into the input (`/envelope/max_timeout_ms`); `detail` is a sentence.
    """

    __slots__ = ("detail", "field")

    def __init__(self, field: str, detail: str) -> None:
        self.field = field
        self.detail = detail

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldError) and (self.field, self.detail) == (other.field, other.detail)

    def __hash__(self) -> int:
        return hash((self.field, self.detail))

    def __repr__(self) -> str:
        return f"FieldError({self.field!r}, {self.detail!r})"


class InvalidInput(GatewayError):
    """The input is not valid. (HTTP 422)"""

    def __init__(self, *errors: FieldError, detail: str | None = None) -> None:
        self.errors: Sequence[FieldError] = errors
        super().__init__(detail or "; ".join(f"{e.field}: {e.detail}" for e in errors) or None)


class NotFound(GatewayError):
    """There is no such thing here. (HTTP 404)"""


class Conflict(GatewayError):
    """It conflicts with what is there already. (HTTP 409)"""


class OwnershipRefused(Conflict):
    """The address did not say that it wants to be called by this gateway. (HTTP 409)"""


class PreconditionFailed(GatewayError):
    """It was changed by someone else in the meantime: read it again, then repeat the change. (HTTP 412)"""


# ---------------------------------------------------------------- conditions


class ConditionError(GatewayError):
    """The condition cannot be used.

    `line` and `column`, from 1, are where it is wrong, if that is known.
    """

    def __init__(self, detail: str, line: int | None = None, column: int | None = None) -> None:
        self.line = line
        self.column = column
        super().__init__(detail if line is None else f"line {line}, column {column}: {detail}")


class ConditionFailed(GatewayError):
    """The condition has no answer for this query."""


class ConditionTooCostly(ConditionFailed):
    """The condition would take too long with values of this size."""


# ---------------------------------------------------------------- stores


class StoreError(GatewayError):
    """The store could not be read or written. (HTTP 503; nothing was changed)"""


class StoreLocked(StoreError):
    """The database is in use by another process."""


class StoreReadOnly(StoreError):
    """The database cannot be written to."""


class StoreCorrupt(StoreError):
    """The file is not a database of this gateway, or it is damaged."""


class StoreTooNew(StoreError):
    """The database was written by a newer version of the gateway; it was not touched."""


class StoreSealed(StoreError):
    """The secrets in the database are encrypted with a key that is not configured; it was not touched."""


class StaleGeneration(StoreError):
    """Another process changed the registry in the meantime."""


class CursorMoved(StoreError):
    """Another process went on from there in the meantime; nothing was changed."""


# ---------------------------------------------------------------- calls to integration servers


class CallError(GatewayError):
    """A call to an integration server did not produce a usable reply.

    `reason` is the word for it in an outcome (see `gateway.model.Reason`).
    """

    reason: ClassVar[str] = "protocol"


class TimedOut(CallError):
    """The deadline passed before the reply was complete."""

    reason = "timeout"


class ConnectFailed(CallError):
    """No connection could be made, or it broke before a reply began."""

    reason = "connect"


class TlsFailed(CallError):
    """The TLS handshake failed: certificate, name or version."""

    reason = "tls"


class DnsFailed(CallError):
    """The host name could not be resolved."""

    reason = "dns"


class AddressBlocked(CallError):
    """The address is not one that calls may go to."""

    reason = "blocked_address"


class ReplyTooLarge(CallError):
    """The reply went past a cap: body, decompressed body, or header.

    `status` is the HTTP status that it began with, `None` if its head was not whole.
    """

    reason = "too_large"
    status: int | None = None


class BuffersFull(CallError):
    """The replies that are coming in take as much memory as they may (calls.max_buffered_bytes)."""

    reason = "overload"


class ProtocolViolated(CallError):
    """The other side did not keep to HTTP/1.1."""

    reason = "protocol"


class ReplyUnusable(CallError):
    """The reply came whole but cannot be used; `reason` says why.

    `retry_after`: seconds for which the hook asked not to be called again, if it did.
    """

    def __init__(self, reason: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.reason = reason  # type: ignore[misc]  # the one class whose reason differs per instance


# ---------------------------------------------------------------- what a query's caller sees


class HookFailed(GatewayError):
    """A hook whose failure policy is "fail" failed. (HTTP 504 after a timeout, otherwise 502)

    `outcomes` are those of the query up to this hook, in order (`gateway.model.Outcome`). `trace_id` names the trace of
    a query that is traced.
    """

    def __init__(
        self,
        hook: str,
        reason: str,
        detail: str | None = None,
        *,
        outcomes: tuple[Any, ...] = (),
        trace_id: str | None = None,
    ) -> None:
        self.trace_id = trace_id
        self.hook = hook
        self.reason = reason
        self.outcomes = outcomes
        super().__init__(detail or f"The hook {hook!r} failed ({reason}), and its failure policy is 'fail'.")

    @property
    def status(self) -> int:
        """The HTTP status for the caller."""
        return 504 if self.reason == "timeout" else 502


class UpstreamFailed(GatewayError):
    """The query API behind the gateway did not answer as it should. (HTTP 504 after a timeout, 503 if busy, or 502)"""

    def __init__(
        self, detail: str | None = None, *, timed_out: bool = False, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.place = ""  # of the upstream, where known: for the log, not for clients
        self.reason = reason or ("timeout" if timed_out else "failed")  # the others: see gateway.service.upstream
        self.retry_after = retry_after  # seconds
        self.status = 504 if timed_out else 503 if reason == "busy" else 502


class QueryRejected(GatewayError):
    """A hook that may do so rejected the query. (HTTP 422)

    `problem` is the hook's problem document (RFC 9457), `outcomes` are those up to this hook, `trace_id` names a trace.
    """

    def __init__(
        self, hook: str, problem: dict[str, Any], *, outcomes: tuple[Any, ...] = (), trace_id: str | None = None
    ) -> None:
        self.trace_id = trace_id
        self.hook = hook
        self.problem = problem
        self.outcomes = outcomes
        title = problem.get("detail") or problem.get("title")
        super().__init__(str(title) if title else f"The hook {hook!r} rejected the query.")


# ---------------------------------------------------------------- the receiving side


class WebhookRefused(GatewayError):
    """The message is not a valid webhook from the expected sender."""


class HandlingFailed(GatewayError):
    """A message of an inbox cannot be handled, and to try again is of no use: raise it in a handler."""


class InboxError(GatewayError):
    """The inbox could not be read or written; nothing was acknowledged."""


# ---------------------------------------------------------------- clients of the control API


class ControlApiError(GatewayError):
    """The control API did not do what it was asked to.

    `status` is the HTTP status, `None` without an answer; `problem` the problem document (RFC 9457), perhaps empty;
    `errors` what is wrong with which field; `retry_after` for how many seconds it asked to wait, if it did.
    """

    def __init__(
        self,
        detail: str | None = None,
        *,
        status: int | None = None,
        problem: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.problem: dict[str, Any] = problem or {}
        self.retry_after = retry_after
        told = self.problem.get("errors")
        self.errors: Sequence[FieldError] = tuple(
            FieldError(str(each.get("field", "")), str(each.get("detail", "")))
            for each in (told if isinstance(told, list) else ())
            if isinstance(each, dict)
        )


class ControlApiUnreachable(ControlApiError):
    """The control API could not be reached, or did not answer in time."""


class ControlApiDenied(ControlApiError):
    """The key is not valid, or it is not for this. (HTTP 401, 403)"""


class ControlApiInvalid(ControlApiError):
    """The control API does not accept what it was given; `errors` names the fields. (HTTP 400, 413, 415, 422)"""


class ControlApiNotFound(ControlApiError):
    """There is no such thing at the control API, or not for this key. (HTTP 404)"""


class ControlApiConflict(ControlApiError):
    """It conflicts with what the gateway has, or the address does not say that it wants to be called. (HTTP 409)"""


class ControlApiStale(ControlApiError):
    """It was changed by someone else since it was read. (HTTP 412)"""


class ControlApiBusy(ControlApiError):
    """The gateway cannot do it now, and nothing was changed. (HTTP 429, 503)"""
