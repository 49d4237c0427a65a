"""The gateway for threads: many at once, bounded waiting, and a thread of its own that may get stuck or die."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway import (
    Envelope,
    FailurePolicy,
    HookDraft,
    HookFailed,
    IntegrationDraft,
    Query,
    QueryRejected,
    Reason,
    Result,
    Settings,
    Status,
)
from gateway.errors import NotFound, NotOpen, StoreError, StoreLocked
from gateway.sync import SyncGateway, open_gateway
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire import signature

ROOT = Path(__file__).parents[3]
CALLS = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, "budget_ms": 10_000}
SETTINGS = Settings(store={"url": "memory:"}, calls=CALLS)
QUERY = Query(type="search")
BEFORE = Result(b'{"rows":[1,2]}')


@pytest.fixture
async def server():
    async with HookServer() as it:
        yield it


def declaring(url, path="/replace", policy=FailurePolicy.IGNORE, **options):
    """A `prepare` that declares one hook."""
    options = {"timeout_ms": 10_000, **options}

    async def prepare(gateway):
        envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
        made = await gateway.registry.register(IntegrationDraft("one", url, envelope=envelope))
        draft = HookDraft("it", path, failure_policy=policy, **options)
        hook = await gateway.registry.create_hook(made.integration.id, draft)
        await gateway.registry.enable(hook.id)

    return prepare


async def in_thread(work, *args):
    return await asyncio.to_thread(work, *args)


async def test_many_threads_at_once_get_each_its_own_answer(server):
    async def echo(request):
        data = json.loads(request.body)["data"]
        return Reply.json(json.dumps([data["query"]["params"], data["result"]]).encode())

    server.on("/own", echo)

    def ask(gateway, number):
        return gateway.run(Query(type="search", params=number), Result.of({"of": number})).result.value

    def all_of_them():
        with (
            open_gateway(SETTINGS, prepare=declaring(server.url, "/own")) as gateway,
            ThreadPoolExecutor(16) as threads,
        ):
            return list(threads.map(lambda number: ask(gateway, number), range(200)))

    assert await in_thread(all_of_them) == [[number, {"of": number}] for number in range(200)]


async def test_many_first_queries_at_once_open_one_gateway(server, tmp_path):
    opened = []

    def prepare(gateway):
        opened.append(gateway)

    gateway = SyncGateway(Settings(store={"url": f"sqlite:///{tmp_path}/gateway.db"}, calls=CALLS), prepare=prepare)

    def all_of_them():
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda _: gateway.run(QUERY, BEFORE), range(50)))
        gateway.close()
        return answers

    assert {answer.result.body for answer in await in_thread(all_of_them)} == {BEFORE.body}
    assert len(opened) == 1


async def test_the_steps_of_a_pipeline_run_in_the_calling_thread(server):
    threads = []

    def pre(query):
        threads.append(threading.get_ident())
        return Query(type=query.type, params={"country": "is"})

    def data(query):
        threads.append(threading.get_ident())
        return {"rows": [query.params["country"]]}

    def post(query, result):
        threads.append(threading.get_ident())
        return Result.of({**result.value, "of": query.params["country"]})

    def run():
        with open_gateway(SETTINGS, prepare=declaring(server.url, "/merge-patch")) as gateway:
            return gateway.pipeline(data, pre_query=[pre], post_query=[post]).run(QUERY), threading.get_ident()

    answer, thread = await in_thread(run)
    assert answer.result.value == {"rows": ["is"], "merged": True, "of": "is"}
    assert answer.query_ms >= 0
    assert set(threads) == {thread}


def test_an_async_step_is_refused_before_anything_runs():
    async def data(_query):
        return {}

    with pytest.raises(TypeError, match="data is async"):
        SyncGateway(SETTINGS).pipeline(data)


async def test_failures_and_rejections_are_raised_in_the_calling_thread(server):
    def run(path):
        with open_gateway(SETTINGS, prepare=declaring(server.url, path, FailurePolicy.FAIL)) as gateway:
            gateway.run(QUERY, BEFORE)

    with pytest.raises(HookFailed) as failed:
        await in_thread(run, "/status/500")
    assert (failed.value.reason, len(failed.value.outcomes)) == (Reason.STATUS, 1)
    with pytest.raises(QueryRejected, match="not allowed"):
        await in_thread(run, "/reject")


async def test_a_query_that_no_hook_is_for_does_not_wait_for_the_loop(server):
    release = threading.Event()

    def run():
        with open_gateway(SETTINGS, prepare=declaring(server.url, types=frozenset({"form"}))) as gateway:
            stuck(gateway, release)
            try:
                return gateway.run(QUERY, BEFORE), gateway.is_wanted(QUERY), gateway.is_wanted(Query(type="form"))
            finally:
                release.set()

    answer, *wanted = await in_thread(run)
    assert answer.result is BEFORE
    assert wanted == [False, True]


def stuck(gateway, release):
    """Block the gateway's loop until `release` is set."""
    reached = threading.Event()

    async def block(_gateway):
        reached.set()
        release.wait(30)

    thread = threading.Thread(target=lambda: gateway.call(block))
    thread.start()
    assert reached.wait(30)


@pytest.mark.parametrize("policy", FailurePolicy)
async def test_a_loop_that_is_stuck_costs_no_more_than_the_budget(policy, server, caplog):
    release = threading.Event()
    calls = CALLS | {"budget_ms": 50}

    def run():
        settings = Settings(store={"url": "memory:"}, calls=calls)
        gateway = SyncGateway(settings, prepare=declaring(server.url, policy=policy), grace_seconds=0.05)
        gateway.open()
        stuck(gateway, release)
        try:
            return gateway.run(QUERY, BEFORE)
        finally:
            release.set()
            gateway.close()

    if policy is FailurePolicy.FAIL:
        with pytest.raises(HookFailed) as failed:
            await in_thread(run)
        assert failed.value.status == 504
    else:
        answer = await in_thread(run)
        assert answer.result is BEFORE
        assert [(o.status, o.reason) for o in answer.outcomes] == [(Status.FAILED, Reason.TIMEOUT)]
    assert "sync.no_answer" in caplog.text


def killed(gateway):
    """End the gateway's loop the hard way."""

    async def end(_gateway):
        raise SystemExit

    with pytest.raises((SystemExit, concurrent.futures.CancelledError)):
        gateway.call(end)
    thread, _ = gateway._open
    assert thread.stop(30)


async def test_a_query_in_flight_when_the_loop_dies_keeps_its_result(server):
    def run():
        gateway = SyncGateway(SETTINGS, prepare=declaring(server.url, "/hang", timeout_ms=10_000))
        gateway._limit = 60.0
        gateway.open()
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(gateway.run, QUERY, BEFORE)
            arrived.result(30)
            killed(gateway)
            found = answer.result(30)
        gateway.close()
        return found

    loop = asyncio.get_running_loop()
    arrived = asyncio.run_coroutine_threadsafe(server.arrived(), loop)
    answer = await in_thread(run)
    assert answer.result is BEFORE
    assert [outcome.status for outcome in answer.outcomes] == [Status.FAILED]


async def test_after_its_loop_died_the_gateway_opens_anew_if_it_can(server, tmp_path):
    def run():
        declared = SyncGateway(SETTINGS, prepare=declaring(server.url))
        on_disk = SyncGateway(Settings(store={"url": f"sqlite:///{tmp_path}/gateway.db"}, calls=CALLS))
        in_memory = SyncGateway(SETTINGS)
        on_disk.call(declaring(server.url))
        answers = []
        for gateway in (declared, on_disk):
            gateway.open()
            killed(gateway)
            answers.append(gateway.run(QUERY, BEFORE).result.body)
            gateway.close()
        in_memory.open()
        killed(in_memory)
        with pytest.raises(NotOpen, match="its registry in memory with it"):
            in_memory.run(QUERY, BEFORE)
        return answers

    assert await in_thread(run) == [b'{"replaced":true}'] * 2


async def test_a_closed_gateway_says_so(server):
    def run():
        with open_gateway(SETTINGS, prepare=declaring(server.url)) as gateway:
            assert gateway.run(QUERY, BEFORE).changed
        with pytest.raises(NotOpen, match="was closed"):
            gateway.run(QUERY, BEFORE)

    await in_thread(run)


async def test_why_it_cannot_be_opened_is_raised_and_not_tried_again_at_once(tmp_path):
    now = [0.0]
    folder = tmp_path / "later"
    settings = Settings(store={"url": f"sqlite:///{folder}/gateway.db"}, calls=CALLS)
    gateway = SyncGateway(settings, now=lambda: now[0])

    def run():
        for _ in range(2):
            with pytest.raises(StoreError, match="there is no directory"):
                gateway.run(QUERY, BEFORE)
            folder.mkdir(exist_ok=True)
        now[0] = 10.0
        answer = gateway.run(QUERY, BEFORE)
        with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
            SyncGateway(settings).open()
        gateway.close()
        return answer

    assert (await in_thread(run)).result is BEFORE


async def test_the_registry_can_be_reached_from_any_thread():
    def run():
        with open_gateway(SETTINGS) as gateway:

            async def register(inner):
                return await inner.registry.register(IntegrationDraft("one", "http://127.0.0.1:1"))

            async def missing(inner):
                return inner.registry.integration("none")

            made = gateway.call(register)
            with pytest.raises(NotFound):
                gateway.call(missing)
            return made.integration.name

    assert await in_thread(run) == "one"


async def test_to_block_the_gateways_own_loop_is_refused_and_to_await_there_is_not(server):
    def run():
        with open_gateway(SETTINGS, prepare=declaring(server.url)) as gateway:

            async def blocking(_inner):
                gateway.run(QUERY, BEFORE)

            async def awaiting(_inner):
                return await gateway.run_async(QUERY, BEFORE)

            with pytest.raises(RuntimeError, match=r"await gateway\.chain\.run"):
                gateway.call(blocking)
            return gateway.call(awaiting)

    assert (await in_thread(run)).changed


async def test_callers_on_another_loop_await_and_their_cancelling_cancels_the_call(server):
    gateway = SyncGateway(SETTINGS, prepare=declaring(server.url, "/hang", timeout_ms=10_000))
    gateway._limit = 60.0
    query = asyncio.create_task(gateway.run_async(QUERY, BEFORE))
    await server.arrived()
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    await server.no_connections()
    await in_thread(gateway.close)


async def test_hooks_declared_in_code_are_signed_with_the_secret_that_their_server_has(server):
    secret = signature.new_secret()

    async def prepare(gateway):
        made = await gateway.registry.register(IntegrationDraft("one", server.url, secret=secret))
        hook = await gateway.registry.create_hook(made.integration.id, HookDraft("it", "/unchanged"))
        await gateway.registry.enable(hook.id)

    def run():
        with open_gateway(SETTINGS, prepare=prepare) as gateway:
            gateway.run(QUERY, BEFORE)

    await in_thread(run)
    (request,) = server.requests
    headers = dict(request.headers)
    signed = signature.sign(
        [signature.key_of(secret)], headers["webhook-id"], int(headers["webhook-timestamp"]), request.body
    )
    assert headers["webhook-signature"] == signed


INTERRUPTED = """
import os, sys
sys.path[:0] = [os.environ["TESTS"]]
from test_sync_gateway import QUERY, BEFORE, SETTINGS, declaring, open_gateway

with open_gateway(SETTINGS, prepare=declaring(os.environ["HOOKS"], "/hang", timeout_ms=10_000)) as gateway:
    gateway._limit = 60.0
    try:
        gateway.run(QUERY, BEFORE)
    except KeyboardInterrupt:
        print("interrupted")
"""


async def test_ctrl_c_ends_the_wait_and_the_call(server):
    env = os.environ | {"HOOKS": server.url, "TESTS": str(Path(__file__).parent)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", INTERRUPTED, env=env, cwd=ROOT, stdout=subprocess.PIPE
    )
    await server.arrived()
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (out, process.returncode) == (b"interrupted\n", 0)
    await server.no_connections()
