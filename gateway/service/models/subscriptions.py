"""Subscriptions as the control API takes and gives them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from gateway.model.subscription import ContentType as Written
from gateway.relay.drafts import SubscriptionDraft
from gateway.relay.subscription_changes import is_on
from gateway.service.models.base import WHOLE, ApiModel, Time, rfc3339
from gateway.service.models.fields import MAX_LEASE_SECONDS, Id, NextCursor, Version
from gateway.service.models.queries import ForIntegration, Paging

if TYPE_CHECKING:
    from gateway.model.subscription import Subscription
    from gateway.relay.drafts import NewSecret as Rotated
    from gateway.relay.drafts import Subscribed

__all__ = [
    "NewSubscription",
    "NewSubscriptionSecret",
    "SecretOrder",
    "SubscriptionChange",
    "SubscriptionList",
    "SubscriptionPage",
    "SubscriptionRequest",
    "SubscriptionView",
]

_ID: Final = "sub_5t2v8x1z4b7d0f3h"
_HIDDEN: Final = "(hidden)"
_CREDENTIAL: Final = re.compile(r"auth|cookie|token|secret|key|pass|credential|signature|session", re.IGNORECASE)


def _told(description: str, *examples: Any, **schema: Any) -> Any:
    return Field(description=description, examples=list(examples), json_schema_extra=schema or None)


# The rules of subscriptions check what `json_schema_extra` states here, with sentences of their own.
SubscriptionName = Annotated[
    str,
    _told(
        "For people: letters, digits, spaces and _.:@+- .",
        "audit-trail",
        minLength=1,
        maxLength=100,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_ .:@+-]*[A-Za-z0-9_])?$",
    ),
]
EventPattern = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        json_schema_extra={"pattern": r"^(\*|[A-Za-z0-9_-]+)(\.(\*|[A-Za-z0-9_-]+))*$"},
    ),
]
EventPatterns = Annotated[
    list[EventPattern],
    Field(
        min_length=1,
        max_length=100,
        description="Which events it wants: their types, with * for whatever stands in its place; * alone is all.",
        examples=[["gateway.hook.*", "order.created"]],
    ),
]
TargetUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        description="Where its events are sent, by POST. https, unless the gateway allows http.",
        examples=["https://example.com/events"],
    ),
]
ContentType = Annotated[
    Literal["application/json", "application/cloudevents+json"],
    _told(
        "How an event is written: {id, type, timestamp, data} (Standard Webhooks), or a CloudEvents 1.0 document.",
        "application/json",
    ),
]
Secret = Annotated[
    str,
    Field(
        max_length=200,
        description="Signs the deliveries (Standard Webhooks): whsec_ and base64 of 16 to 64 bytes. "
        "Left out, one is made.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        json_schema_extra={"writeOnly": True},
    ),
]
InsecureSsl = Annotated[
    bool,
    _told("Whether any certificate will do. Only where the gateway's configuration allows it.", False),
]
Filter = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        description="A CEL expression over event and data: only events for which it is true are sent.",
        examples=["data.total > 100.0"],
    ),
]
Headers = Annotated[
    dict[str, str],
    Field(
        max_length=20,
        description="Headers that each delivery carries besides the gateway's own.",
        examples=[{"x-team": "billing"}],
    ),
]
HeadersChange = Annotated[
    dict[str, str | None],
    Field(
        max_length=40,
        description="Merged into the present ones; null takes one away.",
        examples=[{"x-team": "billing", "x-old": None}],
    ),
]
Active = Annotated[
    bool,
    _told("Whether events are sent. While it is off, they are kept, and sent in order when it is on again.", True),
]
Ordered = Annotated[
    bool,
    _told("Whether an event waits until the one before it with the same key is delivered.", False),
]
GithubSignature = Annotated[
    bool,
    _told("Whether deliveries carry X-Hub-Signature-256 as well, as GitHub's do.", False),
]
MaxConcurrency = Annotated[
    int,
    Field(ge=1, le=100, description="How many deliveries to it may be under way at once.", examples=[10]),
    WHOLE,
]


class ConfigRequest(ApiModel):
    """Where events are sent, and how."""

    url: TargetUrl
    content_type: ContentType = "application/json"
    secret: Secret | None = Field(default=None, repr=False)
    insecure_ssl: InsecureSsl = False


class SubscriptionRequest(ApiModel):
    """What is said of a new subscription."""

    name: SubscriptionName
    events: EventPatterns
    config: ConfigRequest = Field(description="Where events are sent, and how.")
    active: Active = True
    filter: Filter | None = None
    headers: Headers = Field(default_factory=dict)
    ordered: Ordered = False
    github_signature: GithubSignature = False
    max_concurrency: MaxConcurrency = 10

    def draft(self) -> SubscriptionDraft:
        """The same for whoever keeps subscriptions."""
        config = self.config
        return SubscriptionDraft(
            name=self.name,
            events=tuple(self.events),
            url=config.url,
            content_type=Written(config.content_type),
            secret=config.secret,
            headers=self.headers,
            filter=self.filter,
            github_signature=self.github_signature,
            insecure_ssl=config.insecure_ssl,
            ordered=self.ordered,
            max_concurrency=self.max_concurrency,
            active=self.active,
        )


class ConfigChange(ApiModel):
    """A part of a merge patch: what is left out stays."""

    # The factories make a field optional without a default in the schema; their values are never read.
    url: TargetUrl = Field(default_factory=str)
    content_type: ContentType = Field(default_factory=lambda: "application/json")
    secret: Secret = Field(default_factory=str, repr=False)
    insecure_ssl: InsecureSsl = Field(default_factory=bool)


class SubscriptionChange(ApiModel):
    """A merge patch (RFC 7396): what is left out stays; null, where allowed, is the default."""

    name: SubscriptionName = Field(default_factory=str)
    events: EventPatterns = Field(default_factory=list)
    config: ConfigChange = Field(default_factory=ConfigChange, description="Merged into the present one.")
    active: Active = Field(default_factory=bool)
    filter: Filter | None = Field(default_factory=lambda: None)
    headers: HeadersChange | None = Field(default_factory=lambda: None)
    ordered: Ordered = Field(default_factory=bool)
    github_signature: GithubSignature = Field(default_factory=bool)
    max_concurrency: MaxConcurrency = Field(default_factory=int)

    def given(self) -> dict[str, Any]:
        """The fields that were sent, as a `SubscriptionDraft` has them."""
        values = self.model_dump(exclude_unset=True)
        values |= values.pop("config", {})
        if "content_type" in values:
            values["content_type"] = Written(values["content_type"])
        return values


class ConfigView(ApiModel):
    """Where events are sent, and how. Its secret is never part of it."""

    url: TargetUrl
    content_type: ContentType
    insecure_ssl: InsecureSsl


class SubscriptionView(ApiModel):
    """A subscription, without its secret."""

    id: Id = Field(examples=[_ID])
    integration_id: str | None = Field(
        description="Whose it is; null: the operator's.", examples=["int_1c9d7x2k4m6p8q0r"]
    )
    name: SubscriptionName
    events: EventPatterns
    config: ConfigView
    active: Active
    filter: str | None = Field(
        description="Only events for which this CEL expression is true are sent.", examples=["data.total > 100.0"]
    )
    headers: dict[str, str] = Field(
        description="Headers that each delivery carries; what may be a credential is not shown.",
        examples=[{"x-team": "billing", "authorization": _HIDDEN}],
    )
    ordered: Ordered
    github_signature: GithubSignature
    max_concurrency: int = Field(description="How many deliveries to it may be under way at once.", examples=[10])
    state: Literal["active", "paused", "inactive"] = Field(
        description="paused: what happens is kept, and not sent for now. inactive: its URL answered 410, and nothing "
        "is kept for it until active is set again.",
        examples=["active"],
    )
    reason: str | None = Field(description="Why it is not active.", examples=[None])
    paused_at: Time | None = Field(description="Since when it is paused.")
    next_probe_at: Time | None = Field(
        description="When one delivery is tried to find out whether it is well again; null: not by itself."
    )
    version: Version
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, subscription: Subscription) -> SubscriptionView:
        """The view of a subscription."""
        return cls(**_viewed(subscription))


class NewConfig(ConfigView):
    """Where events are sent, and how, with the secret that was made."""

    secret: str | None = Field(
        description="Signs the deliveries. Not shown again; null where it was given.", examples=["whsec_…"]
    )


class NewSubscription(SubscriptionView):
    """A new subscription. A secret that was made for it is shown this once."""

    config: NewConfig
    secret: str | None = Field(description="The same as config.secret.", examples=["whsec_…"])

    @classmethod
    def made(cls, subscribed: Subscribed) -> NewSubscription:
        """The view of what was just made."""
        viewed = _viewed(subscribed.subscription)
        config = NewConfig(**viewed.pop("config").model_dump(), secret=subscribed.secret)
        return cls(**viewed, config=config, secret=subscribed.secret)


class SubscriptionPage(ApiModel):
    """A page of subscriptions, sorted by id."""

    items: list[SubscriptionView] = Field(description="The subscriptions.")
    next_cursor: NextCursor


class SubscriptionList(Paging, ForIntegration):
    """Which subscriptions."""


class SecretOrder(ApiModel):
    """How to replace the secret."""

    grace_seconds: float = Field(
        default=3600,
        ge=0,
        le=MAX_LEASE_SECONDS,
        description="How long deliveries carry a signature by the old one, too; 0 ends it at once.",
        examples=[3600],
    )


class NewSubscriptionSecret(ApiModel):
    """A new secret, shown this once."""

    secret: str = Field(description="The new secret.", examples=["whsec_…"])
    previous_expires_at: Time | None = Field(description="Until when the old one holds; null: it ended at once.")

    @classmethod
    def made(cls, rotated: Rotated) -> NewSubscriptionSecret:
        """The view of what was just made."""
        until = rotated.previous_expires_at
        return cls(secret=rotated.secret, previous_expires_at=None if until is None else rfc3339(until))


def _viewed(subscription: Subscription) -> dict[str, Any]:
    paused = subscription.paused
    return {
        "id": subscription.id,
        "integration_id": subscription.owner,
        "name": subscription.name,
        "events": list(subscription.events),
        "config": ConfigView(
            url=subscription.url,
            content_type=subscription.content_type.value,
            insecure_ssl=subscription.insecure_ssl,
        ),
        "active": is_on(subscription),
        "filter": subscription.filter,
        "headers": {name: _HIDDEN if _CREDENTIAL.search(name) else value for name, value in subscription.headers},
        "ordered": subscription.ordered,
        "github_signature": subscription.github_signature,
        "max_concurrency": subscription.max_concurrency,
        "state": subscription.state.value,
        "reason": None if paused is None else paused.reason,
        "paused_at": None if paused is None else rfc3339(paused.at),
        "next_probe_at": None if paused is None or paused.probe_at is None else rfc3339(paused.probe_at),
        "version": subscription.version,
        "created_at": rfc3339(subscription.created_at),
        "updated_at": rfc3339(subscription.updated_at),
    }
