"""`gateway subscriptions`: who is told of events, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.deliveries import attempted, write_outcome
from gateway.cli.hook_options import of_integration
from gateway.cli.lookup import find_integration, find_subscription_id
from gateway.cli.options import ControlCommand, ControlGroup, Session, confirm, examples, pass_session, seconds
from gateway.cli.output import said, write, write_facts, write_table
from gateway.cli.subscription_options import subscription_body, subscription_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.cli.client import ControlClient

SUBSCRIPTION: str = "SUBSCRIPTION"
# The gateway asks the address whether it wants to be called, for ten seconds at most, before it answers.
_HANDSHAKE_SECONDS = 30.0


@click.group(
    cls=ControlGroup,
    epilog=examples(
        "gateway subscriptions create orders https://example.com/events --event 'order.*'",
        "gateway subscriptions list",
        "gateway subscriptions ping orders",
    ),
)
def subscriptions() -> None:
    """Subscribe to events.

    For the operator and for integrations. Each event that fits a subscription is sent to its URL, signed, again and
    again until it is accepted. A subscription is named by its id, or by its name where only one has it.
    """


@subscriptions.command(
    "list", cls=ControlCommand, epilog=examples("gateway subscriptions list", "gateway subscriptions list -i prices")
)
@of_integration
@pass_session
def list_(session: Session, /, integration: str | None) -> None:
    """List subscriptions."""
    client = session.client()
    items = list(client.pages("/v1/subscriptions", query={"integration": _integration_id(client, integration)}))
    write(
        {"items": items, "next_cursor": None},
        as_json=session.as_json,
        otherwise=lambda: _write_subscriptions(items),
    )


@subscriptions.command(cls=ControlCommand, epilog=examples("gateway subscriptions show orders"))
@click.argument("subscription", metavar=SUBSCRIPTION)
@of_integration
@pass_session
def show(session: Session, /, subscription: str, integration: str | None) -> None:
    """Show one subscription."""
    client = session.client()
    _write_subscription(session, client.call("GET", _path(client, subscription, integration)))


@subscriptions.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway subscriptions create orders https://example.com/events --event 'order.*'",
        "gateway subscriptions create large https://example.com/large --event order.created \\",
        "        --filter 'data.total > 1000.0' --header 'x-team: billing'",
    ),
)
@click.argument("name")
@click.argument("target", metavar="URL")
@subscription_fields
@of_integration
@pass_session
def create(session: Session, /, name: str, target: str, integration: str | None, **given: Any) -> None:
    """Create a subscription; a ping is sent to its URL at once.

    Without --event it gets every event. The secret that deliveries are signed with is shown this once.
    """
    client = session.client()
    query = {"integration": _integration_id(client, integration)}
    body = {"events": ["*"], **subscription_body({"name": name, "target": target, **given})}
    made = client.call("POST", "/v1/subscriptions", query=query, body=body, timeout_seconds=_HANDSHAKE_SECONDS)

    def otherwise() -> None:
        write_facts(_facts(made))
        if made.get("secret"):
            click.echo(
                f"\nThe secret, which the receiver verifies with and which is not shown again:\n\n  {made['secret']}"
            )

    write(made, as_json=session.as_json, otherwise=otherwise)


@subscriptions.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway subscriptions update orders --event order.created --event order.paid",
        "gateway subscriptions update orders --no-filter --ordered",
    ),
)
@click.argument("subscription", metavar=SUBSCRIPTION)
@click.option("--name", help="A new name.")
@click.option("--to", "target", metavar="URL", help="A new URL; it proves its ownership again.")
@subscription_fields
@click.option("--no-filter", is_flag=True, help="Every event of these types.")
@click.option("--no-header", "removed_headers", multiple=True, metavar="NAME", help="Without this header; repeat.")
@click.option("--if-version", type=int, help="Only if this is still its version, as `show` tells it.")
@of_integration
@pass_session
def update(
    session: Session, /, subscription: str, integration: str | None, if_version: int | None, **given: Any
) -> None:
    """Change what is given of a subscription.

    Events that it has already been given are sent as it is then.
    """
    body = subscription_body(given)
    if not body:
        raise click.UsageError("Nothing to change is given; see --help for what can be changed.")
    client = session.client()
    path = _path(client, subscription, integration)
    changed = client.call("PATCH", path, body=body, if_version=if_version, timeout_seconds=_HANDSHAKE_SECONDS)
    _write_subscription(session, changed)


@subscriptions.command(cls=ControlCommand, epilog=examples("gateway subscriptions delete orders --yes"))
@click.argument("subscription", metavar=SUBSCRIPTION)
@of_integration
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, /, subscription: str, integration: str | None, yes: bool) -> None:
    """Delete a subscription, with what is still to be delivered to it."""
    client = session.client()
    path = _path(client, subscription, integration)
    confirm(f"Delete the subscription {subscription!r} with what is still to be delivered to it?", yes=yes)
    client.call("DELETE", path)
    removed = path.rpartition("/")[2]
    write(
        {"removed": removed},
        as_json=session.as_json,
        otherwise=lambda: click.echo(f"Deleted {subscription} ({removed})."),
    )


@subscriptions.command(cls=ControlCommand, epilog=examples("gateway subscriptions ping orders"))
@click.argument("subscription", metavar=SUBSCRIPTION)
@of_integration
@click.option(
    "--wait", default="10s", callback=seconds, show_default=True, help="How long to wait for what becomes of it."
)
@pass_session
def ping(session: Session, /, subscription: str, integration: str | None, wait: float) -> None:
    """Send a ping to a subscription's URL, and tell what became of it.

    The exit code is 1 if it was not accepted.
    """
    client = session.client()
    delivery = client.call("POST", f"{_path(client, subscription, integration)}/ping")
    write_outcome(session, attempted(client, delivery, wait))


@subscriptions.command(cls=ControlCommand, epilog=examples("gateway subscriptions pause orders"))
@click.argument("subscription", metavar=SUBSCRIPTION)
@of_integration
@pass_session
def pause(session: Session, /, subscription: str, integration: str | None) -> None:
    """Pause a subscription.

    Nothing is sent until it is resumed; what comes meanwhile is kept, in order.
    """
    _patch(session, subscription, integration, {"active": False})


@subscriptions.command(cls=ControlCommand, epilog=examples("gateway subscriptions resume orders"))
@click.argument("subscription", metavar=SUBSCRIPTION)
@of_integration
@pass_session
def resume(session: Session, /, subscription: str, integration: str | None) -> None:
    """Resume a subscription.

    It was paused by its owner, or by the gateway because its URL kept failing. What was kept is sent now.
    """
    _patch(session, subscription, integration, {"active": True})


@subscriptions.command(
    cls=ControlCommand,
    epilog=examples("gateway subscriptions rotate orders", "gateway subscriptions rotate orders --grace 1h"),
)
@click.argument("subscription", metavar=SUBSCRIPTION)
@click.option(
    "--grace", default="1d", callback=seconds, show_default=True, help="How long the old one signs too: 90s, 15m, 2h."
)
@of_integration
@pass_session
def rotate(session: Session, /, subscription: str, integration: str | None, grace: float) -> None:
    """Make a new secret for a subscription.

    During the grace, deliveries carry a signature by each of the two.
    """
    client = session.client()
    made = client.call("POST", f"{_path(client, subscription, integration)}/secret", body={"grace_seconds": grace})

    def otherwise() -> None:
        write_facts({name: str(value) for name, value in made.items() if value is not None})
        click.echo("\nGive the secret to the receiver; it is not shown again.")

    write(made, as_json=session.as_json, otherwise=otherwise)


def _patch(session: Session, subscription: str, integration: str | None, body: Mapping[str, Any]) -> None:
    client = session.client()
    _write_subscription(session, client.call("PATCH", _path(client, subscription, integration), body=body))


def _integration_id(client: ControlClient, integration: str | None) -> str | None:
    return None if integration is None else str(find_integration(client, integration)["id"])


def _path(client: ControlClient, subscription: str, integration: str | None) -> str:
    owner = _integration_id(client, integration)
    return f"/v1/subscriptions/{find_subscription_id(client, subscription, integration_id=owner)}"


def _facts(subscription: Mapping[str, Any]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for name, value in subscription.items():
        if name == "config":
            facts |= {part: said(v) for part, v in value.items() if part != "secret"}
        elif name == "headers":
            facts[name] = ", ".join(f"{header}: {text}" for header, text in value.items()) or "none"
        elif name != "secret":
            facts[name] = said(value)
    return facts


def _write_subscription(session: Session, subscription: Mapping[str, Any]) -> None:
    write(subscription, as_json=session.as_json, otherwise=lambda: write_facts(_facts(subscription)))


def _write_subscriptions(items: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (each["name"], each["id"], each["state"], said(each["events"]), each["config"]["url"], said(each["reason"]))
        for each in items
    ]
    write_table(
        ("subscription", "id", "state", "events", "url", "reason"),
        rows,
        empty="There is no subscription.",
        spare=("id",),
    )
