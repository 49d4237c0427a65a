"""Hooks on the fields of a Strawberry schema: types there and back, failures, provenance."""
# mypy: disable-error-code="untyped-decorator, return-value, func-returns-value"

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import json
import types
from typing import Annotated, Any

import pytest
import strawberry
from pydantic import BaseModel
from strawberry.scalars import JSON  # noqa: TC002 - looked up at run time

from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft, Settings, open_gateway
from gateway.sync import SyncGateway
from gateway.testing.hook_server import HookServer, Reply
from gateway_strawberry import Hooked, provenance

CALLS = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, "budget_ms": 10_000}
SETTINGS = Settings(store={"url": "memory:"}, calls=CALLS)
hooked = Hooked("search")


@strawberry.enum
class Kind(enum.Enum):
    LAND = "land base"
    WATER = "water base"


@strawberry.type
class Runway:
    length_m: int
    lit: bool = True


@strawberry.type
class Airport:
    code: strawberry.ID
    full_name: str | None
    kind: Kind = Kind.LAND
    runways: list[Runway] = strawberry.field(default_factory=list)
    opened: dt.date | None = None
    fee: decimal.Decimal | None = None
    row: strawberry.Private[object] = None

    @strawberry.field
    def label(self) -> str:
        return f"{self.code}/{self.full_name}/{self.row}"


@strawberry.type
class Heliport:
    code: str
    pads: int


class Model(BaseModel):
    code: str
    seats: int


@strawberry.experimental.pydantic.type(model=Model, all_fields=True)
class Plane:
    pass


@strawberry.input
class Where:
    country_code: str
    kinds: list[Kind] | None = None
    since: dt.date | None = strawberry.UNSET


KEF = Airport(
    code="KEF",
    full_name="Keflavik",
    runways=[Runway(length_m=3054)],
    opened=dt.date(1943, 3, 23),
    fee=decimal.Decimal("9.50"),
    row="r1",
)
LIS = Airport(code="LIS", full_name=None, row="r2")


@strawberry.type
class Query:
    @strawberry.field(extensions=[hooked])
    def airports(self, country: str = "is", where: Where | None = None) -> list[Airport]:
        return [KEF, LIS]

    @strawberry.field(extensions=[hooked])
    async def airports_async(self) -> list[Airport]:
        return [KEF, LIS]

    @strawberry.field(extensions=[hooked])
    def one(self) -> Airport:
        return KEF

    @strawberry.field(extensions=[hooked])
    def maybe(self) -> Airport | None:
        return KEF

    @strawberry.field(extensions=[hooked])
    def bases(self) -> list[Annotated[Airport | Heliport, strawberry.union("Base")]]:
        return [KEF, Heliport(code="H1", pads=2)]

    @strawberry.field(extensions=[hooked])
    def plane(self) -> Plane:
        return Plane.from_pydantic(Model(code="B7", seats=3))  # type: ignore[attr-defined]  # the decorator makes it

    @strawberry.field(extensions=[hooked])
    def document(self) -> JSON:
        return {"any": [1, None, {"deep": True}]}

    @strawberry.field(extensions=[hooked])
    def number(self) -> int:
        return 7

    @strawberry.field(extensions=[hooked])
    def when(self) -> dt.datetime:
        return dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

    @strawberry.field(extensions=[hooked])
    def some(self) -> list[int]:
        return (number for number in (1, 2))

    @strawberry.field(extensions=[Hooked("form", tenant=lambda info: info.context["tenant"], capability="fx")])
    def of_tenant(self) -> int:
        return 1


@pytest.fixture
async def server():
    async with HookServer() as it:
        yield it


def result_of(request):
    return json.loads(request.body)["data"]["result"]


async def add(gateway, url, path, policy=FailurePolicy.IGNORE, name="it"):
    envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
    integrations = gateway.registry.integrations()
    if not integrations:
        integrations = [(await gateway.registry.register(IntegrationDraft("one", url, envelope=envelope))).integration]
    draft = HookDraft(name, path, failure_policy=policy, timeout_ms=200 if path == "/hang" else 10_000)
    hook = await gateway.registry.create_hook(integrations[0].id, draft)
    await gateway.registry.enable(hook.id)


async def asked(server, query, path="/own", policy=FailurePolicy.IGNORE, context=None, handler=None):
    """The response of a schema whose gateway has one hook; `handler` changes the result."""
    if handler is not None:

        async def own(request):
            return Reply.json(json.dumps(handler(result_of(request))).encode())

        server.on("/own", own)
    async with open_gateway(SETTINGS) as gateway:
        await add(gateway, server.url, path, policy)
        schema = strawberry.Schema(Query, extensions=[provenance(gateway)])
        return await schema.execute(query, context_value=context)


def hooks_of(response):
    return [(told["status"], told.get("reason")) for told in response.extensions["gateway"]["hooks"]]


AIRPORTS = "{ code fullName kind opened fee label runways { lengthM lit } }"
ALL: list[dict[str, Any]] = [
    {"code": "KEF", "fullName": "Keflavik", "kind": "LAND", "opened": "1943-03-23", "fee": "9.50",
     "label": "KEF/Keflavik/r1", "runways": [{"lengthM": 3054, "lit": True}]},
    {"code": "LIS", "fullName": None, "kind": "LAND", "opened": None, "fee": None,
     "label": "LIS/None/r2", "runways": []},
]  # fmt: skip


@pytest.mark.parametrize("field", ["airports", "airportsAsync"])
async def test_a_hook_sees_names_of_the_schema_and_what_it_changes_comes_back_typed(field, server):
    def changed(result):
        assert result == [{name: value for name, value in row.items() if name != "label"} for row in ALL]
        result[0] |= {"fullName": "Keflavíkurflugvöllur", "kind": "WATER", "opened": "1944-01-01", "fee": "1.25"}
        result[0]["runways"].append({"lengthM": 900, "lit": False})
        return result

    response = await asked(server, f"{{ {field} {AIRPORTS} }}", handler=changed)
    assert response.errors is None
    first, second = response.data[field]
    assert second == ALL[1]
    assert first == ALL[0] | {
        "fullName": "Keflavíkurflugvöllur",
        "kind": "WATER",
        "opened": "1944-01-01",
        "fee": "1.25",
        "label": "KEF/Keflavíkurflugvöllur/r1",  # what the schema does not show of a row is kept with it
        "runways": [{"lengthM": 3054, "lit": True}, {"lengthM": 900, "lit": False}],
    }
    told = response.extensions["gateway"]["hooks"]
    assert [(each["path"], each["hook"], each["status"]) for each in told] == [([field], "it", "applied")]
    assert told[0]["ms"] >= 0


async def test_rows_that_move_keep_what_the_schema_does_not_show(server):
    response = await asked(server, f"{{ airports {AIRPORTS} }}", handler=lambda rows: rows[::-1] + rows[:1])
    assert response.data["airports"] == [ALL[1], ALL[0], ALL[0]]


async def test_new_rows_are_made_from_what_the_hook_says(server):
    row = {"code": "NEW", "fullName": "New", "kind": "LAND", "runways": []}
    response = await asked(server, f"{{ airports {AIRPORTS} }}", handler=lambda rows: [*rows, row])
    new = row | {"opened": None, "fee": None, "label": "NEW/New/None"}
    assert (response.errors, response.data["airports"]) == (None, [*ALL, new])


@pytest.mark.parametrize(
    ("field", "before", "changed", "after"),
    [
        ("number", 7, 8, 8),
        ("document", {"any": [1, None, {"deep": True}]}, {"other": []}, {"other": []}),
        ("when", "2026-01-02T03:04:05+00:00", "2027-01-02T03:04:05+00:00", "2027-01-02T03:04:05+00:00"),
        ("some", [1, 2], [3], [3]),
        ("maybe { code }", None, None, None),
        ("plane { code seats }", {"code": "B7", "seats": 3}, {"code": "B7", "seats": 4}, {"code": "B7", "seats": 4}),
        (
            "bases { __typename ... on Heliport { pads } ... on Airport { code } }",
            None,
            [{"__typename": "Heliport", "code": "H2", "pads": 5}],
            [{"__typename": "Heliport", "pads": 5}],
        ),
    ],
)
async def test_values_of_every_kind_go_and_come(field, before, changed, after, server):
    seen = []
    response = await asked(server, f"{{ {field} }}", handler=lambda result: (seen.append(result), changed)[1])
    assert (response.errors, response.data) == (None, {field.split()[0]: after})
    if before is not None:
        assert seen == [before]


async def test_a_value_of_a_union_tells_its_type(server):
    seen = []
    await asked(server, "{ bases { __typename } }", handler=lambda result: (seen.append(result), result)[1])
    assert [(each["__typename"], each["code"]) for each in seen[0]] == [("Airport", "KEF"), ("Heliport", "H1")]


@pytest.mark.parametrize("field", ["number", "some", "document", "airports { code }"])
async def test_a_value_that_no_hook_changes_is_the_resolvers_own(field, server):
    response = await asked(server, f"{{ {field} }}", "/unchanged")
    async with open_gateway(SETTINGS) as gateway:
        schema = strawberry.Schema(Query, extensions=[provenance(gateway)])
        without = await schema.execute(f"{{ {field} }}")
    assert (response.data, hooks_of(response)) == (without.data, [("unchanged", None)])
    assert without.extensions == {}


MISFITS = [
    ("number", "seven"),
    ("number", 2**40),
    ("number", None),
    ("some", {"not": "a list"}),
    ("some", [1, None]),
    ("when", "yesterday"),
    ("one { code }", [1]),
    ("one { code }", {"code": "KEF", "kind": "SPACE", "runways": []}),
    ("one { code }", {"kind": "LAND", "runways": []}),
    ("one { code }", {"code": "KEF", "kind": "LAND", "runways": [], "unknown": 1}),
    ("bases { __typename }", [{"code": "H2", "pads": 5}]),
    ("bases { __typename }", [{"__typename": "Runway", "lengthM": 5, "lit": True}]),
    ("bases { __typename }", [{"__typename": ["Runway"]}]),
    ("plane { seats }", {"code": "B7", "seats": "many"}),
]


@pytest.mark.parametrize(("field", "wrong"), MISFITS)
async def test_a_result_that_does_not_fit_the_type_is_not_used(field, wrong, server):
    without = await asked(server, f"{{ {field} }}", "/unchanged")
    response = await asked(server, f"{{ {field} }}", handler=lambda _: wrong)
    assert (response.errors, response.data) == (None, without.data)
    assert hooks_of(response) == [("failed", "contract")]


async def test_a_misfit_of_a_hook_that_must_not_fail_is_an_error(server):
    response = await asked(server, "{ number }", policy=FailurePolicy.FAIL, handler=lambda _: "seven")
    (error,) = response.errors
    assert (response.data, error.path) == (None, ["number"])
    assert error.extensions["code"] == "HOOK_FAILED"
    assert (error.extensions["problem"]["status"], error.extensions["problem"]["reason"]) == (502, "contract")
    assert hooks_of(response) == [("failed", "contract")]


@pytest.mark.parametrize(
    ("path", "code", "status", "told"),
    [
        ("/hang", "HOOK_FAILED", 504, ("failed", "timeout")),
        ("/status/500", "HOOK_FAILED", 502, ("failed", "status")),
        ("/reject", "QUERY_REJECTED", 422, ("rejected", None)),
    ],
)
async def test_a_query_without_an_answer_is_an_error_of_its_field(path, code, status, told, server):
    response = await asked(server, "{ maybe { code } }", path, FailurePolicy.FAIL)
    (error,) = response.errors
    assert (response.data, error.path) == ({"maybe": None}, ["maybe"])
    assert (error.extensions["code"], error.extensions["problem"]["status"]) == (code, status)
    assert error.message == error.extensions["problem"]["detail"] or code == "QUERY_REJECTED"
    assert hooks_of(response) == [told]


async def test_arguments_are_the_params_by_their_names_in_the_schema(server):
    query = 'query ($k: [Kind!]) { airports(country: "pt", where: {countryCode: "pt", kinds: $k}) { code } }'
    async with open_gateway(SETTINGS) as gateway:
        await add(gateway, server.url, "/unchanged")
        schema = strawberry.Schema(Query, extensions=[provenance(lambda: gateway)])
        response = await schema.execute(query, variable_values={"k": ["WATER"]})
    assert response.errors is None
    params = json.loads(server.requests[0].body)["data"]["query"]["params"]
    assert params == {"country": "pt", "where": {"countryCode": "pt", "kinds": ["WATER"]}}


async def test_tenant_and_capability_come_from_the_context_and_depth_from_its_request(server):
    request = types.SimpleNamespace(headers={"gateway-depth": "1"})
    context: dict[str, Any] = {"tenant": "acme", "request": request}
    response = await asked(server, "{ ofTenant }", "/unchanged", context=context)
    assert response.errors is None
    (call,) = server.requests
    query = json.loads(call.body)["data"]["query"]
    assert (query["type"], query["tenant"], query["capability"]) == ("form", "acme", "fx")
    assert call.header("gateway-depth") == "2"


@pytest.mark.parametrize("field", ["number", "airports { code }"])
async def test_a_schema_that_is_executed_without_an_event_loop_uses_the_gateway_for_threads(field, server):
    async def prepare(gateway):
        await add(gateway, server.url, "/unchanged")

    gateway = SyncGateway(SETTINGS, prepare=prepare)
    schema = strawberry.Schema(Query, extensions=[provenance(gateway)])
    response = await asyncio.to_thread(schema.execute_sync, f"{{ {field} }}")
    assert (response.errors, hooks_of(response)) == (None, [("unchanged", None)])
    again = await schema.execute("{ number airportsAsync { code } }")
    assert (again.errors, hooks_of(again)) == (None, [("unchanged", None)] * 2)
    await asyncio.to_thread(gateway.close)


async def test_a_gateway_that_cannot_be_opened_leaves_the_values_as_they_are(tmp_path, caplog):
    gateway = SyncGateway(Settings(store={"url": f"sqlite:///{tmp_path}/absent/gateway.db"}, calls=CALLS))
    schema = strawberry.Schema(Query, extensions=[provenance(gateway)])
    for response in (await schema.execute("{ number }"), await asyncio.to_thread(schema.execute_sync, "{ number }")):
        assert (response.errors, response.data) == (None, {"number": 7})
    assert "there is no directory" in caplog.text


async def test_a_value_that_is_not_what_the_schema_says_is_left_to_strawberry(server, caplog):
    @strawberry.type
    class Wrong:
        @strawberry.field(extensions=[hooked])
        def number(self) -> int:
            return "no number"

    async with open_gateway(SETTINGS) as gateway:
        await add(gateway, server.url, "/replace")
        response = await strawberry.Schema(Wrong, extensions=[provenance(gateway)]).execute("{ number }")
    assert "Int cannot represent" in response.errors[0].message
    assert server.requests == []
    assert "strawberry.no_document" in caplog.text


async def test_a_schema_without_the_extension_says_what_is_missing():
    response = await strawberry.Schema(Query).execute("{ number }")
    assert "lacks gateway_strawberry.provenance" in response.errors[0].message
