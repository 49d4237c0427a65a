"""The how-to pages on systems that no one here wrote show the files of their examples, and every file is shown."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEMS = ["datasette", "graphql", "prometheus", "pygeoapi"]


def shown(system):
    """The files that a page tells its reader to write: name and text."""
    page = (ROOT / "docs" / "how-to" / f"hooks-for-{system}.md").read_text()
    return dict(re.findall(r"^`([\w.-]+)`:\n\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_page_shows_every_file_of_its_example_as_it_is(system):
    files = {path.name: path.read_text() for path in (ROOT / "examples" / system).iterdir() if path.is_file()}
    assert shown(system) == files


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_page_has_a_test_that_plays_it(system):
    tests = (ROOT / "tests" / "neighbours" / f"test_{system}.py").read_text()
    assert f'PAGE = "hooks-for-{system}.md"' in tests


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_hook_is_a_short_program(system):
    (hook,) = [code for code in shown(system).values() if "HookReceiver" in code]
    assert len(hook.splitlines()) <= 75
    assert ast.get_docstring(ast.parse(hook))
