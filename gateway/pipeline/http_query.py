"""Which HTTP requests are queries, where a table by path says so: the same rules wherever the gateway is embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MAX_QUERY_BYTES", "type_by_path"]

MAX_QUERY_BYTES: Final = 1024 * 1024  # of a request's body that is looked at for a query


def type_by_path(table: Mapping[str, str]) -> Callable[[str], str | None]:
    """A function from a request's path to the type of its query, `None` for what is no query.

    `table` names the types: `/search` is this very path, `/items/*` every path below; the longest that fits counts.
    """
    exact = {path: kind for path, kind in table.items() if not path.endswith("/*")}
    below = sorted(((path[:-1], kind) for path, kind in table.items() if path.endswith("/*")), reverse=True)

    def type_of(path: str) -> str | None:
        kind = exact.get(path)
        if kind is None:
            kind = next((kind for prefix, kind in below if path.startswith(prefix)), None)
        return kind

    return type_of
