"""Hooks on a Django application, as a middleware for both of Django's ways of serving.

In Django's settings:

```python
MIDDLEWARE = [..., "gateway.sync.django.HooksMiddleware"]
GATEWAY = {"queries": {"/search": "search"}}
```
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.http import HttpResponse
from django.utils.module_loading import import_string

from gateway.config import Settings, load_settings
from gateway.errors import GatewayError, HookFailed, QueryRejected
from gateway.model import Query, Result
from gateway.observe.log import get_logger
from gateway.pipeline.debug import HEADER
from gateway.pipeline.http_answer import CONDITIONS, failure, head_after_hooks, is_result
from gateway.pipeline.http_query import type_by_path
from gateway.sync.gateway import SyncGateway
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from django.http import HttpRequest

    from gateway.pipeline import Answer

__all__ = ["HooksMiddleware", "gateway", "query_of_request"]

_KEYS: Final = ("queries", "prepare", "control", "settings")
_DEBUG: Final = "HTTP_" + HEADER.upper().replace("-", "_")
_NOT_ON: Final = frozenset("HTTP_" + name.upper().replace("-", "_") for name in CONDITIONS) | {_DEBUG}

log = get_logger("sync")
_open: dict[str, SyncGateway] = {}


def gateway() -> SyncGateway:
    """The gateway of this Django project, as its setting `GATEWAY` says; one for all who ask.

    Raises `ImproperlyConfigured` if the setting cannot be used.
    """
    if "gateway" not in _open:
        said = _said()
        try:
            settings = Settings.model_validate(said["settings"]) if "settings" in said else load_settings()
        except (GatewayError, ValueError) as error:
            raise ImproperlyConfigured(f"GATEWAY['settings']: {error}") from None
        prepare = said.get("prepare")
        made = SyncGateway(
            settings,
            prepare=import_string(prepare) if isinstance(prepare, str) else prepare,
            control=bool(said.get("control", False)),
        )
        return _open.setdefault("gateway", made)
    return _open["gateway"]


def query_of_request(
    request: HttpRequest,
    query_type: str,
    *,
    capability: str | None = None,
    tenant: str | None = None,
    params: Any = None,
) -> Query:
    """A query of this type; without `params`, they are those of the URL. Depth and trace come from the headers."""
    headers = request.headers
    return Query(
        type=query_type,
        capability=capability,
        tenant=tenant,
        params=request.GET.dict() if params is None else params,
        depth=depth_of(headers.get(DEPTH)),
        traceparent=headers.get("traceparent"),
        tracestate=headers.get("tracestate"),
    )


class HooksMiddleware:
    """Runs the JSON answers of views through the hooks.

    Its place is below (inside of) compression and `ConditionalGetMiddleware`.

    The setting `GATEWAY` is a mapping: `queries` says which requests are queries, a table by path
    (`{"/search": "search", "/items/*": "items"}`) or a function from the `HttpRequest` to a `Query` or `None`, or the
    dotted name of one (`query_of_request` helps; under ASGI it may be async); `settings` has the sections of the
    gateway's configuration file (without it, the environment says); `prepare` (or its dotted name) and `control` are
    those of `gateway.sync.SyncGateway`.

    Only uncompressed JSON answers with status 200 are results. Streamed ones are held up to `calls.max_result_bytes`;
    larger ones pass on with `skipped: size`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._gateway = gateway()
        self._query_of = _query_of(_said().get("queries"))
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answer one request; a coroutine under ASGI."""
        if self._is_async:
            return self._answer_async(request)
        query = self._query_of(request)
        if inspect.isawaitable(query):
            raise ImproperlyConfigured("GATEWAY['queries'] is an async function, which needs ASGI.")
        if query is None or not self._is_wanted(query):
            return self._get_response(request)
        with _unconditional(request) as debug:
            response = self._get_response(request)
        held = _Held(request, response, self._gateway.settings.calls.max_result_bytes)
        if held.is_result and held.take():
            try:
                held.give(self._gateway.run(query, held.result(), debug=debug))
            except (HookFailed, QueryRejected) as error:
                return held.failed(error)
            except GatewayError as error:  # it ended while the view answered
                _not_open(error)
                held.give_back()
        return held.response

    async def _answer_async(self, request: HttpRequest) -> Any:
        query = self._query_of(request)
        if inspect.isawaitable(query):
            query = await query
        # The first query opens the gateway, which must not hold up the others.
        if query is None or not await sync_to_async(self._is_wanted, thread_sensitive=False)(query):
            return await self._get_response(request)
        with _unconditional(request) as debug:
            response = await self._get_response(request)
        held = _Held(request, response, self._gateway.settings.calls.max_result_bytes)
        if held.is_result and await held.take_async():
            try:
                held.give(await self._gateway.run_async(query, held.result(), debug=debug))
            except (HookFailed, QueryRejected) as error:
                return held.failed(error)
            except GatewayError as error:  # it ended while the view answered
                _not_open(error)
                held.give_back()
        return held.response

    def _is_wanted(self, query: Query) -> bool:
        try:
            return self._gateway.is_wanted(query)
        except GatewayError as error:  # the answer is what it is without hooks
            _not_open(error)
            return False


class _Held:
    """An answer of a view, and as much of its body as may be held."""

    def __init__(self, request: HttpRequest, response: Any, limit: int) -> None:
        self.response = response
        self._limit = limit
        self._body = b""
        self._rest: Any = None  # what follows of a streamed answer beyond the limit
        kind, encoding = response.get("content-type"), response.get("content-encoding")
        self.is_result = is_result(request.method or "", response.status_code, kind, encoding)

    def result(self) -> Result:
        """What was held."""
        media: str = self.response["content-type"]
        return Result(self._body, media.partition(";")[0].strip().lower())

    def take(self) -> bool:
        """Hold the body; whether that was possible."""
        response = self.response
        if not response.streaming:
            self._body = response.content
        elif response.is_async:
            return False
        else:
            pieces = iter(response.streaming_content)
            self._body, more = _gathered(pieces, self._limit)
            self._rest = pieces if more else None
        return True

    async def take_async(self) -> bool:
        """The same under ASGI."""
        response = self.response
        if not (response.streaming and response.is_async):
            return bool(await sync_to_async(self.take, thread_sensitive=True)()) if response.streaming else self.take()
        pieces = aiter(response.streaming_content)
        held = bytearray()
        async for piece in pieces:
            held += piece
            if len(held) > self._limit:
                self._rest = pieces
                break
        self._body = bytes(held)
        return True

    def give(self, answer: Answer) -> None:
        """Make the response what the hooks made of it."""
        response, length = self.response, self.response.get("content-length")
        headers = head_after_hooks(response.items(), answer)
        self._body = answer.result.body
        for name in list(response.headers):
            del response[name]
        for name, value in headers:
            response[name] = f"{response[name]}, {value}" if name in response else value
        if self._rest is not None:  # skipped for its size: its length is the view's
            del response["content-length"]
            if length is not None:
                response["content-length"] = length
        self.give_back()

    def give_back(self) -> None:
        """Put what is held into the response."""
        response = self.response
        if not response.streaming:
            response.content = self._body
        elif response.is_async:
            response.streaming_content = _after_async(self._body, self._rest)
        else:
            response.streaming_content = chain([self._body], self._rest or ())

    def failed(self, error: HookFailed | QueryRejected) -> HttpResponse:
        """The answer to a query that has none."""
        status, headers, body = failure(error)
        self.response.close()
        return HttpResponse(body, status=status, headers=headers)


def _gathered(pieces: Iterator[bytes], limit: int) -> tuple[bytes, bool]:
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) > limit:
            return bytes(held), True
    return bytes(held), False


async def _after_async(body: bytes, rest: AsyncIterator[bytes] | None) -> AsyncIterator[bytes]:
    yield body
    if rest is not None:
        async for piece in rest:
            yield piece


@contextmanager
def _unconditional(request: HttpRequest) -> Iterator[str | None]:
    """Hide the conditions of a request from whoever answers it; yields its `gateway-debug`."""
    hidden = {name: request.META.pop(name) for name in _NOT_ON if name in request.META}
    request.__dict__.pop("headers", None)  # made from META when it is first asked for
    try:
        yield hidden.get(_DEBUG)
    finally:
        request.META.update(hidden)
        request.__dict__.pop("headers", None)


def _said() -> Mapping[str, Any]:
    said = getattr(django_settings, "GATEWAY", None)
    if said is None:
        raise MiddlewareNotUsed("there is no setting GATEWAY")
    if unknown := sorted(set(said) - set(_KEYS)):
        raise ImproperlyConfigured(f"GATEWAY has no {unknown[0]!r}; it has {', '.join(_KEYS)}.")
    return dict(said)


def _query_of(queries: Any) -> Callable[[HttpRequest], Any]:
    if isinstance(queries, str):
        queries = import_string(queries)
    if callable(queries):
        return queries  # type: ignore[no-any-return]  # Django's settings have no types
    type_of = type_by_path(queries or {})

    def query_of(request: HttpRequest) -> Query | None:
        kind = type_of(request.path)
        return None if kind is None else query_of_request(request, kind)

    return query_of


def _not_open(error: GatewayError) -> None:
    log.error("gateway.not_open", error=type(error).__name__, detail=error.detail)  # no trace of foreign code
