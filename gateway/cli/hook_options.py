"""The options and arguments that several of the commands on hooks share, and the bodies made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.plan_options import hook_plan_options, with_plan

if TYPE_CHECKING:
    from collections.abc import Callable

HOOK_OF: Final = "HOOK"


def of_integration(function: Callable[..., None]) -> Callable[..., None]:
    """`--integration`: for whom an operator acts."""
    return click.option(
        "--integration",
        "-i",
        help="For this integration, by name or id (operator only; an integration's key has its own).",
    )(function)


def bulk_options(function: Callable[..., None]) -> Callable[..., None]:
    """Which hooks: named ones, or all of a type or capability."""
    function = click.option(
        "--capability", "capabilities", multiple=True, help="Those that serve this capability; repeat for more."
    )(function)
    function = click.option("--type", "types", multiple=True, help="Those that serve this type; repeat for more.")(
        function
    )
    return click.argument("hook", nargs=-1, metavar=f"[{HOOK_OF}]...")(function)


def hook_fields(function: Callable[..., None]) -> Callable[..., None]:
    """What a hook declares."""
    function = hook_plan_options(function)
    for option in reversed(
        [
            click.option("--type", "types", multiple=True, help="A query type it serves; repeat for more."),
            click.option("--capability", "capabilities", multiple=True, help="A capability; repeat for more."),
            click.option("--tenant", "tenants", multiple=True, help="A tenant; repeat for more."),
            click.option("--order", type=int, help="Lower runs first within its integration."),
            click.option("--timeout-ms", type=int, help="Its time limit."),
            click.option(
                "--failure-policy", type=click.Choice(["ignore", "fail"]), help="What its failure means for a query."
            ),
            click.option(
                "--delivery", type=click.Choice(["structured", "binary"]), help="The CloudEvents form of a call."
            ),
            click.option("--max-concurrency", type=int, help="How many of its calls may be under way at once."),
            click.option(
                "--on-overload",
                type=click.Choice(["wait", "skip"]),
                help="What a call does when that many are: wait for a place within the deadline, or fail at once.",
            ),
            click.option(
                "--retry/--no-retry",
                default=None,
                help="Whether a call that found no connection is made once more, within the deadline.",
            ),
        ]
    ):
        function = option(function)
    return function


_CLEARED: Final = {
    "any_type": "types",
    "any_capability": "capabilities",
    "any_tenant": "tenants",
    "default_timeout": "timeout_ms",
    "default_concurrency": "max_concurrency",
}


def draft(given: dict[str, Any]) -> dict[str, Any]:
    """The body: only what is given. The flags that clear a field make it null."""
    body = with_plan({}, given)
    for name, value in given.items():
        field = _CLEARED.get(name)
        if value is None or value == () or (value is False and field is not None):
            continue
        if field is None:
            body[name] = list(value) if isinstance(value, tuple) else value
        elif given[field]:
            raise click.UsageError(f"Give either a value for {field} or the option that clears it, not both.")
        else:
            body[field] = None
    return body
