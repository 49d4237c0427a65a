"""Logs are JSON lines for machines and text for people, and never hold a secret or much of a value."""

from __future__ import annotations

import io
import json
import logging

import pytest

from gateway.observe.log import MAX_VALUE, configure_logging, get_logger


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _restored():
    root, own = logging.getLogger(), logging.getLogger("gateway")
    before = (list(root.handlers), root.level, own.level)
    yield
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]
    root.setLevel(before[1])
    own.setLevel(before[2])


def logged(form="json", level="info", stream=None, env=None):
    stream = stream or io.StringIO()
    configure_logging(form, level, stream, env=env or {})
    return stream


def test_an_event_is_one_json_object_a_line():
    out = logged("auto")
    get_logger("registry").info("hook.disabled", hook="price-fx", generation=7, reason=None)
    line = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "event": "hook.disabled",
        "logger": "gateway.registry",
        "hook": "price-fx",
        "generation": 7,
        "reason": None,
    }


def test_on_a_terminal_an_event_is_coloured_text():
    out = logged("auto", stream=Terminal())
    get_logger("registry").warning("hook.failing", hook="geo", why="timeout")
    assert "\x1b[33mwarning" in out.getvalue()
    assert "hook.failing" in out.getvalue()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_turned_off(env):
    out = logged("auto", stream=Terminal(), env=env)
    get_logger("registry").warning("hook.failing", hook="geo", why="took too long")
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().endswith('hook.failing             hook=geo why="took too long"\n')


def test_text_without_a_terminal_has_no_colours():
    out = logged("text")
    get_logger("x").error("it.broke")
    assert "\x1b" not in out.getvalue()


def test_json_can_be_had_on_a_terminal():
    out = logged("json", stream=Terminal())
    get_logger("x").info("a.b")
    assert json.loads(out.getvalue())["event"] == "a.b"


def test_the_level_holds_for_the_gateway_and_others_are_heard_from_warning_on():
    out = logged(level="debug")
    get_logger("x").debug("a.b")
    logging.getLogger("asyncio").info("not heard")
    logging.getLogger("asyncio").warning("%s heard", "well")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line.get("message")) for line in lines] == [("a.b", None), ("asyncio", "well heard")]
    out = logged(level="error")
    get_logger("x").warning("a.b")
    assert not out.getvalue()


def test_configuring_again_replaces_the_first():
    first = logged()
    second = logged()
    get_logger("x").info("a.b")
    assert not first.getvalue()
    assert second.getvalue()


@pytest.mark.parametrize("key", ["secret", "api_key", "X-Api-Key", "Authorization", "token", "key", "signing_secrets"])
@pytest.mark.parametrize("form", ["json", "text"])
def test_values_named_like_secrets_are_left_out(key, form):
    out = logged(form)
    get_logger("x").info("a.b", **{key: "hunter2", "headers": {key: "hunter2"}, "hook": "geo"})
    assert "hunter2" not in out.getvalue()
    assert out.getvalue().count("[redacted]") == 2
    assert "geo" in out.getvalue()


def test_long_values_are_cut_and_bytes_only_counted():
    out = logged()
    get_logger("x").info("a.b", text="é" * 5000, body=b"private", many=list(range(1000)))
    line = json.loads(out.getvalue())
    assert line["text"] == "é" * (MAX_VALUE - 1) + "…"
    assert line["body"] == "7 bytes"
    assert len(line["many"]) == 20


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("value", ["a\nb", "\x1b[31mred", "a\r\nINFO fake", "\u2028x"])
def test_a_value_can_neither_begin_a_line_nor_colour_the_terminal(form, value):
    out = logged(form)
    get_logger("x").info("a.b", name=value)
    assert len(out.getvalue().splitlines()) == 1 + (form == "json" and "\u2028" in value)
    assert "\x1b" not in out.getvalue()


def test_a_field_cannot_take_the_place_of_the_event():
    out = logged()
    get_logger("x").info("a.b", level="loud", time=3)
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["level_"], line["time_"]) == ("a.b", "info", "loud", 3)


def test_an_exception_is_logged_with_its_trace():
    out = logged()
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        get_logger("x").exception("it.broke", hook="geo")
    line = json.loads(out.getvalue())
    assert (line["level"], line["hook"]) == ("error", "geo")
    assert line["exception"].endswith("RuntimeError: boom")


def test_a_program_that_embeds_the_gateway_sees_events_as_text(caplog):
    with caplog.at_level(logging.INFO, logger="gateway"):
        get_logger("registry").info("hook.disabled", hook="geo", reason="it is gone", secret="hunter2")
    assert caplog.messages == ['hook.disabled hook=geo reason="it is gone" secret=[redacted]']
