"""Which route a request takes, which query it asks, and which answers are results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.model import Query
from gateway.service.messages import value_of
from gateway.service.proxy.asked import ABSENT, Take
from gateway.service.proxy.heads import CONTEXT
from gateway.service.proxy.paths import Misread, readings
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.service.messages import Headers, RequestHead, ResponseHead
    from gateway.service.proxy.asked import Asked
    from gateway.service.proxy.paths import Segments
    from gateway.wire.path_pattern import PathPattern

__all__ = ["MediaTypes", "Names", "Route", "Router", "Taken"]

_DEPTH: Final = DEPTH.encode()
_MOST_REMEMBERED: Final = 256
_PATHS_REMEMBERED: Final = 4096
_PATH_REMEMBERED: Final = 256  # characters
_QUERY: Final = Take("fixed", "query")


class Names(NamedTuple):
    """What decides which hooks a query has."""

    type: str
    capability: str | None
    tenant: str | None


class MediaTypes:
    """Which `content-type`s are those of results: `type/subtype`, `type/*` or `type/*+suffix`."""

    def __init__(self, types: Iterable[str]) -> None:
        self._exact = frozenset(name for name in types if "*" not in name)
        self._open = tuple(
            (before, after) for name in types if "*" in name for before, _, after in [name.partition("*")]
        )
        self._known: dict[bytes, str | None] = {}

    def of(self, content_type: bytes | None) -> str | None:
        """The media type of an answer with this header, if it is one of them."""
        if content_type is None:
            return None
        known = self._known.get(content_type, "")
        if known == "":
            media = content_type.decode("latin-1").partition(";")[0].strip().lower()
            known = media if self._has(media) else None
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[content_type] = known
        return known

    def _has(self, media: str) -> bool:
        return media in self._exact or any(
            media.startswith(before) and media.endswith(after) and len(media) > len(before) + len(after)
            for before, after in self._open
        )


@dataclass(frozen=True, slots=True)
class Route:
    """Requests whose path has `pattern` and that have `conditions` go to `upstream` (a base URL).

    Those with one of `methods` are queries, if a type can be found for them; the others go to the upstream, too.
    `params` is one value, or a value for each member. `result_at` is a JSON Pointer to the result in the upstream's
    answer. With `revalidate`, caches are told to ask again before they use a result that went through hooks. With
    `pass_host`, the upstream is told the host that the client asked for. With `only_queries`, the others are refused.
    """

    pattern: PathPattern
    upstream: str
    conditions: tuple[tuple[bytes, bytes | None], ...] = ()
    methods: frozenset[str] = frozenset({"GET", "POST"})
    type: Take = _QUERY
    capability: Take | None = None
    tenant: Take | None = None
    params: Take | Mapping[str, Take] | None = None
    result_at: str = ""
    result_status: frozenset[int] = frozenset({200})
    result_types: MediaTypes = field(default_factory=lambda: MediaTypes(("application/json", "application/*+json")))
    revalidate: bool = True
    pass_host: bool = False
    only_queries: bool = False

    # What follows from the above, once.
    asked_by: frozenset[str] = field(init=False, default=frozenset())
    fixed: Names | None = field(init=False, default=None)
    names_in_body: bool = field(init=False, default=False)
    params_in_body: bool = field(init=False, default=False)
    segments_read: tuple[int, ...] = field(init=False, default=())
    headers_read: tuple[bytes, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked_by", self.methods | {"HEAD"} if "GET" in self.methods else self.methods)
        names = [take for take in (self.type, self.capability, self.tenant) if take is not None]
        params = _takes(self.params)
        if all(take.where == "fixed" for take in names):
            fixed = [str(take.what) if take is not None else None for take in (self.capability, self.tenant)]
            object.__setattr__(self, "fixed", Names(str(self.type.what), *fixed))
        object.__setattr__(self, "names_in_body", any(take.where == "body" for take in names))
        in_body = self.params is None or any(take.where == "body" for take in params)
        object.__setattr__(self, "params_in_body", in_body)
        read = [take.what for take in (*names, *params) if take.where == "path"]
        object.__setattr__(self, "segments_read", tuple(number for number in read if isinstance(number, int)))
        headers = {str(take.what).encode() for take in (*names, *params) if take.where == "header"}
        object.__setattr__(self, "headers_read", tuple(sorted(headers | {name for name, _ in self.conditions})))

    def is_met(self, headers: Headers) -> bool:
        """Whether a request with these headers meets the conditions: one line of each that has the value is enough."""
        return all(
            any(name == found and wanted in (None, value) for found, value in headers)
            for name, wanted in self.conditions
        )

    def names(self, asked: Asked) -> Names | None:
        """The names of the query that is asked, or `None` if it is none. Raises `Misread` where one is ambiguous."""
        if self.fixed is not None:
            return self.fixed
        kind = self.type.name(asked)
        if kind is None:
            return None
        return Names(
            kind,
            self.capability.name(asked) if self.capability else None,
            self.tenant.name(asked) if self.tenant else None,
        )

    def query(self, names: Names, asked: Asked, marks: int = CONTEXT) -> Query:
        """The query that is asked, whole. `marks`: what there is among the headers of the request."""
        depth, parent, state = 0, None, None
        if marks & CONTEXT:
            depth, parent, state = _context(asked.head.headers)
        kind, capability, tenant = names
        return Query(kind, capability, tenant, self._params(asked), None, None, depth, parent, state)

    def _params(self, asked: Asked) -> Any:
        if isinstance(self.params, Take):
            return self.params.value(asked)
        if self.params is not None:
            return {name: take.value(asked) for name, take in self.params.items()}
        document: Any = asked.document if asked.body else ABSENT
        if document is not ABSENT and not asked.is_form:
            return document
        params: dict[str, Any] = asked.query if "?" in asked.head.target else {}
        return params if document is ABSENT else params | document

    def media_type_of(self, head: ResponseHead) -> str | None:
        """The media type of the result that an answer with this head holds, `None` if it holds none."""
        if head.status not in self.result_status:
            return None
        return self.result_types.of(value_of(head.headers, b"content-type"))


class Taken(NamedTuple):
    """The route that a request takes, the segments of its path, and the headers that the choice depended on.

    `vary_of_results`: the headers that a result depends on.
    """

    route: Route
    segments: Segments
    vary: tuple[bytes, ...]
    vary_of_results: tuple[bytes, ...]


class Router:
    """Finds routes; the first that fits is taken.

    Where no route has conditions, what a path leads to depends on nothing else, and is remembered.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._by_path_alone = not any(route.conditions for route in routes)
        self._known: dict[str, Taken] = {}

    def find(self, head: RequestHead) -> Taken | None:
        """The route of this request, or `None` if it has none.

        Raises `Misread` if its path can be read in ways that lead to different routes, or to different values of
        segments that the route reads.
        """
        path = head.target.partition("?")[0]
        known = self._known.get(path)
        if known is not None:
            return known
        taken = self._find(path, head.headers)
        if taken is not None and self._by_path_alone and len(path) <= _PATH_REMEMBERED:
            if len(self._known) >= _PATHS_REMEMBERED:
                self._known.clear()
            self._known[path] = taken
        return taken

    def _find(self, path: str, headers: Headers) -> Taken | None:
        first, *others = readings(path)
        taken = self._first(first, headers)
        for other in others:
            read = self._first(other, headers)
            if (read and read.route) is not (taken and taken.route):
                raise Misread("Servers read this path in different ways, and they lead to different routes.")
            if taken is not None and any(_at(first, n) != _at(other, n) for n in taken.route.segments_read):
                raise Misread("Servers read this path in different ways, and they lead to different values.")
        return taken

    def _first(self, segments: Segments, headers: Headers) -> Taken | None:
        vary: tuple[bytes, ...] = ()
        for route in self._routes:
            if route.pattern.fits(segments):
                vary += tuple([name for name, _ in route.conditions if name not in vary])
                if not route.conditions or route.is_met(headers):
                    read = tuple([name for name in route.headers_read if name not in vary])
                    return Taken(route, segments, vary, vary + read)
        return None


def _context(headers: Headers) -> tuple[int, str | None, str | None]:
    """How deep a query is nested, and its trace context."""
    depth = value_of(headers, _DEPTH)
    parent = value_of(headers, b"traceparent")
    state = value_of(headers, b"tracestate") if parent is not None else None
    return (
        depth_of(depth.decode("latin-1")) if depth else 0,
        parent.decode("latin-1") if parent else None,
        state.decode("latin-1") if state else None,
    )


def _takes(params: Take | Mapping[str, Take] | None) -> tuple[Take, ...]:
    if params is None:
        return ()
    return (params,) if isinstance(params, Take) else tuple(params.values())


def _at(segments: Segments, number: int) -> str | None:
    return segments[number] if number < len(segments) else None
