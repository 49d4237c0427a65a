"""SECURITY.md promises nothing without a proof that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
POLICY = (ROOT / "SECURITY.md").read_text()


def test_every_proof_that_it_names_exists():
    named = re.findall(r"`(tests/[\w/.]+)`", POLICY)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_promise_names_a_proof():
    rows = re.findall(r"^\| (?!promise|---)(.+) \|$", POLICY, re.MULTILINE)
    assert len(rows) > 15
    assert [row for row in rows if "`tests/" not in row.rsplit(" | ", 1)[1]] == []


def test_every_link_leads_somewhere():
    assert [file for file in re.findall(r"\]\((?!https?:)([^)#]+)", POLICY) if not (ROOT / file).exists()] == []
