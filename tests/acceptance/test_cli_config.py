"""`gateway config check`: the settings in effect, where each comes from, and what is wrong with them."""

from __future__ import annotations

import json


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


def test_one_long_value_does_not_widen_the_whole_table(gateway):
    route = '[[routes]]\npath = "/query/*"\nupstream = "http://127.0.0.1:9000/%s"\n' % ("a" * 200)
    (gateway.directory / "gateway.toml").write_text(route)
    lines = gateway("config", "check", "--config", "gateway.toml").out.splitlines()
    assert [len(line) > 160 for line in lines].count(True) == 1


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


def test_it_tells_whether_secrets_will_be_encrypted(gateway):
    assert gateway("config", "check", "--json").json["secrets"] == "plain"
    assert gateway("config", "check", "--json", GATEWAY_STORE__URL="memory:").json["secrets"] == "in memory"
    key = gateway("config", "new-key").out.strip()
    (gateway.directory / "key").write_text(key + "\n")
    run = gateway("config", "check", GATEWAY_STORE__ENCRYPTION_KEY_FILE="key")
    assert "Secrets in the database are encrypted." in run.out
    assert key not in run.out + run.err


def test_a_key_that_is_none_is_wrong_configuration_and_not_shown(gateway):
    (gateway.directory / "key").write_text("not-really-a-key-of-any-kind\n")
    for variables in (
        {"GATEWAY_STORE__ENCRYPTION_KEY": "not-really-a-key-of-any-kind"},
        {"GATEWAY_STORE__ENCRYPTION_KEY_FILE": "key"},
        {"GATEWAY_STORE__ENCRYPTION_KEY_FILE": "absent"},
        {"GATEWAY_STORE__PREVIOUS_ENCRYPTION_KEYS": "gwe_" + "A" * 43},
    ):
        run = gateway("config", "check", **variables)
        assert run.code == 2
        assert "store." in run.err or "GATEWAY_STORE__" in run.err
        assert "not-really" not in run.out + run.err


def test_a_database_whose_key_is_missing_is_not_served_and_not_touched(gateway):
    key = gateway("config", "new-key", "--json").json["encryption_key"]
    variables = {"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_CONTROL__LISTEN": "127.0.0.1:0"}
    process = gateway.start("serve", "--json", GATEWAY_STORE__ENCRYPTION_KEY=key, **variables)
    try:
        assert json.loads(process.stdout.readline())["control_url"]
    finally:
        process.terminate()
        process.communicate(timeout=30)
    before = (gateway.directory / "gateway.db").read_bytes()
    run = gateway("serve", **variables)
    assert run.code == 2
    assert "store.encryption_key_file" in run.err
    assert "The file was not touched." in run.err
    assert (gateway.directory / "gateway.db").read_bytes() == before


def test_the_audit_log_is_listed(served):
    made = served("integrations", "register", "audited", "https://hooks.example.com", "--json").json
    listed = served("audit", "--integration", made["id"])
    assert listed.code == 0
    assert "integration.registered  audited  operator" in listed.out
    assert served("audit", "-i", made["id"], "--json").json["items"][0]["who"]["kind"] == "operator"
    assert served("audit", "--since", "yesterday").code == 1
    assert "Nothing that fits was changed." in served("audit", "--who", "nobody").out


def test_a_certificate_that_cannot_be_used_is_wrong_configuration(gateway):
    refused = gateway("config", "check", GATEWAY_CONTROL__TLS_CERTIFICATE="absent.pem")
    assert (refused.code, refused.err) == (2, "Error: control.tls_certificate: absent.pem: there is no such file\n")
    refused = gateway("config", "check", GATEWAY_SERVER__TLS_KEY="key.pem")
    assert refused.code == 2
    assert "tls_key stands without tls_certificate" in refused.err
