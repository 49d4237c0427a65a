"""How often a source may present a key that is none before it has to wait."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from gateway.observe.log import get_logger
from gateway.service.problem import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FailedAuth"]

_MOST_SOURCES: Final = 10_000
_SECONDS_BETWEEN_LINES: Final = 1.0

_log = get_logger(__name__)


@dataclass(slots=True)
class _Failures:
    count: int
    since: float


class FailedAuth:
    """Counts failed authentications by source address: an IPv4 address, or the /64 network of an IPv6 one.

    After `limit` failures within `window` seconds since the first of them, `check` refuses until the window ends.
    A success forgets them. `limit` 0 is no limit. At most 10,000 sources are remembered, the latest ones.
    `counted` is told of each failure, with whether it was refused unseen. `now` gives seconds.
    """

    def __init__(
        self,
        limit: int = 20,
        window: float = 60.0,
        *,
        counted: Callable[[bool], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window = window
        self._counted = counted
        self._now = now
        self._sources: TTLCache[str, _Failures] = TTLCache(_MOST_SOURCES, window, timer=now)
        self._logged_at: float | None = None
        self._not_logged = 0

    def check(self, address: str | None) -> None:
        """Return if this source may try; raise `Refused` (429) if it has to wait."""
        found = self._sources.get(_source(address))
        if not self._limit or found is None or found.count < self._limit:
            return
        self._tell(address, refused=True)
        seconds = max(1, int(found.since + self._window - self._now() + 0.999))
        detail = f"Too many keys from this address were not valid; try again in {seconds} s."
        raise Refused(429, detail, {"retry-after": str(seconds)})

    def failed(self, address: str | None) -> None:
        """A key from this source was none."""
        source = _source(address)
        found = self._sources.get(source)
        if found is None:
            self._sources[source] = _Failures(1, self._now())
        else:
            found.count += 1
        self._tell(address, refused=False)

    def succeeded(self, address: str | None) -> None:
        """A key from this source was valid."""
        self._sources.pop(_source(address), None)

    def _tell(self, address: str | None, *, refused: bool) -> None:
        """Count it, and log it unless a line was logged within the last second."""
        if self._counted is not None:
            self._counted(refused)
        if self._logged_at is not None and self._now() - self._logged_at < _SECONDS_BETWEEN_LINES:
            self._not_logged += 1
            return
        _log.warning("auth.failed", remote=address, refused_unseen=refused, not_logged_before=self._not_logged)
        self._logged_at, self._not_logged = self._now(), 0


def _source(address: str | None) -> str:
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found)
