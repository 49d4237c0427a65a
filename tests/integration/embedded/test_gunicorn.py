"""A pre-fork server as people run it: gunicorn, several processes, the application loaded before the fork or after."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.testing.hook_server import HookServer

ROOT = Path(__file__).parents[3]

APPLICATION = """
import os
from flask import Flask
from gateway import HookDraft, IntegrationDraft, Settings
from gateway.sync.flask import Hooks

app = Flask(__name__)

@app.get("/search")
@Hooks.query("search")
def search():
    return {"process": os.getpid()}

async def prepare(gateway):
    made = await gateway.registry.register(IntegrationDraft("one", os.environ["HOOKS"]))
    hook = await gateway.registry.create_hook(made.integration.id, HookDraft("it", "/merge-patch"))
    await gateway.registry.enable(hook.id)

CALLS = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False}
app.config["GATEWAY"] = Settings(store={"url": "memory:"}, calls=CALLS)
hooks = Hooks(app, prepare=prepare)
if os.environ.get("OPEN_BEFORE_THE_FORK"):
    app.extensions["gateway"].open()
"""


@asynccontextmanager
async def gunicorn(folder, hooks, *options, **more):
    """The application behind gunicorn with two processes; yields its address."""
    (folder / "shop.py").write_text(APPLICATION)
    with socket.socket() as listener:  # gunicorn takes over a socket as it does from systemd: there is no port to guess
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        os.set_inheritable(listener.fileno(), True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"fd://{listener.fileno()}", *options,
            "shop:app", cwd=folder, pass_fds=[listener.fileno()], stderr=subprocess.PIPE,
            env=os.environ | {"HOOKS": hooks, "PYTHONPATH": f"{ROOT}:{ROOT / 'extensions'}"} | more,
        )  # fmt: skip
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield address
    finally:
        process.terminate()
        _, told = await asyncio.wait_for(process.communicate(), 60)
        assert b"Traceback" not in told, told.decode()


@pytest.mark.parametrize(
    ("options", "more"),
    [((), {}), (("--preload",), {}), (("--preload", "--threads", "4"), {"OPEN_BEFORE_THE_FORK": "1"})],
    ids=["loaded after the fork", "loaded before the fork", "opened before the fork, with threads"],
)
async def test_every_process_of_gunicorn_has_the_declared_hooks(options, more, tmp_path) -> None:
    async with (
        HookServer() as server,
        gunicorn(tmp_path, server.url, *options, **more) as address,
        aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(60), connector=aiohttp.TCPConnector(force_close=True)
        ) as it,
    ):
        processes = set()
        for _ in range(500):
            answers = await asyncio.gather(*(_asked(it, address) for _ in range(8)))
            processes |= {answer.pop("process") for answer in answers}
            assert all(answers), "a process answered without its hooks"
            if len(processes) == 2:
                break
        assert len(processes) == 2


async def _asked(session, address):
    async with session.get(f"{address}/search") as answer:
        assert answer.headers["gateway-hooks"].startswith("it;applied")
        return await answer.json()
