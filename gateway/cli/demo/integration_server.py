"""The demo's integration server, a process of its own: `python -m gateway.cli.demo.integration_server --port 0`.

It speaks with whoever started it in lines of JSON. It says `{"port": …}` when it listens; then it is told
`{"control_url", "api_key", "secret"}`, makes its hooks known to the gateway and says `{"hooks": […]}`, or
`{"error": …}`. It ends when its standard input ends, so it never outlives its starter. It has two bad hooks on
purpose: `hang` and `garbage`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from gateway.cli.demo.transformations import TRANSFORMATIONS
from gateway.errors import GatewayError, WebhookRefused
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import ClientResponse

HANG_TIMEOUT_MS: Final = 500
_MAX_BYTES: Final = 16 * 1024 * 1024
_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"  # said to be JSON

DECLARATIONS: Final[Sequence[dict[str, Any]]] = (
    *(
        {
            "name": one.name,
            "path": f"/{one.name}",
            "types": list(one.types),
            "tenants": None if one.tenants is None else list(one.tenants),
            "order": one.order,
        }
        for one in TRANSFORMATIONS
    ),
    {"name": "garbage", "path": "/garbage", "types": ["countries"], "order": 40},
    {"name": "hang", "path": "/hang", "types": ["nearby"], "order": 50, "timeout_ms": HANG_TIMEOUT_MS},
)


class IntegrationServer:
    """The HTTP side: verifies each call, then lets a transformation reply. `now` in seconds since 1970."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._keys: list[bytes] = []
        self._stopping = asyncio.Event()

    def trust(self, secret: str) -> None:
        """Accept calls signed with this secret."""
        self._keys = [signature.key_of(secret)]

    def stop(self) -> None:
        """Let the calls go that hang."""
        self._stopping.set()

    def application(self) -> web.Application:
        """The web application."""
        application = web.Application(client_max_size=_MAX_BYTES)
        application.router.add_options("/{hook}", self._own)
        for one in TRANSFORMATIONS:
            application.router.add_post(f"/{one.name}", self._transform)
        application.router.add_post("/hang", self._hang)
        application.router.add_post("/garbage", self._garbage)
        return application

    async def _own(self, request: web.Request) -> web.Response:
        """CloudEvents' ownership handshake: yes, this gateway may call."""
        origin = request.headers.get("webhook-request-origin", "")
        return web.Response(headers={"webhook-allowed-origin": origin})

    async def _verified(self, request: web.Request) -> bytes:
        body = await request.read()
        try:
            signature.verify(
                self._keys,
                message_id=request.headers.get(signature.ID),
                timestamp=request.headers.get(signature.TIMESTAMP),
                signature=request.headers.get(signature.SIGNATURE),
                body=body,
                now=self._now(),
            )
        except WebhookRefused as error:
            raise web.HTTPUnauthorized(text=error.detail) from None
        return body

    async def _transform(self, request: web.Request) -> web.Response:
        event = json.loads(await self._verified(request))
        one = next(one for one in TRANSFORMATIONS if request.path == f"/{one.name}")
        result = event["data"]["result"]
        if not isinstance(result, dict) or not {"columns", "rows"} <= result.keys():
            return web.Response(status=204)  # not a table: nothing to do
        reply = one.reply(result, datetime.fromtimestamp(self._now(), UTC))
        if reply is None:
            return web.Response(status=204)
        return web.Response(body=json.dumps(reply.document).encode(), content_type=reply.content_type)

    async def _hang(self, request: web.Request) -> web.Response:
        await self._verified(request)
        await self._stopping.wait()
        return web.Response(status=503)

    async def _garbage(self, request: web.Request) -> web.Response:
        await self._verified(request)
        return web.Response(body=_PNG, content_type="application/json")


async def declare(control_url: str, api_key: str) -> list[dict[str, Any]]:
    """Tier two, as an integration does it: declare the whole set of hooks, then enable them. Returns the hooks."""
    headers = {"authorization": f"Bearer {api_key}"}
    async with ClientSession(headers=headers, timeout=ClientTimeout(total=15), raise_for_status=_check) as session:
        async with session.put(f"{control_url}/v1/hooks", json=DECLARATIONS) as response:
            declared = (await response.json())["items"]
        ids = [hook["id"] for hook in declared]
        async with session.post(f"{control_url}/v1/hooks:enable", json={"ids": ids}) as response:
            hooks: list[dict[str, Any]] = (await response.json())["items"]
            return hooks


async def _check(response: ClientResponse) -> None:
    if response.status >= 400:
        said = (await response.text())[:1000]
        raise GatewayError(f"{response.method} {response.url} was answered with {response.status}: {said}")


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    said = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(said), sys.stdin)
    server = IntegrationServer(now=time.time)
    runner = web.AppRunner(server.application(), access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        _say({"port": runner.addresses[0][1]})
        line = await said.readline()
        if line:
            told = json.loads(line)
            server.trust(told["secret"])
            try:
                hooks = await declare(told["control_url"], told["api_key"])
            except (GatewayError, ClientError, TimeoutError) as error:
                why = str(error) or type(error).__name__
                _say({"error": f"The integration server could not declare its hooks: {why}"})
                return
            _say({"hooks": hooks})
            await said.read()  # until the starter is gone
    finally:
        server.stop()
        await runner.cleanup()


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


def _main() -> None:
    parser = argparse.ArgumentParser(description="The demo's integration server; see the module's text.")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0 is any free port")
    # Ctrl-C reaches the whole group of processes: the starter decides when this one ends.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    _main()
