"""The code of the pages on embedding works as it stands there."""

import asyncio
import json
import re
import sys
import types
from pathlib import Path

import strawberry

import gateway.sync.django as on_django
from gateway import HookDraft, IntegrationDraft, Settings
from gateway.sync import HooksWsgi, SyncGateway
from gateway.testing.hook_server import HookServer

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
LOCAL = {
    "store": {"url": "memory:"},
    "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, "budget_ms": 10_000},
}


def blocks(page):
    found = re.findall(r"^( *)```python\n(.*?)^ *```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def run(code, monkeypatch, tmp_path):
    """What the code defines, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_STORE__URL", "memory:")
    page = types.ModuleType("page")  # found by who looks up the types that a class in it names
    monkeypatch.setitem(sys.modules, "page", page)
    exec(compile(code, "page.py", "exec", dont_inherit=True), vars(page))
    return vars(page)


def merging(url):
    async def prepare(gateway):
        made = await gateway.registry.register(IntegrationDraft("one", url))
        hook = await gateway.registry.create_hook(
            made.integration.id, HookDraft("it", "/merge-patch", timeout_ms=9_000)
        )
        await gateway.registry.enable(hook.id)

    return prepare


async def test_the_flask_application_of_the_page_answers_through_hooks(monkeypatch, tmp_path):
    app = run(blocks("embed-in-flask-and-django.md")[0], monkeypatch, tmp_path)["app"]
    own = app.extensions["gateway"]
    async with HookServer() as server:
        gateway = SyncGateway(Settings.model_validate(LOCAL), prepare=merging(server.url))
        app.wsgi_app = HooksWsgi(app.wsgi_app.app, {"/items": "items"}, gateway=gateway)
        client = app.test_client()
        for path in ("/airports/is", "/items"):
            answer = await asyncio.to_thread(client.get, path)
            assert (answer.json["merged"], answer.headers["gateway-hooks"][:10]) == (True, "it;applied")
        await asyncio.to_thread(gateway.close)
    assert own.settings.store.url == "memory:"


def test_the_django_settings_of_the_page_are_ones_that_the_middleware_knows(monkeypatch, tmp_path):
    first, second = blocks("embed-in-flask-and-django.md")[1:3]
    said = run(first, monkeypatch, tmp_path)["GATEWAY"]
    assert set(said) < set(on_django._KEYS)
    assert Settings.model_validate(said["settings"]).store.url == "sqlite:///gateway.db"
    assert callable(run(second, monkeypatch, tmp_path)["query_of"])


async def test_the_wsgi_application_and_prepare_of_the_page_work(monkeypatch, tmp_path):
    third, fourth = blocks("embed-in-flask-and-django.md")[3:]
    assert isinstance(run(third, monkeypatch, tmp_path)["application"], HooksWsgi)
    monkeypatch.setenv("PRICES_SECRET", "whsec_" + "A" * 43 + "=")
    names = run(fourth, monkeypatch, tmp_path)
    local = SyncGateway(Settings.model_validate(LOCAL), prepare=names["prepare"])
    await asyncio.to_thread(local.open)
    (hook,) = local.inner.registry.hooks()
    assert (hook.name, hook.enabled) == ("price-fx", True)
    await asyncio.to_thread(local.close)


async def test_the_pipelines_of_the_page_without_the_web_run(monkeypatch, tmp_path):
    threads, loop = (run(code, monkeypatch, tmp_path) for code in blocks("embed-without-the-web.md"))
    settings = Settings.model_validate(LOCAL)
    document, outcomes = await asyncio.to_thread(threads["main"], settings)
    assert (document, outcomes) == ({"rows": [{"code": "KEF", "country": "is"}]}, [])
    assert (await loop["main"](settings)).result.value == document


async def test_the_schema_of_the_page_on_graphql_answers(monkeypatch, tmp_path):
    (code,) = blocks("embed-in-graphql.md")
    names = run(code, monkeypatch, tmp_path)
    assert isinstance(names["schema"], strawberry.Schema)
    query = '{ airports(country: "is") { label } }'
    response = await names["schema"].execute(query, context_value={"tenant": "acme"})
    assert json.loads(json.dumps(response.data)) == {"airports": [{"label": "Keflavik (KEF)"}]}
    await asyncio.to_thread(names["gateway"].close)
