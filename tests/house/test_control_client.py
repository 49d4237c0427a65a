"""The clients of the control API are what its document says; importing the SDK stays light."""

import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"aiohttp", "asyncio.events", "click", "cryptography", "jsonpatch", "pydantic", "prometheus_client", "sqlite3"}


@pytest.fixture(scope="module")
def render():
    spec = importlib.util.spec_from_file_location("render_client", Path(__file__).with_name("render_client.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def texts(render):
    return render.rendered()


def test_the_clients_are_what_the_document_of_the_api_says(render, texts):
    """If this fails: .venv/bin/python tests/house/render_client.py"""
    wrong = [path.name for path, text in texts.items() if not path.exists() or path.read_text() != text]
    left_over = {path for path in render.FOLDER.glob("*.py") if render.MARK in path.read_text()} - texts.keys()
    assert (wrong, left_over) == ([], set())


async def test_every_operation_has_a_typed_method_in_both_clients(render):
    from gateway.receiver import ControlClient, SyncControlClient

    told = await render.document()
    names = [each["operationId"] for path in told["paths"].values() for each in path.values()]
    assert len(names) == len(set(names)) > 20
    for client in (ControlClient, SyncControlClient):
        for name in names:
            method = getattr(client, render.snake(name))
            assert inspect.iscoroutinefunction(method) is (client is ControlClient)
            assert all(
                each.annotation is not each.empty for each in list(inspect.signature(method).parameters.values())[1:]
            )


@pytest.mark.parametrize(
    ("statement", "may"),
    [
        ("import gateway.receiver", set()),
        ("from gateway.receiver import SyncControlClient", {"asyncio.events"}),
        ("from gateway.receiver import HookReceiver", {"asyncio.events", "prometheus_client"}),
    ],
)
def test_importing_the_sdk_brings_in_no_server(statement, may):
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert HEAVY & loaded <= may | {"jsonpatch"}
    servers = ("gateway.service", "gateway.pipeline", "gateway.registry", "gateway.runtime", "gateway.transport")
    assert [name for name in loaded if name.startswith(servers)] == []
