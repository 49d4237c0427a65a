"""`gateway hooks explain|test|outcomes|promote`, as a process, against a gateway that serves and a real hook."""

from __future__ import annotations

import json
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

OPERATOR_KEY = "operator-key-for-tests"
RESULT = '{"rows": [{"id": 1, "price": 1.5}]}'
PATCH = b'[{"op": "replace", "path": "/rows/0/price", "value": 2}, {"op": "add", "path": "/count", "value": 1}]'


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        status, kind, body = (200, "application/json-patch+json", PATCH)
        if self.path == "/broken":
            status, kind, body = (500, "text/plain", b"\x1b[31moops")
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Upstream(Hook):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(RESULT)))
        self.end_headers()
        self.wfile.write(RESULT.encode())


@contextmanager
def listening(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def live(program):
    """A gateway whose calls may go to loopback, with an integration `prices` and its hooks `fx` and `broken`."""
    with listening(Hook) as hooks, listening(Upstream) as upstream:
        process, told = program.announced(
            "serve", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--upstream", upstream,
            GATEWAY_STORE__URL="memory:",
            GATEWAY_CONTROL__OPERATOR_KEYS=OPERATOR_KEY,
            GATEWAY_CALLS__REQUIRE_OWNERSHIP="false",
            GATEWAY_CALLS__ALLOW_HTTP="true",
            GATEWAY_CALLS__ALLOW="127.0.0.0/8",
        )  # fmt: skip
        opened = type(program)(program.directory, {"GATEWAY_URL": told["control_url"], "GATEWAY_KEY": OPERATOR_KEY})
        assert opened("integrations", "register", "prices", hooks).code == 0
        for name in ("fx", "broken"):
            assert opened("hooks", "create", name, f"/{name}", "-i", "prices", "--type", "query").code == 0
        opened.gateway_url = told["gateway_url"]
        yield opened
        process.terminate()
        process.communicate(timeout=30)


def test_a_test_shows_what_went_out_what_came_back_and_what_it_would_change(live):
    tried = live("hooks", "test", "prices/fx", "--type", "query", "--result", RESULT)
    assert tried.code == 0, tried.err
    assert "\x1b" not in tried.out
    lines = [line.split() for line in tried.out.splitlines()]
    assert ["outcome", "applied"] in lines
    assert tried.out.splitlines()[-5:] == ["/count", "  + 1", "/rows/0/price", "  - 1.5", "  + 2"]
    assert "200 application/json-patch+json" in tried.out
    told = live("hooks", "test", "fx", "--type", "query", "--result", "-", "--json", stdin=RESULT).json
    assert told["outcome"]["status"] == "applied"
    assert told["diff"] == list(reversed(json.loads(PATCH)))


def test_on_a_terminal_a_diff_is_in_red_and_green_unless_no_color_is_wanted(live):
    arguments = ("hooks", "test", "prices/fx", "--type", "query", "--result", RESULT)
    colored = live.on_terminal(*arguments).out
    assert "\x1b[31m  - 1.5\x1b[0m" in colored
    assert "\x1b[32m  + 2\x1b[0m" in colored
    assert "\x1b" not in live.on_terminal(*arguments, NO_COLOR="1").out
    assert "\x1b" not in live.on_terminal(*arguments, "--no-color").out


def test_a_reply_that_could_not_be_used_is_exit_code_1_and_steers_no_terminal(live):
    tried = live("hooks", "test", "prices/broken", "--type", "query", "--result", RESULT)
    assert tried.code == 1
    assert "failed (status: the hook answered with status 500)" in tried.out
    assert "\x1b" not in tried.out
    assert "oops" in tried.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--type", "query"), 2, "--result"),
        (("--result", "{}"), 2, "--type"),
        (("--type", "query", "--result", "{"), 2, "--result is not JSON"),
        (("--type", "query", "--result", "@missing.json"), 2, "cannot be read"),
        (("--type", "query", "--result", "{}", "--params", "x"), 2, "--params is not JSON"),
    ],
)
def test_what_it_cannot_use_is_said_with_the_way_out(live, arguments, code, words):
    refused = live("hooks", "test", "prices/fx", *arguments)
    assert (refused.code, words in refused.err) == (code, True), refused.err


def test_the_outcomes_of_real_queries_are_listed_with_the_reason(live):
    live("hooks", "enable", "prices/broken")
    with urllib.request.urlopen(f"{live.gateway_url}/search") as response:
        assert response.read().decode() == RESULT
    live("hooks", "disable", "prices/broken")
    listed = live("hooks", "outcomes", "prices/broken")
    assert listed.code == 0, listed.err
    head, row, *_ = listed.out.splitlines()
    assert head.split()[:3] == ["at", "status", "reason"]
    assert row.split()[1:3] == ["failed", "status"]
    assert live("hooks", "outcomes", "prices/broken", "--outcome", "applied").out.strip() == (
        "Nothing that fits is remembered."
    )
    assert live("hooks", "outcomes", "prices/broken", "--outcome", "nonsense").code == 1
    assert [item["reason"] for item in live("hooks", "outcomes", "broken", "--json").json["items"]] == ["status"]


def test_an_explanation_names_who_would_run_and_why_the_others_would_not(live):
    live("hooks", "enable", "prices/fx")
    told = live("hooks", "explain", "--type", "query")
    assert told.code == 0, told.err
    ran, others = told.out.split("\n\n")
    assert ran.splitlines()[1].split()[:3] == ["1", "prices/fx", "active"]
    assert others.splitlines()[1].split()[:2] == ["prices/broken", "disabled"]
    assert live("hooks", "explain", "--type", "form").out.startswith("No hook would run.")
    told = live("hooks", "explain", "--type", "query", "--result", RESULT, "--json", "-i", "prices").json
    assert [each["hook"] for each in told["would_run"]] == ["fx"]


def test_from_shadow_a_hook_is_promoted_and_its_diffs_are_shown(live):
    assert live("hooks", "change", "prices/fx", "--mode", "shadow", "--json").json["mode"] == "shadow"
    live("hooks", "enable", "prices/fx")
    with urllib.request.urlopen(f"{live.gateway_url}/search") as response:
        assert response.headers["gateway-hooks"].startswith("fx;shadowed")
        assert response.read().decode() == RESULT
    for _ in range(100):
        listed = live("hooks", "outcomes", "prices/fx", "--outcome", "shadowed", "--diffs").out
        if "shadowed (applied)" in listed:
            break
    assert "  /rows/0/price" in listed.splitlines()
    assert "    + 2" in listed.splitlines()
    told = live("hooks", "promote", "prices/fx", "--percent", "5", "--json").json
    assert (told["mode"], told["percent"]) == ("canary", 5)
    assert live("hooks", "promote", "prices/fx", "--mode", "active", "--json").json["mode"] == "active"
    again = live("hooks", "promote", "prices/fx")
    assert again.code == 1
    assert "active already" in again.err
