"""What a handler gets: the query, the result, and how long there is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import orjson

from gateway.receiver.answers import of_edit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.model import Query, Result
    from gateway.receiver.answers import Answer

__all__ = ["Call"]

T = TypeVar("T")


class Call:
    """One call of a hook, verified.

    `id` is the message's (`webhook-id`), the same if the call is repeated. `query` has `type`, `capability`, `tenant`,
    `params`, `context`, `id`, `depth`, `traceparent` and `tracestate`; in binary delivery `params` and `context` are
    `None`. `result` holds the result's bytes. `body` is the request's. `hook` is the name of the hook that is
    called, `hook_id` its id at the gateway. `deadline` is when the gateway stops waiting, by `time.monotonic`.
    """

    __slots__ = ("_clock", "_edited", "_has_edited", "body", "deadline", "hook", "hook_id", "id", "query", "result")

    def __init__(
        self,
        message_id: str,
        query: Query,
        result: Result,
        *,
        body: bytes,
        hook: str,
        hook_id: str | None,
        deadline: float,
        clock: Callable[[], float],
    ) -> None:
        self.id = message_id
        self.query = query
        self.result = result
        self.body = body
        self.hook = hook
        self.hook_id = hook_id
        self.deadline = deadline
        self._clock = clock
        self._has_edited = False
        self._edited: Any = None

    def __repr__(self) -> str:
        return f"Call({self.id!r}, {self.query.type!r}, capability={self.query.capability!r}, hook={self.hook!r})"

    def remaining(self) -> float:
        """How many seconds are left; negative once it is too late."""
        return self.deadline - self._clock()

    @property
    def value(self) -> Any:
        """The result's JSON value. Read only: `edit` gives one to change. Parsed when it is first asked for."""
        return self.result.value

    def value_as(self, kind: type[T]) -> T:
        """The result as a dataclass, a `TypedDict`, a `msgspec.Struct` or any other type that msgspec knows.

        Raises `ValueError` with the place that does not fit.
        """
        return _converted(lambda: msgspec.json.decode(self.result.body, type=kind), "result")

    def params_as(self, kind: type[T]) -> T:
        """The query's `params` as such a type. Raises `ValueError` with the place that does not fit."""
        return _converted(lambda: msgspec.convert(self.query.params, kind), "params")

    @contextmanager
    def edit(self) -> Iterator[Any]:
        """A copy of the result's value to change; a handler that returns nothing answers with the difference.

        ```python
        with call.edit() as result:
            result["note"] = "seen"
        ```
        An edit that is left by an exception does not count. A second one goes on where the first one ended.
        """
        copy = orjson.loads(orjson.dumps(self._edited) if self._has_edited else self.result.body)
        yield copy
        self._edited, self._has_edited = copy, True

    def edited(self, *, max_age: int | None = None) -> Answer:
        """The answer that makes of the result what was edited: a patch, or the whole result where that is less."""
        return of_edit(self.result, self._edited if self._has_edited else self.value, max_age=max_age)


def _converted(convert: Callable[[], T], what: str) -> T:
    try:
        return convert()
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"The {what} is not what the handler takes: {error}") from None
