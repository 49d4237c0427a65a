"""Each change of a subscription as a pure function from what it was to what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.model import SigningSecret
from gateway.model.subscription import Pause, Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.relay.drafts import SubscriptionDraft

BY_OWNER: Final = "switched off by its owner"
CHECKED: Final = (
    "name", "events", "url", "secret", "insecure_ssl", "filter", "headers", "max_concurrency",
)  # fmt: skip
_AS_THEY_ARE: Final = (
    "name", "url", "content_type", "filter", "github_signature", "insecure_ssl", "ordered", "max_concurrency",
)  # fmt: skip
_MOST_SECRETS: Final = 5


def is_on(subscription: Subscription) -> bool:
    """Whether its owner wants it to be sent: a pause by the gateway, which ends by itself, leaves that as it is."""
    paused = subscription.paused
    return subscription.active and (paused is None or paused.probe_at is not None)


def created(ident: str, owner: str | None, draft: SubscriptionDraft, secret: str, now: float) -> Subscription:
    """A new subscription that holds `secret`; one that is not active is paused from the start."""
    return Subscription(
        id=ident,
        owner=owner,
        events=tuple(dict.fromkeys(draft.events)),
        secrets=(SigningSecret(secret, now),),
        headers=tuple(draft.headers.items()),
        paused=None if draft.active else Pause(now, BY_OWNER),
        created_at=now,
        updated_at=now,
        **{name: getattr(draft, name) for name in _AS_THEY_ARE},
    )


def changed(old: Subscription, fields: Mapping[str, Any], now: float) -> Subscription:
    """`old` with these fields of a draft; its version stays."""
    new = replace(old, **{name: fields[name] for name in _AS_THEY_ARE if name in fields})
    if "events" in fields:
        new = replace(new, events=tuple(dict.fromkeys(fields["events"])))
    if "headers" in fields:
        new = replace(new, headers=_merged(old.headers, fields["headers"]))
    if "secret" in fields:
        new = replace(new, secrets=(SigningSecret(fields["secret"], now),))
    active = fields.get("active")
    if active is True:
        new = replace(new, active=True, paused=None)
    elif active is False and is_on(old):
        new = replace(new, paused=Pause(now, BY_OWNER))
    return new


def rotated(old: Subscription, secret: str, grace_seconds: float, now: float) -> Subscription:
    """`old` with a new secret; those that it has hold until the grace has passed, if they don't end before."""
    until = now + grace_seconds
    kept = [
        replace(each, expires_at=until if each.expires_at is None else min(each.expires_at, until))
        for each in old.secrets
        if grace_seconds > 0 and (each.expires_at is None or each.expires_at > now)
    ]
    return replace(old, secrets=(SigningSecret(secret, now), *kept[: _MOST_SECRETS - 1]))


def _merged(old: tuple[tuple[str, str], ...], given: Mapping[str, str | None] | None) -> tuple[tuple[str, str], ...]:
    """A merge patch of headers, whose names have no case; `None` as a whole takes all away."""
    if given is None:
        return ()
    names = {name.lower() for name in given}
    kept = [(name, value) for name, value in old if name.lower() not in names]
    return (*kept, *((name, value) for name, value in given.items() if value is not None))
