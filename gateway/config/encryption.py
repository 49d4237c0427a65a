"""The keys that secrets are encrypted with, from the settings and the files that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.stores.sealing import EncryptionKeys, parse_encryption_key

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.settings import StoreSettings


def encryption_keys(settings: StoreSettings) -> EncryptionKeys | None:
    """The keys, or `None` if there is none. Reads the files now. Raises `ConfigError`, which never holds a key."""
    previous = [parse_encryption_key(key.get_secret_value()) for key in settings.previous_encryption_keys]
    if settings.previous_encryption_keys_file is not None:
        previous += _keys_in(settings.previous_encryption_keys_file, "store.previous_encryption_keys_file")
    if settings.encryption_key is not None and settings.encryption_key_file is not None:
        raise ConfigError("store.encryption_key: cannot stand beside store.encryption_key_file: remove one of them")
    if settings.encryption_key is not None:
        return EncryptionKeys(parse_encryption_key(settings.encryption_key.get_secret_value()), tuple(previous))
    if settings.encryption_key_file is not None:
        found = _keys_in(settings.encryption_key_file, "store.encryption_key_file")
        if len(found) != 1:
            raise ConfigError(
                f"store.encryption_key_file: {settings.encryption_key_file}: must hold one key; "
                "older ones belong into store.previous_encryption_keys_file",
            )
        return EncryptionKeys(found[0], tuple(previous))
    if previous:
        raise ConfigError(
            "store.previous_encryption_keys: need a present key beside them: set store.encryption_key_file "
            "(secrets that were encrypted once are not decrypted again)",
        )
    return None


def _keys_in(path: Path, setting: str) -> list[bytes]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"{setting}: {path}: there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {path}: is not a text file") from None
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise ConfigError(f"{setting}: {path}: cannot be read: {why}") from None
    keys = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                keys.append(parse_encryption_key(line))
            except ValueError as error:
                raise ConfigError(f"{setting}: {path}: line {number} {error}") from None
    if not keys:
        raise ConfigError(f"{setting}: {path}: holds no key")
    return keys
