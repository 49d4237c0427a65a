"""`gateway events`: what happened, who was told, and telling it again."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click

from gateway.cli.deliveries import attempted, write_deliveries, write_delivery, write_outcome
from gateway.cli.failures import Failure, Misuse
from gateway.cli.hook_options import of_integration
from gateway.cli.lookup import find_integration, find_subscription_id
from gateway.cli.options import ControlCommand, ControlGroup, Session, duration, examples, pass_session, seconds
from gateway.cli.output import said, write, write_facts, write_table
from gateway.cli.tail import tail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.client import ControlClient

_PAGE: Final = 500
_NAP_SECONDS: Final = 0.2
_STATES: Final = ("pending", "claimed", "delivered", "dead", "cancelled")


@click.group(
    cls=ControlGroup,
    epilog=examples(
        "gateway events tail",
        "gateway events publish order.created --data '{\"order\": 4711}'",
        "gateway events deliveries orders --state dead",
        "gateway events recover orders --since 2h",
    ),
)
def events() -> None:
    """Publish events, and see and repeat their deliveries.

    Who is told of them, and where, is said with `gateway subscriptions`.
    """


events.add_command(tail)


@events.command(cls=ControlCommand, epilog=examples("gateway events types", "gateway events types --json"))
@pass_session
def types(session: Session, /) -> None:
    """List the events that the gateway publishes itself.

    With --json, each has the JSON Schema of its data, and an example.
    """
    listed = session.client().call("GET", "/v1/event-types")
    rows = [(each["name"], each["description"]) for each in listed["items"]]
    write(listed, as_json=session.as_json, otherwise=lambda: write_table(("event", "meaning"), rows, empty="None."))


@events.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway events publish order.created --data '{\"order\": 4711}' --order-key order-4711",
        "gateway events publish report.ready --data-file report.json --idempotency-key report-2026-01",
        "echo '[1, 2]' | gateway events publish numbers.drawn --data-file -",
    ),
)
@click.argument("event")
@click.option("--data", metavar="JSON", help="The data.")
@click.option(
    "--data-file", type=click.File("r", encoding="utf-8"), help='A file with the data as JSON; "-": standard input.'
)
@click.option("--order-key", help="Events with the same key reach subscriptions that are ordered one after another.")
@click.option("--subject", help="What it is about.")
@click.option("--tenant", help="On whose behalf.")
@click.option("--idempotency-key", help="Publishing twice with the same one makes one event.")
@of_integration
@pass_session
def publish(
    session: Session,
    /,
    event: str,
    data: str | None,
    data_file: IO[str] | None,
    order_key: str | None,
    idempotency_key: str | None,
    integration: str | None,
    **given: str | None,
) -> None:
    """Publish an event.

    EVENT is its type. It is stored, with its deliveries, when this comes back.
    """
    body = {"event": event, "data": _data(data, data_file)}
    body |= {name: value for name, value in {"key": order_key, **given}.items() if value is not None}
    client = session.client()
    query = {"integration": _integration_id(client, integration)}
    published = client.call("POST", "/v1/events", query=query, body=body, idempotency_key=idempotency_key)

    def otherwise() -> None:
        count = published["deliveries"]
        to = "nobody, for nobody subscribed to it" if not count else f"{count} subscription{'s' if count > 1 else ''}"
        again = "" if published["new"] else " It was there already; nothing was published now."
        click.echo(f"{published['id']}: goes to {to}.{again}")

    write(published, as_json=session.as_json, otherwise=otherwise)


def _data(data: str | None, file: IO[str] | None) -> Any:
    if data is not None and file is not None:
        raise click.UsageError("Give either --data or --data-file, not both.")
    text = data if file is None else file.read()
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        what = "--data" if file is None else repr(file.name)
        raise Misuse(f"{what} is not JSON; a text is written with quotes, such as '\"text\"'.") from None


@events.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway events deliveries orders",
        "gateway events deliveries orders --state dead --since 1d",
        "gateway events deliveries dlv_00000000002a         one of them, with every attempt",
    ),
)
@click.argument("which", metavar="SUBSCRIPTION|DELIVERY")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--event", help="Only those of this event: its id.")
@click.option("--since", metavar="TIME", help="Only events published since: 2h, 1d or 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Only events published before.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The most to show.")
@of_integration
@pass_session
def deliveries(
    session: Session,
    /,
    which: str,
    limit: int,
    integration: str | None,
    since: str | None,
    until: str | None,
    **criteria: str | None,
) -> None:
    """List the deliveries to a subscription.

    The newest first. Given the id of a delivery, show that one with every attempt.
    """
    client = session.client()
    if which.startswith("dlv_"):
        one = client.call("GET", f"/v1/deliveries/{quote(which, safe='')}")
        write(one, as_json=session.as_json, otherwise=lambda: write_delivery(one))
        return
    path = f"/v1/subscriptions/{_subscription_id(client, which, integration)}/deliveries"
    query = {**criteria, "since": _time(since), "until": _time(until)}
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(items) < limit:
        page = client.call("GET", path, query={**query, "limit": str(min(_PAGE, limit - len(items))), "cursor": cursor})
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    write({"items": items, "next_cursor": cursor}, as_json=session.as_json, otherwise=lambda: write_deliveries(items))


@events.command(cls=ControlCommand, epilog=examples("gateway events redeliver dlv_00000000002a"))
@click.argument("delivery")
@click.option(
    "--wait", default="20s", callback=seconds, show_default=True, help="How long to wait for what becomes of it."
)
@pass_session
def redeliver(session: Session, /, delivery: str, wait: float) -> None:
    """Send a delivery again.

    Whatever became of it; and tell what becomes of it now. It carries the same webhook-id as before. The exit code
    is 1 if it was not accepted.
    """
    client = session.client()
    again = client.call("POST", f"/v1/deliveries/{quote(delivery, safe='')}/redeliver")
    write_outcome(session, attempted(client, again, wait))


@events.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway events recover orders --since 2h", "gateway events recover orders --since 2026-01-31T12:00:00Z"
    ),
)
@click.argument("subscription")
@click.option("--since", required=True, metavar="TIME", help="How far back: 2h, 1d or 2026-01-31T12:00:00Z.")
@click.option("--wait", default="10m", callback=seconds, show_default=True, help="How long to wait until all are sent.")
@of_integration
@pass_session
def recover(session: Session, /, subscription: str, since: str, wait: float, integration: str | None) -> None:
    """Send again what was given up.

    Of what a subscription was to get since a time. Comes back when all of it is on its way again.
    """
    client = session.client()
    path = f"/v1/subscriptions/{_subscription_id(client, subscription, integration)}"
    state = client.call("POST", f"{path}/recover", body={"since": _time(since)})
    until = time.monotonic() + wait
    shown = -1
    while not state["done"]:
        if state["requeued"] != shown:
            shown = state["requeued"]
            click.echo(f"{shown} of {state['total']} on their way again …", err=True)
        if time.monotonic() >= until:
            raise Failure(
                f"{state['requeued']} of {state['total']} are on their way again; the rest follows by itself."
            )
        time.sleep(_NAP_SECONDS)
        state = client.call("GET", f"{path}/recoveries/{state['id']}")
    write(
        state,
        as_json=session.as_json,
        otherwise=lambda: click.echo(_recovered(state)),
    )


def _recovered(state: Mapping[str, Any]) -> str:
    if not state["total"]:
        return f"Nothing was given up since {state['since']}."
    return f"{state['requeued']} of {state['total']} are on their way again."


@events.command(cls=ControlCommand, epilog=examples("gateway events show evt_5b1f0c9de2a4a77303"))
@click.argument("event")
@pass_session
def show(session: Session, /, event: str) -> None:
    """Show one event."""
    found = session.client().call("GET", f"/v1/events/{quote(event, safe='')}")
    facts = {name: said(value) for name, value in found.items() if name != "data"}
    facts["data"] = json.dumps(found["data"], ensure_ascii=False)
    write(found, as_json=session.as_json, otherwise=lambda: write_facts(facts))


def _time(text: str | None) -> str | None:
    """A time as the API wants it: as it is, or so long ago."""
    if text is None or text[-1:] not in {"s", "m", "h", "d"}:
        return text
    return (
        (datetime.now(UTC) - timedelta(seconds=duration(text)))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _integration_id(client: ControlClient, integration: str | None) -> str | None:
    return None if integration is None else str(find_integration(client, integration)["id"])


def _subscription_id(client: ControlClient, subscription: str, integration: str | None) -> str:
    owner = _integration_id(client, integration)
    return find_subscription_id(client, subscription, integration_id=owner)
