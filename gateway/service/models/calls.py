"""Calls of hooks as the control API shows them: what became of them, what was sent, what came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict
from pydantic import Field

from gateway.model import Status
from gateway.service.models.audit import When  # noqa: TC001  pydantic looks it up in the subclass of a subclass
from gateway.service.models.base import ApiModel, Time, rfc3339
from gateway.service.models.fields import HookName, Id, IntegrationName, NextCursor
from gateway.service.models.queries import ForIntegration, Paging

if TYPE_CHECKING:
    from gateway.model import Outcome
    from gateway.pipeline.exchange import Diff, Exchange
    from gateway.pipeline.journal import Detail, Entry
    from gateway.wire.redaction import Excerpt

__all__ = ["DiffView", "EntryView", "ExchangeView", "OutcomeList", "OutcomePage", "OutcomeView"]

STATUSES: list[Any] = [each.value for each in Status]


class OutcomeList(Paging, ForIntegration):
    """Which of the calls of a hook."""

    status: str | None = Field(
        default_factory=lambda: None,
        description="Only those with this status, or with any of several, separated by commas.",
        examples=["failed"],
        max_length=500,
    )
    reason: str | None = Field(
        default_factory=lambda: None,
        description="Only those with this reason, or with any of several, separated by commas.",
        examples=["timeout"],
        max_length=500,
    )
    outcome: str | None = Field(
        default_factory=lambda: None,
        description="A status or a reason, or several of them, separated by commas: those with any of them.",
        examples=["failed,sampling"],
        max_length=500,
    )
    since: When | None = Field(default_factory=lambda: None, description="Only those at this time or later.")
    until: When | None = Field(default_factory=lambda: None, description="Only those before this time.")


class QueryTold(ApiModel):
    """The query that a call was made for."""

    id: str = Field(description="Its id, the `subject` of the CloudEvent.", examples=["q_5b1f0c9de2a4a7731"])
    type: str = Field(description="Its type.", examples=["search"])
    capability: str | None = Field(description="Its capability.", examples=["prices"])
    tenant: str | None = Field(description="Its tenant.", examples=["acme"])


class OutcomeView(ApiModel):
    """What became of one hook for one query."""

    hook: HookName
    integration: IntegrationName
    hook_id: Id
    integration_id: Id = Field(examples=["int_1c9d7x2k4m6p8q0r"])
    generation: int = Field(description="The generation of the hook.", examples=[17])
    status: str = Field(description="What became of it.", examples=["failed"], json_schema_extra={"enum": STATUSES})
    reason: str | None = Field(description="Why it was skipped, or why its reply was discarded.", examples=["timeout"])
    detail: str | None = Field(
        description="The same in a sentence.", examples=["the deadline passed before the reply was complete"]
    )
    milliseconds: float = Field(description="The time spent on it.", examples=[3.1])
    bytes_out: int = Field(description="Bytes of the body that was sent.", examples=[512])
    bytes_in: int = Field(description="Bytes of the body that came back.", examples=[64])
    changed: bool = Field(description="Whether the result after it differs from the one before.", examples=[False])
    batches: int = Field(description="In how many batches of rows the result was sent; 0 if as a whole.", examples=[0])
    batches_failed: int = Field(description="How many of them failed; their rows are as they were.", examples=[0])
    call_id: str | None = Field(
        description="The `webhook-id` of the call, or of the first of several; null if none was made.",
        examples=["msg_0f3a9c1d2e4b5a6c71"],
    )

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeView:
        """The view of an outcome."""
        return cls(**told(outcome))


class WouldBeView(ApiModel):
    """The outcome that the reply of a hook in shadow would have had."""

    status: str = Field(
        description="What would have become of it.", examples=["applied"], json_schema_extra={"enum": STATUSES}
    )
    reason: str | None = Field(description="Why its reply would have been discarded.", examples=[None])
    detail: str | None = Field(description="The same in a sentence.", examples=[None])
    changed: bool = Field(description="Whether it would have changed the result.", examples=[True])


class RequestView(ApiModel):
    """What was sent."""

    method: str = Field(description="The method.", examples=["POST"])
    url: str = Field(description="Where to.", examples=["https://hooks.example.com/query/price-fx"])
    headers: dict[str, str] = Field(
        description="The headers, names in lower case.", examples=[{"webhook-id": "msg_0f3a9c1d2e4b5a6c71"}]
    )
    body: str | None = Field(description="The body, or the beginning of it; null if it is withheld.", examples=["{}"])
    body_bytes: int = Field(description="How long the whole body is.", examples=[2])
    body_note: str | None = Field(description="Where `body` is not all of it, why.", examples=[None])


class ReplyView(ApiModel):
    """What came back."""

    status: int = Field(description="The HTTP status.", examples=[200])
    headers: dict[str, str] = Field(
        description="The headers, names in lower case; cookies are hidden.",
        examples=[{"content-type": "application/json"}],
    )
    body: str | None = Field(description="The body, or the beginning of it; null if it is withheld.", examples=["{}"])
    body_bytes: int = Field(description="How long the whole body is, decompressed.", examples=[2])
    body_note: str | None = Field(description="Where `body` is not all of it, why.", examples=[None])


class ExchangeView(ApiModel):
    """One HTTP exchange."""

    request: RequestView | None = Field(description="What was sent; null if it did not come to that.")
    reply: ReplyView | None = Field(description="What came back; null without a whole reply.")

    @classmethod
    def of(cls, exchange: Exchange | None) -> ExchangeView:
        """The view of an exchange."""
        return cls(request=request_of(exchange), reply=reply_of(exchange))


class DiffView(ApiModel):
    """What a reply changes."""

    patch: list[Any] | None = Field(
        description="A JSON Patch (RFC 6902) from the result before to the one after; null where that is not told.",
        examples=[[{"op": "add", "path": "/count", "value": 2}]],
    )
    note: str | None = Field(description="Where there is no patch, why.", examples=[None])

    @classmethod
    def of(cls, diff: Diff) -> DiffView:
        """The view of a diff."""
        return cls(patch=diff.operations, note=diff.note)


class EntryView(OutcomeView):
    """One turn of a hook, as the journal remembers it."""

    at: Time = Field(description="When it ended.", examples=["2026-01-31T12:00:00.000Z"])
    query: QueryTold = Field(description="The query.")
    would_be: WouldBeView | None = Field(description="Of a hook in shadow: the outcome that its reply would have had.")
    diff: DiffView | None = Field(description="What the reply changes; of hooks in shadow, or where bodies are kept.")
    request: RequestView | None = Field(description="What was sent, where bodies are kept (journal.bodies).")
    reply: ReplyView | None = Field(description="What came back, where bodies are kept.")

    @classmethod
    def of_entry(cls, entry: Entry, detail: Detail | None) -> EntryView:
        """The view of an entry and what was kept beside it."""
        would, exchange = entry.would_be, detail.exchange if detail else None
        return cls(
            **{**told(entry.outcome), "call_id": entry.call_id},
            at=rfc3339(entry.at),
            query=QueryTold(id=entry.query_id, type=entry.type, capability=entry.capability, tenant=entry.tenant),
            would_be=None
            if would is None
            else WouldBeView(
                status=would.status.value,
                reason=None if would.reason is None else would.reason.value,
                detail=would.detail,
                changed=would.changed,
            ),
            diff=DiffView.of(detail.diff) if detail and detail.diff else None,
            request=request_of(exchange),
            reply=reply_of(exchange),
        )


class OutcomePage(ApiModel):
    """A page of what became of a hook's calls, the latest first."""

    items: list[EntryView] = Field(description="One for each turn of the hook.")
    next_cursor: NextCursor


def told(outcome: Outcome) -> dict[str, Any]:
    """The fields of an outcome as the API writes them."""
    fields = asdict(outcome)
    del fields["fatal"]
    return fields | {
        "status": outcome.status.value,
        "reason": None if outcome.reason is None else outcome.reason.value,
        "milliseconds": round(outcome.milliseconds, 3),
    }


def request_of(exchange: Exchange | None) -> RequestView | None:
    """The request of an exchange."""
    if exchange is None:
        return None
    return RequestView(
        method=exchange.method, url=exchange.url, headers=dict(exchange.headers), **_body(exchange.body)
    )  # fmt: skip


def reply_of(exchange: Exchange | None) -> ReplyView | None:
    """The reply of an exchange."""
    if exchange is None or exchange.status is None or exchange.reply_body is None:
        return None
    headers = dict(exchange.reply_headers or {})
    return ReplyView(status=exchange.status, headers=headers, **_body(exchange.reply_body))


def _body(excerpt: Excerpt) -> dict[str, Any]:
    return {"body": excerpt.text, "body_bytes": excerpt.size, "body_note": excerpt.note}
