"""What aiohttp's server has to say, as structured events: bytes that are no HTTP are no defect of ours."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from gateway.observe.log import get_logger

_log = get_logger("http")


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """Goes where aiohttp wants a logger."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})

    def exception(self, msg: object, *args: object, exc_info: Any = True, **_: Any) -> None:  # noqa: ARG002
        """Tell of a request that could not be read, without a trace; of anything else with one."""
        if isinstance(exc_info, HttpProcessingError):
            _log.warning("http.refused", status=exc_info.code, why=type(exc_info).__name__)
        else:
            _log.error("http.broken", exc_info=exc_info)
