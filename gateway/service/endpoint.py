"""From an operation's description and its typed handler to what aiohttp calls.

One description (`Operation`) drives both the checks here and the OpenAPI document in `openapi`, so the
two cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel

from gateway.observe.log import get_logger
from gateway.service.auth import ANONYMOUS, Access, Authenticator, Caller, admit
from gateway.service.body import read_json
from gateway.service.models.base import Nothing
from gateway.service.problem import Refused
from gateway.service.validation import checked, checked_query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from multidict import CIMultiDictProxy

__all__ = ["JSON", "MERGE_PATCH", "Answer", "Call", "Operation", "Out", "add_operations"]

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"

_log = get_logger(__name__)

Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One call, checked: who, which ids the path names, query parameters, body."""

    caller: Caller
    ids: Mapping[str, str]
    query: Q
    body: B
    headers: CIMultiDictProxy[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: a document of the API, or bytes as they are."""

    body: BaseModel | bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Out:
    """A response, described: its document, media type and headers (name to meaning)."""

    description: str
    model: type[BaseModel] | None = None
    media_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation(Generic[Q, B]):
    """One operation of the API.

    `path` is as OpenAPI writes it; `{integration_id}` in it is checked against the caller. `errors` are
    the statuses beyond those that follow from the rest of the description. A body of `Nothing` is none;
    one that is not `body_required` may also be left out, which means its defaults.
    """

    method: str
    path: str
    handler: Callable[[Call[Q, B]], Awaitable[Answer]]
    name: str
    summary: str
    tag: str
    access: Access
    out: Mapping[int, Out]
    query: type[Q]
    body: type[B]
    body_required: bool = True
    media_types: tuple[str, ...] = (JSON,)
    errors: tuple[int, ...] = ()
    description: str = ""
    if_match: bool = False
    if_none_match: bool = False
    idempotency_key: bool = False

    @property
    def takes_body(self) -> bool:
        """Whether a body means anything here."""
        return self.body is not Nothing


def add_operations(app: web.Application, operations: Iterable[Operation[Any, Any]], keys: Authenticator) -> None:
    """Route every operation; a GET answers HEAD too."""
    for operation in operations:
        handler = _handler(operation, keys)
        app.router.add_route(operation.method, operation.path, handler)
        if operation.method == "GET":
            app.router.add_route("HEAD", operation.path, handler)


def _handler(operation: Operation[Q, B], keys: Authenticator) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        caller = ANONYMOUS
        if operation.access is not Access.ANYONE:
            caller = await keys.caller(request.headers.getall("authorization", []), request.remote)
            admit(caller, operation.access, request.match_info.get("integration_id"))
        query = checked_query(operation.query, list(request.query.items()))
        body = await _body(operation, request)
        answer = await operation.handler(Call(caller, dict(request.match_info), query, body, request.headers))
        if operation.method != "GET":
            _log.info("control.called", operation=operation.name, caller=str(caller), path=request.path)
        return _response(answer)

    return handle


async def _body(operation: Operation[Q, B], request: web.Request) -> B:
    if not operation.takes_body:
        return operation.body()
    sent = await read_json(request, operation.media_types)
    if sent is not None:
        return checked(operation.body, sent.value)
    if operation.body_required:
        raise Refused(400, "The body is missing; it must be JSON.")
    return operation.body()


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    body = answer.body if isinstance(answer.body, bytes) else answer.body.model_dump_json().encode()
    headers = {"content-type": answer.content_type, **answer.headers}
    return web.Response(body=body, status=answer.status, headers=headers)
