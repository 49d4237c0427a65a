"""One call of the control API: how it is put into HTTP, what its answer means, and whether it is worth repeating."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from gateway.errors import (
    ConfigError,
    ControlApiBusy,
    ControlApiConflict,
    ControlApiDenied,
    ControlApiError,
    ControlApiInvalid,
    ControlApiNotFound,
    ControlApiStale,
    ControlApiUnreachable,
)
from gateway.wire import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Address", "Asked", "Operation", "Patience", "judged", "value_of"]

MAX_BYTES: Final = 64 * 1024 * 1024
NOT_MODIFIED: Final = 304

_KINDS: Final[Mapping[int, type[ControlApiError]]] = {
    400: ControlApiInvalid,
    401: ControlApiDenied,
    403: ControlApiDenied,
    404: ControlApiNotFound,
    409: ControlApiConflict,
    412: ControlApiStale,
    413: ControlApiInvalid,
    415: ControlApiInvalid,
    422: ControlApiInvalid,
    429: ControlApiBusy,
    503: ControlApiBusy,
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API. `answer`: what comes back. `content_type` is that of the body."""

    name: str
    method: str
    path: str
    answer: Literal["json", "text", "none"] = "json"
    content_type: str = "application/json"

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice comes to the same as doing it once."""
        return self.method in ("GET", "PUT", "DELETE") or self.name.startswith(("enable", "disable", "explain"))


@dataclass(frozen=True, slots=True)
class Asked:
    """What one call is about."""

    ids: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    if_match: str | int | None = None
    idempotency_key: str | None = None
    if_none_match: str | int | None = None


class Address:
    """Where the control API is, and the key for it. Raises `ConfigError` for a URL that cannot be used."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
            raise ConfigError(f"{url!r} is not the URL of a control API, such as http://127.0.0.1:8081.")
        if not (key.isascii() and key.isprintable()) or " " in key or not key:
            raise ConfigError("The key for the control API is empty, or holds a character that no key has.")
        self.url: Final = url.rstrip("/")
        self.secure: Final = parts.scheme == "https"
        self.host: Final = host
        self.port: Final = port
        self._base: Final = parts.path.rstrip("/")
        self._key: Final = key

    def target(self, operation: Operation, asked: Asked) -> str:
        """The path and query of a call."""
        path = operation.path
        for name, value in asked.ids.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        given = {name: _parameter(value) for name, value in asked.query.items() if value is not None}
        return f"{self._base}{path}" + (f"?{urlencode(given)}" if given else "")

    def headers(self, operation: Operation, asked: Asked) -> dict[str, str]:
        """The headers of a call."""
        headers = {
            "authorization": f"Bearer {self._key}",
            "accept": "application/json, application/problem+json, text/plain",
            "user-agent": "query-hook-receiver",
        }
        if asked.body is not None:
            headers["content-type"] = operation.content_type
        if asked.idempotency_key is not None:
            headers["idempotency-key"] = asked.idempotency_key
        if asked.if_match is not None:
            headers["if-match"] = _tag(asked.if_match)
        if asked.if_none_match is not None:
            headers["if-none-match"] = _tag(asked.if_none_match)
        return headers

    def not_reached(self, why: str) -> ControlApiUnreachable:
        """The error where there was no answer."""
        return ControlApiUnreachable(f"The gateway at {self.url} could not be reached ({why}).")


def body_of(asked: Asked) -> bytes | None:
    """The body of a call."""
    return None if asked.body is None else json.dumps(asked.body).encode()


def judged(
    address: Address, operation: Operation, status: int, header: Callable[[str], str | None], body: bytes, *, now: float
) -> ControlApiError | None:
    """The error that an answer is; `None` if it is what was asked for."""
    media = (header("content-type") or "").partition(";")[0].strip().lower()
    if 200 <= status < 300 or status == NOT_MODIFIED:
        if operation.answer == "json" and status not in (204, NOT_MODIFIED) and not _is_json(media):
            return ControlApiError(_foreign(address, status, media), status=status)
        return None
    problem: Any = None
    if _is_json(media):
        try:
            problem = json.loads(body)
        except ValueError:
            problem = None
    if not isinstance(problem, dict):
        return _KINDS.get(status, ControlApiError)(_foreign(address, status, media), status=status)
    detail = str(problem.get("detail") or problem.get("title") or f"The gateway answered with status {status}.")
    wait = retry_after.seconds(header("retry-after"), now)
    return _KINDS.get(status, ControlApiError)(detail, status=status, problem=problem, retry_after=wait)


def value_of(address: Address, operation: Operation, status: int, body: bytes) -> Any:
    """What an answer says that is no error; `None` for one without a body. Raises `ControlApiError` for broken JSON."""
    if status in (204, NOT_MODIFIED) or operation.answer == "none":
        return None
    if operation.answer == "text":
        return body.decode("utf-8", "replace")
    try:
        return json.loads(body)
    except ValueError:
        raise ControlApiError(_foreign(address, status, "broken JSON"), status=status) from None


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a call is made at most, and how long to wait in between: seconds, doubled each time."""

    attempts: int = 3
    first_wait: float = 0.2
    longest_wait: float = 5.0

    def wait(self, operation: Operation, error: ControlApiError, attempt: int, chance: float) -> float | None:
        """How long to wait before the next attempt; `None` if there is to be none. `attempt` counts from 1."""
        passing = isinstance(error, (ControlApiUnreachable, ControlApiBusy)) or error.status in (502, 504)
        if not passing or attempt >= self.attempts or not (operation.repeatable or isinstance(error, ControlApiBusy)):
            return None
        if error.retry_after is not None:
            return min(error.retry_after, self.longest_wait)
        return min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 1)) * (0.5 + chance / 2)


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def _foreign(address: Address, status: int, media: str) -> str:
    return f"{address.url} does not answer like a control API (status {status}, {media or 'no content-type'})."


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _tag(version: str | int) -> str:
    return f'"{version}"' if isinstance(version, int) else version
