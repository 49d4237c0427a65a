"""Calls of the control API in an event loop, over aiohttp's client."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Final, Self

from gateway.errors import ControlApiError, ControlApiNotFound
from gateway.receiver.control.exchange import MAX_BYTES, Address, Asked, Patience, body_of, judged, value_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import ClientSession

    from gateway.receiver.control.exchange import Operation

__all__ = ["AsyncCalls"]


class AsyncCalls:
    """Makes calls at `url` with the bearer key `key`; each may take `timeout_seconds` in all. Use it by `async with`.

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
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
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
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=self._timeout), trust_env=False
        )
        # It would repeat calls by itself where a connection breaks, and not tell.
        self._session._retry_connection = False  # noqa: SLF001
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, operation: Operation, asked: Asked) -> Any:
        """One call, repeated where that is safe and of use. Raises `ControlApiError`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(operation, asked)
            except ControlApiNotFound:
                if operation.method == "DELETE" and attempt > 1:  # the attempt before did it, and its answer was lost
                    return None
                raise
            except ControlApiError as error:
                wait = self._patience.wait(operation, error, attempt, self._chance())
                if wait is None:
                    raise
                await self._sleep(wait)

    async def _pages(self, operation: Operation, asked: Asked) -> AsyncIterator[Any]:
        """Every item of a list, page by page."""
        while True:
            page = await self._call(operation, asked)
            for item in page["items"]:
                yield item
            cursor = page.get("next_cursor")
            if not cursor:
                return
            asked = Asked(asked.ids, {**asked.query, "cursor": cursor})

    async def _attempt(self, operation: Operation, asked: Asked) -> Any:
        import aiohttp
        from yarl import URL

        if self._session is None:
            raise RuntimeError("The client is not open: use it by `async with`.")
        address = self._address
        origin = f"{'https' if address.secure else 'http'}://{_host(address)}"
        url = URL(origin + address.target(operation, asked), encoded=True)
        try:
            async with self._session.request(
                operation.method,
                url,
                data=body_of(asked),
                headers=address.headers(operation, asked),
                allow_redirects=False,
                ssl=True if self._ssl_context is None else self._ssl_context,
            ) as response:
                body = await _read(response)
        except TimeoutError:
            raise address.not_reached(f"no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise address.not_reached(str(error) or type(error).__name__) from None
        wrong = judged(address, operation, response.status, response.headers.get, body, now=self._now())
        if wrong is not None:
            raise wrong
        return value_of(address, operation, response.status, body)


def _host(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return host if address.port is None else f"{host}:{address.port}"


async def _read(response: Any) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_BYTES:
            raise ControlApiError(f"The answer is larger than {MAX_BYTES} bytes.", status=response.status)
    return bytes(body)
