"""Each example application answers through a hook, as its own process behind its own server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from gateway.testing.hook_server import HookServer
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
    for line in process.stderr:
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise AssertionError(f"it ended without {pattern!r}")


@pytest.mark.parametrize("name", ["fastapi_app", "starlette_app", "litestar_app"])
async def test_an_example_answers_through_its_hooks(name: str, tmp_path) -> None:
    port = free_port()
    control = f"http://127.0.0.1:{port}"
    env = os.environ | {
        "GATEWAY_STORE__URL": f"sqlite:///{tmp_path}/gateway.db",
        "GATEWAY_CONTROL__LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_CONTROL__OPERATOR_KEYS": f'["{OPERATOR}"]',
        "GATEWAY_CALLS__ALLOW_HTTP": "true",
        "GATEWAY_CALLS__ALLOW": '["127.0.0.0/8"]',
        "GATEWAY_CALLS__REQUIRE_OWNERSHIP": "false",
    }
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--port", "0", "--app-dir", "examples/embedded"]
    async with HookServer() as server:
        with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
            try:
                url = await asyncio.to_thread(lines_until, process, r"running on (\S+)")
                made, _ = await asyncio.to_thread(
                    call, f"{control}/v1/integrations", "POST", {"name": "one", "base_url": server.url}
                )
                hooks = f"{control}/v1/hooks?integration={made['id']}"
                hook, _ = await asyncio.to_thread(call, hooks, "POST", {"name": "it", "path": "/replace"})
                enable = f"{control}/v1/hooks/{hook['id']}/enable?integration={made['id']}"
                await asyncio.to_thread(call, enable, "POST", {})
                body, headers = await asyncio.to_thread(call, f"{url}/search")
            finally:
                process.terminate()
    assert body == {"replaced": True}
    assert headers["gateway-hooks"].startswith("it;applied")


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
