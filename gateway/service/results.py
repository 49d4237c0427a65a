"""JSON answers of an HTTP service through the chain of hooks, and back into responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from gateway.pipeline import provenance
from gateway.service.problem import PROBLEM_JSON, problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import CIMultiDict

    from gateway.errors import HookFailed, QueryRejected

# What speaks of the very bytes that the query API produced, and so of no others (RFC 9110, RFC 9530).
VALIDATORS: Final = (
    "etag",
    "last-modified",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "accept-ranges",
    "content-range",
)


def is_json(content_type: str | None) -> bool:
    """Whether a `content-type` says JSON."""
    media = (content_type or "").partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def drop_validators(headers: CIMultiDict[str]) -> None:
    """Take out what would let a cache mix changed and unchanged results."""
    for name in VALIDATORS:
        headers.popall(name, None)


def add_provenance(headers: CIMultiDict[str], told: Mapping[str, str]) -> None:
    """Put provenance beside what the query API said of its own timing."""
    for name, value in told.items():
        if name == provenance.HOOKS:
            headers[name] = value
        else:
            headers.add(name, value)


def failure_response(error: HookFailed | QueryRejected) -> web.Response:
    """The problem document for a query that has no answer, with the provenance up to there."""
    problem = problem_of(error)
    return web.Response(
        status=problem["status"],
        body=orjson.dumps(problem),
        content_type=PROBLEM_JSON,
        headers=provenance.failure_headers(error.outcomes),
    )
