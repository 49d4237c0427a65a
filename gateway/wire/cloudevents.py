"""A call to a hook as a CloudEvent: the structured and the binary form of the 1.0 HTTP binding.

Everything that is the same for all hooks of one query is encoded once (`QueryEvent`); a call then
costs one join of bytes. The result is put in as the bytes it is.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
import orjson

from gateway.wire import trace

if TYPE_CHECKING:
    from gateway.model import Query, Result

STRUCTURED_TYPE: Final = "application/cloudevents+json"
EVENT_TYPE: Final = "query.result."

_BINARY: Final = (
    "content-type", "ce-id", "ce-time", "ce-hookid", "ce-specversion", "ce-source", "ce-type", "ce-subject",
)  # fmt: skip

# The binding's percent-encoding: everything but printable ASCII, and of that not space, " and %.
_SAFE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_PLAIN: Final = re.compile(r"[!#$&-~]*\Z")
_MILLISECONDS: Final = [f".{n:03}Z" for n in range(1000)]


def rfc3339(at: float) -> str:
    """`at` (seconds since 1970) as RFC 3339 in UTC with milliseconds."""
    second, millisecond = divmod(int(at * 1000), 1000)
    return _to_the_second(second) + _MILLISECONDS[millisecond]


@lru_cache(maxsize=8)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def header_value(text: str) -> str:
    """`text` as the value of a `ce-` header. Raises `TypeError` if it has bytes in it that were no UTF-8."""
    if _PLAIN.match(text):
        return text
    try:
        return quote(text, safe=_SAFE)
    except UnicodeEncodeError:
        msg = "str is not valid UTF-8: surrogates not allowed"
        raise TypeError(msg) from None


class QueryEvent(msgspec.Struct, eq=False):
    """The CloudEvents of one query: what its hooks are told, but for the result.

    Raises `TypeError` if the query's params or context cannot be written as JSON.
    """

    _query: Query
    _source: str
    _common: bytes | None = None
    _question: bytes | None = None
    _attributes: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    _around_spans: tuple[str, str] | None = None

    def traceparent(self) -> str:
        """The `traceparent` of one call: a new span, for all calls of the query in the same trace."""
        around = self._around_spans
        if around is None:
            around = self._around_spans = trace.around_spans(self._query.traceparent)
        return around[0] + trace.new_span() + around[1]

    def question(self) -> bytes:
        """What is told of the query itself, as JSON: type, capability, tenant, params, context."""
        if self._question is None:
            self._question = orjson.dumps(self._asked())
        return self._question

    def _asked(self) -> dict[str, Any]:
        q = self._query
        return {
            "type": q.type,
            "capability": q.capability,
            "tenant": q.tenant,
            "params": q.params,
            "context": q.context,
        }

    def structured(self, message_id: str, hook_id: str, at: float, result: Result, *, traced: bool = False) -> bytes:
        """The body of a structured call. `at` in seconds since 1970.

        `traced`: with the attributes `traceparent` and `tracestate` of the CloudEvents extension for distributed
        tracing, for an event that has no HTTP headers of its own.
        """
        common = self._common
        if common is None:
            common = self._common = self._encode()
        head = f'{{"specversion":"1.0","id":"{message_id}","time":"{rfc3339(at)}","hookid":"{hook_id}",'
        if traced:
            head += f'"traceparent":"{self.traceparent()}",'
            if (state := trace.state(self._query.tracestate)) is not None:
                head += f'"tracestate":{orjson.dumps(state).decode()},'
        return b"".join((head.encode(), common, result.body, b"}}"))

    def _encode(self) -> bytes:
        q = self._query
        event: dict[str, Any] = {"source": self._source, "type": EVENT_TYPE + q.type, "subject": q.id}
        if q.capability is not None:
            event["capability"] = q.capability
        if q.tenant is not None:
            event["tenant"] = q.tenant
        event["datacontenttype"] = "application/json"
        event["data"] = {"query": self._asked()}
        return orjson.dumps(event)[1:-2] + b',"result":'  # without what closes it

    def binary(self, message_id: str, hook_id: str, at: float) -> list[tuple[str, str]]:
        """The `ce-` headers of a binary call, whose body is exactly the result."""
        names, values = self.binary_headers("", message_id, hook_id, at)
        return list(zip(names[1:], values[1:], strict=True))

    def binary_headers(
        self, content_type: str, message_id: str, hook_id: str, at: float
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The headers that describe the body of a binary call, a result of this media type: names and values apart.

        The names are the same for all calls of the query.
        """
        attributes = self._attributes
        if attributes is None:
            attributes = self._attributes = self._as_headers()
        return attributes[0], (content_type, message_id, rfc3339(at), hook_id, *attributes[1])

    def _as_headers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        q = self._query
        names: tuple[str, ...] = _BINARY
        values: tuple[str, ...] = ("1.0", self._source, EVENT_TYPE + q.type, q.id)
        if q.capability is not None:
            names += ("ce-capability",)
            values += (q.capability,)
        if q.tenant is not None:
            names += ("ce-tenant",)
            values += (q.tenant,)
        return names, values if _PLAIN.match("".join(values)) else tuple(map(header_value, values))
