"""The standalone gateway as one aiohttp application."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import aiohttp
import orjson
from aiohttp import web
from jsonpointer import JsonPointer, JsonPointerException

from gateway.errors import CallError, GatewayError, HookFailed, QueryRejected, UpstreamFailed
from gateway.model import Result
from gateway.observe.log import get_logger
from gateway.pipeline import provenance
from gateway.pipeline.debug import HEADER
from gateway.pipeline.trace import trace_of
from gateway.service.problem import PROBLEM_JSON, problem_middleware, problem_of
from gateway.service.proxy.forwarding import PIECE, Upstream, end_to_end
from gateway.service.proxy.routing import first_fitting
from gateway.service.results import add_provenance, drop_validators, failure_response, is_json
from gateway.transport.decoding import inflater_for
from gateway.wire import document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.model import Query
    from gateway.pipeline import Answer, HookChain
    from gateway.pipeline.debug import DebugHeader
    from gateway.service.proxy.routing import Route

MAX_QUERY_BYTES: Final = 1024 * 1024

log = get_logger("proxy")


def proxy_app(
    chain: HookChain,
    routes: Sequence[Route],
    *,
    max_result_bytes: int,
    is_wanted: Callable[[Query], bool],
    debug: DebugHeader | None = None,
) -> web.Application:
    """The gateway in front of the upstreams of `routes`.

    `is_wanted(query)` says whether any hook serves the query; if none does, the answer streams through.
    Results up to `max_result_bytes` are held in memory while their hooks run; larger ones pass unmodified.
    With `debug`, queries that come with the header `gateway-debug` and a key are traced.
    """
    proxy = Proxy(chain, routes, max_result_bytes=max_result_bytes, is_wanted=is_wanted, debug=debug)
    app = web.Application(middlewares=[problem_middleware], handler_args={"auto_decompress": False})
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    app.cleanup_ctx.append(proxy.session)
    return app


class Proxy:
    """Takes requests to their upstreams and results through their hooks."""

    def __init__(
        self,
        chain: HookChain,
        routes: Sequence[Route],
        *,
        max_result_bytes: int,
        is_wanted: Callable[[Query], bool],
        debug: DebugHeader | None = None,
    ) -> None:
        self._debug = debug
        self._chain = chain
        self._routes = tuple(routes)
        self._max_result_bytes = max_result_bytes
        self._is_wanted = is_wanted
        self._upstream: Upstream

    async def session(self, _app: web.Application) -> AsyncIterator[None]:
        """Connections to the upstreams, for as long as the application runs."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            self._upstream = Upstream(session)
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        route = first_fitting(self._routes, request.path)
        if route is None:
            return _problem(404, "Not Found", "No route of the gateway fits this path.")
        try:
            body, query = await self._query_of(request, route)
            wanted = query is not None and self._is_wanted(query)
            upstream = await self._upstream.send(request, route.upstream, body=body, whole=wanted)
        except GatewayError as e:
            log.warning("upstream.failed", path=request.path, detail=e.detail)
            return web.Response(status=_status(e), body=orjson.dumps(problem_of(e)), content_type=PROBLEM_JSON)
        try:
            if query is None or not _is_result(upstream):
                return await _pass_on(request, upstream, b"")
            debug = self._debug
            with debug.tracing(request.headers.get(HEADER)) if debug is not None else nullcontext():
                if wanted:
                    return await self._through_hooks(request, route, query, upstream)
                trace_id = trace_of(query)
                return await _pass_on(request, upstream, b"", {provenance.TRACE_ID: trace_id} if trace_id else None)
        finally:
            upstream.release() if upstream.content.at_eof() else upstream.close()

    async def _query_of(self, request: web.Request, route: Route) -> tuple[bytes | None, Query | None]:
        """The request's body, if it had to be read, and the query it asks, if it is one."""
        if request.method not in route.methods:
            return None, None
        body = None
        if request.body_exists and route.needs_body() and is_json(request.headers.get("content-type")):
            if request.content_length is None or request.content_length > MAX_QUERY_BYTES:
                return None, None
            body = await request.content.readexactly(request.content_length)
        return body, route.query(request, body)

    async def _through_hooks(
        self, request: web.Request, route: Route, query: Query, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        held = bytearray()
        try:
            async for piece in upstream.content.iter_chunked(PIECE):
                held += piece
                if len(held) > self._max_result_bytes:
                    try:
                        skipped = await self._chain.run(query, Result(bytes(held), _media_type(upstream)))
                    except HookFailed as e:  # one that the query must not go on without
                        return failure_response(e)
                    return await _pass_on(request, upstream, bytes(held), provenance.headers(skipped))
        except (aiohttp.ClientError, TimeoutError) as e:
            failure = UpstreamFailed(timed_out=isinstance(e, TimeoutError))
            log.warning("upstream.broke_off", path=request.path, error=type(e).__name__)
            return web.Response(
                status=failure.status, body=orjson.dumps(problem_of(failure)), content_type=PROBLEM_JSON
            )
        whole = _decompressed(bytes(held), upstream, self._max_result_bytes)
        if whole is None:
            return await _pass_on(request, upstream, bytes(held))
        try:
            body, answer = await self._run(query, whole, _media_type(upstream), route.result_at)
        except (HookFailed, QueryRejected) as e:
            return failure_response(e)
        headers = end_to_end(upstream.headers)
        headers.popall("content-length", None)
        if body is whole:
            body = bytes(held)  # as it came, compressed or not
        else:
            headers.popall("content-encoding", None)
        if answer is not None:
            if answer.outcomes:
                drop_validators(headers)
            add_provenance(headers, provenance.headers(answer))
        return web.Response(status=upstream.status, reason=upstream.reason, headers=headers, body=body)

    async def _run(self, query: Query, whole: bytes, content_type: str, result_at: str) -> tuple[bytes, Answer | None]:
        """The document after the hooks. Where there is no result at `result_at`, it is as it was."""
        if not result_at:
            answer = await self._chain.run(query, Result(whole, content_type))
            return answer.result.body, answer
        try:
            value = document.parse_exact(whole)
            pointer = JsonPointer(result_at)
            result = Result(document.write(pointer.resolve(value)))
        except (ValueError, JsonPointerException):
            log.warning("result.not_found", at=result_at)
            return whole, None
        answer = await self._chain.run(query, result)
        if answer.result is result:
            return whole, answer
        value = pointer.set(value, document.parse_exact(answer.result.body), inplace=True)
        return document.write(value), answer


async def _pass_on(
    request: web.Request, upstream: aiohttp.ClientResponse, begun: bytes, told: dict[str, str] | None = None
) -> web.StreamResponse:
    """Stream the upstream's answer to the client, piece by piece, as it is."""
    headers = end_to_end(upstream.headers)
    if told:
        add_provenance(headers, told)
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
    response.content_length = None
    if (length := upstream.headers.get("content-length")) is not None:
        response.headers["content-length"] = length
    await response.prepare(request)
    if begun:
        await response.write(begun)
    try:
        async for piece in upstream.content.iter_chunked(PIECE):
            await response.write(piece)
    except (aiohttp.ClientError, TimeoutError) as e:
        # The head is out: only a connection that breaks can tell the client that this is not all.
        log.warning("upstream.broke_off", path=request.path, error=type(e).__name__)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _is_result(upstream: aiohttp.ClientResponse) -> bool:
    return (
        upstream.status == 200
        and upstream.method.upper() != "HEAD"
        and is_json(upstream.headers.get("content-type"))
        and upstream.headers.get("content-encoding", "identity").lower() in {"identity", "gzip", "x-gzip", "deflate"}
    )


def _decompressed(held: bytes, upstream: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The document in `held`, which the upstream may have compressed unasked; `None` if it cannot be had."""
    try:
        inflater = inflater_for(upstream.headers.get("content-encoding", ""), limit)
        if inflater is None:
            return held
        plain = inflater.feed(held)
        inflater.finish()
    except CallError as e:
        log.warning("result.not_decompressed", url=str(upstream.url), detail=e.detail)
        return None
    return plain


def _media_type(upstream: aiohttp.ClientResponse) -> str:
    return upstream.headers["content-type"].partition(";")[0].strip().lower()


def _status(error: GatewayError) -> int:
    return error.status if isinstance(error, UpstreamFailed) else 500


def _problem(status: int, title: str, detail: str) -> web.Response:
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return web.Response(status=status, body=body, content_type=PROBLEM_JSON)
