"""Which HTTP answers are results, and what becomes of their heads: the same rules wherever the gateway is embedded.

No web framework is needed here. The standalone gateway and the middlewares share these rules.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import HookFailed
from gateway.pipeline import provenance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.errors import QueryRejected
    from gateway.pipeline.answer import Answer

__all__ = [
    "CONDITIONS",
    "PROBLEM_JSON",
    "VALIDATORS",
    "failure",
    "failure_problem",
    "head_after_hooks",
    "is_json",
    "is_result",
    "title",
]

PROBLEM_JSON: Final = "application/problem+json"

# What speaks of the very bytes that the query API produced, and so of no others (RFC 9110, RFC 9530).
VALIDATORS: Final = frozenset(
    {
        "etag",
        "last-modified",
        "content-md5",
        "digest",
        "content-digest",
        "repr-digest",
        "accept-ranges",
        "content-range",
    }
)
# A request that asks for a part or a change of the unchanged result cannot be answered with a changed one.
CONDITIONS: Final = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"}
)

# The names of RFC 9110, where Python 3.11 has older ones.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}
_MEMBERS_OF_TEXT: Final = ("type", "title", "detail", "instance")


def is_json(content_type: str | None) -> bool:
    """Whether a `content-type` says JSON."""
    media = (content_type or "").partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def is_result(method: str, status: int, content_type: str | None, content_encoding: str | None) -> bool:
    """Whether an answer with this head carries a result: JSON with status 200, not compressed, not to a HEAD."""
    return status == 200 and method != "HEAD" and is_json(content_type) and content_encoding is None


def title(status: int) -> str:
    """The name of an HTTP status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def failure_problem(error: HookFailed | QueryRejected) -> dict[str, Any]:
    """The problem document (RFC 9457) of a query that has no answer, without `instance`."""
    status = error.status if isinstance(error, HookFailed) else 422
    problem: dict[str, Any] = {"type": "about:blank", "title": title(status), "status": status, "detail": error.detail}
    if isinstance(error, HookFailed):
        return problem | {"hook": error.hook, "reason": str(error.reason)}
    # The hook's own words, but not its own status, and nothing that RFC 9457 has as a string and it has not.
    said = {
        name: value for name, value in error.problem.items() if name not in _MEMBERS_OF_TEXT or isinstance(value, str)
    }
    return problem | said | {"status": status, "hook": error.hook}


def failure(error: HookFailed | QueryRejected) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body of the answer to a query that has none, with the provenance up to there."""
    problem = failure_problem(error)
    headers = {"content-type": PROBLEM_JSON, **provenance.failure_headers(error.outcomes, trace_id=error.trace_id)}
    return problem["status"], headers, orjson.dumps(problem)


def head_after_hooks(headers: Iterable[tuple[str, str]], answer: Answer) -> list[tuple[str, str]]:
    """The headers of an answer after its hooks: without validators, with provenance and the right length.

    Where no hook was selected they are as they were, but for the id of a trace.
    """
    told = provenance.headers(answer)
    if not answer.outcomes:
        return [*headers, *_lower(told)]
    dropped = VALIDATORS | {"content-length", provenance.HOOKS}
    kept = [(name, value) for name, value in headers if name.lower() not in dropped]
    return [*kept, *_lower(told), ("content-length", str(len(answer.result.body)))]


def _lower(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers.items()]
