"""The clients of the control API, in an event loop and without, against a real gateway and one that misbehaves."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from gateway import Settings, open_gateway
from gateway.errors import (
    ConfigError,
    ControlApiBusy,
    ControlApiConflict,
    ControlApiDenied,
    ControlApiError,
    ControlApiInvalid,
    ControlApiNotFound,
    ControlApiStale,
    ControlApiUnreachable,
)
from gateway.receiver import ControlClient, SyncControlClient
from gateway.receiver.control.exchange import Patience
from gateway.service.serving import listening
from gateway.testing.hook_server import HookServer, Raw, Reply

OPERATOR = "an-operator-key-for-tests"
SETTINGS = Settings.model_validate(
    {
        "store": {"url": "memory:"},
        "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False},
        "control": {"listen": "127.0.0.1:0"},
    }
)


class Waited:
    """Takes the place of sleeping."""

    def __init__(self):
        self.seconds = []

    def __call__(self, seconds):
        self.seconds.append(seconds)

    async def later(self, seconds):
        self(seconds)


class InThreads:
    """The client without an event loop, with the face of the other one."""

    def __init__(self, url, key, *, sleep, **more):
        self._client = SyncControlClient(url, key, sleep=sleep, **more)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if name.startswith("iterate_"):
            return lambda **more: self._each(method, more)
        return lambda *given, **more: asyncio.to_thread(method, *given, **more)

    async def _each(self, method, more):
        for item in await asyncio.to_thread(lambda: list(method(**more))):
            yield item


class Clients:
    """Makes clients of one kind; what they wait is in `waited`."""

    def __init__(self, *, in_threads):
        self._in_threads = in_threads
        self.waited = Waited()

    def __call__(self, url, key, **more):
        if self._in_threads:
            return InThreads(url, key, sleep=self.waited, chance=lambda: 1.0, **more)
        return ControlClient(url, key, sleep=self.waited.later, chance=lambda: 1.0, **more)


@pytest.fixture(params=["event loop", "threads"])
def client_of(request):
    """Makes clients of either kind."""
    return Clients(in_threads=request.param == "threads")


@asynccontextmanager
async def served_gateway():
    async with open_gateway(SETTINGS) as gateway, listening(gateway, [OPERATOR]) as (url, _):
        yield url


async def test_an_integration_is_registered_changed_and_removed(client_of):
    async with served_gateway() as url, client_of(url, OPERATOR) as client:
        made = await client.register_integration({"name": "prices", "base_url": "http://127.0.0.1:1"})
        assert made["secret"].startswith("whsec_")
        found = await client.read_integration(made["id"])
        changed = await client.change_integration(made["id"], {"priority": 5}, if_match=found["version"])
        assert (changed["priority"], changed["version"]) == (5, found["version"] + 1)
        with pytest.raises(ControlApiStale) as stale:
            await client.change_integration(made["id"], {"priority": 6}, if_match=found["version"])
        assert stale.value.status == 412
        assert await client.reread_integration(made["id"], if_none_match=changed["version"]) is None
        assert (await client.reread_integration(made["id"], if_none_match='"1"'))["priority"] == 5
        rotated = await client.rotate_credential(made["id"], {"what": "secret", "grace_seconds": 60})
        assert rotated["secret"] != made["secret"]
        assert await client.remove_integration(made["id"]) is None
        assert [each["action"] async for each in client.iterate_audit(limit=2)][::-1][:2] == [
            "integration.registered",
            "integration.changed",
        ]


async def test_hooks_are_declared_enabled_and_listed_page_by_page(client_of):
    async with served_gateway() as url:
        async with client_of(url, OPERATOR) as client:
            made = await client.register_integration({"name": "prices", "base_url": "http://127.0.0.1:1"})
        async with client_of(url, made["api_key"]) as client:
            page = await client.replace_hooks([{"name": f"h{n}", "path": f"/{n}", "types": ["t"]} for n in range(5)])
            ids = [hook["id"] for hook in page["items"]]
            assert [hook["id"] async for hook in client.iterate_hooks(limit=2)] == ids
            changed = await client.enable_hooks({"types": ["t"], "lease_seconds": 60})
            assert {hook["state"] for hook in changed["items"]} == {"enabled"}
            assert (await client.disable_hook(ids[0]))["enabled"] is False
            assert (await client.enable_hook(ids[0], {"lease_seconds": 5}))["enabled"] is True
        async with client_of(url, OPERATOR) as client:
            listed = await client.list_hooks(integration=made["id"], limit=1)
            assert (len(listed["items"]), listed["next_cursor"] is None) == (1, False)


async def test_what_is_no_json_is_given_as_it_is(client_of):
    async with served_gateway() as url, client_of(url, OPERATOR) as client:
        assert (await client.read_description())["openapi"] == "3.1.0"
        assert "# HELP" in await client.read_metrics()
        assert await client.is_alive() == {"status": "ok"}


async def test_errors_have_a_type_a_status_and_fields(client_of):
    async with served_gateway() as url:
        async with client_of(url, "no-key-of-this-gateway") as client:
            with pytest.raises(ControlApiDenied) as denied:
                await client.list_hooks()
            assert denied.value.status == 401
        async with client_of(url, OPERATOR) as client:
            with pytest.raises(ControlApiNotFound):
                await client.read_integration("int_0000/../0000")
            with pytest.raises(ControlApiInvalid) as invalid:
                await client.register_integration({"name": 7, "base_url": 5})
            assert {error.field for error in invalid.value.errors} == {"/name", "/base_url"}
            await client.register_integration({"name": "prices", "base_url": "http://127.0.0.1:1"})
            with pytest.raises(ControlApiConflict) as conflict:
                await client.register_integration({"name": "prices", "base_url": "http://127.0.0.1:1"})
            assert conflict.value.problem["status"] == 409


@asynccontextmanager
async def answering(path, *answers):
    """A server that gives these answers one after another."""
    left = list(answers)

    async def handle(request):
        return left.pop(0)

    async with HookServer() as server:
        server.on(path, handle)
        yield server


def problem(status, *headers):
    body = json.dumps({"title": "no", "status": status, "detail": "not now"}).encode()
    return Reply(status, [("content-type", "application/problem+json"), *headers], body)


LIST = Reply.json(b'{"items": [], "next_cursor": null}')


async def test_what_failed_in_passing_is_repeated_where_that_is_safe(client_of):
    answers = (problem(503, ("retry-after", "2")), Raw(b""), LIST)
    async with answering("/v1/hooks", *answers) as server, client_of(server.url, OPERATOR) as client:
        assert await client.list_hooks() == {"items": [], "next_cursor": None}
    assert client_of.waited.seconds == [2.0, 0.4]
    assert len(server.requests) == 3


async def test_what_might_have_been_done_is_not_done_again(client_of):
    async with answering("/v1/hooks", Raw(b""), LIST) as server, client_of(server.url, OPERATOR) as client:
        with pytest.raises(ControlApiUnreachable):
            await client.create_hook({"name": "a", "path": "/a"})
        assert len(server.requests) == 1


async def test_what_the_gateway_refused_to_begin_is_asked_again_whatever_it_is(client_of):
    made = Reply.json(b'{"id": "hk_1"}', status=201)
    async with answering("/v1/hooks", problem(503), made) as server, client_of(server.url, OPERATOR) as client:
        assert await client.create_hook({"name": "a", "path": "/a"}) == {"id": "hk_1"}


async def test_a_removal_whose_answer_was_lost_is_done(client_of):
    async with answering("/v1/hooks/hk_1", Raw(b""), problem(404)) as server, client_of(server.url, OPERATOR) as client:
        assert await client.remove_hook("hk_1") is None


async def test_patience_ends(client_of):
    patience = Patience(attempts=3)
    async with (
        answering("/v1/hooks", *[problem(503)] * 3) as server,
        client_of(server.url, OPERATOR, patience=patience) as client,
    ):
        with pytest.raises(ControlApiBusy, match="not now"):
            await client.list_hooks()
    assert client_of.waited.seconds == [0.2, 0.4]


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, [("content-type", "text/html")], b"<p>"),
        Reply.json(b"{"),
        Reply(302, [("location", "http://127.0.0.1:1/")]),
        Reply(500, [], b"oops"),
        Reply(422, [("content-type", "application/problem+json")], b"[1]"),
    ],
)
async def test_what_answers_unlike_a_control_api_is_told_so(client_of, answer):
    async with answering("/v1/hooks", answer) as server, client_of(server.url, OPERATOR) as client:
        with pytest.raises(ControlApiError, match="does not answer like a control API"):
            await client.list_hooks()


async def test_a_gateway_that_does_not_answer_in_time_is_not_waited_for(client_of):
    async with HookServer() as server:
        server.on("/healthz", lambda request: server.released())
        once = Patience(attempts=1)
        async with client_of(server.url, OPERATOR, timeout_seconds=0.05, patience=once) as client:
            with pytest.raises(ControlApiUnreachable, match=r"no answer within 0\.05 s"):
                await client.is_alive()


async def test_a_gateway_that_is_not_there_is_named(client_of):
    async with client_of("http://127.0.0.1:1/base", OPERATOR) as client:
        with pytest.raises(ControlApiUnreachable, match=r"http://127\.0\.0\.1:1/base could not be reached"):
            await client.list_hooks()
    assert len(client_of.waited.seconds) == 2


@pytest.mark.parametrize("url", ["", "127.0.0.1:8081", "ftp://x", "http://", "http://u@x", "http://x?y", "http://x:y"])
def test_a_url_that_cannot_be_used_is_refused(client_of, url):
    with pytest.raises(ConfigError, match="is not the URL of a control API"):
        client_of(url, OPERATOR)


@pytest.mark.parametrize("key", ["", "a b", "ä", "a\nb"])
def test_a_key_that_cannot_be_used_is_refused_and_not_shown(client_of, key):
    with pytest.raises(ConfigError, match="holds a character that no key has"):
        client_of("http://x", key)
