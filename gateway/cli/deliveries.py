"""How deliveries look, and waiting for what becomes of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.output import said, write, write_facts, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.cli.client import ControlClient
    from gateway.cli.options import Session

OVER: Final = frozenset({"delivered", "dead", "cancelled"})
_NAP_SECONDS: Final = 0.1


def attempted(client: ControlClient, delivery: Mapping[str, Any], wait_seconds: float) -> dict[str, Any]:
    """The delivery with its attempts, once another attempt at it was made or `wait_seconds` have passed."""
    before = delivery["attempt_count"]
    until = time.monotonic() + wait_seconds
    while True:
        present: dict[str, Any] = client.call("GET", f"/v1/deliveries/{delivery['id']}")
        if present["attempt_count"] > before and present["state"] != "claimed":
            return present
        if time.monotonic() >= until:
            return present
        time.sleep(_NAP_SECONDS)


def write_outcome(session: Session, delivery: Mapping[str, Any]) -> None:
    """One delivery after an attempt; the exit code is 1 unless it was delivered."""
    write(delivery, as_json=session.as_json, otherwise=lambda: _write_sentence(delivery))
    if delivery["state"] != "delivered":
        raise click.exceptions.Exit(1)


def _write_sentence(delivery: Mapping[str, Any]) -> None:
    if not delivery["attempts"]:
        click.echo(f"{delivery['id']}: not attempted yet; it waits for its turn.")
        return
    last = delivery["attempts"][-1]
    took = "" if last["ms"] is None else f" in {last['ms']:.0f} ms"
    if delivery["state"] == "delivered":
        click.echo(f"{delivery['id']}: delivered, answered with status {last['status']}{took}.")
    else:
        why = last["detail"] or last["reason"] or "no reason is known"
        following = delivery["next_attempt_at"]
        click.echo(
            f"{delivery['id']}: not delivered{took}: {why}. " + (f"Next attempt: {following}." if following else "")
        )


def write_deliveries(items: Sequence[Mapping[str, Any]]) -> None:
    """A table of deliveries."""
    rows = [
        (
            each["id"],
            each["created_at"],
            each["event_type"],
            each["state"],
            str(each["attempt_count"]),
            said(each["status"]),
            said(each["reason"]),
            said(each["next_attempt_at"]),
            each["event_id"],
        )
        for each in items
    ]
    columns = ("delivery", "published", "event", "state", "attempts", "status", "reason", "next_attempt", "event_id")
    write_table(columns, rows, empty="There is no delivery that fits.", spare=("event_id", "next_attempt", "published"))


def write_delivery(delivery: Mapping[str, Any]) -> None:
    """One delivery with every attempt at it."""
    write_facts({name: said(value) for name, value in delivery.items() if name not in {"event", "attempts"}})
    click.echo("")
    rows = [
        (
            str(each["number"]),
            each["started_at"],
            each["cause"],
            said(each["ms"]),
            said(each["status"]),
            said(each["reason"]),
            said(each["detail"]),
            " ".join(each["response_excerpt"].split())[:60],
        )
        for each in delivery["attempts"]
    ]
    columns = ("attempt", "at", "cause", "ms", "status", "reason", "detail", "answer")
    write_table(columns, rows, empty="No attempt was made yet.", spare=("cause", "reason"))
