"""`gateway inbox` and `python -m gateway.receiver inbox`, on a file that a worker may be using."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from gateway.receiver.inbox.sqlite import SqliteInboxStore
from gateway.testing.inbox_exam import NOW, message


@pytest.fixture
def store(tmp_path):
    opened = SqliteInboxStore(tmp_path / "inbox.db")
    for ident in "abc":
        opened.add(replace(message(ident), body=b'{"type": "order.created", "n": 1}'))
    opened.add(message("odd"))
    first, second, *_ = opened.claim(NOW, 10, 2)
    opened.processed(first, NOW)
    opened.failed(second, NOW, "KeyError: 'x'")
    yield opened
    opened.close()


def test_messages_are_listed_shown_and_replayed(gateway, store):
    listed = gateway("inbox", "list", "--json").json
    assert [(item["id"], item["state"]) for item in listed["items"]] == [
        ("odd", "new"), ("c", "new"), ("b", "failed"), ("a", "processed"),
    ]  # fmt: skip
    assert listed["counts"] == {"new": 2, "processed": 1, "failed": 1}
    assert "KeyError: 'x'" in gateway("inbox", "list", "--state", "failed").out
    document = gateway("inbox", "show", "a", "--json").json
    assert (document["body"], document["type"]) == ({"value": {"type": "order.created", "n": 1}}, "order.created")
    assert '"n": 1' in gateway("inbox", "show", "a", "--db", "inbox.db").out
    assert "base64" in gateway("inbox", "show", "odd").out
    assert gateway("inbox", "replay", "a", "--failed", "--json").json == {"replayed": ["a", "b"]}
    assert store.counts().new == 4
    assert gateway("inbox", "replay", "--failed").out == "0 to be handled again: none has failed.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["list", "--db", "none.db"], 1, "There is no inbox none.db"),
        (["show", "nothing"], 1, "There is no message 'nothing'"),
        (["replay", "nothing"], 1, "There is no message 'nothing'"),
        (["replay"], 2, "by their ids, or say --failed"),
        (["list", "--state", "old"], 2, "'old' is not one of"),
        (["list", "--limit", "0"], 2, "--limit"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(gateway, store, arguments, code, sentence):
    done = gateway("inbox", *arguments)
    assert (done.code, sentence in done.err) == (code, True)


def test_the_sdk_alone_has_the_same_commands(store, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "gateway.receiver", "inbox", *arguments, "--db", "inbox.db"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    lines = [json.loads(line) for line in run("list", "--limit", "2").stdout.splitlines()]
    assert [line["id"] for line in lines] == ["odd", "c"]
    assert json.loads(run("show", "odd").stdout)["body"] == {"base64": "AP9vZGQ="}
    assert json.loads(run("replay", "--failed").stdout) == {"replayed": ["b"]}
    assert json.loads(run("prune", "--days", "1").stdout) == {"forgotten": 1}
    missing = run("show", "nothing")
    assert (missing.returncode, missing.stderr) == (1, "Error: There is no message 'nothing' in the inbox.\n")
    assert run("list", "--state", "old").returncode == 2
