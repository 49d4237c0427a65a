"""The data-query phase of `POST /v1/query`: another HTTP service that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
import orjson

from gateway.errors import UpstreamFailed
from gateway.model import Result
from gateway.service.results import is_json
from gateway.wire.nesting import DEPTH

if TYPE_CHECKING:
    from gateway.model import Query

TIMEOUT_SECONDS: Final = 30.0


class HttpDataSource:
    """Asks `url` by POST: the query goes as JSON, the JSON answer is the result.

    The body is `{"type", "capability", "tenant", "params", "context"}`. Raises `UpstreamFailed`.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._session = session
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def __call__(self, query: Query) -> Result:
        """The data source's result for `query`."""
        asked = {
            "type": query.type,
            "capability": query.capability,
            "tenant": query.tenant,
            "params": query.params,
            "context": query.context,
        }
        headers = {"content-type": "application/json", "accept": "application/json", DEPTH: str(query.depth)}
        try:
            async with self._session.post(
                self._url, data=orjson.dumps(asked), headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                body = await response.read()
        except TimeoutError:
            msg = "The data source did not answer in time."
            raise UpstreamFailed(msg, timed_out=True) from None
        except aiohttp.ClientError as e:
            msg = f"The data source could not be asked ({type(e).__name__})."
            raise UpstreamFailed(msg) from None
        if response.status != 200 or not is_json(response.headers.get("content-type")):
            kind = response.headers.get("content-type", "no content-type")[:100]
            msg = f"The data source answered with status {response.status} and {kind}; it takes 200 and JSON."
            raise UpstreamFailed(msg)
        return Result(body, response.content_type)
