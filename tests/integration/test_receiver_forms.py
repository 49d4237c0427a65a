"""A receiver in each of its forms, called by a real gateway over real HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from gateway import Envelope, HookDraft, IntegrationDraft, Query, Reason, Result, Settings, Status, open_gateway
from gateway.errors import QueryRejected
from gateway.receiver import HookReceiver, ReceptionSettings, reject, try_later
from gateway.service.serving import listening
from gateway.testing.clock import ManualClock
from gateway.testing.hook_server import HookServer, Raw, Reply

ROOT = Path(__file__).parents[2]
OPERATOR = "an-operator-key-for-tests"
SETTINGS = Settings.model_validate(
    {
        "store": {"url": "memory:"},
        "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "timeout_ms": 5000, "budget_ms": 8000},
        "control": {"listen": "127.0.0.1:0"},
    }
)
ENVELOPE = Envelope(may_reject=True, signed_replies=True)


@asynccontextmanager
async def aiohttp_form(receiver):
    runner = web.AppRunner(receiver.aiohttp_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def asgi_form(receiver):
    config = uvicorn.Config(receiver.asgi, port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  it has no event for it
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


@asynccontextmanager
async def own_form(receiver):
    async with receiver.serving() as url:
        yield url


@asynccontextmanager
async def function_form(receiver):
    """Another server, in which the receiver is a plain function."""

    async def handle(request):
        answer = await asyncio.to_thread(
            receiver, request.headers, request.body, method=request.method, path=request.path
        )
        return Reply(answer.status, answer.headers, answer.body)

    async with HookServer() as server:
        for path in ("/hook", "/health", "/other", "/healthz", "/metrics"):
            server.on(path, handle)
        yield server.url


FORMS = pytest.mark.parametrize("form", [aiohttp_form, asgi_form, own_form, function_form])


@asynccontextmanager
async def gateway_and(receiver_of, form, *, hook=None, health_path=None):
    """A gateway with one integration, whose receiver is served in `form`; its hook is enabled."""
    async with open_gateway(SETTINGS) as gateway:
        registered = await gateway.registry.register(
            IntegrationDraft("example", "http://127.0.0.1:1", envelope=ENVELOPE, health_path=health_path)
        )
        receiver = receiver_of(registered.secret)
        async with form(receiver) as url:
            await gateway.registry.change_integration(registered.integration.id, {"base_url": url})
            made = await gateway.registry.create_hook(registered.integration.id, hook or HookDraft("hook", "/hook"))
            await gateway.registry.enable(made.id)  # which asks for ownership
            yield gateway, url


def of(function):
    """A maker of receivers with one handler."""

    def make(secret):
        receiver = HookReceiver([secret])
        receiver.transform("search")(function)
        return receiver

    return make


def edit(call):
    with call.edit() as result:
        result["rows"].append(call.query.params)


@FORMS
async def test_the_gateway_gets_the_patched_result_signed(form):
    async with gateway_and(of(edit), form) as (gateway, _):
        answer = await gateway.chain.run(Query("search", params=["b"]), Result.of({"rows": [["a"]]}))
        assert [outcome.status for outcome in answer.outcomes] == [Status.APPLIED]
        assert answer.result.value == {"rows": [["a"], ["b"]]}
        answer = await gateway.chain.run(Query("question"), Result.of({}))
        assert [outcome.status for outcome in answer.outcomes] == [Status.UNCHANGED]


@FORMS
async def test_the_gateway_gets_a_rejection_a_failure_and_a_wish_to_be_left_alone(form):
    answers = [reject("Not today."), KeyError(), try_later(30)]

    def handler(call):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with gateway_and(of(handler), form) as (gateway, _):
        with pytest.raises(QueryRejected) as told:
            await gateway.chain.run(Query("search"), Result.of({}))
        assert told.value.detail == "Not today."
        for reason in (Reason.STATUS, Reason.STATUS, Reason.BREAKER_OPEN):
            answer = await gateway.chain.run(Query("search"), Result.of({}))
            assert [(outcome.status, outcome.reason) for outcome in answer.outcomes] == [(Status.FAILED, reason)]


@FORMS
async def test_binary_delivery_reaches_the_handler(form):
    from gateway import Delivery

    def handler(call):
        return {"type": call.query.type, "value": call.value}

    draft = HookDraft("hook", "/hook", delivery=Delivery.BINARY)
    async with gateway_and(of(handler), form, hook=draft) as (gateway, _):
        answer = await gateway.chain.run(Query("search"), Result.of([1]))
        assert answer.result.value == {"type": "search", "value": [1]}


@FORMS
async def test_the_health_check_of_the_gateway_finds_it_well(form):
    async with gateway_and(of(edit), form, health_path="/health") as (gateway, _):
        (integration,) = gateway.registry.integrations()
        assert await gateway.health._wrong(integration) is None


@pytest.mark.parametrize("form", [aiohttp_form, asgi_form, own_form])
async def test_a_body_past_the_limit_a_stranger_and_those_who_watch_are_answered(form):
    receiver = HookReceiver(["whsec_" + "A" * 44], settings=ReceptionSettings(max_body_bytes=1000))
    receiver.default(edit)
    async with form(receiver) as url, aiohttp.ClientSession() as session:
        async with session.post(f"{url}/hook", data=b"x" * 2000) as response:
            assert response.status == 413
        async with session.post(f"{url}/hook", data=b"{}") as response:
            assert response.status == 401
        async with session.put(f"{url}/hook", data=b"{}") as response:
            assert (response.status, response.headers["allow"]) == (405, "POST, OPTIONS")
        async with session.get(f"{url}/healthz") as response:
            assert (await response.json())["status"] == "ok"
        async with session.get(f"{url}/metrics") as response:
            assert 'hook_refused_total{why="too_large"} 1.0' in await response.text()
        async with session.head(f"{url}/metrics") as response:
            assert (response.status, await response.read()) == (200, b"")


async def test_results_of_several_queries_may_share_a_call():
    calls = []

    def count(call):
        calls.append(call.body)
        return {"n": call.value["n"] + 1}

    draft = HookDraft("hook", "/hook", coalesce=True)
    async with gateway_and(of(count), own_form, hook=draft) as (gateway, _):
        run = gateway.chain.run
        answers = await asyncio.gather(*(run(Query("search"), Result.of({"n": n})) for n in range(20)))
        assert [answer.result.value for answer in answers] == [{"n": n + 1} for n in range(20)]
        assert {outcome.status for answer in answers for outcome in answer.outcomes} == {Status.APPLIED}
    assert len(calls) == 20
    assert len(set(calls)) < 20  # several came in one body


async def test_a_retried_call_is_the_same_call_for_the_receiver():
    """The connection breaks after the hook has answered: what the gateway sends again has the same id and body."""
    calls = []
    clock = ManualClock(time.time())
    receiver = None

    def count(call):
        calls.append(call)
        return {"n": len(calls)}

    async def handle(request):
        answer = receiver(request.headers, request.body)
        if len(server.requests) == 2:  # the first one was OPTIONS
            clock.advance(1.5)
            return Raw(b"")
        return Reply(answer.status, answer.headers, answer.body)

    async with HookServer() as server, open_gateway(SETTINGS, now=clock) as gateway:
        server.on("/hook", handle)
        registered = await gateway.registry.register(IntegrationDraft("example", server.url, envelope=ENVELOPE))
        receiver = of(count)(registered.secret)
        made = await gateway.registry.create_hook(registered.integration.id, HookDraft("hook", "/hook", retry=True))
        await gateway.registry.enable(made.id)
        server.close_idle()  # else the transport takes the break for that of a connection that was idle too long
        await server.no_connections()
        answer = await gateway.chain.run(Query("search"), Result.of({}))
        assert answer.result.value == {"n": 1}
        first, second = server.requests[1:]
        assert (first.header("webhook-id"), first.body) == (second.header("webhook-id"), second.body)
    assert len(calls) == 1


# ---------------------------------------------------------------- enrolment


@asynccontextmanager
async def served_gateway(settings=SETTINGS):
    async with open_gateway(settings) as gateway, listening(gateway, [OPERATOR]) as (control_url, _):
        yield gateway, control_url


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for is in another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("form", [aiohttp_form, asgi_form, own_form])
async def test_a_receiver_enrols_while_it_is_served_and_is_disabled_when_it_ends(form):
    async with served_gateway() as (gateway, control_url):
        registered = await gateway.registry.register(IntegrationDraft("example", "http://127.0.0.1:1"))
        receiver = of(edit)(registered.secret)
        receiver.hook({"name": "hook", "path": "/the-hook", "timeout_ms": 900})
        receiver.enrol(control_url, registered.api_key, lease_seconds=30)
        async with form(receiver) as url:
            await gateway.registry.change_integration(registered.integration.id, {"base_url": url})
            await until(lambda: gateway.registry.snapshot.enabled_count == 1)
            (hook,) = gateway.registry.hooks()
            assert (hook.name, hook.path, hook.types, hook.timeout_ms) == ("hook", "/the-hook", {"search"}, 900)
            assert hook.lease_expires_at is not None
            answer = await gateway.chain.run(Query("search", params=1), Result.of({"rows": []}))
            assert answer.result.value == {"rows": [1]}
            await until(lambda: receiver.state()["enrolment"] == "enrolled")
        (hook,) = gateway.registry.hooks()
        assert (hook.enabled, hook.reason) == (False, "its server ends")


def test_the_smallest_hook_is_at_most_fifteen_lines_of_code():
    lines = [line for line in (ROOT / "examples" / "smallest_hook.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 15


async def test_the_smallest_hook_works_with_a_real_gateway(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with served_gateway() as (gateway, control_url):
        registered = await gateway.registry.register(IntegrationDraft("example", f"http://127.0.0.1:{port}"))
        environment = {
            **os.environ,
            "HOOK_SECRET": registered.secret,
            "PORT": str(port),
            "CONTROL_URL": control_url,
            "API_KEY": registered.api_key,
        }
        process = subprocess.Popen(  # noqa: ASYNC220  it takes a moment
            [sys.executable, "-W", "error", ROOT / "examples" / "smallest_hook.py"],
            env={**environment, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            await until(lambda: gateway.registry.snapshot.enabled_count == 1 or process.poll() is not None)
            answer = await gateway.chain.run(Query("search"), Result.of({"rows": []}))
            assert answer.result.value == {"rows": [], "note": "seen by my hook"}
            process.terminate()
            out, err = await asyncio.to_thread(process.communicate, timeout=20)
        finally:
            process.kill()
            process.wait()
        assert (process.returncode, out.decode(), err.decode()) == (0, f"listening on http://127.0.0.1:{port}\n", "")
        (hook,) = gateway.registry.hooks()
        assert (hook.enabled, hook.reason) == (False, "its server ends")
