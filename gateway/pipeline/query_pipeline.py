"""The three phases of a query: pre-query, data-query, post-query, with the hooks between the last two."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from gateway.model import Query, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.pipeline.answer import Answer
    from gateway.pipeline.chain import HookChain

    DataQuery = Callable[[Query], Any]
    PreQuery = Callable[[Query], Query | Awaitable[Query | None] | None]
    PostQuery = Callable[[Query, Result], Result | Awaitable[Result | None] | None]


class QueryPipeline:
    """Answers queries.

    `data_query(query)` produces the result: a `Result`, or the bytes of a JSON document, or any other value
    that JSON can hold. `pre_query` steps get the query and return it, changed or not; `post_query` steps get
    the query and the result after the hooks and return the result; `None` means "as it was". Each may be
    a plain or an async function. What they raise is raised by `run`.
    """

    def __init__(
        self,
        chain: HookChain,
        data_query: DataQuery,
        *,
        pre_query: Sequence[PreQuery] = (),
        post_query: Sequence[PostQuery] = (),
    ) -> None:
        self._chain = chain
        self._data_query = data_query
        self._pre_query = tuple(pre_query)
        self._post_query = tuple(post_query)

    async def run(self, query: Query) -> Answer:
        """The answer to `query`.

        Raises `HookFailed` if a hook failed whose failure policy is `fail`, and `QueryRejected` if a hook
        rejected the query and may do so.
        """
        for before in self._pre_query:
            query = await _awaited(before(query)) or query
        started = time.perf_counter()
        result = Result.from_any(await _awaited(self._data_query(query)))
        query_ms = (time.perf_counter() - started) * 1000
        answer = await self._chain.run(query, result)
        result = answer.result
        for after in self._post_query:
            result = await _awaited(after(query, result)) or result
        return answer._replace(result=result, query_ms=query_ms)


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
