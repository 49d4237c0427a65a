"""A Starlette application with hooks, which tells its queries by their tenant: `uvicorn starlette_app:app`."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway import Query
from gateway.config import load_settings
from gateway_asgi import HooksMiddleware, Request


async def search(_request: StarletteRequest) -> JSONResponse:
    """The query API."""
    return JSONResponse({"rows": [{"code": "KEF", "name": "Keflavik"}]})


def query_of(request: Request) -> Query | None:
    """Which requests are queries, and of whom."""
    if request.path != "/search":
        return None
    return request.query("search", tenant=request.headers.get("x-tenant"))


app = Starlette(
    routes=[Route("/search", search)],
    middleware=[Middleware(HooksMiddleware, query_of=query_of, settings=load_settings(), control=True)],
)
