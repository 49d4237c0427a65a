"""A Hypothesis state machine that compares any registry store with the memory store.

In the test file of a store:

    class MyMachine(StoreMachine):
        durable = True

        def open_store(self, place):
            return open_my_store(place / "registry")

    TestMyMachine = MyMachine.TestCase
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import StoreError
from gateway.model import (
    ApiKeyHash,
    CanaryBounds,
    Delivery,
    Envelope,
    FailurePolicy,
    Granularity,
    Hook,
    Integration,
    Mode,
    OnOverload,
    OnViolation,
    RowCount,
    SigningSecret,
    StickyBy,
    TlsSettings,
)
from gateway.stores.memory import MemoryStore
from gateway.stores.protocol import RegistryChange

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from gateway.stores.protocol import RegistryStore

# Few ids and names, so that records meet often.
_INTEGRATION_IDS = st.sampled_from(("int_a", "int_b", "int_c"))
_HOOK_IDS = st.sampled_from(("hk_a", "hk_b", "hk_c", "hk_d"))
_NAMES = st.sampled_from(("one", "two", "three"))
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_WORDS = st.none() | st.frozensets(_TEXT, max_size=3)
_TIMES = st.floats(0, 4e9)
_SMALL = st.integers(-(2**31), 2**31)

_PATHS = st.none() | st.lists(_TEXT, max_size=3).map(tuple)
_NUMBERS = st.none() | st.floats(0, 1e6)

_ENVELOPES = st.builds(
    Envelope,
    types=_WORDS,
    capabilities=_WORDS,
    tenants=_WORDS,
    max_timeout_ms=st.none() | st.integers(1, 10_000),
    failure_policy=st.sampled_from(FailurePolicy),
    may_reject=st.booleans(),
    signed_replies=st.booleans(),
    reads=_PATHS,
    writes=_PATHS,
    modes=st.none() | st.frozensets(st.sampled_from(Mode)),
    max_cache_seconds=_NUMBERS,
    max_growth=_NUMBERS,
    row_count=st.none() | st.sampled_from(RowCount),
    rows_at=st.none() | _TEXT,
    keep=_PATHS,
    result_schema=st.none() | _TEXT,
)
_KEYS = st.builds(ApiKeyHash, _TEXT, _TIMES, st.none() | _TIMES)
_SECRETS = st.builds(SigningSecret, _TEXT, _TIMES, st.none() | _TIMES)
INTEGRATIONS = st.builds(
    Integration,
    id=_INTEGRATION_IDS,
    name=_NAMES,
    base_url=_TEXT,
    priority=_SMALL,
    envelope=_ENVELOPES,
    health_path=st.none() | _TEXT,
    enabled=st.booleans(),
    version=_SMALL,
    created_at=_TIMES,
    updated_at=_TIMES,
    api_keys=st.lists(_KEYS, max_size=2).map(tuple),
    secrets=st.lists(_SECRETS, max_size=2).map(tuple),
    signing_keys=st.lists(_SECRETS, max_size=2).map(tuple),
    client_key_pem=st.none() | _TEXT,
    reply_public_keys=st.lists(_TEXT, max_size=2).map(tuple),
    tls=st.none() | st.builds(TlsSettings, st.none() | _TEXT, st.none() | _TEXT, st.none() | _TEXT),
)
HOOKS = st.builds(
    Hook,
    id=_HOOK_IDS,
    integration_id=_INTEGRATION_IDS,
    name=_NAMES,
    path=_TEXT,
    types=_WORDS,
    capabilities=_WORDS,
    tenants=_WORDS,
    order=_SMALL,
    timeout_ms=st.none() | _SMALL,
    failure_policy=st.sampled_from(FailurePolicy),
    delivery=st.sampled_from(Delivery),
    enabled=st.booleans(),
    reason=st.none() | _TEXT,
    generation=_SMALL,
    version=_SMALL,
    lease_expires_at=st.none() | _TIMES,
    owned_url=st.none() | _TEXT,
    created_at=_TIMES,
    updated_at=_TIMES,
    suspended=st.none() | _TEXT,
    max_concurrency=st.none() | _SMALL,
    on_overload=st.sampled_from(OnOverload),
    retry=st.booleans(),
    fresh_since=_SMALL,
    condition=st.none() | _TEXT,
    reads=_PATHS,
    writes=_PATHS,
    on_violation=st.sampled_from(OnViolation),
    max_growth=_NUMBERS,
    row_count=st.none() | st.sampled_from(RowCount),
    keep=_PATHS,
    result_schema=st.none() | _TEXT,
    granularity=st.sampled_from(Granularity),
    rows_at=st.none() | _TEXT,
    batch_rows=st.none() | _SMALL,
    coalesce=st.booleans(),
    cache=st.booleans(),
    mode=st.sampled_from(Mode),
    percent=_NUMBERS,
    sticky_by=st.sampled_from(StickyBy),
    bounds=st.none() | st.builds(CanaryBounds, _NUMBERS, _NUMBERS, _NUMBERS, _SMALL),
    stepped_back=st.none() | _TEXT,
)


def _unique(records: Any) -> Any:
    """Lists of records whose ids differ: one change says one thing about a record."""
    return st.lists(records, max_size=3, unique_by=lambda record: record.id).map(tuple)


class StoreMachine(RuleBasedStateMachine):
    """Random changes, right and wrong ones, on a store and on the reference: both must always agree."""

    durable: ClassVar[bool] = True

    def open_store(self, place: Path) -> AbstractAsyncContextManager[RegistryStore]:
        """The store that lives in the directory `place`, open until the context ends."""
        raise LookupError(f"{type(self).__name__} must override open_store({place.name!r})")

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._place = tempfile.TemporaryDirectory()
        self._context = AsyncExitStack()
        self._reference = MemoryStore()
        self._store = self._open()

    def _open(self) -> RegistryStore:
        context = self.open_store(Path(self._place.name))
        return self._runner.run(self._context.enter_async_context(context))

    def teardown(self) -> None:
        """Close the store."""
        self._runner.run(self._context.aclose())
        self._runner.close()
        self._place.cleanup()

    @rule(
        integrations=_unique(INTEGRATIONS),
        hooks=_unique(HOOKS),
        delete_integrations=st.lists(_INTEGRATION_IDS, max_size=2).map(tuple),
        delete_hooks=st.lists(_HOOK_IDS, max_size=2).map(tuple),
        off=st.sampled_from((0, 0, 0, 0, 1, -1)),
        step=st.sampled_from((1, 1, 1, 7, 0)),
    )
    def change(
        self,
        integrations: tuple[Integration, ...],
        hooks: tuple[Hook, ...],
        delete_integrations: tuple[str, ...],
        delete_hooks: tuple[str, ...],
        off: int,
        step: int,
    ) -> None:
        """Commit a random change, sometimes with a wrong base or generation, to both."""
        base = self._runner.run(self._reference.load()).generation + off
        change = RegistryChange(base, base + step, integrations, hooks, delete_integrations, delete_hooks)
        assert self._outcome(self._store, change) == self._outcome(self._reference, change)

    def _outcome(self, store: RegistryStore, change: RegistryChange) -> type[StoreError] | None:
        try:
            self._runner.run(store.commit(change))
        except StoreError as error:
            return type(error)
        return None

    @precondition(lambda self: self.durable)
    @rule()
    def reopen(self) -> None:
        """Close the store and open it again."""
        self._runner.run(self._context.aclose())
        self._store = self._open()

    @invariant()
    def both_hold_the_same(self) -> None:
        """The store holds what the reference holds."""
        assert self._runner.run(self._store.load()) == self._runner.run(self._reference.load())
