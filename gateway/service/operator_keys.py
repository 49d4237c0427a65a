"""Where operator keys come from."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.stores.opening import parse_store_url

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Settings


def operator_keys(settings: Settings) -> tuple[list[str], str | None, Path | None]:
    """The operator keys; if the configuration has none, the one kept beside the database, made if need be."""
    keys = [key.get_secret_value() for key in settings.control.operator_keys]
    if keys:
        return keys, None, None
    database = parse_store_url(settings.store.url).path
    if database is None:
        key = "gwo_" + secrets.token_urlsafe(32)
        return [key], key, None
    kept = database.with_name(database.name + ".operator-key")
    try:
        if kept.exists():
            found = kept.read_text().strip()
            if len(found) < 16:
                msg = f"{kept} holds no operator key; remove it to have one made, or set control.operator_keys."
                raise ConfigError(msg)
            return [found], None, kept
        key = "gwo_" + secrets.token_urlsafe(32)
        with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
    except OSError as e:
        msg = f"The operator key cannot be kept in {kept} ({e.strerror}); set control.operator_keys instead."
        raise ConfigError(msg) from None
    return [key], key, kept
