"""The laws that are fuzzed hold for the committed corpus, without the fuzzer too; and the fuzzer starts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `fuzz` is run from a checkout and is not installed

from fuzz.pieces import Pieces, text  # noqa: E402
from fuzz.running import CORPUS, fuzz, understood  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402


def corpus(name):
    return sorted((CORPUS / name).iterdir())


@pytest.mark.parametrize("name", TARGETS)
def test_the_law_of_a_target_holds_for_each_input_of_its_corpus(name):
    assert corpus(name)
    for path in corpus(name):
        try:
            TARGETS[name].check(path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path.relative_to(ROOT)}: {error!r}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds_what_the_seeds_say(name):
    """If this fails: .venv/bin/python -m fuzz.seeds"""
    committed = {path.name: path.read_bytes() for path in corpus(name) if not path.name.startswith("found-")}
    assert committed == dict(TARGETS[name].seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_the_law_of_a_target_holds_for_inputs_cut_short_anywhere(name):
    for data in TARGETS[name].seeds().values():
        for end in range(0, len(data), max(1, len(data) // 20)):
            TARGETS[name].check(data[:end])


def test_structured_input_is_zero_and_empty_when_it_is_used_up():
    pieces = Pieces(b"\x05" + text("é"))
    assert (pieces.below(3), pieces.header(), pieces.below(3), pieces.raw(), pieces.rest()) == (2, "é", 0, b"", b"")
    assert Pieces(b"").json() == "null"


def test_a_broken_law_is_told_with_the_input_that_broke_it():
    said = (
        "#2\tINITED cov: 7 ft: 8 corp: 1/1b exec/s: 0 rss: 40Mb\n"
        " === Uncaught Python exception: ===\nAssertionError: no\n"
        "artifact_prefix='x/'; Test unit written to x/reply-crash-1\nstat::number_of_executed_units: 12\n"
    )
    done = understood("reply", 77, said)
    assert (done.failed, done.crash, done.runs, done.coverage) == (True, Path("x/reply-crash-1"), 12, 7)
    assert "AssertionError: no" in done.said


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="there is no fuzzer for this platform")
def test_the_fuzzer_runs_and_reaches_code():
    done = fuzz("signature", TARGETS["signature"].words, seconds=1)
    assert not done.failed, done.said
    assert done.runs > 0
    assert done.coverage > 10
