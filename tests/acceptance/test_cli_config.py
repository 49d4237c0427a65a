"""`gateway config check`: the settings in effect, where each comes from, and what is wrong with them."""

from __future__ import annotations


def settings_of(run) -> dict:
    assert run.code == 0, run.err
    return {each["key"]: (each["value"], each["source"]) for each in run.json["settings"]}


def test_without_any_configuration_everything_is_a_default(gateway):
    found = settings_of(gateway("config", "check", "--json"))
    assert found["listen"] == ("127.0.0.1:8080", "default")
    assert {source for _, source in found.values()} == {"default"}


def test_each_value_is_told_with_the_file_or_variable_that_set_it(gateway):
    (gateway.directory / "gateway.toml").write_text("[calls]\ntimeout_ms = 700\nbudget_ms = 900\n")
    run = gateway("config", "check", "--config", "gateway.toml", "--json", GATEWAY_CALLS__TIMEOUT_MS="500")
    found = settings_of(run)
    assert found["calls.timeout_ms"] == (500, "GATEWAY_CALLS__TIMEOUT_MS")
    assert found["calls.budget_ms"] == (900, "gateway.toml")
    table = gateway("config", "check", GATEWAY_CONFIG="gateway.toml").out
    assert "700" in table
    assert "The configuration is good." in table


def test_no_key_is_ever_printed(gateway):
    secret = "a-key-that-must-not-be-seen"
    (gateway.directory / "keys").write_text("another-secret-key-for-operators\n")
    for arguments in (("config", "check"), ("config", "check", "--json")):
        run = gateway(*arguments, GATEWAY_CONTROL__OPERATOR_KEYS=secret, GATEWAY_CONTROL__OPERATOR_KEYS_FILE="keys")
        assert run.code == 0
        assert secret not in run.out + run.err
        assert "another-secret" not in run.out + run.err
        assert run.out.count("(hidden)") == 2


def test_an_unknown_key_names_the_nearest_one(gateway):
    (gateway.directory / "gateway.toml").write_text("[calls]\ntimeout_sm = 700\n")
    refused = gateway("config", "check", "--config", "gateway.toml")
    assert refused.code == 2
    assert "calls.timeout_ms" in refused.err
    assert gateway("config", "check", "--config", "gateway.toml", "--json").problem["detail"]


def test_an_unknown_variable_names_the_nearest_one(gateway):
    refused = gateway("config", "check", GATEWAY_CALLS__TIMEOUT="1")
    assert refused.code == 2
    assert "GATEWAY_CALLS__TIMEOUT_MS" in refused.err


def test_the_command_line_s_own_variables_are_no_settings(gateway):
    run = gateway("config", "check", GATEWAY_URL="http://127.0.0.1:1", GATEWAY_KEY="k", GATEWAY_KEY_FILE="f")
    assert run.code == 0


def test_a_file_that_is_not_there_is_wrong_configuration(gateway):
    refused = gateway("config", "check", "--config", "absent.toml")
    assert refused.code == 2
    assert "absent.toml" in refused.err
