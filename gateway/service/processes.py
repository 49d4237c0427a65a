"""The other processes of a gateway, as the control API sees them: what is known only where queries are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.core import Metric

    from gateway.pipeline.listening import ListenMode
    from gateway.resilience.breaker import BreakerView

__all__ = ["BreakerElsewhere", "NoProcesses", "Processes"]


class BreakerElsewhere(Protocol):
    """The breaker and the bulkhead of one hook in another process. Times are those of the machine's monotonic clock."""

    @property
    def view(self) -> BreakerView:
        """The breaker."""
        ...

    @property
    def in_use(self) -> int:
        """How many calls are under way."""
        ...

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        ...


class Processes(Protocol):
    """The other processes that answer queries. What one cannot say in time is left out."""

    @property
    def count(self) -> int:
        """How many there are to be."""
        ...

    async def refresh(self) -> None:
        """Have the journal and the metrics of this process know what became of calls in the others up to now."""
        ...

    def metrics(self, own: Iterable[Metric]) -> Iterable[Metric]:
        """The metrics of all processes, of which `own` are those of this one. May run on another thread."""
        ...

    def open_breakers(self, hook_id: str) -> Sequence[BreakerView]:
        """The breakers of a hook that are not closed, as last heard of: a change is told at once."""
        ...

    async def breakers(self, hook_id: str) -> Sequence[BreakerElsewhere]:
        """The breakers of a hook, in each process that has called it."""
        ...

    async def reset_breaker(self, hook_id: str) -> None:
        """Close the breakers of a hook."""
        ...

    async def purge(self, hook_id: str) -> int:
        """Forget the replies of a hook; how many those were."""
        ...

    async def trace(self, trace_id: str) -> bytes | None:
        """The trace with this id as the control API shows it, if one of them has it."""
        ...

    async def listen(self, hook_id: str, mode: ListenMode | None) -> None:
        """Have the calls of a hook brought to its listener in this process, or (`None`) not any more."""
        ...


class NoProcesses:
    """There is only this one."""

    count = 0

    async def refresh(self) -> None:
        """Do nothing."""

    def metrics(self, own: Iterable[Metric]) -> Iterable[Metric]:
        """Those of this process."""
        return own

    def open_breakers(self, hook_id: str) -> Sequence[BreakerView]:  # noqa: ARG002  the seam's signature
        """None."""
        return ()

    async def breakers(self, hook_id: str) -> Sequence[BreakerElsewhere]:  # noqa: ARG002
        """None."""
        return ()

    async def reset_breaker(self, hook_id: str) -> None:
        """Do nothing."""

    async def purge(self, hook_id: str) -> int:  # noqa: ARG002
        """None."""
        return 0

    async def trace(self, trace_id: str) -> bytes | None:  # noqa: ARG002
        """None."""
        return None

    async def listen(self, hook_id: str, mode: ListenMode | None) -> None:
        """Do nothing."""
