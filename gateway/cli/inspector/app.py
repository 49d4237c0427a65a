"""The web application of `gateway inspect`: whatever is sent is captured; below `/_inspect` is the page."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.cli.inspector.captures import Capture, Captures
from gateway.cli.inspector.steps import steps

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PAGE", "Answering", "inspector_app"]

PAGE: Final = "/_inspect"
_MOST_BYTES: Final = 64 * 1024 * 1024
_ALIVE_SECONDS: Final = 15.0
_KINDS: Final = {"page.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Answering:
    """How requests are answered, and which `secrets` they are judged by."""

    status: int = 204
    content_type: str = "application/json"
    body: bytes = b""
    secrets: tuple[str, ...] = field(default=(), repr=False)


def inspector_app(
    answering: Answering,
    captures: Captures,
    *,
    now: Callable[[], float] = time.time,
    told: Callable[[Capture], None] = lambda _: None,
) -> web.Application:
    """The application. `told` hears of each capture; `now` gives seconds since 1970."""
    inspector = _Inspector(answering, captures, now, told)
    app = web.Application(client_max_size=_MOST_BYTES, handler_args={"auto_decompress": False})
    app.router.add_get(PAGE, inspector.page)
    app.router.add_get(f"{PAGE}/captures", inspector.list)
    app.router.add_get(f"{PAGE}/captures/{{number:[0-9]{{1,12}}}}", inspector.one)
    app.router.add_get(f"{PAGE}/live", inspector.live)
    app.router.add_get(f"{PAGE}/{{name:page\\.(?:js|css)}}", inspector.page)
    app.router.add_route("*", "/{path:.*}", inspector.capture)
    return app


class _Inspector:
    def __init__(
        self, answering: Answering, captures: Captures, now: Callable[[], float], told: Callable[[Capture], None]
    ) -> None:
        self._answering = answering
        self._captures = captures
        self._now = now
        self._told = told

    async def capture(self, request: web.Request) -> web.Response:
        """Take a request, judge it, and answer."""
        at, begun = self._now(), time.perf_counter()
        body = await request.read()
        taken = Capture(
            number=self._captures.next_number(),
            at=at,
            body_ms=(time.perf_counter() - begun) * 1000,
            remote=request.remote or "",
            method=request.method,
            target=request.raw_path,
            version=f"HTTP/{request.version.major}.{request.version.minor}",
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers),
            body=body,
            steps=steps(request.headers.get, body, self._answering.secrets, at) if request.method == "POST" else (),
        )
        self._captures.add(taken)
        self._told(taken)
        origin = request.headers.get("webhook-request-origin")
        if request.method == "OPTIONS" and origin:
            return web.Response(headers={"webhook-allowed-origin": origin})
        answer = self._answering
        if not answer.body:
            return web.Response(status=answer.status)
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)

    async def page(self, request: web.Request) -> web.Response:
        """The page and its parts."""
        _same_machine(request)
        name = request.match_info.get("name", "page.html")
        text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=_KINDS[name], headers=_HEADERS)

    async def list(self, request: web.Request) -> web.Response:
        """What is remembered, the latest first."""
        _same_machine(request)
        return web.json_response([each.summary() for each in self._captures.all()], headers=_HEADERS)

    async def one(self, request: web.Request) -> web.Response:
        """All of one request."""
        _same_machine(request)
        found = self._captures.get(int(request.match_info["number"]))
        if found is None:
            raise web.HTTPNotFound(text="It is no longer remembered.")
        return web.json_response(found.document(), headers=_HEADERS)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: one for each request that comes."""
        _same_machine(request)
        response = web.StreamResponse(headers=_HEADERS | {"content-type": "text/event-stream"})
        await response.prepare(request)
        with self._captures.listening() as queue:
            await response.write(b": listening\n\n")
            while True:
                try:
                    async with asyncio.timeout(_ALIVE_SECONDS):
                        taken = await queue.get()
                    await response.write(b"data: %b\n\n" % json.dumps(taken.summary()).encode())
                except TimeoutError:
                    await response.write(b": alive\n\n")
                except ConnectionError:
                    return response


def _same_machine(request: web.Request) -> None:
    """Refuse a page of another site that reaches for this one under a name of its own (DNS rebinding)."""
    host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    if host.strip("[]") not in {"127.0.0.1", "::1", "localhost"}:
        raise web.HTTPForbidden(text="The page is shown to this machine only.")
