"""The options on conditions, scope, post-conditions, rows, reuse and roll-out, and the bodies made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import IO, Any, Final

import click

from gateway.cli.failures import Misuse

_Command = Callable[..., None]
_Decorator = Callable[[_Command], _Command]
_SCHEMA: Final = click.File("r", encoding="utf-8")
_MODES: Final = click.Choice(["active", "shadow", "canary"])
_BOUNDS: Final = {
    "max_failure_percent": "failure_percent",
    "max_p95_ms": "p95_ms",
    "max_change_percent": "change_percent",
    "bounds_min_calls": "min_calls",
}
_OF_A_HOOK: Final = ("condition", "reads", "writes", "max_growth", "row_count", "rows_at", "keep", "result_schema")
CLEARABLE: Final = (*_OF_A_HOOK, "batch_rows", "percent", "bounds")
"""The fields of a hook that `--clear` makes null."""
CLEARABLE_OF_ENVELOPE: Final = (*_OF_A_HOOK[1:], "modes", "max_cache_seconds")
"""The fields of an envelope that `--clear` makes null."""


def hook_plan_options(function: _Command) -> _Command:
    """What a hook declares of these."""
    return _with(
        [
            click.option("--condition", help="CEL: call it only where this is true, such as 'query.tenant == \"a\"'."),
            click.option("--read", "reads", multiple=True, help="A JSON Pointer to what it gets; repeat for more."),
            click.option("--write", "writes", multiple=True, help="A JSON Pointer to what it may change; repeat."),
            click.option(
                "--on-violation",
                type=click.Choice(["fail", "drop"]),
                help="What becomes of a change outside these: fail the reply, or drop that change.",
            ),
            *_post_conditions("What the result must meet after it"),
            click.option(
                "--granularity", type=click.Choice(["result", "rows"]), help="Call it with results, or batches of rows."
            ),
            click.option("--batch-rows", type=int, help="How many rows a batch has at most."),
            click.option("--coalesce/--no-coalesce", default=None, help="Whether concurrent calls share an exchange."),
            click.option("--cache/--no-cache", default=None, help="Whether replies may be used again."),
            click.option("--mode", type=_MODES, help="How it takes part in queries."),
            click.option("--percent", type=float, help="For how many of 100 queries a canary is active."),
            click.option(
                "--sticky-by", type=click.Choice(["tenant", "query"]), help="What has the same lot each time."
            ),
            click.option("--max-failure-percent", type=float, help="A canary steps back beyond this many failures."),
            click.option("--max-p95-ms", type=float, help="… beyond this time for 95 % of its calls."),
            click.option("--max-change-percent", type=float, help="… beyond this many changed results."),
            click.option("--bounds-min-calls", type=int, help="… but not after fewer calls than these."),
        ]
    )(function)


def envelope_plan_options(function: _Command) -> _Command:
    """What the operator allows of these."""
    return _with(
        [
            click.option("--read", "reads", multiple=True, help="A JSON Pointer to what its hooks may get; repeat."),
            click.option("--write", "writes", multiple=True, help="A JSON Pointer to what they may change; repeat."),
            click.option("--mode", "modes", multiple=True, type=_MODES, help="A mode they may have; repeat for more."),
            click.option("--max-cache-seconds", type=float, help="For how long replies may be used again."),
            *_post_conditions("What results must meet after each of its hooks"),
        ]
    )(function)


def clear_option(fields: tuple[str, ...]) -> _Decorator:
    """`--clear`: which fields become null."""
    return click.option(
        "--clear", multiple=True, type=click.Choice(fields), help="Take this field away; repeat for more."
    )


def with_plan(body: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`body` with what these options say beyond their plain values; takes the options out of `given`."""
    schema: IO[str] | None = given.pop("result_schema")
    if schema is not None:
        body["result_schema"] = _json(schema)
    bounds = {name: value for option, name in _BOUNDS.items() if (value := given.pop(option, None)) is not None}
    if bounds:
        body["bounds"] = bounds
    for field in given.pop("clear", ()):
        if field in body or given.get(field) not in (None, ()):
            raise click.UsageError(f"Give either a value for {field} or --clear {field}, not both.")
        body[field] = None
    return body


def _post_conditions(what: str) -> list[_Decorator]:
    return [
        click.option("--max-growth", type=float, help="How many times as large the result may get."),
        click.option(
            "--row-count",
            type=click.Choice(["same", "may_shrink", "may_grow"]),
            help="How the number of rows at --rows-at may differ.",
        ),
        click.option("--rows-at", help='A JSON Pointer to the array of rows; "" is the document.'),
        click.option("--keep", multiple=True, help="A JSON Pointer to what must stay as it is; repeat for more."),
        click.option("--result-schema", type=_SCHEMA, help=f"{what}: a file with a JSON Schema (2020-12)."),
    ]


def _with(options: list[_Decorator]) -> _Decorator:
    def decorate(function: _Command) -> _Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _json(file: IO[str]) -> Any:
    try:
        return json.load(file)
    except (ValueError, RecursionError):
        raise Misuse(f"{file.name!r} is not JSON; it must hold a JSON Schema.") from None
