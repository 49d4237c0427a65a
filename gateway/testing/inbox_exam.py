"""The exam that every store of an inbox passes, for pytest.

In the test file of a store:

    class TestMyStore(InboxExam):
        def open_store(self, place):
            return open_my_store(place / "inbox")

`place` is an empty directory of the test's own. Opening the same place again must find what was kept, if `durable`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from gateway.receiver.inbox import InboxCounts, Message, State

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.receiver.inbox import InboxStore

__all__ = ["InboxExam", "message"]

NOW = 1_700_000_000.0


def message(ident: str, *, due_at: float = NOW) -> Message:
    """A small message with this id."""
    return Message(
        ident, (("content-type", "x/y"), ("x-ü", "\N{SNOWMAN}")), b"\x00\xff" + ident.encode(), NOW, due_at=due_at
    )


class InboxExam:
    """The exam. A subclass says how to open its store."""

    durable: ClassVar[bool] = True

    def open_store(self, place: Path) -> InboxStore:
        """The store at `place`."""
        raise AssertionError("a subclass says how")

    def test_a_message_comes_back_as_it_was_put_in(self, tmp_path: Path) -> None:
        """Every field, with odd bytes and characters."""
        with closing(self.open_store(tmp_path)) as store:
            assert store.add(message("a"))
            assert store.find("a") == replace(message("a"), number=1)
            assert store.find("b") is None

    def test_the_same_id_is_kept_once_whatever_its_state(self, tmp_path: Path) -> None:
        """The first one stays."""
        with closing(self.open_store(tmp_path)) as store:
            assert store.add(message("a"))
            assert not store.add(replace(message("a"), body=b"other"))
            (claimed,) = store.claim(NOW, 10, 5)
            assert not store.add(message("a"))
            assert store.processed(claimed, NOW)
            assert not store.add(message("a"))
            found = store.find("a")
            assert found is not None
            assert found.body == message("a").body

    def test_claims_come_in_order_of_arrival_and_only_when_due(self, tmp_path: Path) -> None:
        """At most so many as were asked for."""
        with closing(self.open_store(tmp_path)) as store:
            for ident, due in (("a", NOW), ("later", NOW + 100), ("b", NOW), ("c", NOW)):
                store.add(message(ident, due_at=due))
            assert [each.id for each in store.claim(NOW, 10, 2)] == ["a", "b"]
            assert [each.id for each in store.claim(NOW, 10, 9)] == ["c"]
            assert list(store.claim(NOW, 10, 9)) == []
            assert [each.id for each in store.claim(NOW + 100, 10, 1)] == ["a"]

    def test_a_claim_holds_for_its_lease_and_counts_as_an_attempt(self, tmp_path: Path) -> None:
        """Whoever held it before can no longer end it."""
        with closing(self.open_store(tmp_path)) as store:
            store.add(message("a"))
            (first,) = store.claim(NOW, 10, 1)
            assert (first.attempts, first.lease_until) == (1, NOW + 10)
            assert list(store.claim(NOW + 9.9, 10, 1)) == []
            (second,) = store.claim(NOW + 10, 10, 1)
            assert second.attempts == 2
            assert not store.processed(first, NOW)
            assert not store.failed(first, NOW, "no")
            assert not store.again(first, NOW, "no")
            assert store.processed(second, NOW + 11)
            assert not store.processed(second, NOW + 12)
            assert store.counts() == InboxCounts(processed=1)

    def test_a_message_is_tried_again_when_it_was_said(self, tmp_path: Path) -> None:
        """With what went wrong."""
        with closing(self.open_store(tmp_path)) as store:
            store.add(message("a"))
            (claimed,) = store.claim(NOW, 10, 1)
            assert store.again(claimed, NOW + 50, "KeyError: 'x'")
            found = store.find("a")
            assert found is not None
            assert (found.state, found.error, found.due_at) == (State.NEW, "KeyError: 'x'", NOW + 50)
            assert list(store.claim(NOW + 49, 10, 1)) == []
            (again,) = store.claim(NOW + 50, 10, 1)
            assert again.attempts == 2

    def test_what_has_failed_says_why_and_since_when(self, tmp_path: Path) -> None:
        """And is not claimed any more."""
        with closing(self.open_store(tmp_path)) as store:
            store.add(message("a"))
            (claimed,) = store.claim(NOW, 10, 1)
            assert store.failed(claimed, NOW + 1, "it is broken")
            found = store.find("a")
            assert found is not None
            assert (found.state, found.error, found.finished_at) == (State.FAILED, "it is broken", NOW + 1)
            assert list(store.claim(NOW + 1000, 10, 1)) == []

    def test_a_replayed_message_is_new_again_with_all_its_attempts(self, tmp_path: Path) -> None:
        """Processed, failed or new; one that is being handled stays held."""
        with closing(self.open_store(tmp_path)) as store:
            for ident in ("processed", "failed", "held", "waiting"):
                store.add(message(ident))
            one, two, _, four = store.claim(NOW, 10, 4)
            store.processed(one, NOW)
            store.failed(two, NOW, "no")
            store.again(four, NOW + 1000, "later")
            for ident in ("processed", "failed", "held", "waiting"):
                assert store.replay(ident, NOW + 1)
            assert not store.replay("nothing", NOW)
            claimed = store.claim(NOW + 1, 10, 9)
            assert [(each.id, each.attempts) for each in claimed] == [("processed", 1), ("failed", 1), ("waiting", 1)]
            assert not store.processed(one, NOW + 2)  # an old claim has no say in it
            assert store.counts() == InboxCounts(new=4)

    def test_messages_are_listed_newest_first_page_by_page(self, tmp_path: Path) -> None:
        """Of one state or of all."""
        with closing(self.open_store(tmp_path)) as store:
            for ident in "abcde":
                store.add(message(ident))
            first, *_ = store.claim(NOW, 10, 2)
            store.failed(first, NOW, "no")
            page = store.listed(limit=2)
            assert [each.id for each in page] == ["e", "d"]
            assert [each.id for each in store.listed(limit=2, before=page[-1].number)] == ["c", "b"]
            assert [each.id for each in store.listed(State.FAILED)] == ["a"]
            assert store.counts() == InboxCounts(new=4, failed=1)

    def test_only_what_was_processed_is_forgotten(self, tmp_path: Path) -> None:
        """What failed stays until somebody has looked at it."""
        with closing(self.open_store(tmp_path)) as store:
            for ident in "abcd":
                store.add(message(ident))
            old, recent, bad = store.claim(NOW, 10, 3)
            store.processed(old, NOW)
            store.processed(recent, NOW + 100)
            store.failed(bad, NOW, "no")
            assert store.prune(NOW + 50) == 1
            assert [each.id for each in store.listed()] == ["d", "c", "b"]

    def test_many_threads_claim_each_message_once(self, tmp_path: Path) -> None:
        """And none is left."""
        with closing(self.open_store(tmp_path)) as store:
            for number in range(40):
                store.add(message(f"m{number}"))
            with ThreadPoolExecutor(8) as threads:
                claims = [threads.submit(store.claim, NOW, 10, 3) for _ in range(20)]
                found = [each.id for claim in claims for each in claim.result()]
            assert len(found) == len(set(found)) == 40

    def test_what_was_kept_lasts(self, tmp_path: Path) -> None:
        """With its state and its claims; another kind of store is empty again."""
        with closing(self.open_store(tmp_path)) as store:
            for ident in "ab":
                store.add(message(ident))
            (claimed,) = store.claim(NOW, 10, 1)
            before = [store.find(ident) for ident in "ab"]
        with closing(self.open_store(tmp_path)) as store:
            if self.durable:
                assert [store.find(ident) for ident in "ab"] == before
                assert store.processed(claimed, NOW)
            else:
                assert store.counts() == InboxCounts()
