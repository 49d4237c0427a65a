"""The code of the how-to pages works as it stands there."""

import json
import re
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway import HookDraft, IntegrationDraft, Settings, open_gateway
from gateway.config import load_settings
from gateway.model import Query, Reason, Result, Status
from gateway.pipeline.scope import Scope
from gateway.testing.hook_server import HookServer
from gateway.wire.cel import MAX_COST, compile_condition
from gateway.wire.cel_cost import Extent

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
LOCAL = {"store": {"url": "memory:"}, "calls": {"allow_http": True, "allow": ["127.0.0.0/8"]}}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


def names_of(code):
    """What the code defines when it is imported, not run."""
    names = {"__name__": "example"}
    exec(compile(code, "example.py", "exec"), names)
    return names


@contextmanager
def example_server(folder, secret):
    """The server of "Write a hook" on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (code,) = blocks("write-a-hook.md", "python")
    (folder / "hook.py").write_text(code.replace(".serve_forever()", "; print(1, flush=True); _.serve_forever()"))
    text = (folder / "hook.py").read_text().replace("    ThreadingHTTPServer(", "    _ = ThreadingHTTPServer(")
    (folder / "hook.py").write_text(text)
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "hook.py"],
            cwd=folder,
            env={"HOOK_SECRET": secret, "PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout.readline() == b"1\n", (folder / "log.txt").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


@asynccontextmanager
async def gateway_with(base_url_of):
    """A gateway with one integration at `base_url_of(secret)` and one hook, enabled."""
    async with open_gateway(Settings.model_validate(LOCAL)) as gateway:
        registered = await gateway.registry.register(IntegrationDraft("example", "http://127.0.0.1:1"))
        with base_url_of(registered.secret) as base_url:
            await gateway.registry.change_integration(registered.integration.id, {"base_url": base_url})
            hook = await gateway.registry.create_hook(registered.integration.id, HookDraft("count", "/count"))
            await gateway.registry.enable(hook.id)
            yield gateway


async def test_the_example_of_a_hook_accepts_the_gateway_and_supplements_the_result(tmp_path):
    async with gateway_with(lambda secret: example_server(tmp_path, secret)) as gateway:
        answer = await gateway.chain.run(Query(type="search"), Result.of({"rows": [[1], [2]]}))
        assert answer.result.value == {"rows": [[1], [2]], "count": 2}
        answer = await gateway.chain.run(Query(type="search"), Result.of({"total": 2}))
        assert [outcome.status for outcome in answer.outcomes] == [Status.UNCHANGED]


async def test_the_example_of_a_hook_refuses_who_has_another_secret(tmp_path):
    other = "whsec_" + "A" * 43 + "="
    async with gateway_with(lambda secret: example_server(tmp_path, other)) as gateway:
        answer = await gateway.chain.run(Query(type="search"), Result.of({"rows": []}))
    (outcome,) = answer.outcomes
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.STATUS)
    assert "401" in outcome.detail


async def test_the_embedded_application_answers_and_has_a_control_api(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = names_of(blocks("embed-in-aiohttp.md", "python")[0])
    app = await names["application"](["an-operator-key-of-your-own"])
    assert isinstance(app, web.Application)
    async with TestClient(TestServer(app)) as client:
        async with client.get("/search") as response:
            assert await response.json() == {"rows": [["KEF", "Keflavik"]]}
        async with client.get("/gateway/readyz") as response:
            assert response.status == 200
        async with client.get("/gateway/v1/integrations") as response:
            assert response.status == 401


async def test_the_embedded_pipeline_goes_through_its_three_phases():
    names = names_of(blocks("embed-in-aiohttp.md", "python")[1])
    async with HookServer() as server, open_gateway(Settings.model_validate(LOCAL)) as gateway:
        registered = await gateway.registry.register(IntegrationDraft("example", server.url))
        draft = HookDraft("supplement", "/merge-patch", tenants=frozenset({"public"}))
        hook = await gateway.registry.create_hook(registered.integration.id, draft)
        await gateway.registry.enable(hook.id)
        answer = await names["ask"](gateway, "IS")
    assert answer.result.value["rows"] == [["KEF", "IS"]]
    assert [outcome.status for outcome in answer.outcomes] == [Status.APPLIED]


def test_the_production_configuration_loads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "operator-keys").write_text("an-operator-key-of-more-than-sixteen-characters\n")
    (tmp_path / "gateway.toml").write_text(blocks("run-in-production-with-sqlite.md", "toml")[0])
    settings = load_settings(tmp_path / "gateway.toml", {})
    assert settings.upstream == "http://10.0.3.7:9000"
    assert len(settings.control.operator_keys) == 1


async def test_the_faults_that_the_how_to_produces_have_the_outcomes_that_the_catalogue_says():
    names = names_of(blocks("test-your-set-up-with-faults.md", "python")[0])
    found = await names["outcomes"]({"cut-body", "gzip-bomb", "signed-for-another"})
    assert len(found) == 3
    assert [name for name, (reason, expected) in found.items() if reason != expected] == []


def test_the_conditions_of_the_page_on_them_compile_and_are_allowed_for_large_results():
    conditions = re.findall(
        r"^\| `(.+?)` \|", (HOW_TO / "call-a-hook-only-for-some-queries.md").read_text(), re.MULTILINE
    )
    assert len(conditions) == 10
    for source in conditions:
        assert (
            compile_condition(source).cost({"query": Extent(1_000, 100), "result": Extent(256 * 1024, 20_000)})
            < MAX_COST
        ), source


def test_the_envelope_of_the_how_to_on_scope_sends_what_stands_there():
    whole, sent = blocks("limit-what-a-hook-sees-and-changes.md", "json")
    projected = Scope(["/rows/*/price", "/currency"], None).project(Result(whole.encode())).result
    assert json.loads(projected.body) == json.loads(sent)
    assert b"10.50" in projected.body
