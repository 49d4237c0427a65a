"""What can be put behind a web server: something that answers requests, and lives while the server does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from gateway.receiver.messages import HttpReply, Request

__all__ = ["Server"]


class Server(Protocol):
    """A receiver, or an inbox. Bodies larger than `max_body_bytes` need not be read to their end."""

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is read."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """The clock by which deadlines are told; it never steps."""
        ...

    async def answer(self, request: Request) -> HttpReply:
        """The reply to a request."""
        ...

    def too_large(self) -> HttpReply:
        """The reply to a request whose body is larger."""
        ...

    def living(self) -> AbstractAsyncContextManager[None]:
        """While the context is open, what belongs to the server works: leases, workers."""
        ...
