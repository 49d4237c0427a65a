"""Errors as RFC 9457 problem documents: which error becomes which status, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from gateway.errors import (
    CallError,
    Conflict,
    GatewayError,
    HookFailed,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    QueryRejected,
    StoreError,
    TimedOut,
    UpstreamFailed,
)
from gateway.model.ids import IdSource
from gateway.observe.log import get_logger
from gateway.pipeline.http_answer import PROBLEM_JSON, failure_problem, title
from gateway.pipeline.provenance import failure_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

__all__ = ["PROBLEM_JSON", "Refused", "problem_middleware", "problem_of", "title"]

_MOST_ERRORS: Final = 50
_LONGEST_DETAIL: Final = 500

_STATUS: Final[tuple[tuple[type[GatewayError], int], ...]] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (Conflict, 409),
    (PreconditionFailed, 412),
    (StoreError, 503),
    (QueryRejected, 422),
    (TimedOut, 504),
    (CallError, 502),
)

_request_id = IdSource("req")
_log = get_logger(__name__)


class Refused(GatewayError):
    """The request is refused by the HTTP layer itself: authorization, media type, syntax."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers: Mapping[str, str] = headers or {}


def status_of(error: GatewayError) -> int:
    """The HTTP status that an error is answered with; 500 for those that a caller cannot have caused."""
    if isinstance(error, (Refused, HookFailed, UpstreamFailed)):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: GatewayError) -> dict[str, Any]:
    """The problem document of an error, without `instance`."""
    if isinstance(error, (HookFailed, QueryRejected)):
        return failure_problem(error)
    status = status_of(error)
    problem: dict[str, Any] = {"type": "about:blank", "title": title(status), "status": status, "detail": error.detail}
    if isinstance(error, InvalidInput):
        problem["errors"] = [{"field": e.field, "detail": e.detail} for e in error.errors[:_MOST_ERRORS]]
        if len(error.detail) > _LONGEST_DETAIL:
            problem["detail"] = f"{len(error.errors)} things are wrong with the input; errors names them."
    return problem


def _headers_of(error: GatewayError) -> Mapping[str, str]:
    if isinstance(error, Refused):
        return error.headers
    if isinstance(error, (HookFailed, QueryRejected)):
        return failure_headers(error.outcomes, trace_id=error.trace_id)
    return {"retry-after": "1"} if isinstance(error, StoreError) else {}


def _response(problem: dict[str, Any], headers: Mapping[str, str], instance: str) -> web.Response:
    body = orjson.dumps({**problem, "instance": instance})
    return web.Response(body=body, status=problem["status"], content_type=PROBLEM_JSON, headers=headers)


def _of_aiohttp(error: web.HTTPException, request: web.Request) -> tuple[dict[str, Any], dict[str, str]]:
    status = error.status
    headers: dict[str, str] = {}
    detail = error.text or title(status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["allow"] = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} is not offered here; {headers['allow']} is."
    elif isinstance(error, web.HTTPNotFound):
        detail = "There is nothing at this path; /openapi.json lists what there is."
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = "The body is too large; the limit is the setting control.max_body_bytes."
    problem = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
    return problem, headers


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem document.

    Its `instance` names the request; what is not the caller's fault is logged under the same name,
    and only there with its trace.
    """
    instance = f"urn:gateway:request:{_request_id()}"
    try:
        return await handler(request)
    except GatewayError as e:
        problem, headers = problem_of(e), _headers_of(e)
        if problem["status"] == 403:  # wrong keys are counted and logged where they are judged
            _log.info(
                "control.refused", request=instance, method=request.method, path=request.path,
                status=problem["status"], remote=request.remote,
            )  # fmt: skip
        if problem["status"] >= 500:
            _log.warning(
                "control.failed", request=instance, method=request.method, path=request.path,
                status=problem["status"], error=type(e).__name__, detail=e.detail,
            )  # fmt: skip
        return _response(problem, headers, instance)
    except web.HTTPException as e:
        if e.status < 400:
            raise
        problem, allowed = _of_aiohttp(e, request)
        return _response(problem, allowed, instance)
    except Exception as e:  # noqa: BLE001  # the last line of defence: a defect must not show its insides
        _log.error(
            "control.broken", request=instance, method=request.method, path=request.path,
            error=type(e).__name__, exc_info=True,
        )  # fmt: skip
        detail = "Something is broken in the gateway itself; its log has more under this instance."
        problem = {"type": "about:blank", "title": title(500), "status": 500, "detail": detail}
        return _response(problem, {}, instance)
