"""Reloads while queries come in: routes, upstreams and limits change, and nobody notices a break."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from gateway import Settings, open_gateway
from gateway.config import Address, UnixAddress
from gateway.service.serving import listening
from gateway.service.site import site

KEY = "operator-key-for-tests"


class Api:
    """A query API that says its name, and streams for as long as it is told to."""

    def __init__(self, name):
        self.name = name
        self.more = asyncio.Event()
        self.streaming = asyncio.Event()
        app = web.Application()
        app.router.add_get("/stream", self.stream)
        app.router.add_get("/{rest:.*}", self.answer)
        self.app = app

    async def answer(self, request):
        return web.json_response({"api": self.name, "path": request.path})

    async def stream(self, request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"data: {self.name}\n\n".encode())
        self.streaming.set()
        await self.more.wait()
        await response.write(b"data: end\n\n")
        return response


@dataclass
class Reload:
    """Has the gateway read its configuration again, by its control API."""

    operator: aiohttp.ClientSession
    control: str

    async def __call__(self):
        async with self.operator.post(f"{self.control}/v1/config/reload") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def ready(self):
        async with self.operator.get(f"{self.control}/readyz") as response:
            return await response.json()


@asynccontextmanager
async def running(tables):
    """A gateway over `tables`, which it reads anew at each reload; yields a reload and the gateway's URL."""
    tables |= {
        "store": {"url": "memory:"},
        "listen": "127.0.0.1:0",
        "control": {"listen": "127.0.0.1:0", "operator_keys": [KEY]},
    }
    settings = Settings.model_validate(tables)
    async with (
        open_gateway(settings) as gateway,
        listening(gateway, [KEY], read=lambda: Settings.model_validate(tables)) as (control, url),
        aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as operator,
    ):
        yield Reload(operator, control), url


@asynccontextmanager
async def query_api(name, address=None):
    """A query API on loopback; yields it and its URL."""
    api = Api(name)
    async with site(api.app, address or Address("127.0.0.1", 0), "listen") as url:
        yield api, url
        api.more.set()


async def asked(session, url):
    async with session.get(url) as response:
        return response.status, (await response.json())


async def test_queries_go_to_another_upstream_and_a_stream_in_flight_and_its_connection_live_on():
    tables: dict[str, object] = {}
    async with query_api("old") as (old, old_url), query_api("new") as (_, new_url):
        tables["upstream"] = old_url
        async with (
            running(tables) as (reload, url),
            aiohttp.ClientSession() as client,
            client.get(f"{url}/stream") as stream,
        ):
            assert await stream.content.readuntil(b"\n\n") == b"data: old\n\n"
            assert (await asked(client, f"{url}/a"))[1]["api"] == "old"
            tables["upstream"] = new_url
            assert (await reload())["applied"] == ["upstream"]
            assert (await asked(client, f"{url}/a"))[1]["api"] == "new"
            assert [each["url"] for each in (await reload.ready())["upstreams"]] == [new_url]
            old.more.set()
            assert await stream.content.read() == b"data: end\n\n"


async def test_ten_reloads_under_load_break_no_request_and_no_connection():
    tables: dict[str, object] = {}
    async with query_api("one") as (one, one_url), query_api("two") as (_, two_url):
        tables["upstream"] = one_url
        connections = 0

        async def made(*_):
            nonlocal connections
            connections += 1

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(made)
        async with (
            running(tables) as (reload, url),
            aiohttp.ClientSession(trace_configs=[trace], connector=aiohttp.TCPConnector(limit=4)) as client,
            aiohttp.ClientSession() as listener,
            listener.get(f"{url}/stream") as stream,
        ):
            over = asyncio.Event()
            answers: list[tuple[int, str]] = []

            async def keep_asking():
                while not over.is_set():
                    status, told = await asked(client, f"{url}/query?n=1")
                    answers.append((status, told["api"]))

            clients = [asyncio.create_task(keep_asking()) for _ in range(4)]
            for number in range(10):
                before = len(answers)
                tables["upstream"] = two_url if number % 2 == 0 else one_url
                tables["server"] = {"max_headers": 50 + number, "idle_timeout_seconds": 60 + number}
                told = await reload()
                assert told["needs_restart"] == []
                while len(answers) < before + 8:  # noqa: ASYNC110  requests are what passes the time
                    await asyncio.sleep(0)
            over.set()
            await asyncio.gather(*clients)
            assert {status for status, _ in answers} == {200}
            assert {api for _, api in answers} == {"one", "two"}
            assert connections == 4
            one.more.set()
            assert await stream.content.read() == b"data: one\n\ndata: end\n\n"


async def test_new_limits_hold_from_the_next_connection_on():
    tables: dict[str, object] = {}
    async with query_api("api") as (_, api_url):
        tables["upstream"] = api_url
        async with running(tables) as (reload, url), aiohttp.ClientSession() as client:
            long = f"{url}/{'a' * 300}"
            assert (await asked(client, long))[0] == 200
            tables["server"] = {"max_target_bytes": 128}
            assert (await reload())["applied"] == ["server.max_target_bytes"]
            async with aiohttp.ClientSession() as another, another.get(long) as response:
                assert response.status == 414


async def test_a_gateway_without_routes_answers_404_until_it_has_some_again():
    tables: dict[str, object] = {}
    async with query_api("api") as (_, api_url):
        tables["routes"] = [{"path": "/a", "upstream": api_url}]
        async with running(tables) as (reload, url), aiohttp.ClientSession() as client:
            assert (await asked(client, f"{url}/a"))[0] == 200
            tables["routes"] = []
            assert (await reload())["applied"] == ["routes"]
            assert (await asked(client, f"{url}/a"))[0] == 404
            tables["routes"] = [{"path": "/b", "upstream": api_url}]
            await reload()
            assert (await asked(client, f"{url}/b"))[1] == {"api": "api", "path": "/b"}


async def test_a_gateway_that_was_started_without_any_route_needs_a_restart_to_get_one():
    tables: dict[str, object] = {}
    async with running(tables) as (reload, url):
        assert url is None
        tables["upstream"] = "http://127.0.0.1:9"
        assert (await reload())["needs_restart"] == ["upstream"]


async def test_unix_sockets_on_both_sides(tmp_path):
    front, behind = tmp_path / "gateway.sock", tmp_path / "api.sock"
    async with query_api("api", UnixAddress(str(behind))) as (_, api_url):
        assert api_url == f"http+unix://{behind}"
        settings = Settings.model_validate(
            {
                "store": {"url": "memory:"},
                "listen": f"unix:{front}",
                "upstream": api_url,
                "control": {"listen": f"unix:{tmp_path / 'control.sock'}"},
            }
        )
        async with (
            open_gateway(settings) as gateway,
            listening(gateway, [KEY]) as (control, url),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(front))) as client,
        ):
            assert (control, url) == (f"http+unix://{tmp_path / 'control.sock'}", f"http+unix://{front}")
            assert await asked(client, "http://localhost/a") == (200, {"api": "api", "path": "/a"})
    assert not front.exists()


@pytest.mark.parametrize(("query", "target"), [(False, "/a?…"), (True, "/a?token=1")])
async def test_each_answered_request_is_a_line_of_the_log_if_that_is_wanted(caplog, query, target):
    tables: dict[str, object] = {"server": {"access_log_query": query}}
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with query_api("api") as (_, api_url):
        tables["upstream"] = api_url
        with caplog.at_level("INFO", "gateway"):
            async with running(tables) as (reload, url), aiohttp.ClientSession() as client:
                await asked(client, f"{url}/a?token=1")
                assert "request.answered" not in caplog.text
                tables["server"] = {"access_log_query": query, "access_log": True}
                assert (await reload())["applied"] == ["server.access_log"]
                headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
                async with client.get(f"{url}/a?token=1", headers=headers) as response:
                    await response.read()
    (line,) = [record.msg for record in caplog.records if record.getMessage().startswith("request.answered")]
    fields = dict(line.fields)
    assert fields.pop("ms") >= fields.pop("upstream_ms") >= 0
    assert fields == {
        "method": "GET",
        "target": target,
        "status": 200,
        "bytes_in": 0,
        "bytes_out": len(json.dumps({"api": "api", "path": "/a"})),
        "trace": trace,
        "client": "127.0.0.1",
    }
