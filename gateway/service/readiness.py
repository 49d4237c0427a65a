"""Whether the gateway should be sent work, and what it knows about that: what `/readyz` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.service.problem import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.service.tls import Certificate, Section

__all__ = ["CertificateState", "KnownUpstream", "Readiness", "Report"]


@dataclass(frozen=True, slots=True)
class KnownUpstream:
    """What is known of one query API: `unknown` until it is asked, `up` or `down`, and why it is down."""

    url: str
    state: str
    why: str | None


@dataclass(frozen=True, slots=True)
class CertificateState:
    """The certificate that a `section` of the settings names. `not_after` as in `Loaded`."""

    section: Section
    not_after: float | None
    expired: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What stands behind "ready"."""

    upstreams: tuple[KnownUpstream, ...] = ()
    certificates: tuple[CertificateState, ...] = ()


class Readiness:
    """Asked by whoever decides where queries go.

    `checks` raise a `GatewayError` if the gateway cannot do its work.
    """

    def __init__(self, *checks: Callable[[], Awaitable[object]]) -> None:
        self._checks = [*checks]
        self.draining = False
        self.certificates: list[Certificate] = []
        self.upstreams: Callable[[], Sequence[KnownUpstream]] = tuple

    def check(self, check: Callable[[], Awaitable[object]]) -> None:
        """Ask this, too."""
        self._checks.append(check)

    async def __call__(self) -> Report:
        """The report. Raises `Refused` (503) if no work should be sent here, and what a check raises."""
        if self.draining:
            raise Refused(503, "The gateway is draining: it finishes what it has and wants no new work.")
        for check in self._checks:
            await check()
        upstreams = tuple(self.upstreams())
        if upstreams and all(upstream.state == "down" for upstream in upstreams):
            whys = "; ".join(f"{upstream.url}: {upstream.why}" for upstream in upstreams)
            raise Refused(503, f"No upstream can be reached ({whys}).")
        return Report(
            upstreams,
            tuple(
                CertificateState(each.loaded.files.section, each.loaded.not_after, each.expired)
                for each in self.certificates
            ),
        )
