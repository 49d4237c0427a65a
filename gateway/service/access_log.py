"""The access log: one line for each answered request, in the log's own form and on its own stream.

Written without the machinery of `logging`, because there is one for each request: lines are gathered and written
together, once for each turn of the event loop.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import gmtime, strftime, time
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.observe.log import get_logger, line_of, lines_written
from gateway.service.messages import value_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import ServerSettings
    from gateway.model import Outcome
    from gateway.observe.log import LinesWritten
    from gateway.service.front import Access, Exchange, Handler

__all__ = ["AccessLog", "access_log", "noting"]

_LONGEST: Final = 200  # as everywhere in the log
_EVENT: Final = "request.answered"
_LOGGER: Final = "gateway.access"

_log = get_logger(_LOGGER)


def access_log(settings: ServerSettings) -> AccessLog | None:
    """The access log that the settings want; `None` without one."""
    return AccessLog(query=settings.access_log_query) if settings.access_log else None


def noting(handler: Handler) -> Handler:
    """`handler`, with the trace that a request belongs to noted for its line."""

    async def noted(exchange: Exchange) -> None:
        parent = value_of(exchange.head.headers, b"traceparent")
        if parent is not None and len(parent) >= 55:  # 00-{trace}-{span}-{flags}
            exchange.notes["trace"] = parent[3:35].decode("latin-1")
        await handler(exchange)

    return noted


class AccessLog:
    """Writes lines where the log goes, as it is then. Where it was not configured: to the logger `gateway.access`.

    `query`: whether a line has the query string, too; without it, `?…` says that there was one. `written` says where
    the log goes; `now` gives seconds since 1970.
    """

    def __init__(
        self,
        *,
        query: bool,
        written: Callable[[], LinesWritten | None] = lines_written,
        now: Callable[[], float] = time,
    ) -> None:
        self._query = query
        self._written = written
        self._now = now
        self._lines: list[str] = []
        self._to: LinesWritten | None = None
        self._second = (-1, "")

    def write(self, access: Access) -> None:
        """Add the line of one request."""
        if not self._lines:
            self._to = self._written()
            if self._to is None:  # embedded: the lines go where the program's log goes
                _log.info("request.answered", **self._of(access, {}))
                return
            asyncio.get_running_loop().call_soon(self._flush)
        assert self._to is not None  # as long as there are lines to be written
        now = self._now()
        if self._to.as_json:
            second = int(now)
            if second != self._second[0]:
                self._second = (second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)))
            fields: dict[str, Any] = {
                "time": f"{self._second[1]}.{int((now - second) * 1000):03d}Z",
                "level": "info",
                "event": _EVENT,
                "logger": _LOGGER,
                **self._to.always,
            }
            self._lines.append(orjson.dumps(self._of(access, fields)).decode())
        else:
            fields = self._of(access, {**self._to.always})
            self._lines.append(line_of(datetime.fromtimestamp(now, UTC), _EVENT, fields))

    def _of(self, access: Access, fields: dict[str, Any]) -> dict[str, Any]:
        """`fields`, and those of the request."""
        method, target, status, bytes_in, bytes_out, seconds, client, _, scheme, complete, notes = access
        if not self._query:
            path, mark, _ = target.partition("?")
            target = f"{path}?…" if mark else target
        fields["method"] = method
        fields["target"] = target if len(target) <= _LONGEST else target[: _LONGEST - 1] + "…"
        fields["status"] = status
        fields["bytes_in"] = bytes_in
        fields["bytes_out"] = bytes_out
        fields["ms"] = round(seconds * 1000, 2)
        upstream = notes.get("upstream_ms")
        if isinstance(upstream, float):
            fields["upstream_ms"] = round(upstream, 2)
        outcomes = notes.get("outcomes")
        if isinstance(outcomes, tuple) and outcomes:
            fields["hooks"] = _short(outcomes)
        trace = notes.get("trace")
        if trace is not None:
            fields["trace"] = trace
        fields["client"] = client or "unix"
        if scheme != "http":
            fields["scheme"] = scheme
        if not complete:
            fields["complete"] = False
        return fields

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        assert self._to is not None  # else there were no lines
        stream = self._to.stream
        try:
            stream.write("\n".join(lines) + "\n")
            stream.flush()
        except (OSError, ValueError):  # whoever read the log has gone: queries go on
            return


def _short(outcomes: tuple[Outcome, ...]) -> str:
    """`price-fx:applied,geo:failed:timeout`."""
    text = ",".join(
        [
            f"{each.hook}:{each.status}:{each.reason}" if each.reason else f"{each.hook}:{each.status}"
            for each in outcomes
        ]
    )
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
