"""What a verified request says: the query, the result as its bytes, and how long there is.

Structured delivery is one CloudEvent with both, or several at once; in binary delivery the body is exactly the result,
and the query is in `ce-*` headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec

from gateway.errors import FieldError, InvalidInput
from gateway.model import Query, Result
from gateway.wire import batch, document
from gateway.wire.cloudevents import EVENT_TYPE, STRUCTURED_TYPE
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from gateway.receiver.messages import Headers

__all__ = ["Event", "is_batch", "is_query", "media_type", "read_batch", "read_event", "timeout_of"]

TIMEOUT: Final = "gateway-timeout-ms"
_MOST_MS: Final = 3_600_000


class Event(msgspec.Struct, frozen=True):
    """One call: the query, the result that was sent, and the id of the hook that is called."""

    query: Query
    result: Result
    hook_id: str | None


class _Query(msgspec.Struct, frozen=True):
    type: str
    capability: str | None = None
    tenant: str | None = None
    params: Any = None
    context: Any = None


class _Data(msgspec.Struct, frozen=True):
    query: _Query
    result: msgspec.Raw


class _Structured(msgspec.Struct, frozen=True):
    specversion: str
    id: str
    data: _Data
    subject: str | None = None
    hookid: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


class _Named(msgspec.Struct, frozen=True):
    id: str


_DECODER: Final = msgspec.json.Decoder(_Structured)
_NAMED: Final = msgspec.json.Decoder(_Named)
_BATCH: Final = msgspec.json.Decoder(list[msgspec.Raw])


def media_type(headers: Headers) -> str:
    """The media type of the body, in lower case and without parameters."""
    return (headers("content-type") or "").partition(";")[0].strip().lower()


def is_query(headers: Headers) -> bool:
    """Whether the request calls a hook, in any form of delivery."""
    return headers("ce-specversion") is not None or media_type(headers) in (STRUCTURED_TYPE, batch.CONTENT_TYPE)


def is_batch(headers: Headers) -> bool:
    """Whether the request calls a hook for several queries at once."""
    return media_type(headers) == batch.CONTENT_TYPE


def timeout_of(headers: Headers, default: float) -> float:
    """How many seconds the gateway gave to this call; `default` if it does not say."""
    value = headers(TIMEOUT)
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 9:
        return default
    return min(int(value), _MOST_MS) / 1000


def read_event(headers: Headers, body: bytes, *, max_depth: int) -> Event:
    """What the request says. Raises `InvalidInput` with what is wrong with it."""
    try:
        document.check(body, max_depth=max_depth)
    except ValueError as error:
        raise InvalidInput(FieldError("", f"the body cannot be used: {error}")) from None
    if media_type(headers) == STRUCTURED_TYPE:
        return _structured(headers, body)
    return _binary(headers, body)


def read_batch(headers: Headers, body: bytes, *, max_depth: int) -> list[tuple[str, Event | InvalidInput]]:
    """The ids of all events of the request, and what each says, or what is wrong with it.

    Raises `InvalidInput` if it is no batch, or one of its events has no id, for then nobody could tell their answers.
    """
    try:
        document.check(body, max_depth=max_depth + 1)
        events = [(_NAMED.decode(each).id, each) for each in _BATCH.decode(body)]
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(FieldError("", f"the body is not a batch of calls: {error}")) from None
    return [(ident, _event_or_not(headers, each)) for ident, each in events]


def _event_or_not(headers: Headers, event: msgspec.Raw) -> Event | InvalidInput:
    try:
        return _structured(headers, event)
    except InvalidInput as error:
        return error


def _structured(headers: Headers, body: bytes | msgspec.Raw) -> Event:
    try:
        event = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(FieldError("", f"the body is not a call of a hook: {error}")) from None
    _check_version(event.specversion, "/specversion")
    asked = event.data.query
    query = Query(
        type=asked.type,
        capability=asked.capability,
        tenant=asked.tenant,
        params=asked.params,
        context=asked.context,
        id=event.subject or "",
        depth=depth_of(headers(DEPTH)),
        traceparent=event.traceparent or headers("traceparent"),
        tracestate=event.tracestate or headers("tracestate"),
    )
    return Event(query, Result(bytes(event.data.result)), event.hookid)


def _binary(headers: Headers, body: bytes) -> Event:
    _check_version(headers("ce-specversion") or "", "ce-specversion")
    kind = _attribute(headers, "type") or ""
    if not kind.startswith(EVENT_TYPE) or kind == EVENT_TYPE:
        raise InvalidInput(FieldError("ce-type", f"must be {EVENT_TYPE!r} and the type of the query"))
    query = Query(
        type=kind.removeprefix(EVENT_TYPE),
        capability=_attribute(headers, "capability"),
        tenant=_attribute(headers, "tenant"),
        id=_attribute(headers, "subject") or "",
        depth=depth_of(headers(DEPTH)),
        traceparent=headers("traceparent"),
        tracestate=headers("tracestate"),
    )
    return Event(query, Result(body, media_type(headers) or "application/json"), _attribute(headers, "hookid"))


def _attribute(headers: Headers, name: str) -> str | None:
    value = headers(f"ce-{name}")
    return None if value is None else unquote(value)


def _check_version(version: str, field: str) -> None:
    if version != "1.0":
        raise InvalidInput(FieldError(field, "must be '1.0', the version of CloudEvents that is understood"))
