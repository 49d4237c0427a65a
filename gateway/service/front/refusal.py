"""Requests that are refused before anyone handles them, and bodies that break off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from gateway.errors import GatewayError
from gateway.pipeline.http_answer import PROBLEM_JSON, title

if TYPE_CHECKING:
    from gateway.service.messages import Headers

__all__ = ["PROBLEM_HEADERS", "ClientGone", "RequestRefused", "problem_body"]

PROBLEM_HEADERS: Final[Headers] = [(b"content-type", PROBLEM_JSON.encode())]


class RequestRefused(GatewayError):
    """The request is not one that can be answered: its syntax, its size, or the time that it took."""

    def __init__(self, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class ClientGone(GatewayError):
    """The client ended the connection before the exchange was complete."""


def problem_body(status: int, detail: str, instance: str | None = None) -> bytes:
    """A problem document (RFC 9457). `instance` names the request where the log has more about it."""
    problem: dict[str, object] = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
    if instance is not None:
        problem["instance"] = instance
    return orjson.dumps(problem)
