"""Speaking to the upstream: what is sent on, what is passed back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.errors import UpstreamFailed
from gateway.pipeline.debug import HEADER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

PIECE: Final = 64 * 1024
_VIA: Final = "1.1 query-hook-gateway"

# RFC 9110, section 7.6.1: what concerns one connection only, and what a proxy answers itself.
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
# A request that asks for a part or a change of the unchanged result cannot be answered with a changed one.
_CONDITIONS: Final = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range", "accept-encoding"}
)


class Upstream:
    """Sends requests on. Time limits in seconds: `connect`, and `idle` between two pieces of an answer."""

    def __init__(self, session: aiohttp.ClientSession, *, connect: float = 5.0, idle: float = 60.0) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=idle)

    async def send(
        self, request: web.Request, base_url: str, *, body: bytes | None, whole: bool
    ) -> aiohttp.ClientResponse:
        """The upstream's answer, with its body yet to be read. Raises `UpstreamFailed`.

        `body` is the request's body if it was read already; otherwise it is streamed. With `whole`, the
        upstream is asked for the complete, uncompressed document, whatever the client asked for.
        """
        headers = end_to_end(request.headers)
        if whole:
            for name in _CONDITIONS:
                headers.popall(name, None)
            headers["accept-encoding"] = "identity"
        headers.popall("host", None)
        headers.popall(HEADER, None)  # a key of this gateway is nobody else's business
        headers.add("via", _VIA)
        if request.remote:
            headers.add("x-forwarded-for", request.remote)
        headers["x-forwarded-proto"] = request.scheme
        if host := request.headers.get("host"):
            headers["x-forwarded-host"] = host
        data: bytes | AsyncIterator[bytes] | None = body
        if body is None and request.body_exists:
            data = request.content.iter_chunked(PIECE)
        elif body is not None:
            headers.popall("content-length", None)
        url = URL(base_url.rstrip("/") + request.raw_path, encoded=True)
        try:
            return await self._session.request(
                request.method,
                url,
                headers=headers,
                data=data,
                allow_redirects=False,
                timeout=self._timeout,
                skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            )
        except TimeoutError:
            msg = "The query API behind the gateway did not answer in time."
            raise UpstreamFailed(msg, timed_out=True) from None
        except (aiohttp.ClientError, OSError) as e:
            msg = f"The query API behind the gateway could not be reached ({type(e).__name__})."
            raise UpstreamFailed(msg) from None


def end_to_end(headers: CIMultiDict[str] | object) -> CIMultiDict[str]:
    """A copy of `headers` without those that concern one connection only."""
    copy: CIMultiDict[str] = CIMultiDict(headers)  # type: ignore[arg-type]  # the proxy type of multidict is one too
    named = {
        token.strip().lower() for value in copy.getall("connection", ()) for token in value.split(",") if token.strip()
    }
    for name in _HOP_BY_HOP | named:
        copy.popall(name, None)
    return copy
