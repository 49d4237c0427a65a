"""`gateway serve` as a service: handed sockets, told managers, reloads, certificates, and the end in good order."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import signal
import socket
import ssl
import threading

import pytest
import trustme

KEY = "operator-key-for-tests"
AUTHORITY = trustme.CA()


class Api(http.server.ThreadingHTTPServer):
    """A query API whose answer to /slow is held back until the test lets it go."""

    daemon_threads = True

    def __init__(self):
        self.asked = threading.Event()
        self.go_on = threading.Event()
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_GET(self):
        if self.path == "/slow":
            self.server.asked.set()
            self.server.go_on.wait(60)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "11")
        self.end_headers()
        self.wfile.write(b'{"rows": 1}')

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def ask(url, path="/", *, headers=None, method="GET", context=None):
    """One request; status and document."""
    scheme, _, host = url.partition("://")
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    more = {"context": context} if scheme == "https" else {}
    connection = kind(host, timeout=60, **more)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body else None
    finally:
        connection.close()


class Asking(threading.Thread):
    """One request in a thread; `got` is what came of it."""

    def __init__(self, url, path):
        super().__init__()
        self.got = None
        self._what = (url, path)
        self.start()

    def run(self):
        try:
            self.got = ask(*self._what)
        except (OSError, http.client.HTTPException) as e:
            self.got = type(e)


def events(process, *wanted):
    """Read the log, up to a line with the last of the wanted events, and return that."""
    patience = threading.Timer(120, process.kill)
    patience.start()
    try:
        for name in wanted:
            line = process.stderr.readline()
            while line and not (line.startswith("{") and json.loads(line)["event"] == name):
                line = process.stderr.readline()
            assert line, f"it ended before {name}"
    finally:
        patience.cancel()
    return json.loads(line)


def ended(process):
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


@contextlib.contextmanager
def served(gateway, api, toml="", **variables):
    """A gateway in front of `api` whose file holds `toml`."""
    file = gateway.directory / "gateway.toml"
    file.write_text(f'upstream = "{api.url}"\nlisten = "127.0.0.1:0"\n{toml}')
    process, told = gateway.announced(
        "serve", "--config", "gateway.toml", "--control", "127.0.0.1:0", GATEWAY_STORE__URL="memory:",
        GATEWAY_CONTROL__OPERATOR_KEYS=KEY, **variables,
    )  # fmt: skip
    yield process, told, file


def test_a_health_check_asks_where_the_environment_lets_the_gateway_listen(gateway, api):
    with served(gateway, api) as (_, told, _file):
        port = told["control_url"].rpartition(":")[2]
        for listen in (f"127.0.0.1:{port}", f"0.0.0.0:{port}"):
            asked = gateway("ready", GATEWAY_CONTROL__LISTEN=listen)
            assert (asked.code, asked.out.splitlines()[0]) == (0, "It is ready.")
        assert gateway("ready", GATEWAY_CONTROL__LISTEN="127.0.0.1:1", GATEWAY_URL=told["control_url"]).code == 0
    gone = gateway("ready", GATEWAY_CONTROL__LISTEN="unix:/nowhere/control.sock")
    assert (gone.code, "/nowhere/control.sock" in gone.err) == (3, True)
    wrong = gateway("ready", GATEWAY_CONTROL__LISTEN="8081")
    assert (wrong.code, 'GATEWAY_CONTROL__LISTEN must be "host:port"' in wrong.err) == (2, True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_in_flight_is_finished_while_readyz_says_that_nothing_new_is_wanted(gateway, api, workers):
    with served(gateway, api, "[server]\nready_delay_seconds = 60\ndrain_seconds = 60\n", GATEWAY_WORKERS=workers) as (
        process,
        told,
        _,
    ):
        assert ask(told["control_url"], "/readyz")[0] == 200
        slow = Asking(told["gateway_url"], "/slow")
        assert api.asked.wait(60)
        process.send_signal(signal.SIGTERM)
        events(process, "serve.draining")
        status, problem = ask(told["control_url"], "/readyz")
        assert (status, problem["detail"].split(":")[0]) == (503, "The gateway is draining")
        assert ask(told["control_url"], "/healthz")[0] == 200
        asked = gateway("ready", GATEWAY_URL=told["control_url"])
        assert (asked.code, "The gateway is draining" in asked.err) == (1, True)
        assert gateway("ready", "--live", GATEWAY_URL=told["control_url"]).code == 0
        assert ask(told["gateway_url"], "/fast")[0] == 200  # accepted still: the load balancer may not know yet
        api.go_on.set()
        slow.join(60)
        assert slow.got == (200, {"rows": 1})
        process.send_signal(signal.SIGTERM)  # do not wait for the rest of the delay
        assert events(process, "serve.drained")["broken_off"] == 0
        assert ended(process)[0] == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_takes_longer_than_it_may_is_broken_off_and_counted(gateway, api, workers):
    with served(gateway, api, "[server]\ndrain_seconds = 0\n", GATEWAY_WORKERS=workers) as (process, told, _):
        slow = Asking(told["gateway_url"], "/slow")
        assert api.asked.wait(60)
        process.send_signal(signal.SIGTERM)
        assert events(process, "serve.drained")["broken_off"] == 1
        slow.join(60)
        assert isinstance(slow.got, type)
        assert ended(process)[0] == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_it_at_once(gateway, api, workers):
    with served(gateway, api, "[server]\ndrain_seconds = 3600\n", GATEWAY_WORKERS=workers) as (process, told, _):
        slow = Asking(told["gateway_url"], "/slow")
        assert api.asked.wait(60)
        process.send_signal(signal.SIGTERM)
        events(process, "serve.draining")
        process.send_signal(signal.SIGINT)
        assert ended(process)[0] == 0
        slow.join(60)
        assert isinstance(slow.got, type)


def test_it_reads_its_configuration_again_on_sighup_and_by_command(gateway, api):
    with served(gateway, api) as (process, told, file):
        run = {"GATEWAY_URL": told["control_url"], "GATEWAY_KEY": KEY}
        good = file.read_text()
        file.write_text(good + '[calls]\nbudget_ms = "soon"\n')
        process.send_signal(signal.SIGHUP)
        assert "calls.budget_ms: must be a whole number" in events(process, "config.not_reloaded")["why"]
        refused = gateway("config", "reload", **run)
        assert refused.code == 1
        assert "/calls/budget_ms" in refused.err, refused.err
        file.write_text(good + "[server]\naccess_log = true\n[relay]\nconcurrency = 7\n")
        process.send_signal(signal.SIGHUP)
        told_again = events(process, "config.reloaded")
        assert (told_again["applied"], told_again["needs_restart"]) == (["server.access_log"], ["relay.concurrency"])
        assert ask(told["gateway_url"], "/a?token=secret")[0] == 200
        line = events(process, "request.answered")
        assert (line["method"], line["target"], line["status"]) == ("GET", "/a?…", 200)
        said = gateway("config", "reload", **run)
        assert (said.code, said.out) == (0, "Waiting for a restart: relay.concurrency\n")
        assert gateway("config", "reload", "--json", **run).json["needs_restart"] == ["relay.concurrency"]
        process.send_signal(signal.SIGTERM)
        code, _, err = ended(process)
        assert code == 0
        assert "secret" not in err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_tls_on_both_addresses_and_a_new_certificate_on_sighup(gateway, api, workers):
    def put():
        made = AUTHORITY.issue_cert("127.0.0.1")
        (gateway.directory / "both.pem").write_bytes(made.private_key_and_cert_chain_pem.bytes())

    def serial(url):
        host, port = url.removeprefix("https://").split(":")
        with (
            socket.create_connection((host, int(port)), 60) as plain,
            context.wrap_socket(plain, server_hostname=host) as s,
        ):
            return s.getpeercert()["serialNumber"]

    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    put()
    toml = '[server]\ntls_certificate = "both.pem"\n[control]\ntls_certificate = "both.pem"\n'
    with served(gateway, api, toml, GATEWAY_WORKERS=workers) as (process, told, _):
        assert ask(told["gateway_url"], "/a", context=context) == (200, {"rows": 1})
        _, ready = ask(told["control_url"], "/readyz", context=context)
        assert [(each["of"], each["expired"]) for each in ready["certificates"]] == [
            ("control", False),
            ("server", False),
        ]
        assert {each["state"] for each in ready["upstreams"]} <= {
            "up",
            "unknown",
        }  # workers tell of theirs once a second
        before = serial(told["gateway_url"])
        put()
        process.send_signal(signal.SIGHUP)
        assert events(process, "config.reloaded")["renewed"] == ["both.pem"]
        assert serial(told["gateway_url"]) == serial(told["control_url"]) != before
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 0


def test_a_certificate_that_cannot_be_used_is_a_sentence_and_exit_code_2(gateway, api):
    (gateway.directory / "gateway.toml").write_text(
        f'upstream = "{api.url}"\n[server]\ntls_certificate = "absent.pem"\n'
    )
    refused = gateway("serve", "--config", "gateway.toml", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")
    said = [line for line in refused.err.splitlines() if not line.startswith("{")]
    assert (refused.code, said) == (2, ["Error: server.tls_certificate: absent.pem: there is no such file"])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_systemd_hands_over_sockets_and_is_told_how_it_goes_and_the_command_line_finds_a_unix_socket(
    gateway, api, until, workers
):
    control = gateway.directory / "control.sock"
    url = f"http+unix://{control}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.create_server(("127.0.0.1", 0)) as queries,
        socket.socket(socket.AF_UNIX) as controls,
    ):
        manager.bind(str(gateway.directory / "notify"))
        manager.settimeout(60)
        controls.bind(str(control))
        controls.listen()
        process = gateway.handed(
            [queries, controls], "serve", "--json", "--upstream", api.url, LISTEN_FDNAMES="gateway:control",
            NOTIFY_SOCKET=str(gateway.directory / "notify"), WATCHDOG_USEC="60000000", GATEWAY_STORE__URL="memory:",
            GATEWAY_CONTROL__OPERATOR_KEYS=KEY, GATEWAY_WORKERS=workers,
        )  # fmt: skip

        def told(first):
            """What the manager is told next, apart from signs of life."""
            while "WATCHDOG=1" in (said := manager.recv(4096).decode().split("\n")):
                pass
            assert said[0] == first
            return said

        announced = json.loads(until(process, "{")[0])
        assert announced["gateway_url"] == f"http://127.0.0.1:{queries.getsockname()[1]}"
        assert announced["control_url"] == url
        told("READY=1")
        assert ask(announced["gateway_url"], "/a") == (200, {"rows": 1})
        made = gateway("integrations", "register", "prices", "https://hooks.example.com", "--url", url, "--key", KEY)
        assert made.code == 0, made.err
        process.send_signal(signal.SIGHUP)
        assert told("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
        told("READY=1")
        process.send_signal(signal.SIGTERM)
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in told("STOPPING=1"))
        assert ended(process)[0] == 0
        assert control.exists()  # it is systemd's, and connections that come now wait for the next process
        with socket.create_connection(queries.getsockname(), 60):
            pass


def test_without_anybody_at_the_unix_socket_the_command_line_says_so(gateway):
    refused = gateway("hooks", "list", "--url", f"http+unix://{gateway.directory}/nobody.sock", "--key", KEY)
    assert refused.code == 3
    assert "nobody.sock could not be reached (No such file or directory)" in refused.err


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_reloads_under_load_lose_no_request_and_close_no_connection(gateway, api, workers):
    """The manager is told of each, and of a start that is over once every worker answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, Api() as other:
        manager.bind(str(gateway.directory / "notify"))
        manager.settimeout(60)
        serving = threading.Thread(target=other.serve_forever)
        serving.start()
        toml = f"workers = {workers}\n"
        with served(gateway, api, toml, NOTIFY_SOCKET=str(gateway.directory / "notify")) as (process, told, file):
            assert manager.recv(4096).startswith(b"READY=1")
            over = threading.Event()
            host = told["gateway_url"].removeprefix("http://")
            statuses: list[object] = []

            def keep_asking():
                connection = http.client.HTTPConnection(host, timeout=60)
                connection.connect()
                same = connection.sock
                try:
                    while not over.is_set():
                        connection.request("GET", "/query")
                        answer = connection.getresponse()
                        answer.read()
                        statuses.append(answer.status if connection.sock is same else "closed")
                except (OSError, http.client.HTTPException) as e:
                    statuses.append(type(e))
                finally:
                    connection.close()

            clients = [threading.Thread(target=keep_asking) for _ in range(6)]
            slow = Asking(told["gateway_url"], "/slow")
            assert api.asked.wait(60)
            for each in clients:
                each.start()
            text = file.read_text()
            for number in range(10):
                upstream = (other, api)[number % 2].url
                file.write_text(f"{text.replace(api.url, upstream)}[server]\nidle_timeout_seconds = {60 + number}\n")
                process.send_signal(signal.SIGHUP)
                assert events(process, "config.reloaded")["needs_restart"] == []
                assert manager.recv(4096).startswith(b"RELOADING=1")
                assert manager.recv(4096).startswith(b"READY=1")
            over.set()
            for each in clients:
                each.join(60)
            assert set(statuses) == {200}
            api.go_on.set()
            slow.join(60)
            assert slow.got == (200, {"rows": 1})  # it began before the first of them
            process.send_signal(signal.SIGTERM)
            assert ended(process)[0] == 0
        other.shutdown()
        serving.join()
