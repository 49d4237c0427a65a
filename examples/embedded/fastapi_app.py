"""A FastAPI application with hooks: `uvicorn fastapi_app:app`."""

from fastapi import FastAPI

from gateway.config import load_settings
from gateway_asgi import HooksMiddleware

api = FastAPI()


@api.get("/search")
async def search(q: str = "") -> dict[str, list[dict[str, str]]]:
    """The query API: airports whose name begins with `q`."""
    airports = [{"code": "KEF", "name": "Keflavik"}, {"code": "LIS", "name": "Lisbon"}]
    return {"rows": [airport for airport in airports if airport["name"].startswith(q)]}


app = HooksMiddleware(api, {"/search": "search"}, settings=load_settings(), control=True)
