"""The SDK's log: event names and fields on the standard `logging`, under `gateway.receiver`.

An event reads `call.failed id=msg_1 error=KeyError`. No body and no secret is ever a field.
"""

from __future__ import annotations

import logging
from typing import Any, Final

_MAX_VALUE: Final = 200


class EventLog:
    """Logs events with fields to the logger `gateway.receiver.{name}`. Values are cut at 200 characters."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"gateway.receiver.{name}")

    def info(self, event: str, **fields: Any) -> None:
        """Something happened as it should."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something went wrong that was coped with."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """Something went wrong that a person should look at."""
        self._log(logging.ERROR, event, fields, exc_info)

    def _log(self, level: int, event: str, fields: dict[str, Any], exc_info: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            text = "".join(f" {name}={_shown(value)}" for name, value in fields.items() if value is not None)
            self._logger.log(level, "%s%s", event, text, exc_info=exc_info, stacklevel=3)


def _shown(value: Any) -> str:
    text = str(value)
    text = text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"
    return text if text.isprintable() and text and " " not in text else repr(text)
