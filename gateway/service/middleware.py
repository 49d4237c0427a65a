"""Hooks on the handlers of an existing aiohttp application."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import HookFailed, QueryRejected
from gateway.model import Query, Result
from gateway.pipeline import provenance
from gateway.pipeline.debug import HEADER
from gateway.pipeline.http_answer import is_result
from gateway.service.results import add_provenance, drop_validators, failure_response
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from gateway.pipeline import HookChain
    from gateway.pipeline.debug import DebugHeader

    QueryOf = Callable[[web.Request], Query | Awaitable[Query | None] | None]

__all__ = ["hooks_middleware", "query_of_request"]


def query_of_request(
    request: web.Request, query_type: str, *, capability: str | None = None, tenant: str | None = None
) -> Query:
    """A query of this type whose params are those in the request's URL.

    Depth and trace context come from the request's headers.
    """
    return Query(
        type=query_type,
        capability=capability,
        tenant=tenant,
        params={**request.match_info, **request.query},
        depth=depth_of(request.headers.get(DEPTH)),
        traceparent=request.headers.get("traceparent"),
        tracestate=request.headers.get("tracestate"),
    )


def hooks_middleware(chain: HookChain, query_of: QueryOf, *, debug: DebugHeader | None = None) -> Middleware:
    """A middleware that runs the JSON answers of handlers through `chain`.

    `query_of(request)` says what was asked (`query_of_request` helps), or `None` for requests that are no
    queries. Only whole, uncompressed JSON answers with status 200 are results; every other answer passes as it is.
    A failed or rejected query is answered as problem+json. With `debug`, queries that come with the header
    `gateway-debug` and a key are traced.
    """
    tracing = debug.tracing if debug is not None else _never_traced

    @web.middleware
    async def run_hooks(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not _holds_result(request, response):
            return response
        query = query_of(request)
        if inspect.isawaitable(query):
            query = await query
        if query is None:
            return response
        assert isinstance(response, web.Response)
        result = Result(_body(response), response.content_type)
        try:
            with tracing(request.headers.get(HEADER)):
                answer = await chain.run(query, result)
        except (HookFailed, QueryRejected) as e:
            return failure_response(e)
        if answer.outcomes:
            drop_validators(response.headers)
        add_provenance(response.headers, provenance.headers(answer))
        if answer.result is not result:
            response.body = answer.result.body
        return response

    return run_hooks


def _never_traced(_value: str | None) -> AbstractContextManager[None]:
    return nullcontext()


def _holds_result(request: web.Request, response: web.StreamResponse) -> bool:
    headers = response.headers
    return (
        isinstance(response, web.Response)
        and is_result(request.method, response.status, headers.get("content-type"), headers.get("content-encoding"))
        and isinstance(response.body, (bytes, bytearray))
        and not response.prepared
    )


def _body(response: web.Response) -> bytes:
    body = response.body
    return body if isinstance(body, bytes) else bytes(body)  # type: ignore[arg-type]  # a bytearray, as checked
