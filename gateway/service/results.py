"""JSON answers of an HTTP service through the chain of hooks, and back into responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.pipeline import provenance
from gateway.pipeline.http_answer import VALIDATORS, failure, is_json

__all__ = ["add_provenance", "drop_validators", "failure_response", "is_json"]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import CIMultiDict

    from gateway.errors import HookFailed, QueryRejected


def drop_validators(headers: CIMultiDict[str]) -> None:
    """Take out what would let a cache mix changed and unchanged results."""
    for name in VALIDATORS:
        headers.popall(name, None)


def add_provenance(headers: CIMultiDict[str], told: Mapping[str, str]) -> None:
    """Put provenance beside what the query API said of its own timing."""
    for name, value in told.items():
        if name in (provenance.HOOKS, provenance.TRACE_ID):
            headers[name] = value
        else:
            headers.add(name, value)


def failure_response(error: HookFailed | QueryRejected) -> web.Response:
    """The problem document for a query that has no answer, with the provenance up to there."""
    status, headers, body = failure(error)
    return web.Response(status=status, headers=headers, body=body)
