"""`gateway config check`, and how `gateway serve` comes by its settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.options import ControlCommand, ControlGroup, LocalCommand, Session, examples, pass_session
from gateway.cli.output import write, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Settings

# Variables of the command line itself, which are no settings.
OWN_VARIABLES: Final = ("GATEWAY_URL", "GATEWAY_KEY", "GATEWAY_KEY_FILE", "GATEWAY_CONFIG")

config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The TOML file (GATEWAY_CONFIG).",
)


def load(file: Path | None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings from the file (or GATEWAY_CONFIG), the environment and the flags. Raises `ConfigError`."""
    from gateway.config import load_settings

    return load_settings(config_file(file), os.environ, flags=flags, other_variables=OWN_VARIABLES)


def config_file(given: Path | None) -> Path | None:
    """The configuration file: as given, or as GATEWAY_CONFIG says, or none."""
    named = os.environ.get("GATEWAY_CONFIG")
    return given or (Path(named) if named else None)


@click.group(
    cls=ControlGroup,
    epilog=examples(
        "gateway config check --config gateway.toml", "gateway config reload", "gateway config new-key > encryption-key"
    ),
)
def config() -> None:
    """Check the configuration, have a running gateway read it again, or make a key for it."""


@config.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway config reload",
        "gateway config reload --url http+unix:///run/query-hook-gateway/control.sock",
    ),
)
@pass_session
def reload(session: Session, /) -> None:
    """Have the running gateway read its configuration again.

    It takes what it can take without a restart, and tells what has to wait for one. If anything is wrong with the
    configuration, it goes on as before, and says what.
    """
    done = session.client().call("POST", "/v1/config/reload")
    words = {
        "applied": "In effect now",
        "needs_restart": "Waiting for a restart",
        "renewed": "Read again",
    }

    def otherwise() -> None:
        if not done["changed"]:
            click.echo("No setting differs from what is running.")
        for member, heading in words.items():
            if done[member]:
                click.echo(f"{heading}: {', '.join(done[member])}")

    write(done, as_json=session.as_json, otherwise=otherwise)


@config.command(
    "new-key",
    cls=LocalCommand,
    epilog=examples("(umask 077; gateway config new-key > encryption-key)"),
)
@pass_session
def new_key(session: Session, /) -> None:
    """Make a key that secrets are encrypted with.

    Keep it in a file that only the gateway's user can read, and name that in store.encryption_key_file. Without
    the key, the secrets in the database are lost.
    """
    from gateway.stores.sealing import new_encryption_key

    key = new_encryption_key()
    write({"encryption_key": key}, as_json=session.as_json, otherwise=lambda: click.echo(key))


@config.command(
    cls=LocalCommand,
    epilog=examples(
        "gateway config check",
        "gateway config check --config gateway.toml",
        "GATEWAY_CALLS__TIMEOUT_MS=500 gateway config check --json",
    ),
)
@config_option
@pass_session
def check(session: Session, file: Path | None) -> None:
    """Check the configuration and print it.

    Each setting that is in effect, its value, and where it comes from. The values
    of keys are not printed. What is wrong is told in one line each, with exit code 2.
    """
    from gateway.config import describe, encryption_keys
    from gateway.config.sources import EnvironmentSource, TomlSource
    from gateway.service.parts import certificate_of

    settings = load(file)
    certificate_of("server", settings.server)
    certificate_of("control", settings.control)
    sealing = _sealing(settings, encrypted=encryption_keys(settings.store) is not None)
    toml = TomlSource(config_file(file))
    environment = EnvironmentSource(os.environ, others=OWN_VARIABLES)
    listed = []
    for line in describe():
        if "[]" in line.key:
            continue
        path = tuple(line.key.split("."))
        source = "default"
        if environment.has(path):
            source = line.env
        elif toml.has(path):
            source = str(toml.path)
        listed.append({"key": line.key, "value": _plain(_value(settings, path)), "source": source})

    def otherwise() -> None:
        rows = [(str(one["key"]), _words(one["value"]), str(one["source"])) for one in listed]
        write_table(("setting", "value", "from"), rows, empty="")
        click.echo(f"\n{_SEALING[sealing]}\nThe configuration is good.")

    write({"settings": listed, "secrets": sealing}, as_json=session.as_json, otherwise=otherwise)


_SEALING: Final = {
    "encrypted": "Secrets in the database are encrypted.",
    "plain": "Secrets in the database are not encrypted: set store.encryption_key_file (gateway config new-key).",
    "in memory": "Nothing is kept, so nothing needs to be encrypted.",
}


def _sealing(settings: Settings, *, encrypted: bool) -> str:
    from gateway.stores import parse_store_url

    if parse_store_url(settings.store.url).path is None:
        return "in memory"
    return "encrypted" if encrypted else "plain"


def _value(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for part in path:
        value = getattr(value, part)
    return value


def _plain(value: Any) -> Any:
    """As JSON, with every secret hidden."""
    from pydantic import BaseModel, SecretStr

    if isinstance(value, SecretStr):
        return "(hidden)"
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, BaseModel):
        return {name: _plain(part) for name in type(value).model_fields if (part := getattr(value, name)) is not None}
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _words(value: Any) -> str:
    import json

    if value is None:
        return "(unset)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
