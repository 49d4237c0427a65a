"""Each example application answers through a hook, as its own process behind its own server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.hook_server import HookServer, Reply
from gateway.wire import signature
from gateway_asgi import HooksMiddleware, Request

ROOT = Path(__file__).parents[3]
OPERATOR = "operator-key-0123456789"


def call(url, method="GET", body=None):
    headers = {"authorization": f"Bearer {OPERATOR}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=20) as answer:
        return json.loads(answer.read() or b"null"), answer.headers


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def lines_until(process, pattern):
    said = []
    for line in process.stdout:
        said.append(line)
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise AssertionError(f"it ended without {pattern!r}: {''.join(said)}")


UVICORN = "-m", "uvicorn", "--port", "0", "--app-dir", "examples/embedded"
COMMANDS = {
    "fastapi_app": [*UVICORN, "fastapi_app:app"],
    "starlette_app": [*UVICORN, "starlette_app:app"],
    "litestar_app": [*UVICORN, "litestar_app:app"],
    "strawberry_app": [*UVICORN, "strawberry_app:app"],
    "django_app under ASGI": [*UVICORN, "django_app:asgi_application"],
    "django_app": ["examples/embedded/django_app.py"],
    "flask_app": ["examples/embedded/flask_app.py"],
    "aiohttp_app": ["examples/embedded/aiohttp_app.py"],
}
SEARCH = "/search?q=Kef"
GRAPHQL = "/graphql?" + urllib.parse.urlencode({"query": '{ airports(begins: "Kef") { code label } }'})


def changed(result):
    """The hook: it gives the first row another name, wherever the rows are."""
    rows = result["rows"] if isinstance(result, dict) else result
    rows[0]["name"] = "Reykjavik"
    return result


@contextlib.asynccontextmanager
async def integration_server():
    async def names(request):
        if request.method == "OPTIONS":
            return Reply(200, [("webhook-allowed-origin", "*")])
        return Reply.json(json.dumps(changed(json.loads(request.body)["data"]["result"])).encode())

    async with HookServer() as server:
        server.on("/names", names)
        yield server


@pytest.mark.parametrize("name", COMMANDS)
async def test_an_example_answers_through_its_hooks(name: str, tmp_path) -> None:
    port = free_port()
    control = f"http://127.0.0.1:{port}"
    env = os.environ | {
        "PORT": str(free_port()),
        "PYTHONUNBUFFERED": "1",
        "GATEWAY_STORE__URL": f"sqlite:///{tmp_path}/gateway.db",
        "GATEWAY_CONTROL__LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_CONTROL__OPERATOR_KEYS": f'["{OPERATOR}"]',
        "GATEWAY_CALLS__ALLOW_HTTP": "true",
        "GATEWAY_CALLS__ALLOW": '["127.0.0.0/8"]',
        "GATEWAY_CALLS__REQUIRE_OWNERSHIP": "false",
    }
    command = [sys.executable, *COMMANDS[name]]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    async with integration_server() as server:
        with subprocess.Popen(command, cwd=ROOT, env=env, **options) as process:  # noqa: ASYNC220
            try:
                url = await asyncio.to_thread(lines_until, process, r"[Rr]unning on (http://\S+)")
                first, _ = await asyncio.to_thread(call, url + (GRAPHQL if name == "strawberry_app" else SEARCH))
                made, _ = await asyncio.to_thread(
                    call, f"{control}/v1/integrations", "POST", {"name": "one", "base_url": server.url}
                )
                hooks = f"{control}/v1/hooks?integration={made['id']}"
                declared = {"name": "it", "path": "/names", "timeout_ms": 10_000}
                hook, _ = await asyncio.to_thread(call, hooks, "POST", declared)
                enable = f"{control}/v1/hooks/{hook['id']}/enable?integration={made['id']}"
                await asyncio.to_thread(call, enable, "POST", {})
                body, headers = await asyncio.to_thread(call, url + (GRAPHQL if name == "strawberry_app" else SEARCH))
            finally:
                process.terminate()
    if name == "strawberry_app":
        assert first["data"]["airports"][0]["label"] == "Keflavik (KEF)"
        assert body["data"]["airports"] == [{"code": "KEF", "label": "Reykjavik (KEF)"}]
        assert body["extensions"]["gateway"]["hooks"][0]["status"] == "applied"
    else:
        assert first["rows"][0]["name"] == "Keflavik"
        assert body["rows"][0] == {"code": "KEF", "name": "Reykjavik"}
        assert headers["gateway-hooks"].startswith("it;applied")


async def test_the_example_that_is_no_web_application_takes_each_query_through_its_hook() -> None:
    secret = signature.new_secret()
    async with integration_server() as server:
        env = os.environ | {
            "HOOK_URL": server.url,
            "HOOK_SECRET": secret,
            "HOOK_ALLOW_HTTP": "1",
            "HOOK_ALLOW": "127.0.0.0/8",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "examples/embedded/batch_pipeline.py",
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(b"is\npt\n"), 120)
        calls = [request for request in server.requests if request.method == "POST"]
    assert (err, process.returncode) == (b"", 0)
    lines = out.decode().splitlines()
    assert [json.loads(line.partition("  #")[0])["rows"][0]["code"] for line in lines] == ["KEF", "LIS"]
    assert ["Reykjavik" in line and line.endswith("names applied") for line in lines] == [True, True]
    for request in calls:
        signature.verify(
            [signature.key_of(secret)],
            message_id=request.header("webhook-id"),
            timestamp=request.header("webhook-timestamp"),
            signature=request.header("webhook-signature"),
            body=request.body,
            now=int(request.header("webhook-timestamp")),
        )


def test_the_page_on_asgi_shows_code_that_works(tmp_path, monkeypatch) -> None:
    """Its first block is an application, its second a function for queries that tell more."""
    page = (ROOT / "docs" / "how-to" / "embed-in-asgi.md").read_text()
    first, second = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("GATEWAY_STORE__URL", f"sqlite:///{tmp_path}/gateway.db")
    names: dict = {}
    exec(compile(first, "main.py", "exec"), names)
    exec(compile(second, "query_of.py", "exec"), names)
    assert isinstance(names["app"], HooksMiddleware)
    scope = {"method": "POST", "path": "/search", "headers": [(b"x-tenant", b"acme")], "query_string": b"q=1"}

    async def receive():
        return {"type": "http.request", "body": b'{"q":2}', "more_body": False}

    query = asyncio.run(names["query_of"](Request(scope, receive)))
    assert (query.type, query.tenant, query.params) == ("search", "acme", {"q": 2})
