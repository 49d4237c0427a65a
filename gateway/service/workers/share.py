"""The settings of a worker: those of the whole gateway, with its share of what all workers have together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, SecretStr

from gateway.config import Address, Settings, UnixAddress
from gateway.service.parts import CHAIN_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

# What is a bound on memory or on calls of the whole gateway, and so is divided. Of a hook's own `max_concurrency` every
# worker takes its part, too (`RegistryRules`). Not divided: what bounds one query, one connection or one hook's memory.
SHARED: Final[Mapping[str, tuple[str, ...]]] = {
    "calls": ("max_concurrency_total", "max_waiting", "max_waiting_total", "max_buffered_bytes"),
    "cache": ("max_bytes", "max_entries"),
    "rollout": ("shadow_calls", "shadow_calls_per_hook", "shadow_bytes"),
    "journal": ("max_bytes",),
}


def share_of(settings: Settings, workers: int) -> Settings:
    """`settings` with what one of so many workers may use. Nothing that is allowed at all becomes none."""
    sections = {}
    for section, names in SHARED.items():
        whole = getattr(settings, section)
        parts = {name: _part(getattr(whole, name), workers) for name in names}
        sections[section] = whole.model_copy(update=parts)
    return settings.model_copy(update=sections)


def _part(whole: int, workers: int) -> int:
    return whole if whole <= 0 else max(1, whole // workers)


def with_reloaded(running: Settings, read: Settings) -> Settings:
    """`running` with what a gateway that runs takes of settings which were `read` again.

    A worker that is started later must be as the others are: what waits for a restart waits in it, too.
    """
    taken = {name: getattr(read, name) for name in ("upstream", "routes", "trusted_proxies", "upstreams", "log")}
    server = read.server
    if (server.tls_certificate is None) != (running.server.tls_certificate is None):
        as_it_was = {name: getattr(running.server, name) for name in ("tls_certificate", "tls_key")}
        server = server.model_copy(update=as_it_was)
    journal = running.journal.model_copy(update={"debug_keys": read.journal.debug_keys})
    control = running.control.model_copy(update={"operator_keys": read.control.operator_keys})
    calls = running.calls.model_copy(update={name: getattr(read.calls, name) for name in CHAIN_SETTINGS})
    return running.model_copy(update=taken | {"server": server, "journal": journal, "control": control, "calls": calls})


def document_of(settings: Settings) -> dict[str, Any]:
    """What was set, as plain data with the secrets in it: for a process of ours, never for a file.

    Without the section `store`: no worker opens a database, so none gets the keys that open one.
    """
    return {name: _plain(getattr(settings, name)) for name in settings.model_fields_set - {"store"}}


def settings_of(document: Mapping[str, Any]) -> Settings:
    """The settings from their document; they keep everything in memory."""
    return Settings(**{**document, "store": {"url": "memory:"}})


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path | Address | UnixAddress):
        return str(value)
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in value.model_fields_set}
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
