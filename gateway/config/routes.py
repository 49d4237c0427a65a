"""The settings of one route through the standalone gateway, and how a request tells what kind of query it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, model_validator

from gateway.config.upstreams import UpstreamUrl
from gateway.config.values import parse_header_name, parse_method, parse_pointer, parse_route_path
from gateway.wire.path_pattern import PathPattern

if TYPE_CHECKING:
    from collections.abc import Iterator

_Value = TypeVar("_Value")
_FROZEN = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:\*|\*\+[a-z0-9!#$&^_.-]+|[a-z0-9!#$&^_.+-]+)")
_SEGMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NO_RESULTS: Final = frozenset({204, 205, 206, 304})


def _segment(value: object) -> object:
    if type(value) is int and 0 <= value <= 100:
        return value
    if isinstance(value, str) and _SEGMENT_NAME.fullmatch(value):
        return value
    raise ValueError('must be the number of a segment, from 0 to 100, or the name of one, as in "/search/{index}"')


def _condition(value: dict[str, str]) -> dict[str, str]:
    named = {parse_header_name(name): wanted for name, wanted in value.items()}
    if len(named) != len(value):
        raise ValueError("names a header twice; upper and lower case are the same in names of headers")
    for name, wanted in named.items():
        if not wanted or not wanted.isprintable() or wanted != wanted.strip():
            raise ValueError(
                f'must give for {name} the value that the header has, without spaces around it, or "*" for any value'
            )
    return named


def _status(value: object) -> object:
    if type(value) is not int or not 200 <= value <= 599 or value in _NO_RESULTS:
        raise ValueError("must be a status from 200 to 599 whose answers hold a whole document: not 204, 205, 206, 304")
    return value


def _media_type(value: str) -> str:
    text = value.strip().lower()
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError('must be a media type without parameters, such as "application/json" or "application/*+json"')
    return text


def _some(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    if not values:
        raise ValueError("must have at least 1 item(s)")
    return values


class Selector(BaseModel):
    """Where a value comes from: a fixed text, or one part of the request. Exactly one field is set.

    In TOML, `type = "search"` is the fixed text; `{ header = … }`, `{ query = … }`, `{ path = … }` and
    `{ body = … }` read it from the request.
    """

    model_config = _FROZEN

    fixed: Annotated[str, Field(min_length=1)] | None = None
    header: Annotated[str, AfterValidator(parse_header_name)] | None = None
    query: Annotated[str, Field(min_length=1)] | None = None
    path: Annotated[int | str, PlainValidator(_segment)] | None = None
    body: Annotated[str, AfterValidator(parse_pointer)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _text_is_fixed(cls, value: Any) -> Any:
        return {"fixed": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or self.kind is None:
            raise ValueError(
                "must be a text, or a table with exactly one of: header, query, path, body; "
                'such as { header = "x-type" }',
            )
        return self

    @property
    def kind(self) -> Literal["fixed", "header", "query", "path", "body"] | None:
        """Which of the fields is set."""
        for name in ("fixed", "header", "query", "path", "body"):
            if getattr(self, name) is not None:
                return name
        return None


def _form_of_params(value: object) -> str:
    """A table that holds tables says where each of the params comes from; anything else is one selector."""
    each = isinstance(value, dict) and any(isinstance(part, (dict, Selector)) for part in value.values())
    return "(each)" if each else "(one)"


Params = Annotated[
    Annotated[Selector, Tag("(one)")] | Annotated[dict[str, Selector], Tag("(each)")],
    Discriminator(_form_of_params),
]


class RouteSettings(BaseModel):
    """One route: which requests it takes, where they go, and what kind of query they are."""

    model_config = _FROZEN

    path: Annotated[str, AfterValidator(parse_route_path)] = Field(
        description="Which paths: exactly this one; `{name}` stands for any one segment, "
        'and "*" as the last segment for any rest.',
    )
    headers: Annotated[dict[str, str], AfterValidator(_condition)] = Field(
        default={},
        description='Which headers a request must have to take this route, by name, with their values; "*" is any.',
    )
    ignore_case: bool = Field(
        default=False,
        strict=True,
        description="Whether upper and lower case are the same in `path`, as they are for some query APIs.",
    )
    methods: tuple[Annotated[str, AfterValidator(parse_method)], ...] = Field(
        default=("GET", "POST"),
        description="Which HTTP methods make a query; requests with others pass to `upstream` without hooks. "
        "With none, nothing on this route is a query.",
    )
    upstream: UpstreamUrl = Field(
        description="The base URL of the query API behind this route; the request's own path and query follow it.",
    )
    only_queries: bool = Field(
        default=False,
        strict=True,
        description="Whether requests that are no queries (with another method, without a type, for a WebSocket) are "
        "refused, rather than passed to `upstream` without hooks. For routes on which hooks hide something.",
    )
    pass_host: bool = Field(
        default=False,
        strict=True,
        description="Whether the upstream is told the host that the client asked for, so that the links it writes lead "
        "through the gateway, too; otherwise it is told its own.",
    )
    type: Selector = Field(
        default=Selector(fixed="query"),
        description="The query's type: a text, or one of { header = … }, { query = … }, { path = … }, { body = … }. "
        "`path` is the name of a segment or its number from 0; `body` is a JSON Pointer, "
        "in a form to one of its fields.",
    )
    capability: Selector | None = Field(default=None, description="The query's capability, in the same forms.")
    tenant: Selector | None = Field(default=None, description="The query's tenant, in the same forms.")
    params: Params | None = Field(
        default=None,
        description="The query's params, in the same forms, or a table of these, one for each member; unset, they are "
        "the request's JSON body, or without one the parameters of its query, together with the fields of a form.",
    )
    result_at: Annotated[str, AfterValidator(parse_pointer)] = Field(
        default="",
        description='JSON Pointer to the result in the upstream\'s answer; "" is the whole document.',
    )
    result_status: Annotated[tuple[Annotated[int, PlainValidator(_status)], ...], AfterValidator(_some)] = Field(
        default=(200,),
        description="Which statuses of an answer make it a result.",
    )
    result_types: Annotated[tuple[Annotated[str, AfterValidator(_media_type)], ...], AfterValidator(_some)] = Field(
        default=("application/json", "application/*+json"),
        description="Which media types of an answer make it a result; each must be one of JSON documents.",
    )
    caching: Literal["revalidate", "upstream"] = Field(
        default="revalidate",
        description="What caches are told of results that went through hooks: to ask again before each use, "
        "or what the upstream says.",
    )

    @model_validator(mode="after")
    def _segments_are_there(self) -> Self:
        pattern = self.pattern
        for name, selector in self.selectors():
            if isinstance(selector.path, str) and selector.path not in pattern.names:
                raise ValueError(f"{name} reads the segment {{{selector.path}}}, but path names no such segment")
            if isinstance(selector.path, int) and not pattern.rest and selector.path >= len(pattern.segments):
                raise ValueError(
                    f"{name} reads the segment {selector.path}, but path has {len(pattern.segments)}, counted from 0"
                )
        return self

    @property
    def pattern(self) -> PathPattern:
        """`path`, read."""
        return PathPattern.parse(self.path, ignore_case=self.ignore_case)

    def selectors(self) -> Iterator[tuple[str, Selector]]:
        """Every selector of the route with the name of its setting."""
        for name, value in (("type", self.type), ("capability", self.capability), ("tenant", self.tenant)):
            if value is not None:
                yield name, value
        if isinstance(self.params, Selector):
            yield "params", self.params
        elif self.params is not None:
            for member, value in self.params.items():
                yield f"params.{member}", value

    def takes_all_of(self, other: RouteSettings) -> bool:
        """Whether no request is left for `other`, if it stands behind this route."""
        theirs = other.headers
        conditions = all(
            theirs.get(name) == wanted or (wanted == "*" and name in theirs) for name, wanted in self.headers.items()
        )
        return conditions and self.pattern.covers(other.pattern)


def check_routes(routes: tuple[RouteSettings, ...]) -> None:
    """Raise `ValueError` if a route can never be taken, because an earlier one takes all its requests."""
    for number, route in enumerate(routes):
        for earlier in range(number):
            if routes[earlier].takes_all_of(route):
                raise ValueError(
                    f"routes[{number}] is never taken: routes[{earlier}] stands before it and takes all its requests; "
                    "put the more special route first"
                )
