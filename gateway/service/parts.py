"""The parts of a served gateway that can take a new configuration, apart from the queries themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.service.reloading import Change
from gateway.service.tls import Certificate, CertificateFiles, load

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pydantic import SecretStr

    from gateway.config import ControlSettings, LogSettings, ServerSettings, Settings
    from gateway.pipeline.debug import DebugHeader
    from gateway.runtime_data_path import DataPath
    from gateway.service.auth import Authenticator
    from gateway.service.tls import Section

__all__ = [
    "CHAIN_SETTINGS",
    "CertificatePart",
    "ChainPart",
    "DebugKeysPart",
    "LogPart",
    "OperatorsPart",
    "ReadWhenNeeded",
    "certificate_of",
]

_OPERATORS = frozenset({"control.operator_keys", "control.operator_keys_file"})


def certificate_of(section: Section, settings: ServerSettings | ControlSettings) -> Certificate | None:
    """The certificate that this section of the settings names, read; `None` without one. Raises `ConfigError`."""
    files = _files(section, settings)
    return None if files is None else Certificate(load(files))


def _files(section: Section, settings: ServerSettings | ControlSettings) -> CertificateFiles | None:
    if settings.tls_certificate is None:
        return None
    return CertificateFiles(settings.tls_certificate, settings.tls_key, section)


class CertificatePart:
    """The certificate of one section, read anew at each reload.

    From no TLS to TLS, or back, is for a restart: who speaks the one on a port cannot be told apart from the other.
    """

    def __init__(
        self,
        section: Section,
        certificate: Certificate | None,
        settings_of: Callable[[Settings], ServerSettings | ControlSettings],
    ) -> None:
        self._section = section
        self._certificate = certificate
        self._settings_of = settings_of

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """Read the files."""
        files = _files(self._section, self._settings_of(settings))
        if files is None:
            return Change()
        loaded = await asyncio.to_thread(load, files)
        certificate = self._certificate
        if certificate is None:
            return Change()

        async def apply() -> None:
            certificate.use(loaded)

        return Change(
            changed & {f"{self._section}.tls_certificate", f"{self._section}.tls_key"},
            apply,
            renewed=() if loaded.identity == certificate.loaded.identity else (str(files.certificate),),
        )


class LogPart:
    """How and what is logged. `configure` does it."""

    def __init__(self, configure: Callable[[LogSettings], None]) -> None:
        self._configure = configure

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """Nothing can be wrong with it."""

        async def apply() -> None:
            self._configure(settings.log)

        taken = frozenset(key for key in changed if key.startswith("log."))
        return Change(taken, apply if taken else None)


class OperatorsPart:
    """The operators' keys at the control API. With none at all in the configuration, those in use stay."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """The keys have been checked with the settings."""
        keys = _plain(settings.control.operator_keys)
        if not keys or not changed & _OPERATORS:
            return Change()

        async def apply() -> None:
            self._authenticator.replace_operators(keys)

        return Change(changed & _OPERATORS, apply)


CHAIN_SETTINGS: Final = ("budget_ms", "max_depth", "max_result_bytes", "source")
"""What of `[calls]` a running data path takes."""


class ChainPart:
    """What holds for the chains of one data path."""

    def __init__(self, path: DataPath) -> None:
        self._path = path

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """The values have been checked with the settings."""
        taken = changed & {f"calls.{name}" for name in CHAIN_SETTINGS}

        async def apply() -> None:
            chain, calls = self._path.chain.settings, settings.calls
            chain.budget, chain.max_depth = calls.budget_ms / 1000, calls.max_depth
            chain.max_result_bytes, chain.source = calls.max_result_bytes, calls.source
            self._path.protections.change_budget(chain.budget)

        return Change(taken, apply if taken else None)


class DebugKeysPart:
    """Who may have queries traced: operators, and the holders of debug keys.

    `operators` are their keys at the start, which stay if the configuration has none.
    """

    def __init__(self, debug: DebugHeader, operators: Collection[str]) -> None:
        self._debug = debug
        self._operators = tuple(operators)

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """The keys have been checked with the settings."""
        operators = _plain(settings.control.operator_keys) or self._operators

        async def apply() -> None:
            self._operators = tuple(operators)
            self._debug.replace([*operators, *_plain(settings.journal.debug_keys)])

        return Change(changed & {"journal.debug_keys"}, apply)


class ReadWhenNeeded:
    """Settings that are looked up each time they are needed."""

    def __init__(self, *keys: str) -> None:
        self._keys = frozenset(keys)

    async def prepare(self, _settings: Settings, changed: frozenset[str]) -> Change:
        """Nothing is to be done."""
        return Change(changed & self._keys)


def _plain(keys: Sequence[SecretStr]) -> list[str]:
    return [key.get_secret_value() for key in keys]
