"""From a file, the environment and flags to one `Settings`, or to one error that lists every problem."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.config.problems import key_path, sentence
from gateway.config.settings import Settings
from gateway.config.sources import EnvironmentSource, FlagSource, TomlSource
from gateway.config.values import parse_operator_key
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def load_settings(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    other_variables: Collection[str] = (),
) -> Settings:
    """The settings from the TOML file at `path` (if any), then `env`, then `flags`; the later ones win.

    Without an `env` it is that of this process.

    `flags` maps key paths (`"listen"`, `"store.url"`) to values; `None` is a flag that was not given.
    `other_variables` are names that begin with GATEWAY_ too but belong to someone else, such as the
    command line's own. The keys in `control.operator_keys_file` are added to `control.operator_keys`.
    Paths are relative to the working directory.

    Raises `ConfigError`, whose text has one line per problem: file or variable, key, what is wrong. No
    line holds a value of a secret.
    """
    toml = TomlSource(path)
    environment = EnvironmentSource(os.environ if env is None else env, others=other_variables)
    flag = FlagSource(flags or {})
    problems = list(environment.problems)
    tables = _merged(_merged(toml(), environment()), flag())
    tables = _with_keys_from_file(tables, problems)
    try:
        settings = Settings(**tables)
    except ValidationError as error:
        origin = _Origin(toml, environment, flag)
        for found in error.errors(include_url=False):
            found["loc"] = tuple(part for part in found["loc"] if not str(part).startswith("("))  # names of forms
            problems.append(f"{origin.of(found['loc'])}: {sentence(found)}")
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


class _Origin:
    """Who set a value: what the user has to go and change."""

    def __init__(self, toml: TomlSource, environment: EnvironmentSource, flag: FlagSource) -> None:
        self._toml = toml
        self._environment = environment
        self._flag = flag

    def of(self, location: tuple[str | int, ...]) -> str:
        """The origin and the name of the setting at `location`."""
        key = key_path(location)
        if location and self._flag.has(location):
            return f"command line: {key}"
        if location and self._environment.has(location):
            name, bracket, rest = key.partition("[")
            return f"environment: GATEWAY_{name.upper().replace('.', '__')}{bracket}{rest}"
        where = str(self._toml.path) if self._toml.path is not None else "settings"
        return f"{where}: {key}" if key else where


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables merge key by key; anything else in `above` takes the place of what is below it."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _with_keys_from_file(tables: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    control = tables.get("control")
    if not isinstance(control, dict):
        return tables
    name, keys = control.get("operator_keys_file"), control.get("operator_keys", [])
    if not isinstance(name, str) or not isinstance(keys, list):
        return tables  # of the wrong kind: the model says so
    return tables | {"control": control | {"operator_keys": [*keys, *_keys_in(Path(name), problems)]}}


def _keys_in(path: Path, problems: list[str]) -> list[str]:
    """The keys in the file, one a line. What is wrong with it goes to `problems`, without the line's text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        problems.append(f"control.operator_keys_file: {path}: there is no such file")
        return []
    except UnicodeDecodeError:
        problems.append(f"control.operator_keys_file: {path}: is not a text file")
        return []
    except OSError as error:
        problems.append(
            f"control.operator_keys_file: {path}: cannot be read: {(error.strerror or 'unknown error').lower()}",
        )
        return []
    keys = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            keys.append(parse_operator_key(line.strip()))
        except ValueError as error:
            problems.append(f"control.operator_keys_file: {path}: line {number} {error}")
    if not lines or not any(line.strip() for line in lines):
        problems.append(f"control.operator_keys_file: {path}: holds no key")
    return keys
