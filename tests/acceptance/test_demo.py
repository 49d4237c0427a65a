"""`gateway demo`: the story it tells, what one can play with afterwards, and that nothing is left behind."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest


def scenes(text: str) -> dict[str, str]:
    """The story's parts by their numbers."""
    found, number = {}, "0"
    for line in text.splitlines():
        if line[:1].isdigit() and line[1:3] == ". ":
            number = line[0]
        found[number] = found.get(number, "") + line + "\n"
    return found


def outcome_of(scene: str, hook: str) -> list[str]:
    """The words of a hook's line: outcome, then reason if there is one, then milliseconds."""
    (line,) = [line for line in scene.splitlines() if line.startswith(hook + " ")]
    return line.split()[1:]


@pytest.fixture(scope="module")
def told(program):
    return program("demo", "--once")


def test_everything_goes_as_promised(told):
    assert told.code == 0, told.out + told.err
    assert "Everything went as promised." in told.out


def test_a_log_of_it_has_no_control_codes_and_no_noise(told):
    assert "\x1b" not in told.out
    assert told.err == ""
    assert max(map(len, told.out.splitlines())) <= 100


def test_each_query_is_shown_before_and_after_with_what_is_new_and_gone(told):
    parts = scenes(told.out)
    assert "GET /query/airports?" in parts["1"]
    assert "GET /query/countries?" in parts["3"]
    assert "GET /query/nearby?" in parts["4"]
    for number in "1234":
        assert parts[number].index("before:") < parts[number].index("after:")
    assert "-elev_ft" in parts["1"]
    for new in ("+rank", "+elev_m", "+local_time"):
        assert new in parts["1"]


def test_each_hook_is_shown_with_its_outcome_and_its_time(told):
    first = scenes(told.out)["1"]
    for hook in ("metric-units", "height-rank", "local-time"):
        outcome, milliseconds, *_ = outcome_of(first, hook)
        assert outcome == "applied"
        assert float(milliseconds) < 1000


def test_the_public_tenant_does_not_see_coordinates(told):
    second = scenes(told.out)["2"]
    assert "x-tenant: public" in second
    assert "-lat" in second
    assert "-lon" in second
    assert outcome_of(second, "redact-coordinates")[0] == "applied"
    assert "redact-coordinates" not in scenes(told.out)["1"]


def test_garbage_is_thrown_away_and_the_other_hooks_still_count(told):
    third = scenes(told.out)["3"]
    assert outcome_of(third, "garbage")[:2] == ["failed", "bad_json"]
    assert outcome_of(third, "metric-units")[0] == "applied"
    assert outcome_of(third, "redact-coordinates")[0] == "unchanged"
    assert "+highest_m" in third


def test_the_hanging_hook_is_cut_off_and_the_answer_is_the_query_api_s_own(told):
    fourth = scenes(told.out)["4"]
    outcome, reason, milliseconds, *_ = outcome_of(fourth, "hang")
    assert (outcome, reason) == ("failed", "timeout")
    assert 499 <= float(milliseconds) < 2000
    assert "the same, byte for byte" in fourth


def test_disabled_by_api_it_is_not_called_any_more(told):
    parts = scenes(told.out)
    assert "/disable" in parts["5"]
    assert "state: disabled" in parts["5"]
    assert "hang " not in parts["6"]
    assert "No hook was called." in parts["6"]


def test_on_a_terminal_it_has_colours(program):
    shown = program.on_terminal("demo", "--once")
    assert shown.code == 0
    assert "\x1b[" in shown.out


def test_it_fits_into_80_columns_and_does_without_colours(program):
    plain = program.on_terminal("demo", "--once", "--no-color", COLUMNS="80")
    assert plain.code == 0
    assert "\x1b" not in plain.out
    assert max(map(len, plain.out.splitlines())) <= 80


@pytest.fixture(scope="module")
def playing(program):
    """A demo that stays up, and what it announced."""
    process, told = program.announced("demo")
    try:
        yield told
    finally:
        process.terminate()
        _, story = process.communicate(timeout=30)
    assert process.returncode == 0, story


def fetch(url: str, *, method: str = "GET", **headers: str):
    request = urllib.request.Request(url, method=method, headers=headers, data=b"{}" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read() or b"null")


def test_it_stays_up_and_takes_other_parameters(playing):
    assert playing["broken"] == []
    status, headers, answer = fetch(f"{playing['query_url']}/query/airports?country=no&limit=2")
    assert status == 200
    assert len(answer["rows"]) == 2
    assert headers["gateway-hooks"].startswith("metric-units;applied")
    assert set(fetch(f"{playing['query_url']}/")[2]) == {"airports", "countries", "nearby"}


def test_bad_parameters_are_named_in_a_problem_document(playing):
    status, headers, problem = fetch(f"{playing['query_url']}/query/airports?contry=no&limit=0")
    assert status == 422
    assert headers.get_content_type() == "application/problem+json"
    assert {error["field"] for error in problem["errors"]} == {"/contry", "/limit"}
    status, _, problem = fetch(f"{playing['query_url']}/query/airports?limit=1&limit=2")
    assert [error["field"] for error in problem["errors"]] == ["/limit"]
    assert fetch(f"{playing['query_url']}/query/planes")[0] == 404


def test_the_lines_it_ends_with_work_as_they_stand(program, until):
    process = program.start("demo")
    to_try = "".join(until(process, "openapi.json")).partition("Things to try")[2].splitlines(keepends=True)
    shown = program.shell("".join(line for line in to_try if line.startswith("  ")))
    process.terminate()
    process.communicate(timeout=30)
    assert shown.code == 0, shown.err
    assert "gateway-hooks: metric-units;applied" in shown.out
    assert '"state":"disabled"' in shown.out


def test_its_hooks_can_be_switched_from_the_command_line(program, playing):
    control = {"GATEWAY_URL": playing["control_url"], "GATEWAY_KEY": playing["operator_key"]}
    states = {each["name"]: each["state"] for each in program("hooks", "list", "--json", **control).json["items"]}
    assert len(states) == 6
    assert states.pop("hang") == "disabled"
    assert set(states.values()) == {"enabled"}
    url = f"{playing['query_url']}/query/airports?limit=2"
    assert "rank" in fetch(url)[2]["columns"]
    assert program("hooks", "disable", "demo/height-rank", **control).code == 0
    assert "rank" not in fetch(url)[2]["columns"]
    assert program("hooks", "enable", "height-rank", **control).code == 0
    assert "rank" in fetch(url)[2]["columns"]


def test_the_integration_server_refuses_what_is_not_signed(playing):
    request = urllib.request.Request(f"{playing['integration_url']}/metric-units", method="POST", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    with refused.value:
        assert refused.value.code == 401


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_and_no_port_is_left_behind(program, number):
    process, told = program.announced("demo")
    process.send_signal(number)
    # The integration server shares the pipe of standard error: the read ends when both processes have ended.
    process.communicate(timeout=30)
    assert process.returncode == (0 if number != signal.SIGKILL else -number)
    for name in ("query_url", "control_url", "integration_url"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", urlsplit(told[name]).port), timeout=10)


def test_a_port_in_use_is_a_sentence_and_leaves_nothing_behind(program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = program("demo", "--once", "--port", str(taken.getsockname()[1]))
    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    assert "in use" in refused.err
