"""The ownership handshake: an address is called only after it said that it wants to be.

`OPTIONS` to the hook's URL with `WebHook-Request-Origin` must be answered with
`WebHook-Allowed-Origin` naming that origin or `*`.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md, section 4.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from gateway.errors import CallError, OwnershipRefused
from gateway.transport.protocol import Limits

if TYPE_CHECKING:
    from gateway.transport.protocol import Endpoint, Transport

_LIMITS = Limits(body=65_536)


class Ownership(Protocol):
    """How the gateway finds out that an address wants to be called."""

    async def check(self, endpoint: Endpoint) -> None:
        """Return if it does; raise `OwnershipRefused` otherwise."""
        ...


class WaivedOwnership:
    """The operator vouches for every address."""

    async def check(self, endpoint: Endpoint) -> None:
        """Return."""


class OwnershipCheck:
    """Asks the address itself. `origin` is the name this gateway gives; `timeout` in seconds."""

    def __init__(self, transport: Transport, *, origin: str, timeout: float = 10.0) -> None:
        self._transport = transport
        self._origin = origin
        self._timeout = timeout

    async def check(self, endpoint: Endpoint) -> None:
        """Make the handshake; raise `OwnershipRefused` if the address does not allow this origin."""
        deadline = asyncio.get_running_loop().time() + self._timeout
        headers = [("webhook-request-origin", self._origin), ("accept", "*/*")]
        asked = f"OPTIONS {endpoint.url} with WebHook-Request-Origin: {self._origin}"
        try:
            response = await self._transport.exchange(
                endpoint, "OPTIONS", headers, b"", deadline=deadline, limits=_LIMITS
            )
        except CallError as e:
            msg = f"{asked} was not answered ({e.reason}): {e.detail}"
            raise OwnershipRefused(msg) from None
        allowed = response.header("webhook-allowed-origin")
        if not 200 <= response.status <= 299:
            msg = f"{asked} was answered with status {response.status}; it takes 200 and WebHook-Allowed-Origin"
            raise OwnershipRefused(msg)
        if allowed is None:
            msg = f"{asked} was answered without WebHook-Allowed-Origin; it takes {self._origin!r} or * there"
            raise OwnershipRefused(msg)
        if allowed.strip() != "*" and allowed.strip().lower() != self._origin.lower():
            msg = f"{asked} was answered with another WebHook-Allowed-Origin: {allowed[:100]!r}"
            raise OwnershipRefused(msg)
