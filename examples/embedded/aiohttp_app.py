"""An aiohttp application with hooks: `python aiohttp_app.py`."""

import os
from contextlib import AsyncExitStack

from aiohttp import web

from gateway.config import load_settings
from gateway.service.embedding import embedded_gateway
from gateway.service.middleware import hooks_middleware, query_of_request

AIRPORTS = [{"code": "KEF", "name": "Keflavik"}, {"code": "LIS", "name": "Lisbon"}]


async def search(request):
    """The query API: airports whose name begins with `q`."""
    begins = request.query.get("q", "")
    return web.json_response({"rows": [airport for airport in AIRPORTS if airport["name"].startswith(begins)]})


def query_of(request):
    """Which requests are queries, and of whom."""
    if request.path != "/search":
        return None
    return query_of_request(request, "search", tenant=request.headers.get("x-tenant"))


async def application():
    """The application, with a gateway that is open while it runs."""
    stack = AsyncExitStack()
    gateway = await stack.enter_async_context(embedded_gateway(load_settings(), control=True))
    app = web.Application(middlewares=[hooks_middleware(gateway.chain, query_of, debug=gateway.debug)])
    app.router.add_get("/search", search)

    async def close(_app):
        await stack.aclose()

    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
