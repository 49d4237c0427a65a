"""The field's extension: a resolver's value through the hooks, and back as the types of the schema."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import orjson
from graphql import GraphQLError, GraphQLList, GraphQLNonNull
from strawberry.extensions import FieldExtension
from strawberry.types import get_object_definition
from strawberry.types.unset import UNSET

from gateway import GatewayError, HookFailed, Query, QueryRejected, Reason, Result, Status
from gateway.observe.log import get_logger
from gateway.pipeline.debug import HEADER
from gateway.pipeline.http_answer import failure_problem
from gateway.sync import SyncGateway
from gateway.wire.nesting import DEPTH, depth_of
from gateway_strawberry.documents import Documents, Misfit
from gateway_strawberry.operation import present

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from strawberry import Info

    from gateway import Answer, Gateway, Outcome
    from gateway_strawberry.operation import HooksExtension

    Said = str | Callable[[Info], str | None] | None

__all__ = ["Hooked"]

CODES: Final = {HookFailed: "HOOK_FAILED", QueryRejected: "QUERY_REJECTED"}

log = get_logger("strawberry")


class Hooked(FieldExtension):
    """Runs what the resolver of a field gives through the hooks: `@strawberry.field(extensions=[Hooked("search")])`.

    `query_type` is the type of the query; its params are the arguments of the field, by their names in the schema.
    `capability` and `tenant` are names, or functions of the resolver's `Info`, and so of its context; `params` is such
    a function, too. Depth and trace come from the headers of the request in the context, where there is one.

    A result that does not fit the field's type is not used: the value is what the resolver gave, and the outcome of the
    hooks that changed it is `failed`, `contract`. A failed or rejected query is an error of the field, with `code` and
    `problem` (RFC 9457) among its `extensions`.
    """

    def __init__(
        self,
        query_type: str,
        *,
        capability: Said = None,
        tenant: Said = None,
        params: Callable[[Info], Any] | None = None,
    ) -> None:
        self._type = query_type
        self._capability = capability
        self._tenant = tenant
        self._params = params

    def resolve(self, next_: Callable[..., Any], source: Any, info: Info, **kwargs: Any) -> Any:
        """The value of a field whose resolver is a plain function; a coroutine where an event loop is running."""
        value = next_(source, info, **kwargs)
        turn = _Turn(self._query(info, kwargs), info, value)
        if not isinstance(turn.gateway, SyncGateway) or _is_in_a_loop():
            return turn.run_async()
        return turn.run(turn.gateway)

    async def resolve_async(self, next_: Callable[..., Awaitable[Any]], source: Any, info: Info, **kwargs: Any) -> Any:
        """The value of a field whose resolver is async."""
        value = next_(source, info, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        return await _Turn(self._query(info, kwargs), info, value).run_async()

    def _query(self, info: Info, kwargs: dict[str, Any]) -> Query:
        headers = _headers(info.context)
        return Query(
            type=self._type,
            capability=_said(self._capability, info),
            tenant=_said(self._tenant, info),
            params=_arguments(info, kwargs) if self._params is None else self._params(info),
            depth=depth_of(headers(DEPTH)),
            traceparent=headers("traceparent"),
            tracestate=headers("tracestate"),
        )


class _Turn:
    """One value on its way through the hooks."""

    def __init__(self, query: Query, info: Info, value: Any) -> None:
        self._operation: HooksExtension = present()
        self.gateway = self._operation.gateway
        self._query = query
        self._path = info.path.as_list()
        self._debug: str | None = _headers(info.context)(HEADER)
        raw = info._raw_info  # noqa: SLF001 - strawberry's own door to what it is built on
        self._documents = Documents(raw.schema, info.schema.config)
        self._type = raw.return_type
        is_list = isinstance(self._type.of_type if isinstance(self._type, GraphQLNonNull) else self._type, GraphQLList)
        # What gives its items only once is made a list, since the hooks look at it first.
        once = is_list and not isinstance(value, (list, tuple)) and isinstance(value, Iterable)
        self._value = list(value) if once else value

    def run(self, gateway: SyncGateway) -> Any:
        """What becomes of the value."""
        try:
            result = self._result(gateway.inner)
            return self._value if result is None else self._fitted(gateway.run(self._query, result, debug=self._debug))
        except (HookFailed, QueryRejected) as error:
            raise self._error(error) from None
        except GatewayError as error:
            return self._without(error)

    async def run_async(self) -> Any:
        """The same on an event loop."""
        gateway = self.gateway
        try:
            if isinstance(gateway, SyncGateway):
                inner = gateway.inner if gateway.is_open else await asyncio.to_thread(lambda: gateway.inner)
                result = self._result(inner)
                if result is None:
                    return self._value
                return self._fitted(await gateway.run_async(self._query, result, debug=self._debug))
            result = self._result(gateway)
            if result is None:
                return self._value
            with gateway.debug.tracing(self._debug):
                answer = await gateway.chain.run(self._query, result)
            return self._fitted(answer)
        except (HookFailed, QueryRejected) as error:
            raise self._error(error) from None
        except GatewayError as error:
            return self._without(error)

    def _result(self, gateway: Gateway) -> Result | None:
        """The value as a document; `None` if no hook is for it."""
        query = self._query
        self._snapshot = gateway.registry.snapshot
        if not self._snapshot.select(query.type, query.capability, query.tenant):
            return None
        try:
            return Result.of(self._documents.document(self._value, self._type))
        except (Misfit, TypeError, AttributeError, LookupError) as error:
            log.warning("strawberry.no_document", field=str(self._path[-1]), detail=str(error))
            return None

    def _fitted(self, answer: Answer) -> Any:
        """The answer's result as a value of the field's type, or the value as it was."""
        outcomes, value = answer.outcomes, self._value
        if answer.changed:
            try:
                value = self._documents.value(answer.result.value, self._type, self._value)
            except (Misfit, ValueError) as error:
                outcomes = tuple(_unfit(outcome, str(error)) for outcome in outcomes)
                log.warning("strawberry.misfit", field=str(self._path[-1]), detail=str(error))
                self._fail_if_fatal(outcomes)
        self._operation.tell(self._path, outcomes, answer.trace_id)
        return value

    def _fail_if_fatal(self, outcomes: tuple[Outcome, ...]) -> None:
        for number, outcome in enumerate(outcomes, 1):
            hook = self._snapshot.get(outcome.hook_id)
            if outcome.reason is Reason.CONTRACT and hook is not None and hook.fail:
                told = (*outcomes[: number - 1], outcome._replace(fatal=True))
                raise HookFailed(outcome.hook, Reason.CONTRACT, outcomes=told)

    def _error(self, error: HookFailed | QueryRejected) -> GraphQLError:
        self._operation.tell(self._path, error.outcomes, error.trace_id)
        return GraphQLError(error.detail, extensions={"code": CODES[type(error)], "problem": failure_problem(error)})

    def _without(self, error: GatewayError) -> Any:
        log.error("gateway.not_open", error=type(error).__name__, detail=error.detail)  # no trace of foreign code
        return self._value


def _unfit(outcome: Outcome, detail: str) -> Outcome:
    if not outcome.changed:
        return outcome
    return outcome._replace(status=Status.FAILED, reason=Reason.CONTRACT, changed=False, detail=detail)


def _said(value: Said, info: Info) -> str | None:
    return value(info) if callable(value) else value


def _arguments(info: Info, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that were given, as JSON, by their names in the schema."""
    name_of = info.schema.config.name_converter.get_graphql_name
    given = {}
    for python_name, value in kwargs.items():
        argument = info.get_argument_definition(python_name)
        if argument is not None and value is not UNSET:
            given[name_of(argument)] = _plain(value, name_of)
    document: dict[str, Any] = orjson.loads(orjson.dumps(given, default=str))
    return document


def _plain(value: Any, name_of: Callable[[Any], str]) -> Any:
    definition = get_object_definition(type(value))
    if definition is not None:
        fields = ((field, getattr(value, field.python_name)) for field in definition.fields)
        return {name_of(field): _plain(each, name_of) for field, each in fields if each is not UNSET}
    if isinstance(value, (list, tuple)):
        return [_plain(each, name_of) for each in value]
    return value.name if isinstance(value, Enum) else value


def _headers(context: Any) -> Callable[[str], str | None]:
    """The headers of the request that a context holds, however the integration puts it there."""
    request = context.get("request") if isinstance(context, dict) else getattr(context, "request", None)
    get = getattr(getattr(request, "headers", None), "get", None)

    def header(name: str) -> str | None:
        value = get(name) if get is not None else None
        return value if isinstance(value, str) else None

    return header


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
