"""Finding the hooks of a query."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.snapshot import BoundHook, Snapshot
from gateway.transport.protocol import Endpoint

ENDPOINT = Endpoint("https", "example.com", 443, "example.com", "/", "")
NAMES = st.sampled_from("abc")
CHOICE = st.none() | st.frozensets(NAMES, min_size=1, max_size=2)


def bound(
    hook_id: str,
    types: frozenset[str] | None,
    capabilities: frozenset[str] | None,
    tenants: frozenset[str] | None,
    place: tuple[int, str, int, str],
) -> BoundHook:
    return BoundHook(
        hook_id=hook_id,
        name=hook_id,
        integration_id="int_1",
        integration="one",
        generation=1,
        endpoint=ENDPOINT,
        keys=(),
        timeout=1.0,
        fail=False,
        binary=False,
        may_reject=False,
        signed_replies=False,
        types=types,
        capabilities=capabilities,
        tenants=tenants,
        place=place,
    )


HOOKS = st.builds(
    bound,
    st.sampled_from(["h1", "h2", "h3", "h4", "h5", "h6"]),
    CHOICE,
    CHOICE,
    CHOICE,
    st.tuples(st.integers(-1, 1), NAMES, st.integers(0, 1), NAMES),
)
CHANGE = st.dictionaries(st.sampled_from(["h1", "h2", "h3", "h4", "h5", "h6"]), st.none() | HOOKS, max_size=4)


def serves(values: frozenset[str] | None, value: str | None) -> bool:
    return values is None or value in values


@given(
    changes=st.lists(CHANGE, max_size=6),
    query_type=NAMES,
    capability=st.none() | NAMES,
    tenant=st.none() | NAMES,
)
def test_the_indexes_find_what_looking_at_every_hook_finds(
    changes: list[dict[str, BoundHook | None]], query_type: str, capability: str | None, tenant: str | None
) -> None:
    snapshot, every = Snapshot.empty(), dict[str, BoundHook]()
    for generation, change in enumerate(changes, 1):
        named = {
            hook_id: None
            if hook is None
            else bound(hook_id, hook.types, hook.capabilities, hook.tenants, (*hook.place[:3], hook_id))
            for hook_id, hook in change.items()
        }
        older, found_in_older = snapshot, snapshot.select(query_type, capability, tenant)
        snapshot = snapshot.changed(generation, named)
        for hook_id, now in named.items():
            every.pop(hook_id, None)
            if now is not None:
                every[hook_id] = now
        expected = [
            hook
            for hook in every.values()
            if serves(hook.types, query_type) and serves(hook.capabilities, capability) and serves(hook.tenants, tenant)
        ]
        expected.sort(key=lambda hook: hook.place)
        assert list(snapshot.select(query_type, capability, tenant)) == expected
        assert list(snapshot.select(query_type, capability, tenant)) == expected, "from memory"
        assert older._find(query_type, capability, tenant) == found_in_older, "an older snapshot never changes"
        assert snapshot.enabled_count == len(every)
        assert snapshot.generation == generation


def test_queries_of_ever_new_tenants_do_not_fill_the_memory() -> None:
    snapshot = Snapshot.empty()
    for number in range(70_000):
        snapshot.select("search", None, f"tenant-{number}")
    assert len(snapshot._memo) <= 65_536
