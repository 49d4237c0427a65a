"""The link between the supervisor and a worker: messages over a socket pair, in order, both ways.

A frame is its length in four bytes and a MessagePack array `[kind, number, message]`. Messages are msgspec structs, and
what comes in is decoded as one of the types that are expected or not at all: unlike pickle, nothing that a worker sends
can make the supervisor run it, although a worker speaks with the outside; and it takes less time than either pickle
or JSON for what is sent most. Whoever sends faster than the other side reads, or too much at once, has broken the link.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from gateway.errors import GatewayError
from gateway.observe.log import get_logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

__all__ = ["MAX_FRAME_BYTES", "Link", "LinkBroken", "Refused"]

T = TypeVar("T")
log = get_logger("workers")

MAX_FRAME_BYTES: Final = 128 * 1024 * 1024
MAX_UNSENT_BYTES: Final = 256 * 1024 * 1024
_LENGTH: Final = 4
_NOTICE, _REQUEST, _ANSWER, _REFUSAL = range(4)

_encode: Final = msgspec.msgpack.Encoder().encode
_frame: Final = msgspec.msgpack.Decoder(tuple[int, int, msgspec.Raw]).decode


class LinkBroken(GatewayError):
    """The other process is gone, or does not keep to what was agreed."""


class Refused(GatewayError):
    """The other process could not do what it was asked."""


class Link(asyncio.Protocol):
    """One end of a link. It works once `open` has been called.

    `received` is handed each message that is not an answer, in order and at once. What it returns for a request is the
    answer; if that is awaitable, it is awaited in a task of its own, so that later messages need not wait.
    `expected` are the types of messages that may come. For one event loop.
    """

    def __init__(self, expected: Any, received: Callable[[Any], Any]) -> None:
        self._decode = msgspec.msgpack.Decoder(expected).decode
        self._received = received
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._number = 0
        self._asked: dict[int, tuple[asyncio.Future[Any], Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed: Final = asyncio.Event()

    async def open(self, end: socket.socket) -> None:
        """Speak over one end of a socket pair, which is the link's from here on."""
        end.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    # ------------------------------------------------------------ sending

    def tell(self, message: msgspec.Struct) -> None:
        """Send a message that has no answer. Nothing happens if the link is closed."""
        self._send(_NOTICE, 0, message)

    def ask(self, message: msgspec.Struct, answer: type[T] | Any) -> asyncio.Future[T]:
        """Send a request; the future is its answer, of type `answer`. It fails with `LinkBroken` or `Refused`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.closed.is_set():
            future.set_exception(LinkBroken("The link to the other process is closed."))
            return future
        self._number += 1
        number = self._number
        self._asked[number] = (future, answer)
        future.add_done_callback(lambda _: self._asked.pop(number, None))
        self._send(_REQUEST, number, message)
        return future

    def _send(self, kind: int, number: int, message: Any) -> None:
        transport = self._transport
        if transport is None or self.closed.is_set():
            return
        body = _encode((kind, number, message))
        if len(body) > MAX_FRAME_BYTES or transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            log.error("link.broken", why="more was to be sent than the other process takes", frame=len(body))
            transport.abort()
            return
        transport.write(len(body).to_bytes(_LENGTH, "big") + body)

    def close(self) -> None:
        """Send what is to be sent, then close."""
        if self._transport is not None:
            self._transport.close()

    # ------------------------------------------------------------ receiving, as an asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        made = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        made.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._transport = made

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        buffer = self._buffer
        buffer += data
        begin = 0
        try:
            while len(buffer) - begin >= _LENGTH:
                size = int.from_bytes(buffer[begin : begin + _LENGTH], "big")
                if size > MAX_FRAME_BYTES:
                    raise msgspec.DecodeError(f"a frame of {size} bytes")
                end = begin + _LENGTH + size
                if len(buffer) < end:
                    break
                frame = bytes(buffer[begin + _LENGTH : end])
                begin = end
                self._came(*_frame(frame))
        except msgspec.MsgspecError as error:
            log.error("link.broken", why=f"the other process sent what is no message: {error}")  # noqa: TRY400
            if self._transport is not None:
                self._transport.abort()
        del buffer[:begin]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the signature is asyncio's
        """It is closed: nobody will answer any more."""
        self.closed.set()
        for future, _ in list(self._asked.values()):
            if not future.done():
                future.set_exception(LinkBroken("The other process ended before it had answered."))
                future.exception()  # whoever waits sees it; nobody has to
        for task in self._tasks:
            task.cancel()

    def _came(self, kind: int, number: int, raw: msgspec.Raw) -> None:
        if kind in (_ANSWER, _REFUSAL):
            found = self._asked.get(number)
            if found is None or found[0].done():
                return
            future, answer = found
            if kind == _ANSWER:
                future.set_result(msgspec.msgpack.decode(raw, type=answer))
            else:
                future.set_exception(Refused(msgspec.msgpack.decode(raw, type=str)))
            return
        message = self._decode(raw)
        if kind == _NOTICE:
            self._received(message)
            return
        try:
            said = self._received(message)
        except GatewayError as error:
            self._send(_REFUSAL, number, error.detail)
            return
        if asyncio.iscoroutine(said) or asyncio.isfuture(said):
            task = asyncio.get_running_loop().create_task(self._answer(number, said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._send(_ANSWER, number, said)

    async def _answer(self, number: int, said: Awaitable[Any]) -> None:
        try:
            answer = await said
        except GatewayError as error:
            self._send(_REFUSAL, number, error.detail)
        else:
            self._send(_ANSWER, number, answer)
