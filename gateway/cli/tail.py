"""`gateway events tail`: events as they are published."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.hook_options import of_integration
from gateway.cli.lookup import find_integration
from gateway.cli.options import ControlCommand, Session, examples, pass_session
from gateway.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.cli.client import ControlClient

_PAGE: Final = 500
_NAP_SECONDS: Final = 0.5


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway events tail",
        "gateway events tail --event 'gateway.hook.*' --last 0",
        "gateway events tail --no-follow --last 100 --json",
    ),
)
@click.option("--event", "patterns", multiple=True, metavar="PATTERN", help="Only types like this; repeat for more.")
@click.option(
    "--last",
    type=click.IntRange(0, _PAGE),
    default=10,
    show_default=True,
    help="How many earlier events to begin with.",
)
@click.option("--follow/--no-follow", default=True, help="Whether to go on with what is published from now on.")
@of_integration
@pass_session
def tail(session: Session, /, patterns: Sequence[str], last: int, follow: bool, integration: str | None) -> None:
    """Show events as they are published, until Ctrl-C.

    With --json, each event is one line of JSON.
    """
    client = session.client()
    owner = None if integration is None else str(find_integration(client, integration)["id"])
    wanted = [_pattern(each) for each in patterns]
    try:
        for event in _events(client, owner, last, follow=follow):
            if not wanted or any(each.fullmatch(event["type"]) for each in wanted):
                _write(event, as_json=session.as_json)
    except KeyboardInterrupt:
        return


def _pattern(text: str) -> re.Pattern[str]:
    """As the gateway has it: `*` stands for one part of a name, and at the end for one or more."""
    *parts, end = text.split(".")
    written = ["[^.]+" if part == "*" else re.escape(part) for part in parts]
    return re.compile(r"\.".join([*written, ".+" if end == "*" else re.escape(end)]))


def _events(client: ControlClient, owner: str | None, last: int, *, follow: bool) -> Iterator[dict[str, Any]]:
    query = {"integration": owner, "limit": str(max(last, 1))}
    newest = client.call("GET", "/v1/events", query=query)["items"]
    at = newest[0]["sequence"] if newest else 0
    yield from reversed(newest[:last])
    while follow:
        query = {"integration": owner, "limit": str(_PAGE), "after": str(at)}
        found = client.call("GET", "/v1/events", query=query)["items"]
        for event in found:
            at = event["sequence"]
            yield event
        if len(found) < _PAGE:
            time.sleep(_NAP_SECONDS)


def _write(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(event, ensure_ascii=False))
    else:
        data = json.dumps(event["data"], ensure_ascii=False)
        about = "" if event["integration_id"] is None else f"  {event['integration_id']}"
        click.echo(printable(f"{event['time']}  {event['type']}  {event['id']}{about}  {data}"))
    sys.stdout.flush()
