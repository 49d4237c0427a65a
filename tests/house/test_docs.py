"""The documentation says what the code does: nothing undocumented, no dead link, no page that nobody finds."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from gateway.cli.app import program
from gateway.config import load_settings
from gateway.model import Outcome, Reason, Status

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKING = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
KINDS = {"tutorial", "how-to", "reference", "explanation"}


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def render():
    spec = importlib.util.spec_from_file_location("render_reference", Path(__file__).with_name("render_reference.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page", ["configuration.md", "errors.md", "metrics.md", "logging.md", "faults.md", "event-types.md"]
)
def test_the_reference_says_what_the_code_says(render, page):
    """If this fails: .venv/bin/python tests/house/render_reference.py"""
    assert (DOCS / "reference" / page).read_text() == render.rendered(page)


@pytest.mark.parametrize(
    ("heading", "words"),
    [("Status", set(Status)), ("Reasons", set(Reason)), ("Fields", set(Outcome.__struct_fields__))],
)
def test_every_word_of_an_outcome_is_documented(heading, words):
    page = (DOCS / "reference" / "outcomes.md").read_text()
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells))) == words


def commands(group, name):
    """The names of all commands below `group`."""
    for word, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}"


def test_every_command_is_documented():
    page = (DOCS / "reference" / "command-line.md").read_text()
    assert [name for name in commands(program, "gateway") if name not in page] == []


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


def test_every_page_is_of_one_of_the_four_kinds():
    assert {path.parent.name for path in PAGES if path.parent != DOCS} == KINDS
    assert {path.name for path in PAGES if path.parent == DOCS} == {"index.md", "glossary.md"}


def anchors(text):
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_every_link_within_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in set(anchors(path.read_text())), target


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_code_blocks_in_data_languages_are_well_formed(page):
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        if language == "json":
            json.loads(code)
        elif language == "toml":
            tomllib.loads(code)
        elif language == "python":
            compile(code, name_of(page), "exec", flags=0x2000)  # a block may await at its top level


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=name_of)
def test_configuration_files_in_the_documentation_load(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "operator-keys").write_text("an-operator-key-of-more-than-sixteen-characters\n")
    for number, code in enumerate(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
        file = tmp_path / f"{number}.toml"
        file.write_text(code)
        load_settings(file, {})


def test_the_glossary_is_sorted():
    words = re.findall(r"^\*\*(.+?)\*\*:", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words, key=str.lower)
