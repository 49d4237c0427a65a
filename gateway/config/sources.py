"""Where settings come from: the TOML file, the environment, the command line's flags. Each gives nested tables.

None of them judges values: they only find out which setting is meant and read texts as what the setting is.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

from pydantic_settings import PydanticBaseSettingsSource

from gateway.config.keys import ENV_PREFIX, describe, nearest
from gateway.config.settings import Settings
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo

    from gateway.config.keys import Kind

# For a service called "gateway", Kubernetes (and Docker's links before it) puts GATEWAY_SERVICE_HOST,
# GATEWAY_PORT=tcp://… and GATEWAY_PORT_80_TCP_ADDR into each container; CGI has GATEWAY_INTERFACE.
_FOREIGN: Final = re.compile(
    r"GATEWAY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
    r"|GATEWAY_INTERFACE",
)
_FOREIGN_PORT: Final = re.compile(r"GATEWAY_(?:[A-Z0-9_]+_)?PORT")
_SWITCH: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


class _Source(PydanticBaseSettingsSource):
    def __init__(self, tables: dict[str, Any]) -> None:
        super().__init__(Settings)
        self._tables = tables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """One section or value of the top level."""
        return self._tables.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._tables

    def has(self, location: tuple[str | int, ...]) -> bool:
        """Whether the value at `location`, or the list that it is an item of, comes from here."""
        here: Any = self._tables
        for part in location:
            if isinstance(part, int):
                return True
            if not isinstance(here, dict) or part not in here:
                return False
            here = here[part]
        return not isinstance(here, dict)  # a section as such has no one origin


class TomlSource(_Source):
    """One TOML file; `None` is no file. Raises `ConfigError`."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        super().__init__(_read_toml(path) if path is not None else {})


class EnvironmentSource(_Source):
    """The variables that begin with GATEWAY_. Problems are gathered in `problems`, one sentence each."""

    def __init__(self, env: Mapping[str, str], *, others: Collection[str] = ()) -> None:
        self.problems: list[str] = []
        known = {line.env: line for line in describe() if "[]" not in line.key}
        tables: dict[str, Any] = {}
        for name in sorted(n for n in env if n.upper().startswith(ENV_PREFIX)):
            if name in others or _is_foreign(name, env[name]):
                continue
            if name not in known:
                self.problems.append(
                    f"environment: {name}: is not a variable of the gateway; the nearest one is "
                    f"{nearest(name, [*known, *others])}",
                )
                continue
            try:
                _put(tables, known[name].key, _read(env[name], known[name].kind))
            except ValueError as error:
                self.problems.append(f"environment: {name}: {error}")
        super().__init__(tables)


class FlagSource(_Source):
    """Flags of the command line, by key path (`{"listen": "127.0.0.1:80"}`); `None` is a flag not given."""

    def __init__(self, flags: Mapping[str, Any]) -> None:
        tables: dict[str, Any] = {}
        for key, value in flags.items():
            if value is not None:
                _put(tables, key, value)
        super().__init__(tables)


def _is_foreign(name: str, value: str) -> bool:
    if _FOREIGN.fullmatch(name):
        return True
    return _FOREIGN_PORT.fullmatch(name) is not None and re.match(r"(?:tcp|udp|sctp)://", value) is not None


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        tables = tables.setdefault(section, {})
    tables[last] = value


def _read(text: str, kind: Kind) -> Any:
    """The value that `text` stands for. A number or switch that is none stays text: the model says what is wrong."""
    if kind == "number":
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text.strip()) else text
    if kind == "switch":
        return _SWITCH.get(text.strip().lower(), text)
    if kind == "texts" and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind in {"texts", "tables"}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            wanted = 'a JSON list of tables, such as [{"path": "/query/*"}]' if kind == "tables" else "a JSON list"
            raise ValueError(f"must be {wanted}, but it is not JSON") from None
    return text


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}), so it cannot be TOML") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {(error.strerror or 'unknown error').lower()}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is not usable: tables or lists are nested too deep") from None
