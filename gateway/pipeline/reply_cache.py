"""What hooks made of what was sent to them, kept for as long as their replies allow, within bounds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cachetools import Cache, TLRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.registry.snapshot import BoundHook

    Key = tuple[BoundHook, bytes]

OVERHEAD: Final = 1_024  # bytes that one entry takes beside its body: keys, places in tables, a heap and a list


@dataclass(frozen=True, slots=True)
class Kept:
    """What a hook made of something: the `body` of the new document, or `None` if it left it as it was.

    It was kept at `since` and may be used for `seconds` from then, by the clock of the cache.
    """

    body: bytes | None
    since: float
    seconds: float

    @property
    def size(self) -> int:
        """How many bytes of memory it counts for."""
        return OVERHEAD + (0 if self.body is None else len(self.body))


@dataclass(slots=True)
class CacheCounts:
    """What happened to look-ups since the start.

    `hits` found an answer, `joined` waited for a call that was under way, `misses` led to a call. `evicted` entries
    had to make room, `purged` ones were removed by their owner.
    """

    hits: int = 0
    joined: int = 0
    misses: int = 0
    evicted: int = 0
    purged: int = 0


class _Entries(TLRUCache["Key", Kept]):
    """A cachetools cache that counts what it throws out to make room."""

    def __init__(self, max_bytes: int, clock: Callable[[], float], counts: CacheCounts) -> None:
        super().__init__(max_bytes, ttu=_until, timer=clock, getsizeof=_size)
        self._counts = counts

    def count(self) -> int:
        """How many there are. `len` would first remove those that ended, which one thread alone may do."""
        return Cache.__len__(self)

    def weight(self) -> int:
        """How many bytes they count for; the same as `currsize`, which would do so, too."""
        return int(Cache.currsize.__get__(self))

    def popitem(self) -> tuple[Key, Kept]:
        """Throw out the one that was not used for longest."""
        self._counts.evicted += 1
        return super().popitem()


def _until(_key: Any, kept: Kept, now: float) -> float:
    return now + kept.seconds


def _size(kept: Kept) -> int:
    return kept.size


class ReplyCache:
    """Entries by hook (one generation of it: another is another object) and digest of what it was told.

    At most `max_bytes` and `max_entries`; the one not used for longest makes room. `clock` gives seconds.
    """

    def __init__(self, max_bytes: int, max_entries: int, clock: Callable[[], float]) -> None:
        self.counts: Final = CacheCounts()
        self._max_entries = max_entries
        self._clock = clock
        self._entries = _Entries(max_bytes, clock, self.counts)

    def get(self, key: Key) -> Kept | None:
        """What is kept under `key` and still fresh."""
        try:
            return self._entries[key]
        except KeyError:
            return None

    def put(self, key: Key, body: bytes | None, seconds: float) -> None:
        """Keep `body` for `seconds`. What is larger than the whole cache is not kept."""
        kept = Kept(body, self._clock(), seconds)
        if kept.size > self._entries.maxsize or seconds <= 0 or self._max_entries < 1:
            return
        entries = self._entries
        while key not in entries and len(entries) >= self._max_entries:
            entries.popitem()
        entries[key] = kept

    def purge(self, hook_id: str) -> int:
        """Remove what is kept of a hook, of all its generations; how many entries that were."""
        entries = self._entries
        entries.expire()
        keys = [key for key in entries if key[0].hook_id == hook_id]
        for key in keys:
            with suppress(KeyError):  # it may end in this moment
                del entries[key]
        self.counts.purged += len(keys)
        return len(keys)

    def age(self, kept: Kept) -> float:
        """For how many seconds it has been kept."""
        return self._clock() - kept.since

    @property
    def entries(self) -> int:
        """How many there are, those included that are no longer fresh and not yet removed."""
        return self._entries.count()

    @property
    def bytes(self) -> int:
        """How many bytes they count for."""
        return self._entries.weight()
