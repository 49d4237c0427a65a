"""What the gateway itself answers: problem documents (RFC 9457) and the few answers to OPTIONS."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

import orjson

from gateway.pipeline.http_answer import PROBLEM_JSON, title
from gateway.service.messages import value_of

if TYPE_CHECKING:
    from gateway.errors import UpstreamFailed
    from gateway.service.front import Exchange
    from gateway.service.messages import Headers, RequestHead

__all__ = ["answer_options", "is_for_us", "refuse", "tell_failure"]

_PROBLEM: Final = (b"content-type", PROBLEM_JSON.encode())


def refuse(exchange: Exchange, status: int, detail: str, *more: tuple[bytes, bytes]) -> None:
    """Answer with a problem document."""
    problem = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
    exchange.answer(status, [_PROBLEM, *more], orjson.dumps(problem))


def tell_failure(exchange: Exchange, error: UpstreamFailed) -> None:
    """Answer that the upstream failed; its `reason` is a member of the problem document."""
    status = error.status
    problem = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": error.detail,
        "reason": error.reason,
    }
    headers: Headers = [_PROBLEM, (b"cache-control", b"no-store")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after))))
    exchange.answer(status, headers, orjson.dumps(problem))


def is_for_us(head: RequestHead) -> bool:
    """Whether an OPTIONS request is for this gateway itself, not for an upstream.

    It is if it asks about the server as a whole (`*`), or may not be forwarded any more (`Max-Forwards: 0`, RFC 9110,
    section 7.6.2). Otherwise one forward less is left in `head`.
    """
    if head.target == "*":
        return True
    left = value_of(head.headers, b"max-forwards")
    if left is None or not left.isdigit():
        return False
    if int(left) == 0:
        return True
    head.headers = [
        (name, b"%d" % (int(left) - 1)) if name == b"max-forwards" else (name, value) for name, value in head.headers
    ]
    return False


def answer_options(exchange: Exchange) -> None:
    """Answer an OPTIONS request that goes no further."""
    exchange.answer(204, [(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")], b"")
