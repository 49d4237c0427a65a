"""The audit log as the control API gives it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.model import ActorKind
from gateway.service.models.base import ApiModel, Time, rfc3339
from gateway.service.models.fields import NextCursor
from gateway.service.models.queries import Paging

if TYPE_CHECKING:
    from gateway.model import AuditEntry

__all__ = ["AuditList", "AuditPage", "AuditView", "seconds_of"]

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a time in RFC 3339. Raises `ValueError`."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("must be a time in RFC 3339, such as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a time in RFC 3339, such as 2026-01-31T12:00:00Z") from None


def _checked(text: str) -> str:
    seconds_of(text)
    return text


When = Annotated[
    str,
    Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00Z"], max_length=40),
    AfterValidator(_checked),
]
Word = Annotated[str, Field(max_length=200)]


class AuditList(Paging):
    """Which entries of the audit log."""

    integration: Word | None = Field(
        default_factory=lambda: None,
        description="Only changes of this integration and its hooks: its id, also after it was removed.",
        examples=["int_1c9d7x2k4m6p8q0r"],
    )
    hook: Word | None = Field(
        default_factory=lambda: None,
        description="Only changes of this hook: its id, also after it was removed.",
        examples=["hk_3f8k2m9q4r7t1v5x"],
    )
    subscription: Word | None = Field(
        default_factory=lambda: None,
        description="Only changes of this subscription: its id, also after it was removed.",
        examples=["sub_5t2v8x1z4b7d0f3h"],
    )
    who: Word | None = Field(
        default_factory=lambda: None,
        description="Only changes by these: operator, integration, gateway, embedded, a fingerprint, an id or a name.",
        examples=["operator"],
    )
    since: When | None = Field(default_factory=lambda: None, description="Only changes at this time or later.")
    until: When | None = Field(default_factory=lambda: None, description="Only changes before this time.")


class WhoView(ApiModel):
    """Who made a change."""

    kind: Literal["operator", "integration", "gateway", "embedded"] = Field(
        description="gateway: the gateway itself, such as for a lease that ended.", examples=["operator"]
    )
    id: str | None = Field(description="An operator key's fingerprint, or an integration's id.", examples=["3f9a01c2"])
    name: str | None = Field(description="An integration's name at that time.", examples=["prices"])
    address: str | None = Field(
        description="Where the call came from; an integration sees its own only.", examples=["192.0.2.7"]
    )


class AuditView(ApiModel):
    """One record that one change put or removed."""

    number: int = Field(description="Grows from entry to entry.", examples=[42])
    at: Time
    generation: int = Field(description="The registry generation that the change made.", examples=[17])
    action: str = Field(description="What happened to it.", examples=["hook.enabled"])
    who: WhoView
    integration_id: str | None = Field(
        description="Whose it is; null: a subscription of the operator's.", examples=["int_1c9d7x2k4m6p8q0r"]
    )
    integration: str | None = Field(description="The integration's name at that time.", examples=["prices"])
    hook_id: str | None = Field(description="The hook, if it is one.", examples=["hk_3f8k2m9q4r7t1v5x"])
    hook: str | None = Field(description="The hook's name at that time.", examples=["price-fx"])
    subscription_id: str | None = Field(
        description="The subscription, if it is one; null for both: the integration itself.", examples=[None]
    )
    subscription: str | None = Field(description="The subscription's name at that time.", examples=[None])
    before: dict[str, Any] | None = Field(
        description="The fields that changed, as they were; null: it is new. Never a secret.",
        examples=[{"enabled": False}],
    )
    after: dict[str, Any] | None = Field(
        description="The same fields as they are then; null: it is gone.", examples=[{"enabled": True}]
    )

    @classmethod
    def of(cls, entry: AuditEntry, *, to: str | None) -> AuditView:
        """The view of an entry, `to` the integration with this id or (`None`) to an operator."""
        actor = entry.actor
        own = to is None or (actor.kind is ActorKind.INTEGRATION and actor.id == to)
        return cls(
            number=entry.number,
            at=rfc3339(entry.at),
            generation=entry.generation,
            action=entry.action,
            who=WhoView(kind=actor.kind.value, id=actor.id, name=actor.name, address=actor.address if own else None),
            integration_id=entry.integration_id or None,
            integration=entry.integration or None,
            hook_id=entry.hook_id,
            hook=entry.hook,
            subscription_id=entry.subscription_id,
            subscription=entry.subscription,
            before=None if entry.before is None else dict(entry.before),
            after=None if entry.after is None else dict(entry.after),
        )


class AuditPage(ApiModel):
    """A page of the audit log, the newest first."""

    items: list[AuditView] = Field(description="The entries.")
    next_cursor: NextCursor
