"""Making, storing and recognising API keys."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

API_KEY_PREFIX: Final = "gwk_"
_SCHEME: Final = "sha256:"


def new_api_key() -> str:
    """A new API key: 256 random bits."""
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


def digest(api_key: str) -> str:
    """What is stored of an API key, as `scheme:hex`.

    The keys are random and long, so a plain hash cannot be turned back by guessing; looking a key up
    by its digest tells an attacker's stop-watch nothing about the key.
    """
    return _SCHEME + hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()
