"""Hooks on WSGI applications, served by real servers on real sockets."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import io
import json
import shutil
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import aiohttp
import pytest
from werkzeug.serving import make_server as make_threaded_server

from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft, Settings
from gateway.pipeline.http_query import MAX_QUERY_BYTES
from gateway.sync import HooksWsgi, Request, SyncGateway
from gateway.sync.wsgi import ask
from gateway.testing.hook_server import HookServer

BEFORE = b'{"rows":[1,2]}'
CALLS = {
    "allow_http": True,
    "allow": ["127.0.0.0/8"],
    "require_ownership": False,
    "max_result_bytes": 1_000,
    "budget_ms": 10_000,
}
SETTINGS = Settings(store={"url": "memory:"}, calls=CALLS)
TABLE = {"/search": "search", "/items/*": "search"}
JSON = [("Content-Type", "application/json")]


@pytest.fixture
async def server():
    async with HookServer() as it:
        yield it


@pytest.fixture
async def gateway_with(server):
    """Opens gateways with one hook at a path, and closes them."""
    opened = []

    def gateway(path, policy=FailurePolicy.IGNORE, settings=SETTINGS):
        async def prepare(inner):
            envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
            made = await inner.registry.register(IntegrationDraft("one", server.url, envelope=envelope))
            draft = HookDraft(
                "it",
                path,
                types=frozenset({"search"}),
                timeout_ms=200 if path == "/hang" else 10_000,
                failure_policy=policy,
            )
            hook = await inner.registry.create_hook(made.integration.id, draft)
            await inner.registry.enable(hook.id)

        opened.append(SyncGateway(settings, prepare=prepare))
        return opened[-1]

    yield gateway
    for each in opened:
        await asyncio.to_thread(each.close)


class Silent(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.asynccontextmanager
async def served(app, kind="wsgiref"):
    """`app` behind one of two servers; yields its address."""
    if kind == "wsgiref":
        running: Any = make_server("127.0.0.1", 0, app, handler_class=Silent)
    else:
        running = make_threaded_server("127.0.0.1", 0, app, threaded=True)
    port = running.server_port
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await asyncio.to_thread(running.shutdown)
        await asyncio.to_thread(thread.join)
        running.server_close()


async def get(url, method="GET", **options):
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as answer:
        return answer.status, await answer.read(), answer.headers


class Closing(list):
    """Pieces that know whether they were closed."""

    closed = 0

    def close(self):
        self.closed += 1


def whole(environ, start_response):
    start_response("200 OK", [*JSON, ("ETag", '"1"'), ("X-Own", "kept"), ("Content-Length", str(len(BEFORE)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [BEFORE]


def in_pieces(_environ, start_response):
    start_response("200 OK", JSON)
    return iter([b'{"rows"', b"", b":[1,2]}"])


def lazy(_environ, start_response):
    """Begins to answer when the first piece is asked for."""
    start_response("200 OK", list(JSON))
    yield BEFORE[:5]
    yield BEFORE[5:]


def written(_environ, start_response):
    write = start_response("200 OK", JSON)
    write(BEFORE[:5])
    write(BEFORE[5:])
    return []


def changing_its_mind(_environ, start_response):
    start_response("200 OK", JSON)
    yield b'{"half":'
    try:
        raise ValueError
    except ValueError:
        start_response("200 OK", JSON, __import__("sys").exc_info())
    yield BEFORE


RESULTS = [whole, in_pieces, lazy, written]


@pytest.mark.parametrize("app", [*RESULTS, changing_its_mind])
async def test_a_json_answer_goes_through_the_hooks_however_it_is_given(app, gateway_with, server):
    gateway = gateway_with("/merge-patch")
    app = app if app is changing_its_mind else validator(app)
    async with served(validator(HooksWsgi(app, TABLE, gateway=gateway))) as url:
        status, body, headers = await get(f"{url}/search?q=lisbon", headers={"gateway-depth": "1"})
    assert (status, json.loads(body)) == (200, {"rows": [1, 2], "merged": True})
    assert headers["gateway-hooks"].startswith("it;applied;ms=")
    assert headers["server-timing"].startswith("hook-it;dur=")
    assert headers["content-length"] == str(len(body))
    assert "etag" not in headers
    (request,) = server.requests
    assert request.header("gateway-depth") == "2"
    data = json.loads(request.body)["data"]
    assert (data["query"]["params"], data["result"]) == ({"q": "lisbon"}, {"rows": [1, 2]})


def text(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"plain"]


def lazy_text(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"pla"
    yield b"in"


def written_text(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])(b"plain")
    return []


def compressed(_environ, start_response):
    start_response("200 OK", [*JSON, ("Content-Encoding", "gzip")])
    return [b"not really"]


def not_found(_environ, start_response):
    start_response("404 Not Found", JSON)
    return [b"{}"]


def empty(_environ, start_response):
    start_response("204 No Content", [])
    return []


@pytest.mark.parametrize("app", [text, lazy_text, written_text, compressed, not_found, empty])
async def test_what_is_no_result_passes_as_it_is(app, gateway_with, server):
    gateway = gateway_with("/replace")
    async with served(validator(app)) as plain, served(validator(HooksWsgi(app, TABLE, gateway=gateway))) as url:
        options = {"auto_decompress": False}
        async with aiohttp.ClientSession(**options) as session:
            async with session.get(f"{plain}/search") as answer:
                expected = answer.status, await answer.read(), answer.headers.get("content-type")
            async with session.get(f"{url}/search") as answer:
                found = answer.status, await answer.read(), answer.headers.get("content-type")
                assert "gateway-hooks" not in answer.headers
    assert found == expected
    assert server.requests == []


async def test_a_head_request_and_a_path_that_is_no_query_pass_as_they_are(gateway_with, server):
    gateway = gateway_with("/replace")
    async with served(HooksWsgi(whole, TABLE, gateway=gateway)) as url:
        for method, path in (("HEAD", "/search"), ("GET", "/other")):
            status, _, headers = await get(url + path, method)
            assert (status, headers["content-length"], headers["etag"]) == (200, str(len(BEFORE)), '"1"')
    assert server.requests == []


def test_a_file_that_is_no_result_reaches_the_server_untouched():
    file = Closing([b"file"])

    def app(_environ, start_response):
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return file

    wrapped = HooksWsgi(app, gateway=SyncGateway(SETTINGS))
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
    assert wrapped(environ, lambda *_: None) is file


@pytest.mark.parametrize("policy", FailurePolicy)
@pytest.mark.parametrize("with_length", [True, False])
@pytest.mark.parametrize("kind", ["pieces", "lazy", "written"])
async def test_an_answer_beyond_the_limit_streams_on_and_says_that_its_hooks_were_skipped(
    kind, with_length, policy, gateway_with, server
):
    pieces = [b'["', *[b"x" * 100] * 30, b'"]']
    length = [("Content-Length", "3004")] if with_length else []

    def app(_environ, start_response):
        write = start_response("200 OK", JSON + length)
        if kind == "pieces":
            return iter(pieces)
        for piece in pieces:
            write(piece)
        return []

    def lazy_app(_environ, start_response):
        start_response("200 OK", JSON + length)
        yield from pieces

    gateway = gateway_with("/replace", policy)
    async with served(validator(HooksWsgi(lazy_app if kind == "lazy" else app, TABLE, gateway=gateway))) as url:
        status, body, headers = await get(f"{url}/items/large")
    assert server.requests == []
    if policy is FailurePolicy.FAIL:  # not without the hook
        assert (status, json.loads(body)["reason"], headers["content-length"]) == (502, "size", str(len(body)))
        return
    assert (status, body) == (200, b"".join(pieces))
    assert headers["gateway-hooks"].startswith("it;skipped;reason=size")
    assert headers.get("content-length") == ("3004" if with_length else None)


@pytest.mark.parametrize("kind", ["wsgiref", "werkzeug"])
async def test_a_hook_that_hangs_leaves_the_answer_as_it_was(kind, gateway_with):
    async with served(HooksWsgi(whole, TABLE, gateway=gateway_with("/hang")), kind) as url:
        status, body, headers = await get(f"{url}/search")
    assert (status, body, headers["x-own"]) == (200, BEFORE, "kept")
    assert headers["gateway-hooks"].startswith("it;failed;reason=timeout;ms=")


@pytest.mark.parametrize(("path", "status", "word"), [("/hang", 504, "timeout"), ("/reject", 422, "not allowed")])
async def test_a_query_without_an_answer_is_a_problem_document(path, status, word, gateway_with):
    gateway = gateway_with(path, FailurePolicy.FAIL)
    async with served(validator(HooksWsgi(whole, TABLE, gateway=gateway))) as url:
        found, body, headers = await get(f"{url}/search")
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
    assert word in body.decode()
    assert headers["content-length"] == str(len(body))
    assert "etag" not in headers


async def test_conditions_on_the_unchanged_bytes_and_debug_keys_do_not_reach_the_application(gateway_with):
    def app(environ, start_response):
        start_response("200 OK", JSON)
        return [
            json.dumps(
                {"asked": sorted(n for n in environ if n.startswith(("HTTP_IF", "HTTP_RANGE", "HTTP_GATEWAY")))}
            ).encode()
        ]

    key = "a-debug-key-of-enough-length"
    settings = Settings(store={"url": "memory:"}, calls=CALLS, journal={"debug_keys": [key]})
    asked = {"if-none-match": '"1"', "range": "bytes=0-1", "if-range": '"1"', "gateway-debug": key}
    async with served(HooksWsgi(app, TABLE, gateway=gateway_with("/unchanged", settings=settings))) as url:
        _, body, headers = await get(f"{url}/search", headers=asked)
        assert body == b'{"asked": []}'
        assert headers["gateway-trace-id"]


async def test_the_application_still_gets_the_body_that_the_query_was_read_from(gateway_with, server):
    def app(environ, start_response):
        start_response("200 OK", JSON)
        return [json.dumps({"got": environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()}).encode()]

    def query_of(request):
        return request.query("search", tenant=request.headers["x-tenant"], params=json.loads(request.body()))

    async with served(validator(HooksWsgi(app, query_of, gateway=gateway_with("/unchanged")))) as url:
        _, body, _ = await get(f"{url}/echo", "POST", data=b'{"q":[1]}', headers={"x-tenant": "acme"})
    assert json.loads(body) == {"got": '{"q":[1]}'}
    query = json.loads(server.requests[0].body)["data"]["query"]
    assert (query["params"], query["tenant"]) == ({"q": [1]}, "acme")


@pytest.mark.parametrize(
    ("size", "told", "seen"),
    [
        (10, {"CONTENT_LENGTH": "10"}, True),
        (10, {"wsgi.input_terminated": True}, True),
        (10, {"CONTENT_LENGTH": "12"}, False),
        (10, {}, None),
        (MAX_QUERY_BYTES, {"wsgi.input_terminated": True}, True),
        (MAX_QUERY_BYTES + 1, {"wsgi.input_terminated": True}, False),
        (MAX_QUERY_BYTES + 70_000, {"wsgi.input_terminated": True}, False),
        (MAX_QUERY_BYTES + 1, {"CONTENT_LENGTH": str(MAX_QUERY_BYTES + 1)}, False),
    ],
)
def test_a_body_is_looked_at_up_to_a_limit_and_all_of_it_is_left_for_the_application(size, told, seen):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": io.BytesIO(body), **told}
    request = Request(environ)
    assert request.body() == {True: body, False: None, None: b""}[seen]
    assert request.body() == request.body()
    assert environ["wsgi.input"].read() == body


def test_paths_are_what_their_bytes_mean_in_utf_8():
    raw = "/é/ü".encode().decode("latin-1")
    assert Request({"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/app", "PATH_INFO": raw}).path == "/app/é/ü"


async def test_an_application_may_say_itself_which_query_it_answers(gateway_with, server):
    def app(environ, start_response):
        ask(environ, Request(environ).query("search", params={"said": "inside"}))
        start_response("200 OK", JSON)
        return [BEFORE]

    async with served(validator(HooksWsgi(app, gateway=gateway_with("/replace")))) as url:
        assert (await get(url))[1] == b'{"replaced":true}'
    assert json.loads(server.requests[0].body)["data"]["query"]["params"] == {"said": "inside"}


def test_to_ask_without_the_middleware_says_what_is_missing():
    with pytest.raises(RuntimeError, match="wrap the application in it"):
        ask({}, None)


async def test_a_gateway_that_cannot_be_opened_leaves_the_answers_as_they_are(tmp_path, caplog):
    settings = Settings(store={"url": f"sqlite:///{tmp_path}/absent/gateway.db"}, calls=CALLS)
    async with served(HooksWsgi(whole, TABLE, gateway=SyncGateway(settings))) as url:
        assert (await get(f"{url}/search"))[:2] == (200, BEFORE)
    assert "gateway.not_open" in caplog.text
    assert "there is no directory" in caplog.text


async def test_a_gateway_that_ends_while_the_application_answers_leaves_the_answer_as_it_is(
    gateway_with, tmp_path, caplog
):
    folder = tmp_path / "it"
    folder.mkdir()
    gateway = gateway_with("/replace", settings=Settings(store={"url": f"sqlite:///{folder}/gateway.db"}, calls=CALLS))

    def app(environ, start_response):
        async def end(_gateway):
            raise SystemExit

        with pytest.raises((SystemExit, concurrent.futures.CancelledError)):
            gateway.call(end)
        assert gateway._open[0].stop(30)
        shutil.rmtree(folder)
        return whole(environ, start_response)

    async with served(HooksWsgi(app, TABLE, gateway=gateway)) as url:
        status, body, headers = await get(f"{url}/search")
    assert (status, body, headers["etag"]) == (200, BEFORE, '"1"')
    assert "there is no directory" in caplog.text


@pytest.mark.parametrize("path", ["/search", "/other"])
async def test_the_applications_pieces_are_closed_once_the_answer_is_over(path, gateway_with):
    pieces = Closing([BEFORE])
    closed = []

    def app(_environ, start_response):
        start_response("200 OK", JSON)
        return pieces

    def query_of(request):
        return request.query("search") if request.path == "/search" else None

    def outside(environ, start_response):
        found = HooksWsgi(app, query_of, gateway=gateway)(environ, start_response)
        closed.append(pieces.closed)
        return found

    gateway = gateway_with("/replace")
    async with served(outside) as url:
        await get(url + path)
    assert (closed, pieces.closed) == ([0], 1)


async def test_what_an_application_raises_is_raised_and_its_pieces_are_closed(gateway_with):
    class Breaking(Closing):
        def __iter__(self):
            yield b"["
            raise LookupError("half-way")

    pieces = Breaking()

    def app(_environ, start_response):
        start_response("200 OK", JSON)
        return pieces

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/search", "QUERY_STRING": ""}
    wrapped = HooksWsgi(app, TABLE, gateway=gateway_with("/replace"))
    with pytest.raises(LookupError):
        await asyncio.to_thread(wrapped, environ, lambda *_: None)
    assert pieces.closed == 1


async def test_many_requests_at_once_on_a_threaded_server(gateway_with, server):
    gateway = gateway_with("/merge-patch")

    def app(environ, start_response):
        start_response("200 OK", JSON)
        return [json.dumps({"own": environ["QUERY_STRING"]}).encode()]

    async with served(HooksWsgi(app, TABLE, gateway=gateway), "werkzeug") as url:
        answers = await asyncio.gather(*(get(f"{url}/search?{number}") for number in range(50)))
    assert [json.loads(body) for _, body, _ in answers] == [{"own": str(n), "merged": True} for n in range(50)]
