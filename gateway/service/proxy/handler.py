"""The handler of the standalone gateway: which way a request goes, and what is done on it."""

from __future__ import annotations

import secrets
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed
from gateway.observe.log import get_logger
from gateway.pipeline import provenance
from gateway.pipeline.debug import HEADER
from gateway.pipeline.trace import trace_of
from gateway.service.messages import RequestHead, ResponseHead, value_of
from gateway.service.proxy.asked import Asked
from gateway.service.proxy.forwarded import Forwarding
from gateway.service.proxy.heads import (
    ASKS,
    DEBUG,
    TAGS,
    UPGRADE,
    VIA,
    Known,
    RequestRules,
    ResponseRules,
)
from gateway.service.proxy.passing import asks_for_websocket, pass_on, tunnel
from gateway.service.proxy.paths import Misread
from gateway.service.proxy.reading import read_query
from gateway.service.proxy.refusals import answer_options, is_for_us, refuse, tell_failure
from gateway.service.proxy.results import ResultDoor
from gateway.service.proxy.routes import Router
from gateway.service.proxy.validators import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.pipeline import HookChain
    from gateway.pipeline.debug import DebugHeader
    from gateway.service.front import Exchange, Handler
    from gateway.service.messages import Body, Headers
    from gateway.service.proxy.routes import Names, Route, Taken
    from gateway.service.upstream import Upstream, UpstreamAnswer, Upstreams

__all__ = ["Proxy", "proxy_handler", "pseudonym"]

log = get_logger("proxy")

_DEBUG: Final = HEADER.encode()
_MAY_BE_PARTIAL: Final = frozenset({206, 304, 412, 416})
_SAFE: Final = frozenset({"GET", "HEAD"})
_SELDOM: Final = frozenset({"TRACE", "OPTIONS"})


def _untold(_reason: str) -> None:
    pass


def pseudonym() -> str:
    """A name for this gateway in `via`, unlike that of any other one."""
    return f"query-hook-gateway-{secrets.token_hex(6)}"


def proxy_handler(
    routes: Sequence[Route],
    upstreams: Upstreams,
    chain: HookChain,
    *,
    is_wanted: Callable[[str, str | None, str | None], bool],
    max_result_bytes: int,
    name: str,
    trusted_proxies: Iterable[str] = (),
    debug: DebugHeader | None = None,
    failed: Callable[[str], None] = _untold,
) -> Handler:
    """The handler of requests that go to the upstreams of `routes`.

    `is_wanted(type, capability, tenant)` says whether any hook serves such a query; if none does, the answer streams
    through. Results up to `max_result_bytes` are held in memory while their hooks run; larger ones pass unmodified.
    `name` is the gateway's in `via`: requests that come with it have gone in a circle. `trusted_proxies` are believed
    what they say of the client. With `debug`, queries that come with the header `gateway-debug` and a key are traced.
    `failed` is told the reason of each failure of an upstream.
    """
    return Proxy(
        routes,
        upstreams,
        chain,
        is_wanted=is_wanted,
        max_result_bytes=max_result_bytes,
        name=name,
        trusted_proxies=trusted_proxies,
        debug=debug,
        failed=failed,
    ).handle


class Proxy:
    """Takes requests to their upstreams and results through their hooks."""

    def __init__(
        self,
        routes: Sequence[Route],
        upstreams: Upstreams,
        chain: HookChain,
        *,
        is_wanted: Callable[[str, str | None, str | None], bool],
        max_result_bytes: int,
        name: str,
        trusted_proxies: Iterable[str] = (),
        debug: DebugHeader | None = None,
        failed: Callable[[str], None] = _untold,
    ) -> None:
        self._router = Router(routes)
        self._upstreams = upstreams
        self._is_wanted = is_wanted
        self._debug = debug
        self._failed = failed
        self._forwarding = Forwarding(trusted_proxies)
        self._requests = RequestRules(name.encode())
        self._responses = ResponseRules(name.encode())
        self._door = ResultDoor(chain, self._responses, max_result_bytes, debug)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        head = exchange.head
        method = head.method
        known = exchange.memo
        if not isinstance(known, Known) or known.rules is not self._requests:
            known = exchange.memo = self._requests.known(head.headers)
        head.headers, marks = known.headers, known.marks
        try:
            if (marks & VIA or method in _SELDOM) and self._goes_no_further(exchange, marks):
                return
            taken = self._router.find(head)
            if taken is None:
                refuse(exchange, 404, "No route of the gateway fits this path.")
                return
            route = taken.route
            websocket = marks & UPGRADE and method == "GET" and not route.only_queries
            if websocket and asks_for_websocket(head.headers) and await self._to_websocket(exchange, taken, known):
                return
            body: Body | bytes | None = exchange.body
            names: Names | None = None
            asked: Asked | None = None
            if method in route.asked_by:
                names = route.fixed
                if names is None:
                    asked = Asked(head, taken.segments)
                    if exchange.body is not None and route.names_in_body:
                        body = await read_query(asked, exchange.body)
                    names = route.names(asked)
            if names is None or not self._is_wanted(*names):
                await self._pass(exchange, taken, names, asked, body, known)
                return
            if asked is None:
                asked = Asked(head, taken.segments)
            if exchange.body is not None and exchange.body is body and route.params_in_body:
                body = await read_query(asked, exchange.body)
            # Whether the answer is a result is known only once it is there. So conditions and ranges are sent on at
            # first, because most that come with them are about something else; unless they can be about a result only.
            tried = marks & ASKS != 0 and method == "GET" and exchange.body is None and not _holds_ours(head.headers)
            upstream = self._upstreams.at(route.upstream)
            whole = method in _SAFE and not tried
            sent = self._onward(exchange, route, upstream, body, known, wanted=True, whole=whole)
            begun = perf_counter()
            answer = await upstream.send(sent, body, informational=exchange.informational)
            exchange.notes["upstream_ms"] = (perf_counter() - begun) * 1000
            try:
                partial = tried and answer.head.status in _MAY_BE_PARTIAL
                if partial and await self._is_of_result(exchange, route, answer, known):
                    answer.release()
                    answer = await self._send(exchange, route, body, known, wanted=True, whole=True)
                found, vary = answer.head, taken.vary_of_results
                seen = self._responses.seen(found.headers, route.upstream, vary, revalidate=route.revalidate)
                media = route.result_types.of(seen.content_type) if found.status in route.result_status else None
                if media is None:
                    await pass_on(exchange, answer, self._responses.untouched(found.headers, taken.vary))
                elif method == "HEAD":
                    headers = self._responses.without_content(found.headers, vary)
                    await exchange.begin(ResponseHead(found.status, found.reason, headers), None)
                    await exchange.end()
                else:
                    query = route.query(names, asked, marks)
                    await self._door.answer(exchange, taken, query, answer, media, marks, seen)
            finally:
                answer.release()
        except Misread as e:
            refuse(exchange, 400, e.detail)
        except UpstreamFailed as e:
            self._failed(e.reason)
            log.warning(
                "upstream.failed", upstream=e.place, path=head.path, status=e.status, reason=e.reason, detail=e.detail
            )
            if exchange.begun:
                exchange.abort()  # the head is out: only a connection that breaks can tell that this is not all
            else:
                tell_failure(exchange, e)

    def _goes_no_further(self, exchange: Exchange, marks: int) -> bool:
        """Whether a request is answered here, whatever its route would be; then it has its answer."""
        head = exchange.head
        if marks & VIA and self._requests.has_been_here(head.headers):
            refuse(exchange, 508, "The request has come through this gateway before: an upstream leads back to it.")
        elif head.method == "TRACE":
            refuse(exchange, 405, "TRACE is not answered here: it would show headers that others have added.")
        elif head.method == "OPTIONS" and is_for_us(head):
            answer_options(exchange)
        else:
            return False
        return True

    async def _pass(
        self,
        exchange: Exchange,
        taken: Taken,
        names: Names | None,
        asked: Asked | None,
        body: Body | bytes | None,
        known: Known,
    ) -> None:
        """Answer what no hook is enabled for, and what is no query."""
        route, head, marks = taken.route, exchange.head, known.marks
        if route.only_queries and names is None and (head.method in route.asked_by or head.method != "OPTIONS"):
            _refuse_others(exchange, route)  # but OPTIONS, which browsers send before a query
            return
        # The upstream cannot judge a condition about a result that went through hooks once.
        whole = marks & TAGS != 0 and head.method in _SAFE and _holds_ours(head.headers)
        answer = await self._send(exchange, route, body, known, whole=whole)
        try:
            vary = taken.vary
            told: Headers = []
            if names is not None and route.media_type_of(answer.head) is not None:
                vary = taken.vary_of_results
                if marks & DEBUG:
                    told = self._traced(route, names, asked or Asked(head, taken.segments))
            await pass_on(exchange, answer, self._responses.untouched(answer.head.headers, vary) + told)
        finally:
            answer.release()

    async def _is_of_result(self, exchange: Exchange, route: Route, answer: UpstreamAnswer, known: Known) -> bool:
        """Whether a partial or conditional answer is about what would be a result, if it was asked for as a whole."""
        kind = value_of(answer.head.headers, b"content-type")
        if answer.head.status == 206 and kind is not None and not kind.lower().startswith(b"multipart/byteranges"):
            return route.result_types.of(kind) is not None
        whole = await self._send(exchange, route, None, known, wanted=True, whole=True, method="HEAD")
        whole.release()
        return not 200 <= whole.head.status <= 299 or route.media_type_of(whole.head) is not None

    async def _send(
        self,
        exchange: Exchange,
        route: Route,
        body: Body | bytes | None,
        known: Known,
        *,
        wanted: bool = False,
        whole: bool = False,
        method: str | None = None,
        more: Headers | None = None,
    ) -> UpstreamAnswer:
        """The upstream's answer to the request, or to the same with another `method`."""
        upstream = self._upstreams.at(route.upstream)
        sent = self._onward(exchange, route, upstream, body, known, wanted=wanted, whole=whole)
        if method is not None:
            sent.method = method
        if more is not None:
            sent.headers = [*sent.headers, *more]
        begun = perf_counter()
        answer = await upstream.send(sent, body, informational=exchange.informational)
        exchange.notes["upstream_ms"] = (perf_counter() - begun) * 1000
        return answer

    def _onward(
        self,
        exchange: Exchange,
        route: Route,
        upstream: Upstream,
        body: Body | bytes | None,
        known: Known,
        *,
        wanted: bool,
        whole: bool,
    ) -> RequestHead:
        """The head of the request as it goes on."""
        head = exchange.head
        streamed = body is not None and not isinstance(body, bytes)
        authority = upstream.authority
        if route.pass_host:
            authority = value_of(head.headers, b"host") or authority
        key = (authority, head.minor, wanted, whole, streamed)
        # With the same headers on the same connection, all that is sent on is the same.
        headers = known.onward.get(key) if known.headers is head.headers else None
        if headers is None:
            origin = self._forwarding.origin(head.headers, exchange.client, exchange.scheme)
            headers = self._requests.onward(head, authority, origin, wanted=wanted, whole=whole, body=streamed)
            if known.headers is head.headers:
                known.keep(key, headers)
        return RequestHead(head.method, upstream.target(head.target), headers)

    async def _to_websocket(self, exchange: Exchange, taken: Taken, known: Known) -> bool:
        """Whether this answered the request. If not, the upstream stays with HTTP and has a result for it."""
        more: Headers = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
        answer = await self._send(exchange, taken.route, None, known, whole=True, more=more)  # no part of a result
        try:
            headers = self._responses.untouched(answer.head.headers, taken.vary)
            if answer.head.status == 101:
                await tunnel(exchange, answer, headers)
            elif taken.route.media_type_of(answer.head) is not None:
                return False
            else:
                await pass_on(exchange, answer, headers)
        finally:
            answer.release()
        return True

    def _traced(self, route: Route, names: Names, asked: Asked) -> Headers:
        """What is told of the trace of a query without hooks, if its caller wants one and may."""
        key = value_of(asked.head.headers, _DEBUG)
        if self._debug is None or key is None:
            return []
        with self._debug.tracing(key.decode("latin-1")):
            trace_id = trace_of(route.query(names, asked))
        return [] if trace_id is None else [(provenance.TRACE_ID.encode(), trace_id.encode())]


def _holds_ours(headers: Headers) -> bool:
    """Whether a condition is about a result that went through hooks once."""
    return any(name in {b"if-none-match", b"if-range"} and is_ours(value) for name, value in headers)


def _refuse_others(exchange: Exchange, route: Route) -> None:
    """Refuse what is no query, where only queries go."""
    if exchange.head.method in route.asked_by:
        refuse(exchange, 400, "The request does not say which type of query it is, and only queries go this way.")
    else:
        allow = ", ".join(sorted(route.asked_by | {"OPTIONS"}))
        refuse(exchange, 405, "Only queries go this way.", (b"allow", allow.encode()))
