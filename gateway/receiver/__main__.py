"""`python -m gateway.receiver inbox list|show|replay|prune --db FILE`: JSON lines, nothing but the standard library."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from gateway.receiver.inbox.command import inbox_in, replayed, shown, summary
from gateway.receiver.inbox.message import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it is done, 1 if it failed, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        with closing(inbox_in(options.db)) as store:
            for line in _lines(store, options):
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    except GatewayError as error:
        sys.stderr.write(f"Error: {error.detail}\n")
        return 1
    return 0


def _lines(store: Any, options: argparse.Namespace) -> Iterator[Any]:
    match options.command:
        case "list":
            state = None if options.state is None else State(options.state)
            yield from map(summary, store.listed(state, limit=options.limit))
        case "show":
            message = store.find(options.id)
            if message is None:
                raise GatewayError(f"There is no message {options.id!r} in the inbox.")
            yield shown(message)
        case "replay":
            done = replayed(store, options.ids, every_failed=options.failed, now=time.time())
            yield {"replayed": done}
        case _:
            yield {"forgotten": store.prune(time.time() - options.days * 86_400)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.receiver", description="Look after a receiver's parts.")
    inbox = parser.add_subparsers(dest="part", required=True).add_parser("inbox", help="the messages of an inbox")
    commands = inbox.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="the last messages, newest first")
    listing.add_argument("--state", choices=[state.value for state in State])
    listing.add_argument("--limit", type=int, default=50)
    show = commands.add_parser("show", help="one message with its headers and body")
    show.add_argument("id")
    replay = commands.add_parser("replay", help="make messages new again")
    replay.add_argument("ids", nargs="*")
    replay.add_argument("--failed", action="store_true", help="all that have failed")
    prune = commands.add_parser("prune", help="forget what was processed long ago")
    prune.add_argument("--days", type=float, default=30.0)
    for each in (listing, show, replay, prune):
        each.add_argument("--db", type=Path, required=True, help="the inbox's file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
