"""`gateway verify` against a hook that behaves and against one that does not, as a developer would run it."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import pytest

from gateway.testing.example_hook import ExampleHook
from gateway.testing.hook_server import HookServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
QUICK = ("--skip", "large", "--skip", "too-large", "--skip", "deep")


@contextmanager
def hook(fault=None):
    """The URL of an example hook in a thread of its own."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []
    end = asyncio.Event()

    async def serve():
        async with HookServer() as server:
            example = ExampleHook(SECRET, fault)
            server.on("/hook", example)
            server.on("/health", example)
            address.append(server.url)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield f"{address[0]}/hook"
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()


def test_a_hook_that_behaves_conforms(gateway, tmp_path):
    file = tmp_path / "secret.txt"
    file.write_text(SECRET + "\n")
    with hook() as url:
        said = gateway(
            "verify", url, "--secret-file", str(file), "--health-path", "/health", "--signed-replies", "--claims",
            "replace", "--capability", "prices", "--tenant", "acme", "--params", '{"q": 1}', *QUICK,
        )  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert "✓ A call without a signature is refused." in said.out
    assert f"0 failed, 2 skipped: {url} conforms." in said.out
    assert "\x1b[" not in said.out


def test_a_hook_that_does_not_is_told_what_is_wrong_and_how_to_mend_it(gateway, tmp_path):
    report = tmp_path / "report.xml"
    with hook("no-signature-check") as url:
        said = gateway("verify", url, "--only", "signature", "--junit", str(report), HOOK_SECRET=SECRET)
        told = gateway("verify", url, "--only", "unsigned", "--json", HOOK_SECRET=SECRET)
    assert said.code == 1
    assert "✗ A call without a signature is refused." in said.out
    assert "a call without webhook-signature was answered with status 200" in said.out
    assert "→ Verify with a library for Standard Webhooks" in said.out
    suite = ET.parse(report).getroot()[0]
    assert suite.get("name") == "gateway verify"
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) > 5
    assert told.code == 1
    (check,) = told.json["checks"]
    assert (told.json["conforms"], check["name"], check["verdict"]) == (False, "unsigned", "failed")
    assert SECRET not in said.out + told.out + report.read_text()


def test_the_checks_are_listed(gateway):
    said = gateway("verify", "--list", "--json")
    assert said.code == 0
    assert len(said.json) >= 40
    assert "other-secret" in gateway("verify", "--list").out


@pytest.mark.parametrize(
    ("arguments", "secret", "word"),
    [
        ((), SECRET, "Name the URL"),
        (("http://127.0.0.1:1/",), "", "need the signing secret"),
        (("http://127.0.0.1:1/",), "whsec_!", "cannot be used"),
        (("127.0.0.1:1",), SECRET, "must start with https://"),
        (("http://127.0.0.1:1/", "--only", "unsinged"), SECRET, "no check and no group 'unsinged'"),
        (("http://127.0.0.1:1/", "--params", "{q: 1}"), SECRET, "--params is not JSON"),
        (("http://127.0.0.1:1/", "--result", "@absent.json"), SECRET, "absent.json could not be read"),
        (("http://127.0.0.1:1/", "--secret-file", "absent.txt"), "", "could not be read from absent.txt"),
        (("http://127.0.0.1:1/", "--health-path", "health"), SECRET, "must begin with '/'"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(gateway, arguments, secret, word):
    said = gateway("verify", *arguments, HOOK_SECRET=secret)
    assert (said.code, said.out) == (2, "")
    assert word in said.err


def test_a_url_where_nobody_listens_fails_every_check_without_a_trace(gateway):
    said = gateway("verify", "http://127.0.0.1:9/hook", "--only", "answers", "--json", HOOK_SECRET=SECRET)
    assert said.code == 1
    assert "connect" in json.loads(said.out)["checks"][0]["detail"]


def test_with_public_only_a_loopback_address_is_not_called(gateway):
    with hook() as url:
        said = gateway("verify", url, "--only", "answers", "--public-only", HOOK_SECRET=SECRET)
    assert said.code == 1
    assert "blocked_address" in said.out
