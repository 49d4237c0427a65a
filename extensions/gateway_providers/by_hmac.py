"""Senders that sign the raw body with an HMAC.

Sources: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries ·
https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/ ·
https://shopify.dev/docs/apps/build/webhooks/subscribe/https ·
https://www.dropbox.com/developers/reference/webhooks ·
https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/ ·
https://pusher.com/docs/channels/server_api/webhooks/ ·
https://developer.zendesk.com/documentation/webhooks/verifying/ ·
https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import WebhookRefused
from gateway_providers.reading import fixed, in_header, in_value, items, text_at
from gateway_providers.sender import Challenge, HmacSender, Incoming, Sender, first_secret, matches

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bitbucket", "dropbox", "github", "meta", "pusher", "shopify", "trello", "zendesk"]


def github(*secrets: str) -> Sender:
    """GitHub: `X-Hub-Signature-256`, the type from `X-GitHub-Event`, the id from `X-GitHub-Delivery`."""
    return HmacSender(
        name="github",
        secrets=first_secret(secrets),
        header="x-hub-signature-256",
        prefix="sha256=",
        type_of=in_header("x-github-event"),
        id_of=in_header("x-github-delivery"),
    )


def bitbucket(*secrets: str) -> Sender:
    """Bitbucket Cloud and Data Center: `X-Hub-Signature`, the type from `X-Event-Key`."""
    return HmacSender(
        name="bitbucket",
        secrets=first_secret(secrets),
        header="x-hub-signature",
        prefix="sha256=",
        type_of=in_header("x-event-key"),
        id_of=in_header("x-request-uuid"),
    )


def shopify(*secrets: str) -> Sender:
    """Shopify: `X-Shopify-Hmac-Sha256`, the type from `X-Shopify-Topic`."""
    return HmacSender(
        name="shopify",
        secrets=first_secret(secrets),
        header="x-shopify-hmac-sha256",
        encoding="base64",
        type_of=in_header("x-shopify-topic"),
        id_of=_first_header("x-shopify-event-id", "x-shopify-webhook-id"),
        time_of=in_header("x-shopify-triggered-at"),
    )


def dropbox(*app_secrets: str) -> Sender:
    """Dropbox: `X-Dropbox-Signature`; a GET with `challenge` is answered with it. It names accounts, not changes."""
    return HmacSender(
        name="dropbox",
        secrets=first_secret(app_secrets),
        header="x-dropbox-signature",
        type_of=fixed("accounts.changed"),
        challenge=_dropbox_challenge,
    )


def trello(callback_url: str, *secrets: str) -> Sender:
    """Trello: `X-Trello-Webhook`, over the body and the very `callback_url` that was registered.

    Trello asks with HEAD whether the URL is there when a webhook is made. The id is that of the action.
    """
    return HmacSender(
        name="trello",
        secrets=first_secret(secrets),
        header="x-trello-webhook",
        digest="sha1",
        encoding="base64",
        signed=lambda incoming, _: incoming.body + callback_url.encode(),
        type_of=in_value("action", "type"),
        id_of=in_value("action", "id"),
        time_of=in_value("action", "date"),
        challenge=lambda incoming: Challenge() if incoming.method == "HEAD" else None,
    )


def pusher(key: str, *secrets: str) -> Sender:
    """Pusher Channels: `X-Pusher-Signature` by the secret of the app key in `X-Pusher-Key`, which must be `key`."""

    def signed(incoming: Incoming, _secret: str) -> bytes:
        if not matches(incoming.header("x-pusher-key"), key):
            raise WebhookRefused("x-pusher-key is that of another app")
        return incoming.body

    return HmacSender(
        name="pusher",
        secrets=first_secret(secrets),
        header="x-pusher-signature",
        signed=signed,
        parts=items("events"),
        type_of=in_value("name"),
    )


def zendesk(*secrets: str) -> Sender:
    """Zendesk: `X-Zendesk-Webhook-Signature`, over the timestamp of its own header and the body."""

    def signed(incoming: Incoming, _secret: str) -> bytes:
        timestamp = incoming.header("x-zendesk-webhook-signature-timestamp")
        if timestamp is None:
            raise WebhookRefused("x-zendesk-webhook-signature-timestamp is absent")
        return timestamp.encode("utf-8", "replace") + incoming.body

    return HmacSender(
        name="zendesk",
        secrets=first_secret(secrets),
        header="x-zendesk-webhook-signature",
        encoding="base64",
        signed=signed,
        type_of=lambda _, value: text_at(value, "type") or "webhook",
        id_of=in_header("x-zendesk-webhook-invocation-id"),
        time_of=in_header("x-zendesk-webhook-signature-timestamp"),
    )


def meta(verify_token: str, *app_secrets: str) -> Sender:
    """Meta (Facebook, Instagram, WhatsApp): `X-Hub-Signature-256`; a GET with the `verify_token` gets its challenge."""

    def challenge(incoming: Incoming) -> Challenge | None:
        params = incoming.url_params
        if incoming.method != "GET":
            return None
        if params.get("hub.mode") != "subscribe" or not matches(params.get("hub.verify_token"), verify_token):
            raise WebhookRefused("hub.verify_token is not the one that was agreed on")
        return Challenge(params.get("hub.challenge", "").encode())

    return HmacSender(
        name="meta",
        secrets=first_secret(app_secrets),
        header="x-hub-signature-256",
        prefix="sha256=",
        challenge=challenge,
        type_of=in_value("object"),
    )


def _dropbox_challenge(incoming: Incoming) -> Challenge | None:
    if incoming.method != "GET":
        return None
    challenge = incoming.url_params.get("challenge")
    if challenge is None:
        raise WebhookRefused("a GET without a challenge is no webhook")
    return Challenge(challenge.encode(), headers={"x-content-type-options": "nosniff"})


def _first_header(*names: str) -> Callable[[Incoming, Any], str | None]:
    return lambda incoming, _: next((found for name in names if (found := incoming.header(name))), None)
