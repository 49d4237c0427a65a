"""Hooks on Flask and Django applications, put there in the way of each framework."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json

import aiohttp
import django
import flask
import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path as django_path
from django.views.decorators.http import etag

import gateway.sync.django as on_django
from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft
from gateway.sync import SyncGateway
from gateway.sync.flask import Hooks
from gateway.testing.hook_server import HookServer
from tests.integration.embedded.conftest import asgi, wsgi

BEFORE = b'{"rows":[1,2]}'
CALLS = {
    "allow_http": True,
    "allow": ["127.0.0.0/8"],
    "require_ownership": False,
    "max_result_bytes": 1_000,
    "budget_ms": 10_000,
}
SETTINGS = {"store": {"url": "memory:"}, "calls": CALLS}
TABLE = {"/search": "search", "/items/*": "search"}
LARGE = [b'["', *[b"x" * 100] * 30, b'"]']


@pytest.fixture
async def server():
    async with HookServer() as it:
        yield it


def declaring(url, path="/merge-patch", policy=FailurePolicy.IGNORE):
    async def prepare(gateway):
        envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
        made = await gateway.registry.register(IntegrationDraft("one", url, envelope=envelope))
        draft = HookDraft(
            "it",
            path,
            types=frozenset({"search"}),
            timeout_ms=200 if path == "/hang" else 10_000,
            failure_policy=policy,
        )
        hook = await gateway.registry.create_hook(made.integration.id, draft)
        await gateway.registry.enable(hook.id)

    return prepare


async def get(url, method="GET", **options):
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(method, url, **options) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


# ---------------------------------------------------------------- Flask


def flask_app(**config):
    app = flask.Flask("it")
    app.config.update(config)

    @app.get("/search")
    def search():
        return {"rows": [1, 2]}

    @app.get("/airports/<country>")
    @Hooks.query("search", tenant=lambda: flask.request.headers.get("x-tenant"), capability="airports")
    def airports(country):
        response = flask.jsonify({"of": country})
        response.set_etag("1")
        return response.make_conditional(flask.request)

    @app.get("/async")
    @Hooks.query("search")
    async def asynchronous():
        return {"rows": [1, 2]}

    @app.get("/told")
    @Hooks.query("search", params=lambda: {"told": flask.request.args["q"]})
    def told():
        return {"asked": "gateway-debug" in flask.request.headers}

    return app


@contextlib.asynccontextmanager
async def flask_served(server, path="/merge-patch", policy=FailurePolicy.IGNORE, query_of=None):
    app = flask_app(GATEWAY=SETTINGS)
    hooks = Hooks(query_of=query_of, prepare=declaring(server.url, path, policy))
    hooks.init_app(app)
    async with wsgi(app) as url:
        yield url
    await asyncio.to_thread(app.extensions["gateway"].close)


async def test_a_flask_application_gets_hooks_by_path(server):
    async with flask_served(server, query_of=TABLE) as url:
        status, body, headers = await get(f"{url}/search?q=1")
    assert (status, json.loads(body)) == (200, {"rows": [1, 2], "merged": True})
    assert headers["gateway-hooks"].startswith("it;applied")


async def test_a_decorated_view_says_what_it_is_asked_and_answers_in_full(server):
    async with flask_served(server) as url:
        asked = {"x-tenant": "acme", "if-none-match": '"1"'}
        status, body, headers = await get(f"{url}/airports/is?limit=3", headers=asked)
        assert (status, json.loads(body)) == (200, {"of": "is", "merged": True})
        assert "etag" not in headers
        assert (await get(f"{url}/told?q=5"))[0] == 200
        assert json.loads((await get(f"{url}/async"))[1])["merged"]
    first, second, _ = (json.loads(request.body)["data"]["query"] for request in server.requests)
    assert (first["params"], first["tenant"], first["capability"]) == (
        {"country": "is", "limit": "3"},
        "acme",
        "airports",
    )
    assert second["params"] == {"told": "5"}


async def test_a_decorated_view_without_the_extension_says_what_is_missing():
    app = flask_app(TESTING=True)
    with pytest.raises(RuntimeError, match="wrap the application in it"):
        app.test_client().get("/told?q=1")


async def test_a_failure_is_flasks_answer_as_a_problem_document(server):
    async with flask_served(server, "/hang", FailurePolicy.FAIL, TABLE) as url:
        status, body, headers = await get(f"{url}/search")
    assert (status, headers["content-type"], json.loads(body)["reason"]) == (504, "application/problem+json", "timeout")


async def test_one_gateway_may_serve_several_flask_applications(server):
    shared = SyncGateway(prepare=declaring(server.url), settings=None)
    with pytest.raises(TypeError, match="either a gateway, or prepare"):
        Hooks(gateway=shared, control=True)
    apps = [flask_app(), flask_app()]
    for app in apps:
        Hooks(app, TABLE, gateway=shared)
    assert {app.extensions["gateway"] for app in apps} == {shared}


# ---------------------------------------------------------------- Django


class Site:
    """A Django project: the views and their paths."""

    urlpatterns: list

    @staticmethod
    def search(request):
        body = b"" if request.method == "HEAD" else BEFORE
        return HttpResponse(body, content_type="application/json", headers={"etag": '"1"', "x-own": "kept"})

    @staticmethod
    def text(_request):
        return HttpResponse(b"plain", content_type="text/plain")

    @staticmethod
    def stream(_request):
        return StreamingHttpResponse([b'{"rows"', b":[1,2]}"], content_type="application/json")

    @staticmethod
    def large(_request):
        return StreamingHttpResponse(list(LARGE), content_type="application/json", headers={"content-length": "3004"})

    @staticmethod
    def wide(_request):
        return JsonResponse({"rows": [7] * 200})

    @staticmethod
    def cookies(_request):
        response = JsonResponse({"rows": [1, 2]})
        response.set_cookie("own", "1")
        return response

    @staticmethod
    @etag(lambda _request: '"1"')
    def tagged(request):
        return JsonResponse(
            {"seen": sorted(name for name in request.headers if name in {"If-None-Match", "Gateway-Debug"})}
        )

    @staticmethod
    async def search_async(_request):
        return HttpResponse(BEFORE, content_type="application/json")

    @staticmethod
    async def stream_async(_request):
        async def pieces():
            yield b'{"rows"'
            yield b":[1,2]}"

        return StreamingHttpResponse(pieces(), content_type="application/json")

    @staticmethod
    async def large_async(_request):
        async def pieces():
            for piece in LARGE:
                yield piece

        return StreamingHttpResponse(pieces(), content_type="application/json", headers={"content-length": "3004"})


Site.urlpatterns = [
    django_path("search", Site.search),
    django_path("other", Site.search),
    *(
        django_path(f"items/{name}", view)
        for name, view in vars(Site).items()
        if not name.startswith("_") and name != "urlpatterns"
        for view in [view.__func__]
    ),
]

if not django_settings.configured:
    django_settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="test", LOGGING_CONFIG=None, ROOT_URLCONF=None)
    django.setup()


@contextlib.asynccontextmanager
async def django_served(form, said, middleware=()):
    """The site under one of Django's two ways of serving."""
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    on_django._open.clear()
    names = [*middleware, "gateway.sync.django.HooksMiddleware"]
    with override_settings(GATEWAY=said, MIDDLEWARE=names, ROOT_URLCONF=Site, ALLOWED_HOSTS=["*"]):
        serving = wsgi(WSGIHandler()) if form == "sync" else asgi(ASGIHandler(), "off")
        async with serving as url:
            yield url
    for gateway in on_django._open.values():
        await asyncio.to_thread(gateway.close)
    on_django._open.clear()


def said(server, path="/merge-patch", policy=FailurePolicy.IGNORE, **more):
    return {"queries": TABLE, "settings": SETTINGS, "prepare": declaring(server.url, path, policy), **more}


FORMS = ["sync", "async"]
both = pytest.mark.parametrize("form", FORMS)


@pytest.mark.parametrize(
    ("form", "path"),
    [
        *((form, path) for form in FORMS for path in ("/search", "/items/stream", "/items/cookies")),
        ("sync", "/items/search_async"),
        ("async", "/items/search_async"),
        ("async", "/items/stream_async"),
    ],
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
async def test_a_django_view_gets_hooks_however_it_answers(form, path, server):
    async with django_served(form, said(server)) as url:
        status, body, headers = await get(f"{url}{path}?q=lisbon", headers={"gateway-depth": "1"})
    assert (status, json.loads(body)) == (200, {"rows": [1, 2], "merged": True})
    assert headers["gateway-hooks"].startswith("it;applied;ms=")
    assert headers["content-length"] == str(len(body))
    assert "etag" not in headers
    assert headers.get("x-own") == ("kept" if path == "/search" else None)
    assert ("set-cookie" in headers) is (path == "/items/cookies")
    (request,) = server.requests
    assert request.header("gateway-depth") == "2"
    assert json.loads(request.body)["data"]["query"]["params"] == {"q": "lisbon"}


@both
async def test_what_is_no_result_passes_through_django_as_it_is(form, server):
    async with django_served(form, said(server)) as url:
        assert (await get(f"{url}/items/text"))[1] == b"plain"
        status, body, headers = await get(f"{url}/other")
        assert (status, body, headers["etag"]) == (200, BEFORE, '"1"')
        assert (await get(f"{url}/search", "HEAD"))[2]["etag"] == '"1"'
        assert (await get(f"{url}/items/nowhere"))[0] == 404
    assert server.requests == []


@pytest.mark.parametrize(
    ("form", "path"), [("sync", "/items/large"), ("async", "/items/large"), ("async", "/items/large_async")]
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
async def test_an_answer_beyond_the_limit_streams_on_through_django(form, path, server):
    async with django_served(form, said(server, policy=FailurePolicy.FAIL)) as url:
        status, body, _ = await get(url + path)
        assert (status, json.loads(body)["reason"]) == (502, "size")  # not without such a hook
    async with django_served(form, said(server)) as url:
        status, body, headers = await get(url + path)
    assert (status, body, headers["content-length"]) == (200, b"".join(LARGE), "3004")
    assert headers["gateway-hooks"].startswith("it;skipped;reason=size")
    assert server.requests == []


@both
@pytest.mark.parametrize(("path", "status"), [("/hang", 504), ("/reject", 422), ("/status/500", 502)])
async def test_a_query_without_an_answer_is_djangos_problem_document(form, path, status, server):
    async with django_served(form, said(server, path, FailurePolicy.FAIL)) as url:
        found, body, headers = await get(f"{url}/search")
    assert (found, headers["content-type"], json.loads(body)["status"]) == (status, "application/problem+json", status)
    assert headers["gateway-hooks"].startswith("it;")


@both
async def test_conditions_are_about_what_leaves_the_hooks_and_not_about_what_goes_in(form, server):
    """A view sees no condition; Django's own middleware, outside, answers for the changed bytes."""
    outside = ["django.middleware.http.ConditionalGetMiddleware"]
    async with django_served(form, said(server), outside) as url:
        status, body, headers = await get(f"{url}/items/tagged", headers={"if-none-match": '"1"', "gateway-debug": "k"})
        assert (status, json.loads(body)) == (200, {"seen": [], "merged": True})
        again = await get(f"{url}/items/tagged", headers={"if-none-match": headers["etag"]})
        assert (headers["etag"] != '"1"', again[0]) == (True, 304)


@both
async def test_djangos_compression_goes_outside(form, server):
    async with django_served(form, said(server), ["django.middleware.gzip.GZipMiddleware"]) as url:
        _, body, headers = await get(f"{url}/items/wide", headers={"accept-encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(body)) == {"rows": [7] * 200, "merged": True}


def query_of(request):
    return on_django.query_of_request(request, "search", tenant=request.headers.get("x-tenant"), params={"own": 1})


async def query_of_async(request):
    return query_of(request)


@pytest.mark.parametrize(("form", "queries"), [("sync", query_of), ("async", query_of), ("async", query_of_async)])
async def test_a_function_may_say_which_requests_are_queries(form, queries, server):
    async with django_served(form, said(server, queries=queries)) as url:
        await get(f"{url}/other", headers={"x-tenant": "acme"})
    query = json.loads(server.requests[0].body)["data"]["query"]
    assert (query["tenant"], query["params"]) == ("acme", {"own": 1})


@both
async def test_a_gateway_that_cannot_be_opened_leaves_djangos_answers_as_they_are(form, server, tmp_path, caplog):
    settings = SETTINGS | {"store": {"url": f"sqlite:///{tmp_path}/absent/gateway.db"}}
    async with django_served(form, said(server, settings=settings)) as url:
        assert (await get(f"{url}/search"))[:2] == (200, BEFORE)
    assert "there is no directory" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"querys": {}}, "GATEWAY has no 'querys'; it has queries"),
        ({"settings": {"stor": {}}}, "stor"),
        ({"prepare": "no.such.module"}, "No module named"),
    ],
)
async def test_a_wrong_setting_stops_the_start_and_says_why(wrong, word):
    with pytest.raises((ImproperlyConfigured, ImportError), match=word):
        async with django_served("sync", wrong):
            pass
