"""Making, storing and recognising API keys.

A key is `gwk_<look-up part>_<secret part>`. The look-up part is public: it finds the one stored digest that
the key could belong to. The digest is scrypt (RFC 7914) over the key, keyed with the store's pepper, so that
a stolen database without the pepper's key is worth nothing, and one with it still takes the time to guess.

Keys of the first version have no look-up part and are stored as `sha256:…`. Their 256 random bits cannot be
guessed either, so they hold until they are rotated.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cachetools import TTLCache

API_KEY_PREFIX: Final = "gwk_"
_FORM: Final = re.compile(r"gwk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_SHA256: Final = "sha256:"
_SCRYPT: Final = "scrypt$"
_BLOCK: Final = 8
# 4 MiB and about ten milliseconds: nothing beside a day of use, and a great deal for each guess.
_LOG2_COST: Final = 12
_MOST_THREADS: Final = 2
_MOST_KNOWN: Final = 10_000
_KNOWN_SECONDS: Final = 300.0


def new_api_key() -> str:
    """A new API key: a look-up part, and 256 random bits."""
    return f"{API_KEY_PREFIX}{secrets.token_hex(8)}_{secrets.token_urlsafe(32)}"


def place_of_key(api_key: str) -> str:
    """Where the digest of a key that was presented would be found: its look-up part, or its old digest."""
    found = _FORM.fullmatch(api_key)
    return found[1] if found is not None else _sha256(api_key)


def place_of_digest(digest: str) -> str:
    """Where a stored digest is found: `place_of_key` of its key."""
    return digest.split("$")[2] if digest.startswith(_SCRYPT) else digest


class ApiKeys:
    """Makes and checks digests of API keys, with the store's `pepper`.

    The slow part runs on at most two threads of its own, however many ask. A key that was right a moment ago
    (five minutes at most) is recognised by a fast hash with a key that is random in each process.
    """

    def __init__(self, pepper: bytes, *, log2_cost: int = _LOG2_COST) -> None:
        self._pepper = pepper
        self._log2_cost = log2_cost
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="gateway-keys")
        self._quick_key = secrets.token_bytes(32)
        self._known: TTLCache[bytes, str] = TTLCache(_MOST_KNOWN, _KNOWN_SECONDS)
        self._nobodys = f"{_SCRYPT}{log2_cost}$-${_text(secrets.token_bytes(16))}${_text(secrets.token_bytes(32))}"

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)

    async def digest(self, api_key: str) -> str:
        """What is stored of a key that `new_api_key` made."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._digest, api_key)

    def _digest(self, api_key: str) -> str:
        salt = secrets.token_bytes(16)
        hashed = self._slow_hash(api_key, salt, self._log2_cost)
        return f"{_SCRYPT}{self._log2_cost}${place_of_key(api_key)}${_text(salt)}${_text(hashed)}"

    async def is_key_of(self, api_key: str, digest: str | None) -> bool:
        """Whether `digest` is that of `api_key`, compared in constant time.

        `None`, where no digest is in the key's place, takes as long as a wrong key does.
        """
        if _FORM.fullmatch(api_key) is None:
            return digest is not None and hmac.compare_digest(_sha256(api_key), digest)
        quick = hashlib.blake2b(api_key.encode(), key=self._quick_key, digest_size=32).digest()
        if digest is not None and self._known.get(quick) == digest:
            return True
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._threads, self._compare, api_key, digest or self._nobodys)
        if right and digest is not None:
            self._known[quick] = digest
        return right

    def _compare(self, api_key: str, digest: str) -> bool:
        try:
            _, cost, _, salt, hashed = digest.split("$")
            expected = b64decode(hashed, validate=True)
            return hmac.compare_digest(self._slow_hash(api_key, b64decode(salt, validate=True), int(cost)), expected)
        except (ValueError, TypeError, OverflowError):  # a digest that no version made is nobody's
            return False

    def _slow_hash(self, api_key: str, salt: bytes, log2_cost: int) -> bytes:
        keyed = hmac.digest(self._pepper, api_key.encode(), "sha256")
        return hashlib.scrypt(keyed, salt=salt, n=1 << log2_cost, r=_BLOCK, p=1, dklen=32)

    def fingerprint(self, operator_key: str) -> str:
        """A short name for an operator key: eight hex digits, from which nobody without the pepper can guess it."""
        named = b"operator key:" + operator_key.encode("utf-8", "surrogatepass")
        return hmac.digest(self._pepper, named, "sha256")[:4].hex()


def _sha256(api_key: str) -> str:
    return _SHA256 + hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()


def _text(data: bytes) -> str:
    return b64encode(data).decode()
