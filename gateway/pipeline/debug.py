"""The header `gateway-debug`: who sends it with a key that may do so has the query traced.

Any other value is as good as none: nothing of the answer tells that it was wrong, or that it was there.
"""

from __future__ import annotations

import hmac
import time
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.pipeline.trace import Trace, Traces

HEADER: Final = "gateway-debug"
_LONGEST: Final = 1024
_NOT_TRACED: Final[AbstractContextManager[None]] = nullcontext()


class DebugHeader:
    """Traces queries that are asked with one of `keys`.

    Keys are compared by their digests in constant time. After `max_wrong` wrong ones within `window` seconds nobody is
    traced until the window ends, so that a key cannot be found by trying (0: no such limit). `clock` gives seconds and
    never goes back.
    """

    def __init__(
        self,
        traces: Traces,
        keys: Iterable[str],
        *,
        max_wrong: int = 20,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._traces = traces
        self._digests = [sha256(key.encode()).digest() for key in keys]
        self._max_wrong = max_wrong
        self._window = window
        self._clock = clock
        self._wrong = 0
        self._until = 0.0

    def accept(self, keys: Iterable[str]) -> None:
        """Trace queries that are asked with one of these, too."""
        self._digests += [sha256(key.encode()).digest() for key in keys]

    def replace(self, keys: Iterable[str]) -> None:
        """Trace queries that are asked with one of these, and with no other key."""
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def tracing(self, value: str | None) -> AbstractContextManager[Trace | None]:
        """A context whose queries are traced if `value`, that of the header, is a key."""
        return _NOT_TRACED if value is None or not self._is_key(value) else self._traces.tracing()

    def _is_key(self, value: str) -> bool:
        now = self._clock()
        if now >= self._until:
            self._wrong = 0
        elif self._max_wrong and self._wrong >= self._max_wrong:
            return False
        digest = sha256(value[:_LONGEST].encode("utf-8", "surrogatepass")).digest()
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        if any(found):
            return True
        if self._wrong == 0:
            self._until = now + self._window
        self._wrong += 1
        return False
