"""`gateway audit`: who changed what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import ControlCommand, Session, examples, pass_session
from gateway.cli.output import write, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGE = 500


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway audit",
        "gateway audit --who operator --since 2026-01-31T00:00:00Z",
        "gateway audit --hook hk_3f8k2m9q4r7t1v5x --limit 10 --json",
    ),
)
@click.option("--integration", "-i", help="Only changes of this integration and its hooks: its id.")
@click.option("--hook", help="Only changes of this hook: its id.")
@click.option("--subscription", help="Only changes of this subscription: its id.")
@click.option("--who", help="Only changes by these: operator, integration, gateway, a fingerprint, an id or a name.")
@click.option("--since", metavar="TIME", help="Only changes at this time or later, such as 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Only changes before this time.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The most entries to show."
)
@pass_session
def audit(session: Session, /, limit: int, **criteria: str | None) -> None:
    """List the changes that were made, the newest first.

    Ids hold for what was removed, too. Secrets are never part of it.
    """
    client = session.client()
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(items) < limit:
        asked = {**criteria, "limit": str(min(_PAGE, limit - len(items))), "cursor": cursor}
        page = client.call("GET", "/v1/audit", query=asked)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    write(
        {"items": items, "next_cursor": cursor},
        as_json=session.as_json,
        otherwise=lambda: write_table(
            ("at", "action", "what", "who", "from", "generation", "changed"),
            [_row(each) for each in items],
            empty="Nothing that fits was changed.",
            spare=("generation", "from"),
        ),
    )


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    who = entry["who"]
    what = "/".join(filter(None, (entry["integration"], entry["hook"], entry["subscription"])))
    named = who["name"] or who["id"]
    return (
        entry["at"],
        entry["action"],
        what,
        who["kind"] if named is None else f"{who['kind']} {named}",
        who["address"] or "-",
        str(entry["generation"]),
        _changed(entry["before"], entry["after"]),
    )


def _changed(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None or after is None:
        return "-"
    return "; ".join(f"{name}: {_short(before.get(name))} → {_short(after.get(name))}" for name in sorted(before))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
