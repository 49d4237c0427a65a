"""The command line: one module per group of commands.

`app` puts them together, `options` holds what every command takes, `client` talks to the control API,
`output` and `failures` are how results and errors look. Each command imports what it needs when it runs,
so that `gateway --help` does not wait for a web framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gateway` with `arguments` (default: the process's own) and return its exit code."""
    from gateway.cli.app import run

    return run(arguments)
