"""Calls of the control API without an event loop: the standard library's HTTP client."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ControlApiError, ControlApiNotFound
from gateway.receiver.control.exchange import MAX_BYTES, Address, Asked, Patience, body_of, judged, value_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from gateway.receiver.control.exchange import Operation

__all__ = ["SyncCalls"]


class SyncCalls:
    """Makes calls at `url` with the bearer key `key`; each may take `timeout_seconds` in all, and is on its own.

    `patience` says how often what failed in passing is repeated. Raises `ConfigError` for a URL that cannot be used.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = 15.0,
        patience: Patience | None = None,
        ssl_context: ssl.SSLContext | None = None,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._address: Final = Address(url, key)
        self._timeout = timeout_seconds
        self._patience = patience or Patience()
        self._ssl_context = ssl_context
        self._sleep = sleep
        self._chance = chance
        self._now = now

    def _call(self, operation: Operation, asked: Asked) -> Any:
        """One call, repeated where that is safe and of use. Raises `ControlApiError`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._attempt(operation, asked)
            except ControlApiNotFound:
                if operation.method == "DELETE" and attempt > 1:  # the attempt before did it, and its answer was lost
                    return None
                raise
            except ControlApiError as error:
                wait = self._patience.wait(operation, error, attempt, self._chance())
                if wait is None:
                    raise
                self._sleep(wait)

    def _pages(self, operation: Operation, asked: Asked) -> Iterator[Any]:
        """Every item of a list, page by page."""
        while True:
            page = self._call(operation, asked)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return
            asked = Asked(asked.ids, {**asked.query, "cursor": cursor})

    def _attempt(self, operation: Operation, asked: Asked) -> Any:
        address = self._address
        connection: HTTPConnection
        if address.secure:
            connection = HTTPSConnection(address.host, address.port, timeout=self._timeout, context=self._ssl_context)
        else:
            connection = HTTPConnection(address.host, address.port, timeout=self._timeout)
        # The socket's own time limit holds for one read; a server that sends a byte now and then would outlive it.
        ended = threading.Event()
        watch = threading.Timer(self._timeout, _end, (connection, ended))
        watch.daemon = True
        watch.start()
        try:
            headers = {**address.headers(operation, asked), "connection": "close"}
            connection.request(operation.method, address.target(operation, asked), body_of(asked), headers)
            response = connection.getresponse()
            body = response.read(MAX_BYTES + 1)
            if ended.is_set():
                raise TimeoutError
        except (OSError, HTTPException) as error:
            if ended.is_set() or isinstance(error, TimeoutError):
                raise address.not_reached(f"no answer within {self._timeout:g} s") from None
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise address.not_reached(why) from None
        finally:
            watch.cancel()
            connection.close()
        if len(body) > MAX_BYTES:
            raise ControlApiError(f"The answer is larger than {MAX_BYTES} bytes.", status=response.status)
        wrong = judged(address, operation, response.status, response.getheader, body, now=self._now())
        if wrong is not None:
            raise wrong
        return value_of(address, operation, response.status, body)


def _end(connection: HTTPConnection, ended: threading.Event) -> None:
    """Make whoever waits for the connection stop waiting."""
    ended.set()
    with contextlib.suppress(OSError, AttributeError):  # not connected yet, or closed just now
        connection.sock.shutdown(socket.SHUT_RDWR)
