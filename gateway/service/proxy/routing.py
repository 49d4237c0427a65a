"""Which route a request takes, and which query it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson
from jsonpointer import JsonPointer, JsonPointerException

from gateway.model import Query
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Take:
    """Where a value comes from.

    `where` says how to read `what`: the value itself (`fixed`), the name of a `header` or of a parameter of the
    URL (`query`), the number of a segment of the `path` from 0, or a JSON Pointer into the `body`.
    """

    where: Literal["fixed", "header", "query", "path", "body"]
    what: str | int

    def value(self, request: web.Request, body: Any) -> Any:
        """The value in `request` with the JSON body `body`; `None` if it is not there."""
        if self.where == "fixed":
            return self.what
        if self.where == "header":
            return request.headers.get(str(self.what))
        if self.where == "query":
            return request.query.get(str(self.what))
        if self.where == "path":
            segments = request.path.split("/")[1:]
            return segments[self.what] if isinstance(self.what, int) and self.what < len(segments) else None
        if body is _ABSENT:
            return None
        try:
            return JsonPointer(str(self.what)).resolve(body)
        except JsonPointerException:
            return None

    def text(self, request: web.Request, body: Any) -> str | None:
        """The value as a name: text as it is, numbers and booleans as JSON writes them, nothing else."""
        value = self.value(request, body)
        if isinstance(value, str):
            return value or None
        if isinstance(value, (bool, int, float)):
            return orjson.dumps(value).decode()
        return None


@dataclass(frozen=True, slots=True)
class Route:
    """Requests to `path` (exact, or below `/prefix/*`) go to `upstream` (a base URL).

    Those with one of `methods` are queries, if a type can be found for them. `result_at` is a JSON
    Pointer to the result in the upstream's answer.
    """

    path: str
    upstream: str
    methods: frozenset[str] = frozenset({"GET", "POST"})
    type: Take = Take("fixed", "query")
    capability: Take | None = None
    tenant: Take | None = None
    params: Take | None = None
    result_at: str = ""

    def fits(self, path: str) -> bool:
        """Whether a request to `path` takes this route."""
        if self.path.endswith("/*"):
            prefix = self.path[:-1]
            return path.startswith(prefix) or path == prefix[:-1]
        return path == self.path

    def needs_body(self) -> bool:
        """Whether the query cannot be told without the request's body."""
        takes = (self.type, self.capability, self.tenant, self.params)
        return self.params is None or any(take is not None and take.where == "body" for take in takes)

    def query(self, request: web.Request, body: bytes | None) -> Query | None:
        """The query that `request` asks, or `None` if it names no type."""
        document = _json(body)
        name = self.type.text(request, document)
        if name is None:
            return None
        if self.params is not None:
            params = self.params.value(request, document)
        elif document is not _ABSENT:
            params = document
        else:
            params = {key: _one_or_all(request.query.getall(key)) for key in request.query}
        return Query(
            type=name,
            capability=self.capability.text(request, document) if self.capability else None,
            tenant=self.tenant.text(request, document) if self.tenant else None,
            params=params,
            depth=depth_of(request.headers.get(DEPTH)),
            traceparent=request.headers.get("traceparent"),
            tracestate=request.headers.get("tracestate"),
        )


def first_fitting(routes: Sequence[Route], path: str) -> Route | None:
    """The first of `routes` that fits."""
    return next((route for route in routes if route.fits(path)), None)


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _json(body: bytes | None) -> Any:
    if not body:
        return _ABSENT
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _ABSENT
