"""Structured logs: a dotted event name and fields, as JSON lines or as text for people.

Built on the standard `logging`, so that a program which embeds the gateway sees its events through
whatever it has configured: there an event reads `hook.disabled hook=price-fx reason=gone`.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TextIO

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LinesWritten", "Logger", "configure_logging", "get_logger", "line_of", "lines_written"]

ROOT: Final = "gateway"
MAX_VALUE: Final = 200
_MAX_ITEMS: Final = 20
_MAX_TRACE: Final = 8000
_SECRET_WORDS: Final = ("secret", "api_key", "apikey", "authorization", "token", "password", "signature", "cookie")
_REDACTED: Final = "[redacted]"
_COLOURS: Final = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_RESET: Final = "\x1b[0m"

_ExcInfo = bool | BaseException | tuple[type[BaseException], BaseException, "TracebackType | None"] | None


def get_logger(name: str) -> Logger:
    """The logger called `gateway.{name}` (or `name`, if it begins so)."""
    full = name if name == ROOT or name.startswith(ROOT + ".") else f"{ROOT}.{name}"
    return Logger(logging.getLogger(full))


class Logger:
    """Logs events with fields. What is below the level costs next to nothing.

    Values are cut at 200 characters; those of fields named like secrets are left out. Give names, ids,
    numbers and sentences, never a body.
    """

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, **fields: Any) -> None:
        """For whoever looks for a defect."""
        self._log(logging.DEBUG, event, None, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something happened as it should."""
        self._log(logging.INFO, event, None, fields)

    def warning(self, event: str, *, exc_info: _ExcInfo = None, **fields: Any) -> None:
        """Something went wrong that the gateway coped with."""
        self._log(logging.WARNING, event, exc_info, fields)

    def error(self, event: str, *, exc_info: _ExcInfo = None, **fields: Any) -> None:
        """Something went wrong that a person should look at."""
        self._log(logging.ERROR, event, exc_info, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """As `error`, with the trace of the exception that is being handled."""
        self._log(logging.ERROR, event, True, fields)

    def _log(self, level: int, event: str, exc_info: _ExcInfo, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, _Event(event, fields), exc_info=exc_info, stacklevel=3)


class _Event:
    """The message of a log record. As text, it is the event's name and its fields."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.name = name
        self.fields = {key: _safe(key, value) for key, value in fields.items()}

    def __str__(self) -> str:
        return " ".join([self.name, *_pairs(self.fields)])


def configure_logging(
    format: Literal["auto", "json", "text"],  # noqa: A002  the setting's name
    level: Literal["debug", "info", "warning", "error"],
    stream: TextIO,
    *,
    env: Mapping[str, str] = os.environ,
    always: Mapping[str, Any] | None = None,
) -> None:
    """Let this process log to `stream`: for a program's start, not for a library.

    `auto` is text on a terminal and JSON lines elsewhere. Colours appear on a terminal only, and not with
    `NO_COLOR` (https://no-color.org) or `TERM=dumb`. Other libraries are heard from `warning` on.
    Calling it again replaces what was configured before. The fields `always` are in each line.
    """
    terminal = stream.isatty()
    handler = _Handler(stream)
    if format == "json" or (format == "auto" and not terminal):
        handler.setFormatter(_JsonFormatter(always or {}))
    else:
        colours = terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
        handler.setFormatter(_TextFormatter(always or {}, colours=colours))
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger(ROOT).setLevel(number)


class LinesWritten(NamedTuple):
    """Where `configure_logging` made the log go, in which form, and which fields are in each line."""

    stream: TextIO
    as_json: bool
    always: Mapping[str, Any]


def lines_written() -> LinesWritten | None:
    """Where the log goes, for what writes many lines by itself; `None` if it was not configured here."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            form = handler.formatter
            if isinstance(form, _JsonFormatter | _TextFormatter):
                return LinesWritten(handler.stream, isinstance(form, _JsonFormatter), form.always)
    return None


def line_of(at: datetime, event: str, fields: Mapping[str, Any]) -> str:
    """An event as a line of text, without colours and without its end."""
    clock = at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    return " ".join([clock, "info   ", f"{event:<24}", *_pairs(fields)])


class _Handler(logging.StreamHandler[TextIO]):
    """Marks what `configure_logging` installed."""


class _JsonFormatter(logging.Formatter):
    def __init__(self, always: Mapping[str, Any]) -> None:
        super().__init__()
        self.always = always

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _when(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        name, fields = _parts(record)
        line["event"] = name
        line["logger"] = record.name
        for key, value in {**self.always, **fields}.items():
            line[key if key not in line else f"{key}_"] = value
        trace = _trace(record)
        if trace:
            line["exception"] = trace
        return json.dumps(line, ensure_ascii=False, default=str)


class _TextFormatter(logging.Formatter):
    def __init__(self, always: Mapping[str, Any], *, colours: bool) -> None:
        super().__init__()
        self.always = always
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        name, fields = _parts(record)
        clock = _when(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        pairs = [
            self._in(_DIM, pair.partition("=")[0] + "=") + pair.partition("=")[2] if self._colours else pair
            for pair in _pairs({**self.always, **fields})
        ]
        level = self._in(_COLOURS.get(record.levelname, ""), f"{record.levelname.lower():<7}")
        line = " ".join([self._in(_DIM, clock), level, self._in(_BOLD, f"{name:<24}"), *pairs]).rstrip()
        trace = _trace(record)
        return f"{line}\n{trace}" if trace else line

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colours and colour else text


def _when(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _parts(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The event and its fields; for a record of another library, its logger's name and its message."""
    if isinstance(record.msg, _Event):
        return record.msg.name, record.msg.fields
    return record.name, {"message": _cut(record.getMessage())}


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info))[-_MAX_TRACE:].rstrip()


def _pairs(fields: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_text(value)}" for key, value in fields.items()]


def _text(value: Any) -> str:
    """One word, quoted if it would not be one: a value can neither begin a new line nor colour the terminal."""
    if type(value) is int or type(value) is float:
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if text and text.isprintable() and not any(c in text for c in ' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _safe(key: str, value: Any) -> Any:
    """`value` as plain data, short, and without secrets."""
    if _is_secret(key):
        return _REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return {str(k): _safe(str(k), v) for k, v in list(value.items())[:_MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe("", item) for item in list(value)[:_MAX_ITEMS]]
    return _cut(str(value))


def _is_secret(key: str) -> bool:
    lower = key.lower().replace("-", "_")
    return lower == "key" or any(word in lower for word in _SECRET_WORDS)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"
