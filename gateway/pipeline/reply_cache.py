"""What hooks made of what was sent to them, kept for as long as their replies allow, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from cachetools import Cache, LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.registry.snapshot import BoundHook

    Key = tuple[BoundHook, bytes]

OVERHEAD: Final = 1_024  # bytes that one entry takes beside its body: keys, places in tables, a heap and a list


class _Kept:
    """What a hook made of something: the `body` of the new document, or `None` if it left it as it was.

    It was kept at `since` and may be used until `until`, by the clock of the cache, in which nothing else has its
    `number`. It counts for `size` bytes of memory.
    """

    __slots__ = ("body", "number", "since", "size", "until")

    def __init__(self, body: bytes | None, since: float, until: float, number: int) -> None:
        self.body = body
        self.since = since
        self.until = until
        self.number = number
        self.size = OVERHEAD + (0 if body is None else len(body))


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


class _Entries(LRUCache["Key", _Kept]):
    """A cachetools cache that counts what it throws out to make room."""

    def __init__(self, max_bytes: int, counts: CacheCounts) -> None:
        super().__init__(max_bytes, getsizeof=attrgetter("size"))
        self._counts = counts

    def holds(self, key: Key, number: int) -> bool:
        """Whether what was kept with this number is still there. To ask does not count as use."""
        return key in self and Cache.__getitem__(self, key).number == number

    def popitem(self) -> tuple[Key, _Kept]:
        """Throw out the one that was not used for longest."""
        self._counts.evicted += 1
        return super().popitem()


class ReplyCache:
    """Entries by hook (one generation of it: another is another object) and digest of what it was told.

    At most `max_bytes` and `max_entries`; the one not used for longest makes room. `clock` gives seconds. What has
    ended is not found, and is removed when something new is kept, before anything has to make room.
    """

    def __init__(self, max_bytes: int, max_entries: int, clock: Callable[[], float]) -> None:
        self.counts: Final = CacheCounts()
        self._max_entries = max_entries
        self._clock = clock
        self._entries = _Entries(max_bytes, self.counts)
        self._numbers = count()
        self._ends: list[tuple[float, int, Key]] = []  # when which number ends, as a heap; some are no longer there

    def get(self, key: Key) -> tuple[bytes | None, float] | None:
        """The body that is kept under `key` and still fresh (`None`: as it was sent), and its age in seconds."""
        try:
            kept = self._entries[key]
        except KeyError:
            return None
        now = self._clock()
        return (kept.body, now - kept.since) if now < kept.until else None

    def put(self, key: Key, body: bytes | None, seconds: float) -> None:
        """Keep `body` for `seconds`. What is larger than the whole cache is not kept."""
        now = self._clock()
        entries, kept = self._entries, _Kept(body, now, now + seconds, next(self._numbers))
        if kept.size > entries.maxsize or seconds <= 0 or self._max_entries < 1:
            return
        self._remove_ended(now)
        while len(entries) >= self._max_entries and key not in entries:
            entries.popitem()
        entries[key] = kept
        heappush(self._ends, (kept.until, kept.number, key))

    def _remove_ended(self, now: float) -> None:
        entries, ends = self._entries, self._ends
        while ends and ends[0][0] <= now:
            _, number, key = heappop(ends)
            if entries.holds(key, number):
                del entries[key]
        if len(ends) > 2 * len(entries):  # those that made room or were purged
            ends[:] = [end for end in ends if entries.holds(end[2], end[1])]
            heapify(ends)

    def purge(self, hook_id: str) -> int:
        """Remove what is kept of a hook, of all its generations; how many entries that were."""
        self._remove_ended(self._clock())
        entries = self._entries
        keys = [key for key in entries if key[0].hook_id == hook_id]
        for key in keys:
            del entries[key]
        self.counts.purged += len(keys)
        return len(keys)

    @property
    def entries(self) -> int:
        """How many there are, those included that are no longer fresh and not yet removed."""
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """How many bytes they count for."""
        return int(self._entries.currsize)
