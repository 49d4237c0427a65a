"""`gateway integrations` and `gateway hooks`, as a process, against a gateway that serves."""

from __future__ import annotations

import itertools
import json

import pytest

NUMBERS = itertools.count(1)


@pytest.fixture
def registered(served):
    """An integration of this test's own, with its credentials."""
    name = f"own-{next(NUMBERS)}"
    made = served("integrations", "register", name, "https://hooks.example.com", "--json")
    assert made.code == 0, made.err
    return made.json


@pytest.fixture
def as_integration(served, registered):
    """The program with the integration's own key."""
    return type(served)(served.directory, {**served.variables, "GATEWAY_KEY": registered["api_key"]})


def test_registering_shows_the_credentials_once(served):
    made = served("integrations", "register", "once", "https://hooks.example.com", "--type", "search")
    assert made.code == 0
    assert "whsec_" in made.out
    assert "not shown again" in made.out
    shown = served("integrations", "show", "once")
    assert shown.code == 0
    assert "whsec_" not in shown.out
    assert "api_key" not in shown.out
    assert "search" in shown.out


def test_integrations_are_listed_as_a_table_and_as_json(served, registered):
    table = served("integrations", "list").out
    assert table.splitlines()[0].split() == ["name", "id", "base_url", "priority", "state"]
    assert registered["id"] in table
    listed = served("integrations", "list", "--json").json
    assert registered["name"] in [each["name"] for each in listed["items"]]


def test_an_integration_is_changed_switched_and_removed_by_its_name(served, registered):
    name = registered["name"]
    changed = served("integrations", "change", name, "--priority", "7", "--tenant", "acme", "--json").json
    assert (changed["priority"], changed["envelope"]["tenants"]) == (7, ["acme"])
    assert served("integrations", "change", name, "--any-tenant", "--json").json["envelope"]["tenants"] is None
    assert served("integrations", "disable", name, "--json").json["enabled"] is False
    assert served("integrations", "enable", name, "--json").json["enabled"] is True
    assert served("integrations", "remove", name, "--yes", "--json").json == {"removed": registered["id"]}
    gone = served("integrations", "show", name)
    assert gone.code == 1
    assert "integrations list" in gone.err


def test_a_change_of_a_version_that_is_gone_is_refused_with_the_way_out(served, registered):
    served("integrations", "change", registered["name"], "--priority", "1")
    late = served("integrations", "change", registered["name"], "--priority", "2", "--if-version", "1")
    assert late.code == 1
    assert "show" in late.err


def test_a_rotated_key_holds_and_the_old_one_too_during_the_grace(served, registered, as_integration):
    made = served("integrations", "rotate", registered["name"], "api_key", "--grace", "10m", "--json").json
    assert made["previous_expires_at"] is not None
    assert as_integration("hooks", "list").code == 0
    assert as_integration("hooks", "list", GATEWAY_KEY=made["api_key"]).code == 0


def test_a_rotated_key_ends_the_old_one_without_a_grace(served, registered, as_integration):
    assert served("integrations", "rotate", registered["id"], "api_key", "--grace", "0").code == 0
    refused = as_integration("hooks", "list")
    assert refused.code == 1
    assert "GATEWAY_KEY" in refused.err


def test_a_hook_is_created_changed_switched_and_removed(as_integration):
    made = as_integration("hooks", "create", "fx", "/fx", "--type", "search", "--timeout-ms", "300", "--json").json
    assert (made["state"], made["types"], made["timeout_ms"]) == ("disabled", ["search"], 300)
    changed = as_integration("hooks", "change", "fx", "--default-timeout", "--any-type", "--order", "3", "--json").json
    assert (changed["timeout_ms"], changed["types"], changed["order"]) == (None, None, 3)
    assert as_integration("hooks", "enable", made["id"], "--lease", "15m", "--json").json["lease_expires_at"]
    off = as_integration("hooks", "disable", "fx", "--drain", "--reason", "moving", "--json").json
    assert (off["state"], off["reason"]) == ("disabled", "moving")
    assert off["generation"] > made["generation"]
    assert as_integration("hooks", "remove", "fx", "--yes").code == 0
    assert as_integration("hooks", "show", "fx").code == 1


def test_the_operator_names_a_hook_by_its_integration(served, registered, as_integration):
    as_integration("hooks", "create", "fx", "/fx")
    shown = served("hooks", "show", f"{registered['name']}/fx", "--json").json
    assert shown["integration_id"] == registered["id"]
    assert as_integration("hooks", "show", f"{registered['name']}/fx").code == 0
    assert served("hooks", "show", "nobody/fx").code == 1


def test_the_operator_acts_for_an_integration(served, registered):
    made = served("hooks", "create", "geo", "/geo", "-i", registered["name"], "--json")
    assert made.json["integration_id"] == registered["id"]
    assert [each["name"] for each in served("hooks", "list", "-i", registered["id"], "--json").json["items"]] == ["geo"]


def test_a_name_that_several_hooks_have_must_be_said_more_exactly(served, registered):
    for name in ("twin-a", "twin-b"):
        served("integrations", "register", name, "https://hooks.example.com")
        served("hooks", "create", "twin", "/twin", "-i", name)
    unclear = served("hooks", "disable", "twin")
    assert unclear.code == 1
    assert "2 hooks have the name 'twin'" in unclear.err


def test_the_whole_set_is_replaced_from_a_file_or_from_standard_input(as_integration, tmp_path):
    file = tmp_path / "hooks.json"
    file.write_text(json.dumps([{"name": "a", "path": "/a"}, {"name": "b", "path": "/b"}]))
    first = as_integration("hooks", "replace", str(file), "--yes", "--json").json["items"]
    second = json.dumps([{"name": "b", "path": "/b", "order": 2}, {"name": "c", "path": "/c"}])
    replaced = as_integration("hooks", "replace", "-", "--yes", "--json", stdin=second).json["items"]
    assert sorted(each["name"] for each in replaced) == ["b", "c"]
    assert {each["id"] for each in first} & {each["id"] for each in replaced}


@pytest.mark.parametrize("text", ["not json", '{"name": "a"}'])
def test_a_file_that_is_no_list_of_hooks_is_wrong_usage(as_integration, text):
    refused = as_integration("hooks", "replace", "-", "--yes", stdin=text)
    assert refused.code == 2
    assert "list of hooks" in refused.err


def test_hooks_are_enabled_and_disabled_in_bulk(as_integration):
    for name, kind in (("a", "search"), ("b", "search"), ("c", "form")):
        as_integration("hooks", "create", name, f"/{name}", "--type", kind)
    on = as_integration("hooks", "enable", "--type", "search", "--json").json
    assert sorted(each["name"] for each in on["items"]) == ["a", "b"]
    assert as_integration("hooks", "enable", "a", "c", "--json").json["items"]
    states = {each["name"]: each["state"] for each in as_integration("hooks", "list", "--json").json["items"]}
    assert states == {"a": "enabled", "b": "enabled", "c": "enabled"}
    table = as_integration("hooks", "disable", "--type", "search", "--type", "form").out
    assert table.count(" disabled ") == 3


def test_a_refusal_of_the_api_names_the_field(served, registered):
    refused = served("hooks", "create", "fx", "no-slash", "-i", registered["name"])
    assert refused.code == 1
    assert "/path" in refused.err
    as_json = served("hooks", "create", "fx", "no-slash", "-i", registered["name"], "--json")
    assert as_json.problem["status"] == 422
    assert as_json.problem["errors"][0]["field"] == "/path"
    assert as_json.out == ""


def test_what_is_destroyed_is_asked_for_and_refused_without_a_terminal(served, registered):
    for arguments in (
        ("integrations", "remove", registered["name"]),
        ("hooks", "replace", "-", "-i", registered["id"]),
    ):
        refused = served(*arguments, stdin="[]")
        assert refused.code == 2
        assert "--yes" in refused.err
    assert served("integrations", "show", registered["name"]).code == 0


def test_a_wrong_key_is_told_with_the_way_out(served):
    refused = served("hooks", "list", "--key", "wrong")
    assert refused.code == 1
    assert "GATEWAY_KEY" in refused.err


def test_a_key_file_is_read(served, tmp_path):
    file = tmp_path / "key"
    file.write_text(served.variables["GATEWAY_KEY"] + "\n")
    assert served("hooks", "list", "--key-file", str(file), GATEWAY_KEY="wrong").code == 0
    assert served("hooks", "list", GATEWAY_KEY="", GATEWAY_KEY_FILE=str(file)).code == 0
    absent = served("hooks", "list", "--key-file", str(tmp_path / "absent"))
    assert absent.code == 2
    assert "cannot be read" in absent.err


def test_common_options_may_stand_before_the_command(served):
    assert isinstance(served("--json", "hooks", "list").json["items"], list)
    assert isinstance(served("hooks", "--json", "list").json["items"], list)


def test_a_hook_is_told_how_much_it_takes_and_its_breaker_is_shown_and_reset(as_integration):
    options = ("--max-concurrency", "20", "--on-overload", "skip", "--retry")
    made = as_integration("hooks", "create", "busy", "/busy", *options, "--json").json
    assert (made["max_concurrency"], made["on_overload"], made["retry"]) == (20, "skip", True)
    changed = as_integration("hooks", "change", "busy", "--default-concurrency", "--no-retry", "--json").json
    assert (changed["max_concurrency"], changed["on_overload"], changed["retry"]) == (None, "skip", False)
    for reset in ((), ("--reset",)):
        shown = as_integration("hooks", "breaker", "busy", *reset, "--json").json
        assert (shown["state"], shown["calls"], shown["next_probe_at"]) == ("closed", 0, None)
    assert "closed" in as_integration("hooks", "breaker", "busy").out
    assert as_integration("hooks", "breaker", "nobody").code == 1
