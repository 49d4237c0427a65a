"""The demo's query API: an ordinary aiohttp application, and the gateway as one middleware around its handlers.

`GET /query/{type}` answers through the hooks; `GET /data/{type}` is the same query without them, to compare.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.cli.demo.queries import QUERIES, run_query
from gateway.errors import FieldError, InvalidInput
from gateway.service.middleware import hooks_middleware, query_of_request
from gateway.service.problem import problem_middleware

if TYPE_CHECKING:
    import sqlite3

    from gateway.model import Query
    from gateway.pipeline import HookChain

_HOOKED: Final = "hooked"


def query_api(database: sqlite3.Connection, chain: HookChain) -> web.Application:
    """The application. The tenant comes from the header `x-tenant`."""
    application = web.Application(middlewares=[problem_middleware, hooks_middleware(chain, _query_of)])
    handlers = _Handlers(database)
    application.router.add_get("/", handlers.describe)
    application.router.add_get("/query/{type}", handlers.answer, name=_HOOKED)
    application.router.add_get("/data/{type}", handlers.answer)
    return application


def _query_of(request: web.Request) -> Query | None:
    if request.match_info.route.name != _HOOKED:
        return None
    return query_of_request(request, request.match_info["type"], tenant=request.headers.get("x-tenant"))


class _Handlers:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    async def answer(self, request: web.Request) -> web.Response:
        """One query's result, as JSON."""
        twice = sorted({name for name in request.query if len(request.query.getall(name)) > 1})
        if twice:
            raise InvalidInput(*(FieldError(f"/{name[:40]}", "is given more than once") for name in twice))
        # In a thread: a query may take a while, and the event loop has hooks to call meanwhile.
        given = dict(request.query)
        return web.json_response(await asyncio.to_thread(run_query, self._database, request.match_info["type"], given))

    async def describe(self, request: web.Request) -> web.Response:
        """What can be asked."""
        kinds = {
            kind.name: {
                "about": kind.about,
                "url": str(request.url.with_path(f"/query/{kind.name}")),
                "parameters": {parameter.name: parameter.about for parameter in kind.parameters},
            }
            for kind in QUERIES.values()
        }
        return web.json_response(kinds)
