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

import orjson

from gateway.wire import trace

if TYPE_CHECKING:
    from gateway.model import Query, Result

STRUCTURED_TYPE: Final = "application/cloudevents+json"
EVENT_TYPE: Final = "query.result."

# The binding's percent-encoding: everything but printable ASCII, and of that not space, " and %.
_SAFE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_PLAIN: Final = re.compile(r"[!#$&-~]*\Z")


def rfc3339(at: float) -> str:
    """`at` (seconds since 1970) as RFC 3339 in UTC with milliseconds."""
    milliseconds = int(at * 1000)
    return f"{_to_the_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


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


class QueryEvent:
    """The CloudEvents of one query: what its hooks are told, but for the result.

    Raises `TypeError` if the query's params or context cannot be written as JSON.
    """

    __slots__ = ("_attributes", "_common", "_query", "_question", "_source", "_spans")

    def __init__(self, query: Query, source: str) -> None:
        self._query = query
        self._source = source
        self._common: bytes | None = None
        self._question: bytes | None = None
        self._attributes: tuple[tuple[str, str], ...] | None = None
        self._spans: trace.Spans | None = None

    def traceparent(self) -> str:
        """The `traceparent` of one call: a new span, for all calls of the query in the same trace."""
        if self._spans is None:
            self._spans = trace.Spans(self._query.traceparent)
        return self._spans.child()

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
        attributes = self._attributes
        if attributes is None:
            q = self._query
            common = [
                ("ce-specversion", "1.0"),
                ("ce-source", header_value(self._source)),
                ("ce-type", header_value(EVENT_TYPE + q.type)),
                ("ce-subject", header_value(q.id)),
            ]
            if q.capability is not None:
                common.append(("ce-capability", header_value(q.capability)))
            if q.tenant is not None:
                common.append(("ce-tenant", header_value(q.tenant)))
            attributes = self._attributes = tuple(common)
        return [("ce-id", message_id), ("ce-time", rfc3339(at)), ("ce-hookid", hook_id), *attributes]
