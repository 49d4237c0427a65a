"""A front without sockets: bytes go in, in any pieces, and what came of them comes out. For properties and fuzzing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.service.front import Front, FrontSettings
from gateway.service.front.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.service.front.exchange import Exchange
    from gateway.service.messages import Headers

__all__ = ["MemoryTransport", "Seen", "SeenRequest", "read_requests"]

_TURNS: Final = 1000  # of the event loop: far more than any request takes here


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as a handler saw it, with all of its body."""

    method: str
    target: str
    headers: Headers
    body: bytes
    trailers: Headers
    minor: int


@dataclass(slots=True)
class Seen:
    """What came of some bytes: whole requests in order, the bytes sent back, and whether the connection ended."""

    requests: list[SeenRequest] = field(default_factory=list)
    output: bytearray = field(default_factory=bytearray)
    ended: bool = False


class MemoryTransport(asyncio.Transport):
    """Keeps what is written in `output`, and tells of a close at once, as a socket would in the next turn."""

    def __init__(self, protocol: asyncio.Protocol, output: bytearray) -> None:
        super().__init__()
        self.output = output
        self.paused = False
        self._protocol = protocol
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        self.output += data

    def write_eof(self) -> None:
        """Send no more: what the front does before it lingers. There is no one to linger for."""
        self.close()

    def can_write_eof(self) -> bool:
        """As a TCP connection."""
        return True

    def get_write_buffer_size(self) -> int:
        """All is taken at once."""
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The peer's address, of those that there are."""
        return ("127.0.0.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        """Whether it has been closed."""
        return self._closing

    def pause_reading(self) -> None:
        """Take no more from the socket."""
        self.paused = True

    def resume_reading(self) -> None:
        """Take more from the socket."""
        self.paused = False

    def close(self) -> None:
        """End the connection."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """End the connection."""
        self.close()


async def read_requests(pieces: Iterable[bytes], settings: FrontSettings | None = None) -> Seen:
    """Let a front read `pieces`, each as one read of a socket; every request is answered with 200 once it is whole."""
    seen = Seen()

    async def handler(exchange: Exchange) -> None:
        body = bytearray()
        if exchange.body is not None:
            while piece := await exchange.body.read():
                body += piece
        head = exchange.head
        trailers = [] if exchange.body is None else exchange.body.trailers
        seen.requests.append(SeenRequest(head.method, head.target, head.headers, bytes(body), trailers, head.minor))
        exchange.answer(200, [], b"")

    front = Front(handler, settings or FrontSettings())
    connection = Connection(front, asyncio.get_running_loop(), "http")
    transport = MemoryTransport(connection, seen.output)
    connection.connection_made(transport)
    for piece in pieces:
        if piece and not transport.is_closing():
            connection.data_received(piece)
        await _settled(front, connection)
    seen.ended = transport.is_closing()
    transport.close()
    await _settled(front, connection)
    if front.in_flight or front.connections:
        raise AssertionError("a connection or a request outlives its end")
    front.sweep()
    front.stop_sweeping()
    return seen


async def _settled(front: Front, connection: Connection) -> None:
    """Until nothing more happens without more bytes."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
        waits_for_body = connection.incoming is not None and connection.incoming.is_awaited
        if not front.in_flight or (waits_for_body and not connection.lost):
            return
    raise AssertionError("a request is neither answered nor waited for")
