"""`gateway subscriptions` and `gateway events`, as a process, against a gateway that serves and delivers."""

from __future__ import annotations

import http.server
import itertools
import json
import signal
import threading

import pytest

from gateway.wire import signature

OPERATOR_KEY = "operator-key-for-tests"
NUMBERS = itertools.count(1)


class Receiver:
    """A server that keeps what it gets, and answers with `status`."""

    def __init__(self):
        self.got = []
        self.status = 204
        self.agrees = True
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_OPTIONS(self):
                self.send_response(200)
                if receiver.agrees:
                    self.send_header("WebHook-Allowed-Origin", "*")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((self.path, dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def types(self, path):
        return [json.loads(body)["type"] for there, _, body in self.got if there == path]


@pytest.fixture(scope="module")
def serving(program):
    """A gateway on a SQLite file that gives a delivery up after the second attempt, and the program to talk to it."""
    process, told = program.announced(
        "serve", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
        GATEWAY_CONTROL__OPERATOR_KEYS=OPERATOR_KEY,
        GATEWAY_CALLS__ALLOW='["127.0.0.0/8"]',
        GATEWAY_CALLS__ALLOW_HTTP="true",
        GATEWAY_RELAY__SCHEDULE_SECONDS="[0]",
    )  # fmt: skip
    yield type(program)(program.directory, {"GATEWAY_URL": told["control_url"], "GATEWAY_KEY": OPERATOR_KEY})
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, (out, err)
    assert "Traceback" not in err


@pytest.fixture
def receiver():
    opened = Receiver()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


@pytest.fixture
def subscribed(serving, receiver):
    """A subscription of this test's own, whose path is its name."""

    def make(*options):
        name = f"own-{next(NUMBERS)}"
        made = serving("subscriptions", "create", name, f"{receiver.url}/{name}", *options, "--json")
        assert made.code == 0, made.err
        assert serving("subscriptions", "ping", name).code == 0
        return made.json

    return make


def test_a_new_subscription_shows_its_secret_once_and_gets_a_signed_ping(serving, receiver):
    made = serving("subscriptions", "create", "first", f"{receiver.url}/first", "--event", "order.*")
    assert made.code == 0, made.err
    secret = next(word for word in made.out.split() if word.startswith("whsec_"))
    assert "not shown again" in made.out
    ping = serving("subscriptions", "ping", "first")
    assert (ping.code, "delivered, answered with status 204" in ping.out) == (0, True), ping.err
    shown = serving("subscriptions", "show", "first")
    assert shown.code == 0
    assert secret not in shown.out
    path, headers, body = receiver.got[0]
    assert (path, json.loads(body)["type"]) == ("/first", "gateway.ping")
    lower = {name.lower(): value for name, value in headers.items()}
    signature.verify(
        [signature.key_of(secret)],
        message_id=lower["webhook-id"],
        timestamp=lower["webhook-timestamp"],
        signature=lower["webhook-signature"],
        body=body,
        now=int(lower["webhook-timestamp"]),
    )


def test_an_address_that_does_not_agree_cannot_be_subscribed(serving, receiver):
    receiver.agrees = False
    refused = serving("subscriptions", "create", "nobody", f"{receiver.url}/x")
    assert refused.code == 1
    assert "WebHook-Allowed-Origin" in refused.err


def test_what_is_wrong_with_a_subscription_is_told_by_name(serving):
    wrong = serving(
        "subscriptions", "create", "x", "https://10.0.0.1/x", "--event", "a b", "--header", "host: a",
        "--filter", "data.", "--insecure-ssl",
    )  # fmt: skip
    assert wrong.code == 1
    for field in ("/config/url", "/events/0", "/headers/host", "/filter", "/config/insecure_ssl"):
        assert field in wrong.err
    assert serving("subscriptions", "create", "x", "https://example.com", "--header", "no-colon").code == 2
    assert serving("subscriptions", "update", "x").code == 2
    missing = serving("subscriptions", "show", "no-such")
    assert (missing.code, "subscriptions list" in missing.err) == (1, True)


def test_an_event_is_published_delivered_and_seen(serving, receiver, subscribed):
    made = subscribed("--event", "sale.*", "--filter", "data.total > 100.0", "--header", "x-team: billing")
    name = made["name"]
    told = serving("events", "publish", "sale.made", "--data", '{"total": 150.5}', "--order-key", "o1", "--json")
    assert (told.code, told.json["deliveries"]) == (0, 1), told.err
    nobody = serving("events", "publish", "sale.made", "--data", '{"total": 1.5}')
    assert "goes to nobody" in nobody.out
    listed = serving("events", "deliveries", name, "--event", told.json["id"], "--json").json["items"]
    assert len(listed) == 1
    again = serving("events", "redeliver", listed[0]["id"])
    assert again.code == 0, again.err
    sent = [(headers, json.loads(body)) for path, headers, body in receiver.got if path == f"/{name}"]
    bodies = [(headers, body) for headers, body in sent if body["type"] == "sale.made"]
    assert len(bodies) == 2
    assert {body["id"] for _, body in bodies} == {told.json["id"]}
    assert bodies[0][1]["data"] == {"total": 150.5}
    assert {name.lower(): value for name, value in bodies[0][0].items()}["x-team"] == "billing"
    one = serving("events", "deliveries", listed[0]["id"])
    assert one.code == 0
    assert "redeliver" in one.out
    shown = serving("events", "show", told.json["id"])
    assert (shown.code, "150.5" in shown.out) == (0, True)


def test_publishing_twice_with_the_same_key_makes_one_event(serving):
    first = serving("events", "publish", "a.b", "--data", "1", "--idempotency-key", "once", "--json").json
    again = serving("events", "publish", "a.b", "--data", "1", "--idempotency-key", "once")
    assert first["id"] in again.out
    assert "nothing was published now" in again.out


def test_data_that_is_no_json_and_types_that_are_reserved_are_refused(serving):
    wrong = serving("events", "publish", "a.b", "--data", "text")
    assert (wrong.code, "is not JSON" in wrong.err) == (2, True)
    reserved = serving("events", "publish", "gateway.ping")
    assert (reserved.code, "/event" in reserved.err) == (1, True)
    from_input = serving("events", "publish", "a.b", "--data-file", "-", "--json", stdin='{"a": [1]}')
    assert from_input.json["data"] == {"a": [1]}


def test_what_was_given_up_is_listed_repeated_and_recovered(serving, receiver, subscribed):
    name = subscribed("--event", "job.*")["name"]
    receiver.status = 500
    for n in range(3):
        assert serving("events", "publish", "job.failed", "--data", str(n)).code == 0
    dead = []
    while len(dead) < 3:
        dead = serving("events", "deliveries", name, "--state", "dead", "--json").json["items"]
    assert {each["status"] for each in dead} == {500}
    refused = serving("events", "redeliver", dead[0]["id"])
    assert (refused.code, "it answered with status 500" in refused.out) == (1, True)
    receiver.status = 204
    recovered = serving("events", "recover", name, "--since", "1h")
    assert (recovered.code, "3 of 3 are on their way again" in recovered.out) == (0, True), recovered.err
    while serving("events", "deliveries", name, "--state", "delivered", "--json").json["items"][2:] == []:
        pass
    none = serving("events", "recover", name, "--since", "1h")
    assert "Nothing was given up" in none.out
    assert serving("events", "recover", name, "--since", "yesterday").code == 1


def test_pause_keeps_what_comes_and_resume_sends_it_in_order(serving, receiver, subscribed):
    name = subscribed("--event", "step.*")["name"]  # also where events are not ordered otherwise
    paused = serving("subscriptions", "pause", name, "--json").json
    assert (paused["active"], paused["state"]) == (False, "paused")
    for n in range(3):
        serving("events", "publish", f"step.{n}")
    assert set(receiver.types(f"/{name}")) == {"gateway.ping"}
    assert serving("subscriptions", "resume", name, "--json").json["state"] == "active"
    while len(receiver.types(f"/{name}")) < 5:
        serving("events", "deliveries", name)
    assert [kind for kind in receiver.types(f"/{name}") if kind != "gateway.ping"] == ["step.0", "step.1", "step.2"]


def test_a_subscription_is_updated_rotated_listed_and_deleted(serving, receiver, subscribed):
    made = subscribed("--event", "a", "--header", "x-old: 1", "--filter", "data.n == 1")
    name = made["name"]
    changed = serving(
        "subscriptions", "update", name, "--event", "b", "--event", "c.*", "--no-filter", "--no-header", "X-Old",
        "--header", "x-new: 2", "--ordered", "--content-type", "cloudevents", "--json",
    ).json  # fmt: skip
    assert (changed["events"], changed["filter"], changed["headers"]) == (["b", "c.*"], None, {"x-new": "2"})
    assert (changed["ordered"], changed["config"]["content_type"]) == (True, "application/cloudevents+json")
    rotated = serving("subscriptions", "rotate", name, "--grace", "1h", "--json").json
    assert rotated["secret"].startswith("whsec_")
    assert rotated["previous_expires_at"] is not None
    table = serving("subscriptions", "list").out
    assert table.splitlines()[0].split()[:3] == ["subscription", "id", "state"]
    assert made["id"] in table
    assert serving("subscriptions", "delete", name).code == 2  # nobody to ask
    assert serving("subscriptions", "delete", name, "--yes", "--json").json == {"removed": made["id"]}
    assert serving("subscriptions", "show", made["id"]).code == 1


def test_the_types_of_the_gateway_s_own_events_are_listed(serving):
    table = serving("events", "types")
    assert (table.code, "gateway.hook.disabled" in table.out) == (0, True)
    listed = serving("events", "types", "--json").json["items"]
    assert all({"name", "description", "schema", "example"} <= each.keys() for each in listed)


def test_tail_follows_what_is_published_and_stops_cleanly_at_ctrl_c(serving, until):
    serving("events", "publish", "tail.before")
    process = serving.start("events", "tail", "--event", "tail.*", "--json")
    assert json.loads(until(process, "tail.before")[-1])["type"] == "tail.before"
    serving("events", "publish", "tail.after", "--data", '{"n": 1}')
    assert json.loads(until(process, "tail.after")[-1])["data"] == {"n": 1}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")
    once = serving("events", "tail", "--no-follow", "--last", "1")
    assert (once.code, "tail.after" in once.out) == (0, True)


def test_an_integration_sees_its_own(serving, receiver):
    made = serving("integrations", "register", "tenant", receiver.url, "--json").json
    own = type(serving)(serving.directory, {**serving.variables, "GATEWAY_KEY": made["api_key"]})
    assert own("subscriptions", "list").out == "There is no subscription.\n"
    told = own("events", "publish", "own.thing", "--json").json
    assert told["integration_id"] == made["id"]
    assert [each["type"] for each in map(json.loads, own("events", "tail", "--no-follow", "--json").out.splitlines())][
        -1
    ] == "own.thing"


def test_a_gateway_that_is_not_there_is_exit_code_3(serving):
    assert serving("events", "tail", GATEWAY_URL="http://127.0.0.1:1").code == 3
    assert serving("subscriptions", "list", GATEWAY_URL="http://127.0.0.1:1").code == 3
