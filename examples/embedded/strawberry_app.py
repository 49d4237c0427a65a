"""A GraphQL server with hooks on a field: `uvicorn strawberry_app:app`."""

from contextlib import asynccontextmanager

import strawberry
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL

from gateway.config import load_settings
from gateway.service.embedding import embedded_gateway
from gateway_strawberry import Hooked, provenance


@strawberry.type
class Airport:
    """What the hooks see of an airport, and may change: `code` and `name`."""

    code: strawberry.ID
    name: str

    @strawberry.field
    def label(self) -> str:
        """A field with a resolver of its own is made from what the hooks left."""
        return f"{self.name} ({self.code})"


@strawberry.type
class Query:
    """The query API."""

    @strawberry.field(
        extensions=[Hooked("search", tenant=lambda info: info.context["request"].headers.get("x-tenant"))]
    )
    def airports(self, begins: str = "") -> list[Airport]:
        """Airports whose name begins so."""
        airports = [Airport(code="KEF", name="Keflavik"), Airport(code="LIS", name="Lisbon")]
        return [airport for airport in airports if airport.name.startswith(begins)]


@asynccontextmanager
async def lifespan(app: Starlette):
    """Keep a gateway open while the application runs."""
    async with embedded_gateway(load_settings(), control=True) as gateway:
        app.state.gateway = gateway
        yield


schema = strawberry.Schema(Query, extensions=[provenance(lambda: app.state.gateway)])
app = Starlette(lifespan=lifespan, routes=[Route("/graphql", GraphQL(schema))])
