"""`gateway serve`: what it says, how it stops, and what it says when it cannot start."""

from __future__ import annotations

import http.server
import signal
import socket
import sqlite3
import threading
import urllib.request

import pytest

ANYWHERE = ("--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")


def stopped(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_on_a_signal_with_exit_code_0(gateway, number):
    process, _ = gateway.announced("serve", *ANYWHERE)
    code, _, err = stopped(process, number)
    assert code == 0, err
    assert "Traceback" not in err


def test_the_first_start_makes_an_operator_key_and_shows_it_once_and_all_is_there_after_a_restart(gateway):
    process, first = gateway.announced("serve", *ANYWHERE)
    control = {"GATEWAY_URL": first["control_url"], "GATEWAY_KEY": first["new_operator_key"]}
    made = gateway("integrations", "register", "prices", "https://hooks.example.com", "--json", **control).json
    stopped(process)
    assert first["control_url"].startswith("http://127.0.0.1:")
    assert first["gateway_url"] is None
    process, second = gateway.announced("serve", *ANYWHERE)
    try:
        assert second["new_operator_key"] is None
        for key in ({"GATEWAY_KEY": first["new_operator_key"]}, {"GATEWAY_KEY_FILE": second["operator_key_file"]}):
            shown = gateway("integrations", "show", "prices", "--json", GATEWAY_URL=second["control_url"], **key)
            assert shown.json["id"] == made["id"]
    finally:
        _, out, err = stopped(process)
    assert first["new_operator_key"] not in out + err


def test_it_prints_next_steps_that_work_as_they_stand(gateway, until):
    process = gateway.start("serve", *ANYWHERE)
    try:
        step = until(process, " integrations register ")[-1].partition(" integrations ")[2]
        done = gateway("integrations", *step.split())
        assert done.code == 0, done.err
        assert "whsec_" in done.out
    finally:
        code, _, err = stopped(process)
    assert code == 0, err


def test_an_upstream_is_answered_for(gateway):
    class Upstream(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "11")
            self.end_headers()
            self.wfile.write(b'{"rows": 1}')

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as upstream:
        thread = threading.Thread(target=upstream.serve_forever)
        thread.start()
        api = f"http://127.0.0.1:{upstream.server_port}"
        process, told = gateway.announced("serve", "--upstream", api, *ANYWHERE, GATEWAY_STORE__URL="memory:")
        try:
            with urllib.request.urlopen(f"{told['gateway_url']}/query", timeout=30) as answer:
                assert answer.read() == b'{"rows": 1}'
        finally:
            code, _, _ = stopped(process)
            upstream.shutdown()
            thread.join()
    assert code == 0


@pytest.mark.parametrize("option", ["--listen", "--control"])
def test_a_port_in_use_is_a_sentence(gateway, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = gateway("serve", *ANYWHERE, "--upstream", "http://127.0.0.1:9", option, address)
    assert refused.code == 1
    said = [line for line in refused.err.splitlines() if not line.startswith("{")]  # the others are the log's
    assert len(said) == 1
    assert address in said[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--listen", "nowhere"), "command line: listen"),
        (("--upstream", "ftp://x"), "command line: upstream"),
        (("--config", "absent.toml"), "absent.toml"),
    ],
)
def test_a_wrong_setting_exits_with_2_and_names_where_it_comes_from(gateway, arguments, said):
    refused = gateway("serve", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert not (gateway.directory / "gateway.db").exists()


def test_a_database_in_use_is_a_sentence(gateway):
    process, _ = gateway.announced("serve", *ANYWHERE)
    refused = gateway("serve", *ANYWHERE)
    assert stopped(process)[0] == 0
    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    assert "gateway.db" in refused.err


@pytest.mark.parametrize("content", [b"this is no database, but it is long enough to look like a file" * 100, b"x"])
def test_a_file_that_is_no_database_is_a_sentence_and_left_as_it_is(gateway, content):
    file = gateway.directory / "gateway.db"
    file.write_bytes(content)
    refused = gateway("serve", *ANYWHERE)
    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    assert "gateway.db" in refused.err
    assert file.read_bytes() == content


def test_a_database_of_a_newer_version_is_a_sentence_and_left_as_it_is(gateway):
    process, _ = gateway.announced("serve", *ANYWHERE)
    stopped(process)
    file = gateway.directory / "gateway.db"
    with sqlite3.connect(file) as database:
        database.execute("insert into schema_migration values (9999, 'from the future', '')")
    database.close()
    before = file.read_bytes()
    refused = gateway("serve", *ANYWHERE)
    assert refused.code == 1
    assert "newer" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert file.read_bytes() == before


def test_a_place_that_cannot_be_written_to_is_a_sentence(gateway):
    key = "operator-key-for-tests"
    refused = gateway("serve", *ANYWHERE, GATEWAY_STORE__URL="sqlite:////proc/x.db", GATEWAY_CONTROL__OPERATOR_KEYS=key)
    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    assert "/proc/x.db" in refused.err


def test_a_store_trouble_is_a_problem_document_with_json(gateway):
    (gateway.directory / "gateway.db").write_bytes(b"no database" * 1000)
    refused = gateway("serve", "--json", *ANYWHERE)
    assert refused.code == 1
    assert "gateway.db" in refused.problem["detail"]
