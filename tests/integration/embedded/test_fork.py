"""Real forks: what a process that was forked may do with a gateway, and that the other one does not notice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.testing.hook_server import HookServer

ROOT = Path(__file__).parents[3]

BEGINNING = """
import os, sys, threading, traceback
from gateway import HookDraft, IntegrationDraft, Query, Result, Settings
from gateway.errors import GatewayError
from gateway.sync import HooksWsgi, SyncGateway, open_gateway

CALLS = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False}
MEMORY = Settings(store={"url": "memory:"}, calls=CALLS)
DISK = Settings(store={"url": "sqlite:///" + os.environ["FOLDER"] + "/gateway.db"}, calls=CALLS)

async def prepare(gateway):
    if not gateway.registry.integrations():
        made = await gateway.registry.register(IntegrationDraft("one", os.environ["HOOKS"]))
        hook = await gateway.registry.create_hook(made.integration.id, HookDraft("it", "/replace"))
        await gateway.registry.enable(hook.id)

def ask(gateway):
    try:
        return gateway.run(Query(type="search"), Result(b"[]")).result.body.decode()
    except GatewayError as error:
        return f"{type(error).__name__}: {error.detail}"

def forked(work, leave=sys.exit):
    \"\"\"What `work` gives in a process of its own, which then ends as a program does.\"\"\"
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            os.write(into, work().encode())
        except BaseException:
            os.write(into, traceback.format_exc().encode())
        os.close(into)
        leave(0)
    os.close(into)
    with open(out) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, (told, status)
    return told
"""


@pytest.fixture
async def server():
    async with HookServer() as it:
        yield it


@pytest.fixture
def run(server, tmp_path):
    async def run(program):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            BEGINNING + program,
            env=os.environ | {"HOOKS": server.url, "FOLDER": str(tmp_path)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, err.decode()
        return out.decode().splitlines()

    return run


REPLACED = '{"replaced":true}'


async def test_declared_hooks_in_memory_serve_the_new_process_too_each_with_its_own_gateway(run):
    program = """
with open_gateway(MEMORY, prepare=prepare) as gateway:
    print(ask(gateway))
    for _ in range(3):
        print(forked(lambda: ask(gateway) + ask(gateway)))
    print(ask(gateway))
"""
    assert await run(program) == [REPLACED, *[REPLACED * 2] * 3, REPLACED]


async def test_a_registry_in_memory_that_was_filled_later_is_not_silently_empty(run):
    program = """
with open_gateway(MEMORY) as gateway:
    gateway.call(prepare)
    print(forked(lambda: ask(gateway)))
    print(ask(gateway))
"""
    told, after = await run(program)
    assert told.startswith("NotOpen: The gateway was opened before this process was forked. Its registry in memory")
    assert "declared by prepare" in told
    assert after == REPLACED


@pytest.mark.parametrize("leave", ["sys.exit", "os._exit"])
async def test_a_database_stays_with_the_process_that_opened_it(leave, run, tmp_path):
    program = f"""
with open_gateway(DISK, prepare=prepare) as gateway:
    print(forked(lambda: ask(gateway), {leave}))
    print(ask(gateway))
with open_gateway(DISK) as gateway:
    print(ask(gateway))
"""
    told, *after = await run(program)
    assert told.startswith("NotOpen: The gateway was opened before this process was forked. The database sqlite:///")
    assert after == [REPLACED] * 2


async def test_a_process_that_lives_on_does_not_keep_the_database_from_others(run):
    program = """
gateway = SyncGateway(DISK, prepare=prepare)
gateway.open()
wait, go = os.pipe()
child = os.fork()
if child == 0:
    os.close(go)
    os.read(wait, 1)
    os._exit(0)
os.close(wait)
gateway.close()
with open_gateway(DISK) as again:
    print(ask(again))
os.close(go)
os.waitpid(child, 0)
"""
    assert await run(program) == [REPLACED]


async def test_a_gateway_that_is_opened_by_its_first_query_is_each_processes_own(run):
    program = """
gateway = SyncGateway(MEMORY, prepare=prepare)
for _ in range(2):
    print(forked(lambda: ask(gateway)))
print(ask(gateway))
on_disk = SyncGateway(DISK, prepare=prepare)
print(forked(lambda: ask(on_disk)))
print(ask(on_disk))
print(forked(lambda: ask(SyncGateway(DISK))))
"""
    *found, told = await run(program)
    assert found == [REPLACED] * 5
    assert told.startswith("StoreLocked: The database ")


async def test_to_fork_while_another_thread_opens_the_gateway_or_asks_does_not_block_the_new_process(run):
    program = """
held = threading.Event()
release = threading.Event()

async def slow(gateway):
    if not held.is_set():
        held.set()
        while not release.is_set():
            await __import__("asyncio").sleep(0.001)
    await prepare(gateway)

gateway = SyncGateway(MEMORY, prepare=slow)
opener = threading.Thread(target=gateway.open)
opener.start()
held.wait()
print(forked(lambda: ask(gateway)))
release.set()
opener.join()
print(ask(gateway))
"""
    assert await run(program) == [REPLACED] * 2


async def test_a_pre_forking_server_answers_through_hooks_in_each_of_its_processes(run):
    program = """
import json, urllib.request
from werkzeug.serving import make_server

def app(environ, start_response):
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps({"pid": os.getpid()}).encode()]

gateway = SyncGateway(MEMORY, prepare=prepare)
gateway.open()
wrapped = HooksWsgi(app, {"/search": "search"}, gateway=gateway)
server = make_server("127.0.0.1", 0, wrapped, processes=4)  # a fork for each request

def serve():
    for _ in range(4):
        server.handle_request()

thread = threading.Thread(target=serve)
thread.start()
pids = set()
for path in ("/search", "/search", "/search", "/plain"):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=60) as answer:
        document, told = json.loads(answer.read()), answer.headers["gateway-hooks"]
    if path == "/search":
        print(json.dumps(document), told.partition(";ms")[0])
    else:
        print(document["pid"] != os.getpid(), told)
thread.join()
server.server_close()
gateway.close()
"""
    assert await run(program) == ['{"replaced": true} it;applied'] * 3 + ["True None"]
