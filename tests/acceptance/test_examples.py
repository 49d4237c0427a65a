"""The examples work as their first lines say: each as a process of its own, behind a gateway that is another."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
OPERATOR = "operator-key-for-examples"
WAIT_SECONDS = 40


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def call(url, method="GET", body=None, key=None, **headers):
    """The status, the document and the headers of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers |= {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null"), answer.headers
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read() or b"null"), refused.headers


def until(seen, what):
    """Ask again until `seen` gives something; `what` it is, for the error."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            found = seen()
            if found:
                return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {WAIT_SECONDS} s")


@contextlib.contextmanager
def process(*command, **variables):
    """A program with these variables, ended by SIGTERM."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    with subprocess.Popen([sys.executable, *map(str, command)], env=kept | variables) as running:
        try:
            yield running
        finally:
            running.terminate()
            running.wait(20)


@contextlib.contextmanager
def query_api(document):
    """A query API that answers everything with one document; yields its URL."""
    body = json.dumps(document).encode()

    class Api(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def gateway(folder, upstream=None, **variables):
    """A gateway; yields its URL and that of its control API."""
    listen, control = free_port(), free_port()
    settings = {
        "GATEWAY_LISTEN": f"127.0.0.1:{listen}",
        "GATEWAY_CONTROL__LISTEN": f"127.0.0.1:{control}",
        "GATEWAY_CONTROL__OPERATOR_KEYS": OPERATOR,
        "GATEWAY_STORE__URL": f"sqlite:///{folder}/gateway.db",
        "GATEWAY_CALLS__ALLOW_HTTP": "true",
        "GATEWAY_CALLS__ALLOW": "127.0.0.0/8",
    }
    if upstream is not None:
        settings["GATEWAY_UPSTREAM"] = upstream
    with process("-m", "gateway", "serve", **settings, **variables):
        url = f"http://127.0.0.1:{control}"
        until(lambda: call(f"{url}/readyz")[0] == 200, "the gateway")
        yield f"http://127.0.0.1:{listen}", url


@contextlib.contextmanager
def example(control, name, *arguments, hooks, envelope=None):
    """The example `name` as a registered integration server, with its hooks enabled."""
    port = free_port()
    asked = {"name": "example", "base_url": f"http://127.0.0.1:{port}", "envelope": envelope or {}}
    _, made, _ = call(f"{control}/v1/integrations", "POST", asked, OPERATOR)
    variables = {"HOOK_SECRET": made["secret"], "PORT": str(port), "CONTROL_URL": control, "API_KEY": made["api_key"]}
    with process(EXAMPLES / name, *arguments, **variables):

        def enabled():
            _, page, _ = call(f"{control}/v1/hooks", key=made["api_key"])
            return {hook["name"] for hook in page["items"] if hook["enabled"]} == hooks

        until(enabled, f"the hooks of {name}")
        yield made


@pytest.fixture
def table():
    return {"rows": [{"item": "a", "price": 10.0}, {"item": "b", "price": 0.05}]}


def routes(folder, upstream):
    """A configuration whose every path is a search."""
    file = folder / "gateway.toml"
    file.write_text(f'[[routes]]\npath = "/*"\nupstream = "{upstream}"\ntype = "search"\n')
    return {"GATEWAY_CONFIG": str(file)}


def test_the_converter_converts_rejects_and_lets_its_reply_be_used_again(tmp_path, table):
    rates = tmp_path / "rates.json"
    rates.write_text('{"USD": "1.1"}')
    with query_api(table) as api, gateway(tmp_path, **routes(tmp_path, api)) as (url, control):
        with example(control, "hooks/converter.py", rates, hooks={"converter"}, envelope={"may_reject": True}):
            status, found, headers = call(f"{url}/?currency=USD")
            assert (status, [row["price"] for row in found["rows"]]) == (200, [11.0, 0.06])
            assert "converter;applied" in headers["gateway-hooks"]
            _, again, headers = call(f"{url}/?currency=USD")
            assert again == found
            assert "converter;cached" in headers["gateway-hooks"]
            assert call(f"{url}/")[1] == table
            status, problem, _ = call(f"{url}/?currency=XXX")
            assert (status, problem["known"]) == (422, ["USD"])
        _, found, headers = call(f"{url}/?currency=USD")  # it has gone, and disabled its hook before
        assert (found, "gateway-hooks" in headers) == (table, False)


def test_the_redactor_hides_addresses_and_numbers_and_fails_rather_than_show_them(tmp_path):
    document = {"rows": [{"note": "Write to ada@example.org or call +44 20 7946 0018.", "id": 12345678901}]}
    with query_api(document) as api, gateway(tmp_path, **routes(tmp_path, api)) as (url, control):
        with example(control, "hooks/redactor.py", hooks={"redactor"}, envelope={"failure_policy": "fail"}) as made:
            _, found, _ = call(f"{url}/")
            assert found == {"rows": [{"note": "Write to [e-mail] or call [telephone].", "id": 12345678901}]}
            key, hooks = made["api_key"], f"{control}/v1/hooks"
            hook = call(hooks, key=key)[1]["items"][0]["id"]
        call(f"{hooks}/{hook}/enable", "POST", {}, key)  # as if it had died without a word
        assert call(f"{url}/")[0] == 502


def test_the_faq_assistant_is_replaced_supplemented_or_left_alone_by_capability(tmp_path):
    port = free_port()
    config = (EXAMPLES / "faq" / "gateway.toml").read_text().replace("127.0.0.1:9000", f"127.0.0.1:{port}")
    file = tmp_path / "gateway.toml"
    file.write_text(config)
    with (
        process(EXAMPLES / "faq" / "assistant.py", "--port", port),
        gateway(tmp_path, GATEWAY_CONFIG=str(file)) as (url, control),
        example(control, "faq/integration.py", hooks={"opening-hours", "financial-aid"}),
    ):

        def ask(text, capability=None, **more):
            headers = {"x-capability": capability} if capability else {}
            return call(f"{url}/questions", "POST", {"text": text, **more}, **headers)

        until(lambda: ask("library")[0] == 200, "the assistant")
        _, hours, headers = ask("When is the library open?", "opening-hours", day="2026-11-22")
        assert hours["answer"] == "On 2026-11-22 the library is closed."
        assert "opening-hours;applied" in headers["gateway-hooks"]
        _, aid, _ = ask("How do I get financial aid?", "financial-aid")
        assert aid["answer"].startswith("Fill in the form")
        assert (aid["next"], aid["sources"]) == ("The form is at the office, or on its page.", ["faq", "financial-aid"])
        _, password, headers = ask("My password?")
        assert password["answer"] == "Use the link below the log-in form."
        assert "gateway-hooks" not in headers
        assert ask("What is this?", "financial-aid")[1]["answer"] is None
        assert call(f"{url}/questions", "POST", {"no": "text"})[0] == 400


def form(page, **fields):
    """What `page` answers to a form."""
    data = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(page, data, timeout=20) as answer:
        return answer.read().decode()


def text(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def test_the_guestbook_tells_its_readers_of_every_entry_also_of_those_made_while_nobody_was_there(tmp_path):
    letters, page, told = tmp_path / "letters", free_port(), free_port()
    book = f"http://127.0.0.1:{page}"
    with gateway(tmp_path, GATEWAY_CALLS__REQUIRE_OWNERSHIP="false") as (_, control):
        asked = {"name": "guestbook", "base_url": book}
        _, made, _ = call(f"{control}/v1/integrations", "POST", asked, OPERATOR)
        variables = {"CONTROL_URL": control, "API_KEY": made["api_key"]}
        command = (EXAMPLES / "guestbook" / "guestbook.py", "--port", page, "--db", tmp_path / "guestbook.db")
        with process(*command, **variables):
            until(lambda: text(book), "the guestbook")
            shown = form(f"{book}/subscriptions", name="letters", url=f"http://127.0.0.1:{told}/")
            secret = re.search(r"whsec_[A-Za-z0-9+/=]+", html.unescape(shown))[0]
            assert "letters" in text(f"{book}/subscriptions")
            notifier = (EXAMPLES / "guestbook" / "notifier.py", "--port", told, "--db", tmp_path / "inbox.db")
            with process(*notifier, "--letters", letters, SUBSCRIPTION_SECRET=secret):
                shown = form(f"{book}/entries", name="<b>Ada</b>", words="Nice page!")
                assert "&lt;b&gt;Ada&lt;/b&gt;" in shown
                assert "<b>Ada" not in shown
                letter = until(lambda: (letters / "1.txt").exists() and (letters / "1.txt").read_text(), "a letter")
                assert letter == "<b>Ada</b> signed the guestbook:\n\nNice page!\n"
            form(f"{book}/entries", name="Grace", words="Nobody is there.")
        with process(*command, **variables), process(*notifier, "--letters", letters, SUBSCRIPTION_SECRET=secret):
            until((letters / "2.txt").exists, "the letter of the entry that nobody was there for")
            until(lambda: text(book), "the guestbook")
            subscription = re.search(r"/subscriptions/([^/]+)/remove", text(f"{book}/subscriptions"))[1]
            assert "letters" not in form(f"{book}/subscriptions/{subscription}/remove")
