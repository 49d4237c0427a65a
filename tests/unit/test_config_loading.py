"""Settings come from a TOML file, the environment and flags; what is wrong is said in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Address, RouteSettings, Selector, Settings, load_settings
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "an-operator-key-1"


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(path: Path | None, env: dict[str, str] | None = None, flags=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, env or {}, flags=flags)
    return [line.replace(f"{path}: ", "") for line in caught.value.detail.splitlines()]


def test_with_no_configuration_everything_is_loopback_and_sqlite_in_the_working_directory():
    settings = load_settings(None, {})
    assert (settings.listen, settings.control.listen) == (Address("127.0.0.1", 8080), Address("127.0.0.1", 8081))
    assert settings.store.url == "sqlite:///gateway.db"
    assert (settings.calls.timeout_ms, settings.calls.budget_ms, settings.calls.max_timeout_ms) == (1000, 2000, 10_000)
    assert settings.effective_routes() == ()


def test_the_keys_of_the_contract_are_read_from_toml(toml):
    settings = load_settings(
        toml(f"""
        listen = "[::1]:9000"
        [control]
        listen = "localhost:0"
        operator_keys = ["{KEY}"]
        [store]
        url = "memory:"
        [calls]
        allow_http = true
        allow = ["127.0.0.0/8", "::1", "hooks.internal"]
        timeout_ms = 500
        max_timeout_ms = 700
        budget_ms = 900
        max_reply_bytes = 1000
        require_ownership = false
        [[routes]]
        path = "/query/*"
        upstream = "http://127.0.0.1:9000/"
        type = {{ path = 1 }}
        capability = {{ header = "X-Capability" }}
        tenant = "acme"
        result_at = "/data"
        """),
        {},
    )
    assert str(settings.listen) == "[::1]:9000"
    assert settings.control.listen == Address("localhost", 0)
    assert [key.get_secret_value() for key in settings.control.operator_keys] == [KEY]
    assert settings.calls.allow == ("127.0.0.0/8", "::1", "hooks.internal")
    assert (settings.calls.allow_http, settings.calls.require_ownership) == (True, False)
    (route,) = settings.effective_routes()
    assert route == RouteSettings(
        path="/query/*",
        upstream="http://127.0.0.1:9000",
        type=Selector(path=1),
        capability=Selector(header="x-capability"),
        tenant=Selector(fixed="acme"),
        result_at="/data",
    )
    assert route.methods == ("GET", "POST")


def test_upstream_alone_is_one_route_that_matches_everything():
    (route,) = load_settings(None, {"GATEWAY_UPSTREAM": "http://127.0.0.1:9000"}).effective_routes()
    assert (route.path, route.upstream, route.type.fixed) == ("/*", "http://127.0.0.1:9000", "query")


def test_the_environment_beats_the_file_and_a_flag_beats_both(toml):
    path = toml('listen = "127.0.0.1:1"\nupstream = "http://file"\n[calls]\ntimeout_ms = 1\nbudget_ms = 7')
    env = {"GATEWAY_LISTEN": "127.0.0.1:2", "GATEWAY_CALLS__TIMEOUT_MS": "2"}
    settings = load_settings(path, env, flags={"listen": "127.0.0.1:3", "upstream": None})
    assert (settings.listen, settings.calls.timeout_ms, settings.calls.budget_ms) == (Address("127.0.0.1", 3), 2, 7)
    assert settings.upstream == "http://file"


def test_lists_in_variables_are_json_or_separated_by_commas():
    for text in ("10.0.0.0/8, ::1", '["10.0.0.0/8", "::1"]'):
        assert load_settings(None, {"GATEWAY_CALLS__ALLOW": text}).calls.allow == ("10.0.0.0/8", "::1")
    env = {"GATEWAY_ROUTES": '[{"path": "/a", "upstream": "http://a", "type": {"query": "t"}}]'}
    assert load_settings(None, env).routes[0].type == Selector(query="t")


def test_switches_in_variables_are_the_usual_words():
    for text, value in {"true": True, "0": False, "Yes": True, "off": False}.items():
        assert load_settings(None, {"GATEWAY_CALLS__ALLOW_HTTP": text}).calls.allow_http is value


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ('listn = "127.0.0.1:1"', "listn: is not a setting; the nearest one is listen"),
        ("[call]\ntimeout_ms = 1", "call: is not a setting; the nearest one is calls"),
        ("[calls]\ntimeout = 1", "calls.timeout: is not a setting; the nearest one is calls.timeout_ms"),
        ("timeout_ms = 1", "timeout_ms: is not a setting; the nearest one is calls.timeout_ms"),
        ("[control]\nurl = 1", "control.url: is not a setting; the nearest one is data_source.url"),
        (
            '[[routes]]\npath = "/a"\nupstream = "http://a"\ntype = { heder = "x" }',
            "routes[0].type.heder: is not a setting; the nearest one is routes[0].type.header",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest_right_one(toml, text, nearest):
    assert nearest in problems(toml(text))


def test_an_unknown_variable_names_the_nearest_right_one():
    assert problems(None, {"GATEWAY_CALLS__TIMEOUT": "5"}) == [
        (
            "environment: GATEWAY_CALLS__TIMEOUT: is not a variable of the gateway; "
            "the nearest one is GATEWAY_CALLS__TIMEOUT_MS"
        ),
    ]
    assert "GATEWAY_LISTEN" in problems(None, {"GATEWAY_Listen": "127.0.0.1:1"})[0]


def test_variables_that_kubernetes_sets_for_a_service_called_gateway_are_left_alone():
    env = {
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT_HTTP": "80",
        "GATEWAY_PORT": "tcp://10.0.0.1:80",
        "GATEWAY_PORT_80_TCP_ADDR": "10.0.0.1",
        "GATEWAY_CONTROL_SERVICE_HOST": "10.0.0.2",
        "GATEWAY_INTERFACE": "CGI/1.1",
    }
    assert load_settings(None, env) == Settings()
    assert len(problems(None, {"GATEWAY_PORT": "8080"})) == 1


def test_variables_of_someone_else_are_left_alone():
    assert load_settings(None, {"GATEWAY_URL": "x"}, other_variables={"GATEWAY_URL"}) == Settings()


def test_constructing_settings_reads_no_variable(monkeypatch):
    monkeypatch.setenv("LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("GATEWAY_LISTEN", "127.0.0.1:1")
    assert Settings().listen == Address("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[calls]\ntimeout_ms = "1000"', "calls.timeout_ms: must be a whole number, not a text"),
        ("[calls]\ntimeout_ms = 0", "calls.timeout_ms: must be at least 1"),
        ("[calls]\nmax_timeout_ms = 300001", "calls.max_timeout_ms: must be at most 300000"),
        ("[calls]\nallow_http = 1", "calls.allow_http: must be true or false, not a whole number"),
        ('[calls]\nallow = "::1"', "calls.allow: must be a list, not a text"),
        ("[calls]\nallow = [7]", "calls.allow[0]: must be a text, not a whole number"),
        ('[calls]\nsource = ""', "calls.source: must have at least 1 character(s)"),
        ('[calls]\norigin = "a b"', "calls.origin: must consist of printable ASCII characters without spaces"),
        ("calls = 3", "calls: must be a table, not a whole number"),
        ("listen = 3", "listen: must be a text, not a whole number"),
        ('[log]\nformat = "xml"', "log.format: must be one of 'auto', 'json' or 'text'"),
        ("[control]\noperator_keys_file = 3", "control.operator_keys_file: must be a path, not a whole number"),
        ('[[routes]]\npath = "/a"', "routes[0].upstream: is missing; it has no default"),
        (
            '[[routes]]\npath = "/a"\nupstream = "http://a"\nmethods = ["get"]',
            'routes[0].methods[0]: must be an HTTP method in capital letters, such as "GET"',
        ),
        (
            '[[routes]]\npath = "/a"\nupstream = "http://a"\ntype = 3',
            "routes[0].type: must be a text or a table, not a whole number",
        ),
        (
            "[calls]\ntimeout_ms = 9000\nmax_timeout_ms = 8000",
            "calls: timeout_ms (9000) must be at most max_timeout_ms (8000); lower the one or raise the other",
        ),
        (
            'upstream = "http://a"\n[[routes]]\npath = "/a"\nupstream = "http://a"',
            "`upstream` is shorthand for one route, so it cannot stand beside `routes`: remove one of them",
        ),
        (
            'listen = "127.0.0.1:5"\n[control]\nlisten = "127.0.0.1:5"',
            "`listen` and `control.listen` are the same address: give one of them another port",
        ),
        (
            '[store]\nurl = "postgres://db/gateway"',
            (
                "store.url: names PostgreSQL, which this version cannot use as a store; "
                "use sqlite:///relative.db, sqlite:////absolute.db or memory:"
            ),
        ),
        (
            '[store]\nurl = "mysql://db"',
            "store.url: names no store that is known; use sqlite:///relative.db, sqlite:////absolute.db or memory:",
        ),
    ],
)
def test_a_bad_value_is_told_with_its_key_and_the_way_out(toml, text, problem):
    assert problems(toml(text)) == [problem]


def test_two_selectors_in_one_table_are_refused(toml):
    text = '[[routes]]\npath = "/a"\nupstream = "http://a"\ntype = { header = "a", query = "b" }'
    (problem,) = problems(toml(text))
    assert problem.startswith("routes[0].type: must be a text, or a table with exactly one of: header, query, path")


def test_every_problem_is_told_at_once_and_where_it_comes_from(toml):
    path = toml("[calls]\ntimeout_ms = 0")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {"GATEWAY_CALLS__BUDGET_MS": "soon", "GATEWAY_X": ""}, flags={"listen": "8080"})
    assert caught.value.detail.splitlines()[1:] == [
        'command line: listen: must be "host:port", such as "127.0.0.1:8080" or "[::1]:8080"',
        f"{path}: calls.timeout_ms: must be at least 1",
        "environment: GATEWAY_CALLS__BUDGET_MS: must be a whole number, not a text",
    ]


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match=r"none\.toml: there is no such file"):
        load_settings(path, {})


def test_a_file_that_is_not_toml_names_line_and_column(toml):
    assert problems(toml("[calls]\ntimeout_ms 5")) == [
        "is not valid TOML: Expected '=' after a key in a key/value pair (at line 2, column 12)",
    ]


def test_a_file_that_is_not_text_or_not_a_file_is_a_sentence(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"listen = '\xff'")
    assert problems(path) == ["is not UTF-8 text (byte 10), so it cannot be TOML"]
    assert problems(tmp_path) == ["cannot be read: is a directory"]


def test_operator_keys_also_come_from_a_file_one_a_line(toml, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("an-operator-key-2\n\n  an-operator-key-3\r\n")
    path = toml(f'[control]\noperator_keys = ["{KEY}"]\noperator_keys_file = "{keys}"')
    settings = load_settings(path, {})
    found = [key.get_secret_value() for key in settings.control.operator_keys]
    assert found == [KEY, "an-operator-key-2", "an-operator-key-3"]
    by_variable = load_settings(None, {"GATEWAY_CONTROL__OPERATOR_KEYS_FILE": str(keys)})
    assert len(by_variable.control.operator_keys) == 2


def test_a_bad_key_file_is_told_by_line_without_the_key(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("an-operator-key-2\nhunter2\n")
    (problem,) = problems(None, {"GATEWAY_CONTROL__OPERATOR_KEYS_FILE": str(keys)})
    assert problem.startswith(f"control.operator_keys_file: {keys}: line 2 must have at least 16 characters")
    keys.write_text("\n")
    assert problems(None, {"GATEWAY_CONTROL__OPERATOR_KEYS_FILE": str(keys)}) == [
        f"control.operator_keys_file: {keys}: holds no key",
    ]
    assert problems(None, {"GATEWAY_CONTROL__OPERATOR_KEYS_FILE": str(tmp_path / "none")}) == [
        f"control.operator_keys_file: {tmp_path / 'none'}: there is no such file",
    ]


@pytest.mark.parametrize(
    "key", ["hunter2", "a secret with spaces in it", "hunter2hunter2hunter2\n", "ключключключключключ"]
)
def test_no_error_and_no_repr_holds_a_secret(key):
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"GATEWAY_CONTROL__OPERATOR_KEYS": f'["{key}"]'})
    assert key not in str(caught.value)
    assert "GATEWAY_CONTROL__OPERATOR_KEYS" in str(caught.value)
    assert KEY not in repr(load_settings(None, {"GATEWAY_CONTROL__OPERATOR_KEYS": KEY}))
