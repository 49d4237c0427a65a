"""The cache of replies against a naive model: a list of what is kept, by its last use, gone through each time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.pipeline.reply_cache import OVERHEAD, ReplyCache
from gateway.testing.clock import ManualClock


class Generation:
    def __init__(self, hook_id) -> None:
        self.hook_id = hook_id


HOOKS = [Generation(name) for name in ("hk_1", "hk_1", "hk_2")]
KEYS = st.builds(lambda hook, digest: (HOOKS[hook], b"%d" % digest), st.integers(0, 2), st.integers(0, 3))


class ReplyCacheMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(1_000.0)
        self.kept: list[tuple[tuple, bytes | None, float, float]] = []  # key, body, since, until; the last used is last
        self.evicted = self.purged = 0

    @initialize(entries=st.integers(0, 6), bodies=st.integers(0, 60))
    def begin(self, entries, bodies):
        self.most = entries
        self.bytes = 3 * OVERHEAD + bodies
        self.cache = ReplyCache(self.bytes, entries, self.clock)

    @rule(key=KEYS, body=st.none() | st.integers(0, 80), seconds=st.integers(0, 20))
    def put(self, key, body, seconds):
        body = None if body is None else b"x" * body
        if seconds == 0 or self.most == 0 or size(body) > self.bytes:
            self.cache.put(key, body, seconds)
            return
        self.end()
        self.cache.put(key, body, seconds)
        if self.has(key) is None and len(self.kept) >= self.most:
            self.evict()
        now = self.clock()
        while sum(size(it[1]) for it in self.kept if it[0] != key) + size(body) > self.bytes:
            self.evict()
        self.kept = [it for it in self.kept if it[0] != key]
        self.kept.append((key, body, now, now + seconds))

    @rule(key=KEYS)
    def get(self, key):
        found = self.has(key)
        if found is not None:  # to ask for what has ended counts, too; nobody can tell
            self.kept.remove(found)
            self.kept.append(found)
        expected = None
        if found is not None and self.clock() < found[3]:
            expected = (found[1], self.clock() - found[2])
        assert expected == self.cache.get(key)

    @rule(name=st.sampled_from(("hk_1", "hk_2", "hk_3")))
    def purge(self, name):
        self.end()
        gone = [it for it in self.kept if it[0][0].hook_id == name]
        self.kept = [it for it in self.kept if it not in gone]
        self.purged += len(gone)
        assert len(gone) == self.cache.purge(name)

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def it_counts_what_there_is(self):
        if hasattr(self, "cache"):
            counts = self.cache.counts
            assert (len(self.kept), sum(size(it[1]) for it in self.kept)) == (self.cache.entries, self.cache.bytes)
            assert (self.evicted, self.purged) == (counts.evicted, counts.purged)
            assert self.cache.entries <= self.most
            assert self.cache.bytes <= self.bytes

    def has(self, key):
        return next((it for it in self.kept if it[0] == key), None)

    def end(self):
        self.kept = [it for it in self.kept if self.clock() < it[3]]

    def evict(self):
        del self.kept[0]
        self.evicted += 1


def size(body):
    return OVERHEAD + (0 if body is None else len(body))


TestReplyCache = ReplyCacheMachine.TestCase
TestReplyCache.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
