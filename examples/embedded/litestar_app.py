"""A Litestar application with hooks: `uvicorn litestar_app:app`."""

from litestar import Litestar, get

from gateway.config import load_settings
from gateway_asgi import HooksMiddleware


@get("/search")
async def search() -> dict[str, list[dict[str, str]]]:
    """The query API."""
    return {"rows": [{"code": "KEF", "name": "Keflavik"}]}


app = HooksMiddleware(Litestar([search]), {"/search": "search"}, settings=load_settings(), control=True)
