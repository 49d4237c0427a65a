"""Senders that sign nothing and send a code that both sides know.

Whoever reads one request has the code: use https only, and rather a sender that signs.

Source: https://docs.gitlab.com/user/project/integrations/webhooks/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.errors import WebhookRefused
from gateway_providers.reading import in_header, in_value
from gateway_providers.sender import Challenge, Event, Incoming, Sender, first_secret, matches, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["gitlab", "shared_code"]


@dataclass(frozen=True, slots=True)
class _TokenSender:
    name: str
    codes: tuple[str, ...] = field(repr=False)
    given: Callable[[Incoming], str | None]
    where: str
    type_of: Callable[[Incoming, Any], str | None]
    id_of: Callable[[Incoming, Any], str | None]

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        given = self.given(incoming)
        if not any([matches(given, code) for code in self.codes]):  # noqa: C419  # all, for the time it takes
            raise WebhookRefused(f"{self.where} is absent or not the code that was agreed on")
        value = parsed(incoming.body)
        kind = self.type_of(incoming, value)
        if not kind:
            raise WebhookRefused("the type of the event is absent")
        return (Event(self.name, kind, value, self.id_of(incoming, value)),)


def gitlab(*tokens: str) -> Sender:
    """GitLab: the token in `X-Gitlab-Token`, the type from `X-Gitlab-Event`. The body is not authenticated."""
    return _TokenSender(
        "gitlab",
        first_secret(tokens),
        lambda incoming: incoming.header("x-gitlab-token"),
        "x-gitlab-token",
        in_header("x-gitlab-event"),
        _gitlab_id,
    )


def shared_code(
    *codes: str, header: str | None = None, param: str | None = None, event_type: str = "webhook"
) -> Sender:
    """Any sender that can be told a code: in the header `header` or in the URL's parameter `param` (one of the two).

    The type is the member `type` of the body, else `event_type`; the id its member `id`.
    """
    if (header is None) == (param is None):
        raise ValueError("say where the code is: either header or param")
    where = header or param or ""

    def given(incoming: Incoming) -> str | None:
        return incoming.header(where) if header is not None else incoming.url_params.get(where)

    kind = in_value("type")
    return _TokenSender(
        "shared-code",
        first_secret(codes),
        given,
        where,
        lambda incoming, value: kind(incoming, value) or event_type,
        in_value("id"),
    )


def _gitlab_id(incoming: Incoming, _value: Any) -> str | None:
    return incoming.header("idempotency-key") or incoming.header("x-gitlab-event-uuid")
