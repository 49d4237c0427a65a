"""The reference of settings is made from the settings themselves."""

from __future__ import annotations

from operator import attrgetter

from gateway.config import describe, load_settings


def test_every_setting_has_a_key_a_variable_a_type_a_default_and_a_meaning():
    lines = describe()
    assert len({line.key for line in lines}) == len(lines)
    for line in lines:
        assert line.env.startswith("GATEWAY_")
        assert line.type
        assert line.default
        assert line.meaning.endswith("."), line.key


def test_a_line_of_the_reference():
    (line,) = (line for line in describe() if line.key == "calls.timeout_ms")
    assert (line.env, line.type, line.default) == ("GATEWAY_CALLS__TIMEOUT_MS", "whole number", "1000")


def test_each_default_in_the_reference_is_what_loading_nothing_gives():
    settings = load_settings(None, {})
    for line in describe():
        if line.kind == "number" and "[]" not in line.key:
            assert line.default == str(attrgetter(line.key)(settings))
