"""The options that creating and changing a subscription share, and the body made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CONTENT_TYPES: Final = {"json": "application/json", "cloudevents": "application/cloudevents+json"}
_CONFIG: Final = {"target": "url", "insecure_ssl": "insecure_ssl"}


def subscription_fields(function: Callable[..., None]) -> Callable[..., None]:
    """What a subscription says of itself."""
    for option in reversed(
        [
            click.option("--event", "events", multiple=True, metavar="PATTERN", help=_EVENT),
            click.option("--content-type", type=click.Choice(sorted(CONTENT_TYPES)), help=_CONTENT_TYPE),
            click.option("--filter", "filter", metavar="CEL", help=_FILTER),
            click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help=_HEADER),
            click.option("--secret-file", type=click.File("r", encoding="utf-8"), help=_GIVEN_FILE),
            click.option("--ordered/--not-ordered", default=None, help=_ORDERED),
            click.option("--github-signature/--no-github-signature", default=None, help=_GITHUB),
            click.option("--insecure-ssl/--secure-ssl", default=None, help=_INSECURE),
        ]
    ):
        function = option(function)
    return function


_EVENT: Final = "A type of events it wants, such as order.created or 'order.*'; repeat for more."
_CONTENT_TYPE: Final = "json: id, type, timestamp and data (the default); cloudevents: a CloudEvents document."
_FILTER: Final = "Only events for which this is true, such as 'data.total > 100.0'."
_HEADER: Final = "A header that each delivery carries; repeat for more."
_GIVEN_FILE: Final = "A file that holds the secret (whsec_…); without it, one is made."
_ORDERED: Final = "Whether an event waits for the one before it with the same key."
_GITHUB: Final = "Whether deliveries carry X-Hub-Signature-256 as well."
_INSECURE: Final = "Whether any certificate will do, where the gateway allows that."


def subscription_body(given: Mapping[str, Any]) -> dict[str, Any]:
    """The body: only what is given."""
    body: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == () or (value is False and name == "no_filter"):
            continue
        if name == "no_filter":
            if given["filter"] is not None:
                raise click.UsageError("Give either --filter or --no-filter, not both.")
            body["filter"] = None
        elif name == "headers":
            body.setdefault("headers", {}).update(_headers(value))
        elif name == "removed_headers":
            body.setdefault("headers", {}).update(dict.fromkeys(value))
        elif name == "secret_file":
            config["secret"] = value.read().strip()
        elif name == "content_type":
            config[name] = CONTENT_TYPES[value]
        elif name in _CONFIG:
            config[_CONFIG[name]] = value
        else:
            body[name] = list(value) if isinstance(value, tuple) else value
    if config:
        body["config"] = config
    return body


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"A header is written 'NAME: VALUE'; {name[:40]!r} has no colon.")
        headers[name.strip()] = value.strip()
    return headers
