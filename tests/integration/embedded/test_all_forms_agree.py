"""One query, one set of hooks, every door: each form of the gateway gives the same result, outcomes and provenance.

The result is the same to the byte, but where the form writes JSON itself: GraphQL answers are one document with the
values of all fields in it, so there the document is compared, and a problem is found among the error's `extensions`.
"""
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import Any, NamedTuple

import aiohttp
import django
import flask
import pytest
import strawberry
from aiohttp import web
from aiohttp.test_utils import TestServer
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path as django_path
from fastapi import FastAPI
from fastapi import Response as FastAPIResponse
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import Response as LitestarResponse
from litestar import get as litestar_get
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from strawberry.scalars import JSON  # noqa: TC002 - looked up at run time
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type

import gateway.sync.django as on_django
from gateway import (
    Envelope,
    FailurePolicy,
    HookDraft,
    HookFailed,
    IntegrationDraft,
    Query,
    QueryRejected,
    Settings,
)
from gateway import open_gateway as open_async
from gateway.pipeline import provenance as headers_of
from gateway.pipeline.http_answer import failure
from gateway.service.middleware import hooks_middleware, query_of_request
from gateway.service.serving import listening
from gateway.sync import HooksWsgi, SyncGateway
from gateway.sync.flask import Hooks
from gateway.testing.hook_server import HookServer, Reply
from gateway_asgi import HooksMiddleware
from gateway_strawberry import Hooked, provenance
from tests.integration.embedded.conftest import asgi, wsgi

BEFORE = b'{"rows":[1,2]}'
LARGE = b'{"rows":["%b"]}' % (b"x" * 3000)
SETTINGS: dict[str, Any] = {
    "store": {"url": "memory:"},
    "calls": {
        "allow_http": True,
        "allow": ["127.0.0.0/8"],
        "require_ownership": False,
        "max_result_bytes": 2000,
        "max_reply_bytes": 10_000,
        "budget_ms": 30_000,
    },
    "control": {"listen": "127.0.0.1:0", "operator_keys": ["operator-key-0123456789"]},
    "listen": "127.0.0.1:0",
}
FAIL = {"failure_policy": FailurePolicy.FAIL}


class Case(NamedTuple):
    """Hooks for one type of query (path and options, in order) and what must become of a query of this type."""

    hooks: list[tuple[str, dict[str, Any]]]
    outcomes: str
    after: bytes | dict[str, Any] = BEFORE
    before: bytes = BEFORE


class Told(NamedTuple):
    """What the caller of a form is told."""

    status: int
    document: Any
    outcomes: str


def failed(reason: str, hook: str = "a") -> dict[str, Any]:
    status, title = (504, "Gateway Timeout") if reason == "timeout" else (502, "Bad Gateway")
    detail = f"The hook '{hook}' failed ({reason}), and its failure policy is 'fail'."
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return problem | {"hook": hook, "reason": reason}


REJECTED = {
    "type": "about:blank",
    "title": "This query is not allowed.",
    "status": 422,
    "detail": "This query is not allowed.",
    "hook": "a",
}
CASES = {
    "no_hook": Case([], ""),
    "replace": Case([("/replace", {})], "a;applied", b'{"replaced":true}'),
    "merge_patch": Case([("/merge-patch", {})], "a;applied", b'{"rows":[1,2],"merged":true}'),
    "json_patch": Case([("/json-patch", {})], "a;applied", b'{"rows":[1,2],"patched":true}'),
    "unchanged": Case([("/unchanged", {})], "a;unchanged"),
    "reject_allowed": Case([("/reject", {})], "a;rejected", REJECTED),
    "reject_not_allowed": Case([("/reject", {"strict": True})], "a;failed;reason=rejected_not_allowed"),
    "timeout": Case([("/hang", {"timeout_ms": 100})], "a;failed;reason=timeout"),
    "garbage": Case([("/garbage", {})], "a;failed;reason=protocol"),
    "bad_json": Case([("/bad-json", {})], "a;failed;reason=bad_json"),
    "wrong_type": Case([("/wrong-type", {})], "a;failed;reason=content_type"),
    "bad_patch": Case([("/bad-patch", {})], "a;failed;reason=bad_patch"),
    "server_error": Case([("/status/500", {})], "a;failed;reason=status"),
    "redirect": Case([("/redirect", {})], "a;failed;reason=status"),
    "gone": Case([("/gone", {})], "a;failed;reason=gone"),
    "reply_too_large": Case([("/large", {})], "a;failed;reason=too_large"),
    "condition_holds": Case(
        [("/replace", {"condition": 'query.params.q == "lisbon"'})], "a;applied", b'{"replaced":true}'
    ),
    "condition_does_not": Case(
        [("/replace", {"condition": 'query.params.q == "porto"'})], "a;skipped;reason=condition"
    ),
    "result_too_large": Case([("/replace", {})], "a;skipped;reason=size", LARGE, LARGE),
    "two_in_order": Case(
        [("/merge-patch", {}), ("/json-patch", {})],
        "a;applied, b;applied",
        b'{"rows":[1,2],"merged":true,"patched":true}',
    ),
    "the_second_goes_on": Case(
        [("/status/500", {}), ("/merge-patch", {})],
        "a;failed;reason=status, b;applied",
        b'{"rows":[1,2],"merged":true}',
    ),
    "must_not_fail": Case([("/status/500", FAIL)], "a;failed;reason=status", failed("status")),
    "must_not_time_out": Case([("/hang", FAIL | {"timeout_ms": 100})], "a;failed;reason=timeout", failed("timeout")),
    "must_not_miss": Case([("/replace", FAIL)], "a;failed;reason=size", failed("size"), LARGE),
    "the_second_must_not_fail": Case(
        [("/merge-patch", {}), ("/gone", FAIL), ("/replace", {})],
        "a;applied, b;failed;reason=gone",
        failed("gone", "b"),
    ),
}  # fmt: skip


def expected(as_json):
    """What every form must tell; of a result, the document or its bytes."""
    told = {}
    for name, case in CASES.items():
        after = json.loads(case.after) if as_json and isinstance(case.after, bytes) else case.after
        told[name] = Told(case.after.get("status") if isinstance(case.after, dict) else 200, after, case.outcomes)
    return told


async def declare(gateway, url):
    """The hooks of all cases: each serves the type that its case is named after."""
    envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
    lax = (await gateway.registry.register(IntegrationDraft("lax", url, envelope=envelope))).integration.id
    strict = (await gateway.registry.register(IntegrationDraft("strict", url))).integration.id
    for name, case in CASES.items():
        for number, (path, more) in enumerate(case.hooks):
            options = {"timeout_ms": 10_000, **more}
            owner = strict if options.pop("strict", False) else lax
            hook = f"{name}.{'abc'[number]}"
            draft = HookDraft(hook, path, types=frozenset({name}), order=number, **options)
            await gateway.registry.enable((await gateway.registry.create_hook(owner, draft)).id)


@pytest.fixture
async def hooks():
    """The address of the integration server."""

    async def large(_request):
        return Reply.json(b'"%b"' % (b"x" * 20_000))

    async def bad_patch(_request):
        return Reply.json(b'[{"op":"remove","path":"/absent"}]', "application/json-patch+json")

    async with HookServer() as server:
        server.on("/large", large)
        server.on("/bad-patch", bad_patch)
        yield server.url


# ---------------------------------------------------------------- what is told, alike for all


def short(header):
    """The outcomes in `gateway-hooks` without times, and hooks by their letters."""
    return re.sub(r";ms=[\d.]+", "", re.sub(r"\w+\.([abc])\b", r"\1", header or ""))


def alike(document):
    """A problem with the hook by its letter."""
    return json.loads(re.sub(r"\w+\.([abc])\b", r"\1", json.dumps(document)))


def told_of(answer):
    headers = headers_of.headers(answer)
    return Told(200, answer.result.body, short(headers.get(headers_of.HOOKS)))


def told_of_error(error):
    status, headers, body = failure(error)
    return Told(status, alike(json.loads(body)), short(headers.get(headers_of.HOOKS)))


def over_http(url):
    async def ask(name):
        async with aiohttp.ClientSession() as session, session.get(f"{url}/query/{name}?q=lisbon") as answer:
            body = await answer.read()
            assert answer.headers.get("content-length") in {str(len(body)), None}
            if answer.content_type == "application/problem+json":
                document = alike(json.loads(body))
            else:
                document = body
                assert answer.content_type == "application/json"
            return Told(answer.status, document, short(answer.headers.get("gateway-hooks")))

    return ask


def query_of(request):
    """For forms whose requests have `path` and `query`."""
    return request.query(request.path.removeprefix("/query/"))


# ---------------------------------------------------------------- servers


# ---------------------------------------------------------------- the forms: each yields `ask(name)`


@contextlib.asynccontextmanager
async def opened(hooks, **more):
    async with open_async(Settings.model_validate(SETTINGS | more)) as gateway:
        await declare(gateway, hooks)
        yield gateway


def for_threads(hooks):
    return SyncGateway(Settings.model_validate(SETTINGS), prepare=lambda gateway: declare(gateway, hooks))


@contextlib.asynccontextmanager
async def query_pipeline(hooks):
    async with opened(hooks) as gateway:
        pipeline = gateway.pipeline(lambda query: CASES[query.type].before)

        async def ask(name):
            try:
                return told_of(await pipeline.run(Query(type=name, params={"q": "lisbon"})))
            except (HookFailed, QueryRejected) as error:
                return told_of_error(error)

        yield ask


@contextlib.asynccontextmanager
async def sync_pipeline(hooks):
    gateway = for_threads(hooks)
    pipeline = gateway.pipeline(lambda query: CASES[query.type].before)

    def run(name):
        try:
            return told_of(pipeline.run(Query(type=name, params={"q": "lisbon"})))
        except (HookFailed, QueryRejected) as error:
            return told_of_error(error)

    yield lambda name: asyncio.to_thread(run, name)
    await asyncio.to_thread(gateway.close)


def aiohttp_app():
    async def answer(request):
        return web.Response(body=CASES[request.match_info["name"]].before, content_type="application/json")

    app = web.Application()
    app.router.add_get("/query/{name}", answer)
    return app


@contextlib.asynccontextmanager
async def aiohttp_middleware(hooks):
    async with opened(hooks) as gateway:
        app = aiohttp_app()

        def asked(request):
            return query_of_request(request, request.match_info["name"])

        app.middlewares.append(hooks_middleware(gateway.chain, asked))
        async with TestServer(app) as server:
            yield over_http(str(server.make_url("")).rstrip("/"))


@contextlib.asynccontextmanager
async def standalone(hooks):
    async with TestServer(aiohttp_app()) as upstream:
        route = {"path": "/query/*", "upstream": str(upstream.make_url("")).rstrip("/"), "type": {"path": 1}}
        async with opened(hooks, routes=[route]) as gateway, listening(gateway, ["operator-key-0123456789"]) as urls:
            yield over_http(urls[1])


def starlette_app():
    async def answer(request):
        return Response(CASES[request.path_params["name"]].before, media_type="application/json")

    return Starlette(routes=[Route("/query/{name}", answer)])


def fastapi_app():
    app = FastAPI()

    @app.get("/query/{name}")
    async def answer(name: str):
        return FastAPIResponse(CASES[name].before, media_type="application/json")

    return app


def litestar_app():
    @litestar_get("/query/{name:str}", media_type="application/json")
    async def answer(request: LitestarRequest) -> LitestarResponse:
        return LitestarResponse(CASES[request.path_params["name"]].before, media_type="application/json")

    return Litestar([answer], openapi_config=None)


def asgi_middleware(make):
    @contextlib.asynccontextmanager
    async def form(hooks):
        async with opened(hooks) as gateway, asgi(HooksMiddleware(make(), query_of, gateway=gateway), "off") as url:
            yield over_http(url)

    return form


@contextlib.asynccontextmanager
async def plain_wsgi(hooks):
    def app(environ, start_response):
        start_response("200 OK", [("content-type", "application/json")])
        yield CASES[environ["PATH_INFO"].removeprefix("/query/")].before

    gateway = for_threads(hooks)
    async with wsgi(HooksWsgi(app, query_of, gateway=gateway)) as url:
        yield over_http(url)
    await asyncio.to_thread(gateway.close)


@contextlib.asynccontextmanager
async def flask_by_path(hooks):
    app = flask.Flask("it")

    @app.get("/query/<name>")
    def answer(name):
        return flask.Response(CASES[name].before, mimetype="application/json")

    gateway = for_threads(hooks)
    Hooks(app, query_of, gateway=gateway)
    async with wsgi(app) as url:
        yield over_http(url)
    await asyncio.to_thread(gateway.close)


@contextlib.asynccontextmanager
async def flask_by_decorator(hooks):
    app = flask.Flask("it")

    def view(name):
        @Hooks.query(name)
        def answer():
            return flask.Response(CASES[name].before, mimetype="application/json")

        return answer

    for name in CASES:
        app.add_url_rule(f"/query/{name}", name, view(name))
    gateway = for_threads(hooks)
    Hooks(app, gateway=gateway)
    async with wsgi(app) as url:
        yield over_http(url)
    await asyncio.to_thread(gateway.close)


class Site:
    """A Django project."""

    @staticmethod
    def answer(_request, name):
        return HttpResponse(CASES[name].before, content_type="application/json")

    urlpatterns = (django_path("query/<name>", answer),)


def django_form(kind):
    @contextlib.asynccontextmanager
    async def form(hooks):
        from django.core.handlers.asgi import ASGIHandler
        from django.core.handlers.wsgi import WSGIHandler

        if not django_settings.configured:
            django_settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="test", LOGGING_CONFIG=None, ROOT_URLCONF=None)
            django.setup()
        said = {
            "queries": lambda request: on_django.query_of_request(request, request.path.removeprefix("/query/")),
            "settings": SETTINGS,
            "prepare": lambda gateway: declare(gateway, hooks),
        }
        on_django._open.clear()
        middleware = ["gateway.sync.django.HooksMiddleware"]
        with override_settings(GATEWAY=said, MIDDLEWARE=middleware, ROOT_URLCONF=Site, ALLOWED_HOSTS=["*"]):
            async with wsgi(WSGIHandler()) if kind == "sync" else asgi(ASGIHandler(), "off") as url:
                yield over_http(url)
        await asyncio.to_thread(on_django._open.pop("gateway").close)

    return form


def schema_of(gateway):
    def field(name):
        def resolve(q: str) -> JSON:
            return json.loads(CASES[name].before)

        resolve.__name__ = name
        return strawberry.field(resolver=resolve, name=name, extensions=[Hooked(name)])

    fields = create_type("Query", [field(name) for name in CASES])
    config = StrawberryConfig(auto_camel_case=False)
    return strawberry.Schema(fields, extensions=[provenance(gateway)], config=config)


def told_of_response(name, response):
    hooks = response.extensions.get("gateway", {}).get("hooks", [])
    outcomes = [f"{h['hook']};{h['status']}" + (f";reason={h['reason']}" if "reason" in h else "") for h in hooks]
    if response.errors:
        problem = alike(response.errors[0].extensions["problem"])
        return Told(problem["status"], problem, short(", ".join(outcomes)))
    return Told(200, response.data[name], short(", ".join(outcomes)))


@contextlib.asynccontextmanager
async def strawberry_async(hooks):
    async with opened(hooks) as gateway:
        schema = schema_of(gateway)

        async def ask(name):
            return told_of_response(name, await schema.execute(f'{{ {name}(q: "lisbon") }}'))

        yield ask


@contextlib.asynccontextmanager
async def strawberry_sync(hooks):
    gateway = for_threads(hooks)
    schema = schema_of(gateway)

    async def ask(name):
        response = await asyncio.to_thread(schema.execute_sync, f'{{ {name}(q: "lisbon") }}')
        return told_of_response(name, response)

    yield ask
    await asyncio.to_thread(gateway.close)


FORMS = {
    "QueryPipeline": query_pipeline,
    "SyncPipeline": sync_pipeline,
    "standalone": standalone,
    "aiohttp": aiohttp_middleware,
    "Starlette": asgi_middleware(starlette_app),
    "FastAPI": asgi_middleware(fastapi_app),
    "Litestar": asgi_middleware(litestar_app),
    "WSGI": plain_wsgi,
    "Flask": flask_by_path,
    "Flask, decorated": flask_by_decorator,
    "Django": django_form("sync"),
    "Django, async": django_form("async"),
    "Strawberry": strawberry_async,
    "Strawberry, sync": strawberry_sync,
}


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_gives_the_same_answer_to_the_same_query(form, hooks, caplog):
    async with FORMS[form](hooks) as ask:
        found = {name: await ask(name) for name in CASES}
    assert found == expected(as_json=form.startswith("Strawberry"))
    assert "never retrieved" not in caplog.text
