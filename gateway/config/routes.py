"""The settings of one route through the standalone gateway, and how a request tells what kind of query it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.config.values import parse_header_name, parse_method, parse_pointer, parse_route_path, parse_url

_FROZEN = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Selector(BaseModel):
    """Where a value comes from: a fixed text, or one part of the request. Exactly one field is set.

    In TOML, `type = "search"` is the fixed text; `{ header = … }`, `{ query = … }`, `{ path = … }` and
    `{ body = … }` read it from the request.
    """

    model_config = _FROZEN

    fixed: Annotated[str, Field(min_length=1)] | None = None
    header: Annotated[str, AfterValidator(parse_header_name)] | None = None
    query: Annotated[str, Field(min_length=1)] | None = None
    path: Annotated[int, Field(ge=0, le=100, strict=True)] | None = None
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


class RouteSettings(BaseModel):
    """One route: which requests it takes, where they go, and what kind of query they are."""

    model_config = _FROZEN

    path: Annotated[str, AfterValidator(parse_route_path)] = Field(
        description='Which paths: exactly this one, or, with "*" as the last segment, any that begin so.',
    )
    methods: tuple[Annotated[str, AfterValidator(parse_method)], ...] = Field(
        default=("GET", "POST"),
        min_length=1,
        description="Which HTTP methods.",
    )
    upstream: Annotated[str, AfterValidator(parse_url)] = Field(
        description="The base URL of the query API behind this route; the request's own path and query follow it.",
    )
    type: Selector = Field(
        default=Selector(fixed="query"),
        description="The query's type: a text, or one of { header = … }, { query = … }, { path = … }, { body = … }. "
        "`path` counts the path's segments from 0; `body` is a JSON Pointer.",
    )
    capability: Selector | None = Field(default=None, description="The query's capability, in the same forms.")
    tenant: Selector | None = Field(default=None, description="The query's tenant, in the same forms.")
    params: Selector | None = Field(
        default=None,
        description="The query's params, in the same forms; unset, they are the request's JSON body, "
        "or without one the parameters of its query.",
    )
    result_at: Annotated[str, AfterValidator(parse_pointer)] = Field(
        default="",
        description='JSON Pointer to the result in the upstream\'s answer; "" is the whole document.',
    )
