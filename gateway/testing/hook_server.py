"""A fake integration server on loopback whose behaviour is chosen by the URL's path.

```python
async with HookServer() as server:
    server.on("/price", my_handler)          # or one of the built-in paths, see `gateway.testing.hook_routes`
    ...                                       # call f"{server.url}/price"
    assert server.requests[0].header("webhook-id") is not None
```

It speaks real HTTP over real sockets, so it can also break off, drip, lie about lengths and answer
without being asked. (The idea of a server keyed by path is that of the Kubernetes API server's tests.)
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Self, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway.testing.hook_messages import Handler, Raw, Reply, Request
from gateway.testing.hook_routes import standard_route

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

__all__ = ["Handler", "HookServer", "Raw", "Reply", "Request"]

_GIVE_UP_SECONDS: Final = 10.0


class HookServer:
    """The server: start it with `async with`, call `url` + path, then look at `requests`.

    `requests` holds every whole request in order of arrival, `connections` counts the open connections
    and `accepted` all that ever were. OPTIONS on any path is answered with `WebHook-Allowed-Origin:
    {allow_origin}` (CloudEvents HTTP webhook), or with 405 if `allow_origin` is `None`. An exception in a
    handler is answered with 500 and raised again when the server is left.
    """

    def __init__(
        self,
        *,
        ssl: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_origin: str | None = "*",
    ) -> None:
        self.allow_origin = allow_origin
        self._ssl = ssl
        self._host = host
        self._port = port
        self._routes: dict[str, Handler] = {}
        self._journal = _Journal()
        self._release = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self.answer, self._journal), self._host, self._port, ssl=self._ssl
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._journal.open):
            await connection.aclose()
        await self.no_connections()
        if self._journal.errors and exc_type is None:
            raise self._journal.errors[0]

    @property
    def requests(self) -> list[Request]:
        """Every whole request, in order of arrival."""
        return self._journal.requests

    @property
    def accepted(self) -> int:
        """How many connections were accepted so far."""
        return self._journal.accepted

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._ssl else 'http'}://{host}:{self._port}"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._journal.open)

    def on(self, path: str, handler: Handler) -> None:
        """Let `handler` answer every request for `path`, whatever its method and query; it goes before a built-in."""
        self._routes[path] = handler

    def release(self) -> None:
        """Let every request to `/slow` be answered, those to come included."""
        self._release.set()

    async def released(self) -> None:
        """Return once `release` was called."""
        await self._release.wait()

    async def arrived(self, count: int = 1) -> None:
        """Return once `count` requests have arrived in all. Raises `TimeoutError` after ten seconds."""
        await self._journal.until(lambda: len(self.requests) >= count)

    async def no_connections(self) -> None:
        """Return once every connection is gone. Raises `TimeoutError` after ten seconds."""
        await self._journal.until(lambda: not self._journal.open)

    def close_idle(self) -> None:
        """Close every open connection in an orderly way, as servers do with idle ones."""
        for connection in list(self._journal.open):
            connection.close()

    async def answer(self, request: Request) -> Reply | Raw | bytes:
        """What the server answers to `request`. A server of faults overrides this and calls it."""
        if request.method == "OPTIONS" and request.path not in self._routes:
            if self.allow_origin is None:
                return Reply(405, [("allow", "POST")])
            return Reply(200, [("webhook-allowed-origin", self.allow_origin), ("allow", "POST")])
        route = self._routes.get(request.path)
        if route is not None:
            return await route(request)
        return await standard_route(self, request)


class _Journal:
    """What happens on all connections, and the means to wait for it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.accepted = 0
        self.open: set[_Connection] = set()
        self.errors: list[Exception] = []
        self._changed = asyncio.Event()

    async def until(self, fulfilled: Callable[[], bool]) -> None:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            while not fulfilled():
                self._changed.clear()
                await self._changed.wait()

    def opened(self, connection: _Connection) -> None:
        self.accepted += 1
        self.open.add(connection)
        self._changed.set()

    def lost(self, connection: _Connection) -> None:
        self.open.discard(connection)
        self._changed.set()

    def took(self, request: Request) -> None:
        self.requests.append(request)
        self._changed.set()


class _Connection(asyncio.Protocol):
    """One accepted connection: requests are answered in order by one task, which ends with the connection."""

    def __init__(self, answer: Callable[[Request], Awaitable[Reply | Raw | bytes]], journal: _Journal) -> None:
        self._answer = answer
        self._journal = journal
        self._parser = HttpRequestParser(self)
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._journal.opened(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:
        self._task.cancel()
        self._journal.lost(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._transport.abort()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        request = Request(method, self._target.decode("latin-1"), tuple(self._headers), bytes(self._body))
        self._target, self._headers, self._body = b"", [], bytearray()
        self._journal.took(request)
        self._requests.put_nowait(request)

    def close(self) -> None:
        self._transport.close()

    async def aclose(self) -> None:
        self._task.cancel()
        self._transport.abort()
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while not self._transport.is_closing():
            request = await self._requests.get()
            try:
                answer = await self._answer(request)
            except Exception as error:  # noqa: BLE001 - a handler is the test's own code; the server raises it later
                self._journal.errors.append(error)
                answer = Reply(500)
            if isinstance(answer, Reply):
                self._transport.write(answer.encode())
            elif isinstance(answer, bytes):
                self._transport.write(answer)
            else:
                await self._write_raw(answer)

    async def _write_raw(self, raw: Raw) -> None:
        if isinstance(raw.data, bytes):
            self._transport.write(raw.data)
        else:
            async with aclosing(raw.data) as pieces:
                async for piece in pieces:
                    self._transport.write(piece)
                    await self._writable.wait()
                    await asyncio.sleep(0)
        if raw.close:
            self._transport.close()
