"""A server as an ASGI 3 application, life cycle included. Source: https://asgi.readthedocs.io/en/latest/specs/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.receiver.messages import Headers, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from gateway.receiver.messages import HttpReply
    from gateway.receiver.server import Server

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

__all__ = ["AsgiApplication"]


class AsgiApplication:
    """Answers what comes over ASGI by `server`, which begins to live with the application's start."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._server.living():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = self._server.clock()
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._server.max_body_bytes:
                await _send(self._server.too_large(), send)
                return
        request = Request(scope["method"], scope["path"], Headers(scope["headers"]), bytes(body), arrived)
        reply = await self._server.answer(request)
        await _send(reply, send, empty=scope["method"] == "HEAD")


async def _send(reply: HttpReply, send: Send, *, empty: bool = False) -> None:
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in reply.headers]
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if empty else reply.body})
