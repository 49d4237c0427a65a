"""The listening sockets of workers: one group for each, all bound to the same address."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from gateway.config import Address, UnixAddress
from gateway.service.sockets import SOCKET_MODE, bound

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

__all__ = ["bound_for_each"]


@contextmanager
def bound_for_each(
    address: Address | UnixAddress, setting: str, workers: int, *, mode: int = SOCKET_MODE
) -> Iterator[tuple[tuple[socket.socket, ...], ...]]:
    """Sockets bound to `address`, listening, for each of so many workers; closed at the end. Raises `ListenFailed`.

    On a host and port every worker gets its own (`SO_REUSEPORT`), and the kernel spreads connections over them by a
    hash of the two addresses. A Unix socket is one that all of them accept from.
    """
    with ExitStack() as stack:
        if workers == 1 or isinstance(address, UnixAddress):
            one = tuple(stack.enter_context(bound(address, setting, mode=mode)))
            yield (one,) * workers
            return
        # SO_REUSEPORT would let two gateways share a port without a word, so first see that nobody else has it.
        with bound(address, setting) as found:
            port = found[0].getsockname()[1]
        groups = [
            tuple(stack.enter_context(bound(Address(address.host, port), setting, reuse_port=True)))
            for _ in range(workers)
        ]
        yield tuple(groups)
