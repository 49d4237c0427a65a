"""The three phases of a query for programs without an event loop."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from gateway.model import Query, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.pipeline import Answer

    DataQuery = Callable[[Query], Any]
    PreQuery = Callable[[Query], Query | None]
    PostQuery = Callable[[Query, Result], Result | None]

__all__ = ["SyncPipeline"]


class SyncPipeline:
    """Answers queries, like `gateway.QueryPipeline`; its steps are plain functions and run in the calling thread.

    `run(query, result)` takes a result through the hooks.
    """

    def __init__(
        self,
        run: Callable[[Query, Result], Answer],
        data_query: DataQuery,
        *,
        pre_query: Sequence[PreQuery] = (),
        post_query: Sequence[PostQuery] = (),
    ) -> None:
        for step in (data_query, *pre_query, *post_query):
            if inspect.iscoroutinefunction(step):
                raise TypeError(
                    f"{step.__qualname__} is async; use gateway.open_gateway and its pipeline for such steps."
                )
        self._run = run
        self._data_query = data_query
        self._pre_query = tuple(pre_query)
        self._post_query = tuple(post_query)

    def run(self, query: Query) -> Answer:
        """The answer to `query`.

        Raises what the steps raise, `HookFailed` if a hook failed whose failure policy is `fail`, and `QueryRejected`
        if a hook rejected the query and may do so.
        """
        for before in self._pre_query:
            query = before(query) or query
        started = time.perf_counter()
        result = Result.from_any(self._data_query(query))
        query_ms = (time.perf_counter() - started) * 1000
        answer = self._run(query, result)
        result = answer.result
        for after in self._post_query:
            result = after(query, result) or result
        return answer._replace(result=result, query_ms=query_ms)
