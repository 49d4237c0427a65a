"""The access log: one line for each answered request, in the log's own form and on its own stream.

Written without the machinery of `logging`, because there is one for each request: lines are gathered and written
together, once for each turn of the event loop.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Final, TextIO

import orjson

from gateway.observe.log import get_logger, line_of, lines_written
from gateway.service.messages import value_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import ServerSettings
    from gateway.model import Outcome
    from gateway.service.front import Access, Exchange, Handler

__all__ = ["AccessLog", "access_log", "noting"]

_LONGEST: Final = 200  # as everywhere in the log
_EVENT: Final = "request.answered"
_LOGGER: Final = "gateway.access"

_log = get_logger(_LOGGER)


def access_log(settings: ServerSettings) -> AccessLog | None:
    """The access log that the settings want, on the stream of the log; `None` without one."""
    if not settings.access_log:
        return None
    written = lines_written()
    if written is None:  # embedded: the lines go where the program's log goes
        return AccessLog(None, as_json=False, query=settings.access_log_query)
    return AccessLog(written.stream, as_json=written.as_json, query=settings.access_log_query)


def noting(handler: Handler) -> Handler:
    """`handler`, with the trace that a request belongs to noted for its line."""

    async def noted(exchange: Exchange) -> None:
        parent = value_of(exchange.head.headers, b"traceparent")
        if parent is not None and len(parent) >= 55:  # 00-{trace}-{span}-{flags}
            exchange.notes["trace"] = parent[3:35].decode("latin-1")
        await handler(exchange)

    return noted


class AccessLog:
    """Writes lines to `stream`, as JSON or as text; without a stream, to the logger `gateway.access`.

    `query`: whether a line has the query string, too; without it, `?…` says that there was one.
    """

    def __init__(self, stream: TextIO | None, *, as_json: bool, query: bool, now: Callable[[], float] = time) -> None:
        self._stream = stream
        self._as_json = as_json
        self._query = query
        self._now = now
        self._lines: list[str] = []

    def write(self, access: Access) -> None:
        """Add the line of one request."""
        fields = self._fields(access)
        if self._stream is None:
            _log.info("request.answered", **fields)
            return
        at = datetime.fromtimestamp(self._now(), UTC)
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._flush)
        if self._as_json:
            head = {
                "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "level": "info",
                "event": _EVENT,
                "logger": _LOGGER,
            }
            self._lines.append(orjson.dumps(head | fields).decode() + "\n")
        else:
            self._lines.append(line_of(at, _EVENT, fields) + "\n")

    def _fields(self, access: Access) -> dict[str, object]:
        path, mark, _ = access.target.partition("?")
        target = access.target if self._query else path + ("?…" if mark else "")
        notes = access.notes
        fields: dict[str, object] = {
            "method": access.method,
            "target": target if len(target) <= _LONGEST else target[: _LONGEST - 1] + "…",
            "status": access.status,
            "bytes_in": access.bytes_in,
            "bytes_out": access.bytes_out,
            "ms": round(access.seconds * 1000, 2),
        }
        upstream = notes.get("upstream_ms")
        if isinstance(upstream, float):
            fields["upstream_ms"] = round(upstream, 2)
        outcomes = notes.get("outcomes")
        if isinstance(outcomes, tuple) and outcomes:
            fields["hooks"] = _short(outcomes)
        trace = notes.get("trace")
        if trace is not None:
            fields["trace"] = trace
        fields["client"] = access.client or "unix"
        if access.scheme != "http":
            fields["scheme"] = access.scheme
        if not access.complete:
            fields["complete"] = False
        return fields

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        stream = self._stream
        assert stream is not None
        try:
            stream.write("".join(lines))
            stream.flush()
        except (OSError, ValueError):  # whoever read the log has gone: queries go on
            return


def _short(outcomes: tuple[Outcome, ...]) -> str:
    """`price-fx:applied,geo:failed:timeout`."""
    text = ",".join(
        f"{each.hook}:{each.status}" + (f":{each.reason}" if each.reason is not None else "") for each in outcomes
    )
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
