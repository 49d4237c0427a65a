"""The reference of the command line says what the program says, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from gateway.cli.app import program
from gateway.cli.options import control_options, presentation_options

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
COMMON = {name for option in [*control_options(), *presentation_options()] for name in option.opts}


def commands(group=program, path=("gateway",)):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def sections() -> dict[str, str]:
    """The text under each heading."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def table(section: str) -> dict[str, str]:
    """First and last cells of a section's tables, without the heads."""
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip(): cells[-1].strip() for cells in rows}


def names(option: click.Option) -> str:
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def test_every_command_has_its_section_and_there_are_no_others():
    documented = [heading.strip("`") for heading in sections() if heading.startswith("`")]
    assert sorted(documented) == sorted(name for name, _ in commands())


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])
def test_a_section_has_the_command_s_usage_and_exactly_its_options(name, command):
    section = sections()[f"`{name}`"]
    context = click.Context(command, info_name=name)
    assert f"\n{name} {' '.join(command.collect_usage_pieces(context))}\n" in section
    own = [option for option in command.params if isinstance(option, click.Option) and not COMMON & set(option.opts)]
    assert table(section) == {names(option): option.help for option in own}


def test_the_common_options_are_those_that_commands_share():
    documented = {name.strip("` ") for cell in table(sections()["Common options"]) for name in cell.split(",")}
    assert documented == COMMON | {"--help", "-h"}
