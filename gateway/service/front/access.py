"""What is told of each request once it is over."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_NOTES", "Access"]

NO_NOTES: Final[Mapping[str, object]] = MappingProxyType({})


class Access(NamedTuple):
    """One request and how it ended.

    `method` and `target` are `-` where the request could not be read so far. `status` is what was sent; 499 where the
    client went away before anything was. `bytes_in` and `bytes_out` count the bodies, without chunk framing;
    `seconds` run from the whole head to the end of the answer. `complete` says whether the answer reached its end.
    `notes` is what the handler noted on the exchange.
    """

    method: str
    target: str
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float
    client: str | None
    minor: int
    scheme: str
    complete: bool
    notes: Mapping[str, object]
