"""What a hook and an envelope may say of conditions, scope, post-conditions, rows and roll-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import ConditionError, FieldError
from gateway.model import Granularity, Mode
from gateway.registry.paths import within
from gateway.wire import pointers
from gateway.wire.cel import compile_condition
from gateway.wire.result_schema import SchemaError, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.model import CanaryBounds, Envelope, Hook
    from gateway.registry.drafts import HookDraft

MAX_BATCH_ROWS: Final = 100_000
MAX_GROWTH: Final = 1_000_000
MAX_CACHE_SECONDS: Final = 365 * 86_400
MAX_P95_MS: Final = 3_600_000
MAX_MIN_CALLS: Final = 1_000_000
_OF_A_QUERY: Final = ("type", "capability", "tenant", "params", "context")

# A field that is needed because of others: what is wrong with it is wrong with a change of those, too.
NEEDED_FOR: Final = {"percent": ("mode",), "rows_at": ("granularity", "row_count")}


def hook_errors(hook: HookDraft | Hook, envelope: Envelope) -> Iterator[FieldError]:
    """What is wrong with `hook`, or beyond `envelope`."""
    if hook.condition is not None:
        yield from _condition_errors(hook.condition)
    yield from _scope_errors("/reads", hook.reads, envelope.reads)
    yield from _scope_errors("/writes", hook.writes, envelope.writes, may_be_empty=True)
    yield from _post_condition_errors("", hook, by_rows=hook.granularity is Granularity.ROWS)
    if hook.batch_rows is not None:
        yield from _range_errors("/batch_rows", hook.batch_rows, 1, MAX_BATCH_ROWS)
    if envelope.modes is not None and hook.mode not in envelope.modes:
        allowed = ", ".join(repr(mode.value) for mode in sorted(envelope.modes))
        yield FieldError("/mode", f"{hook.mode.value!r} is outside the integration's envelope, which allows {allowed}")
    if hook.percent is not None:
        yield from _range_errors("/percent", hook.percent, 0, 100)
    elif hook.mode is Mode.CANARY:
        yield FieldError("/percent", "is needed with the mode 'canary': for how many of 100 queries it is active")
    if hook.bounds is not None:
        yield from _bounds_errors(hook.bounds)


def envelope_errors(envelope: Envelope) -> Iterator[FieldError]:
    """What is wrong with `envelope`."""
    yield from _scope_errors("/envelope/reads", envelope.reads, None)
    yield from _scope_errors("/envelope/writes", envelope.writes, None, may_be_empty=True)
    yield from _post_condition_errors("/envelope", envelope)
    if envelope.modes is not None and not envelope.modes:
        yield FieldError("/envelope/modes", "must name at least one; leave it out to allow all")
    if envelope.max_cache_seconds is not None:
        yield from _range_errors("/envelope/max_cache_seconds", envelope.max_cache_seconds, 0, MAX_CACHE_SECONDS)


def _condition_errors(source: str) -> Iterator[FieldError]:
    try:
        condition = compile_condition(source)
    except ConditionError as e:
        yield FieldError("/condition", e.detail)
        return
    unknown = sorted(condition.members_of("query") - set(_OF_A_QUERY))
    if unknown:
        yield FieldError("/condition", f"a query has no {unknown[0]!r}; it has {', '.join(_OF_A_QUERY)}")


def _scope_errors(
    field: str, wanted: tuple[str, ...] | None, allowed: tuple[str, ...] | None, *, may_be_empty: bool = False
) -> Iterator[FieldError]:
    if wanted is None:
        return
    if not wanted and not may_be_empty:
        yield FieldError(field, "must name at least one; leave it out for the whole result")
    wrong = dict(pointers.errors(wanted))
    for number, why in wrong.items():
        yield FieldError(f"{field}/{number}", why)
    if allowed is None:
        return
    for number, pointer in enumerate(wanted):
        if number not in wrong and not within(pointer, allowed):
            inside = ", ".join(repr(each) for each in allowed[:10]) or "nothing"
            yield FieldError(
                f"{field}/{number}", f"{pointer!r} is outside the integration's envelope, which allows {inside}"
            )


def _post_condition_errors(
    at: str, said: HookDraft | Hook | Envelope, *, by_rows: bool = False
) -> Iterator[FieldError]:
    if said.max_growth is not None:
        yield from _range_errors(f"{at}/max_growth", said.max_growth, 1, MAX_GROWTH)
    yield from _scope_errors(f"{at}/keep", said.keep, None)
    if said.rows_at is not None:
        yield from _rows_at_errors(f"{at}/rows_at", said.rows_at)
    elif by_rows or said.row_count is not None:
        what = "the granularity 'rows'" if by_rows else "a row_count"
        yield FieldError(f"{at}/rows_at", f'is needed with {what}: where the array of rows is ("" is the document)')
    if said.result_schema is not None:
        try:
            compile_schema(said.result_schema)
        except SchemaError as e:
            yield FieldError(f"{at}/result_schema{e.pointer}", str(e))


def _rows_at_errors(field: str, pointer: str) -> Iterator[FieldError]:
    for _, why in pointers.errors((pointer,)):
        yield FieldError(field, why)
        return
    if None in pointers.parse(pointer):
        yield FieldError(field, "must name one place: no '*'")


def _bounds_errors(bounds: CanaryBounds) -> Iterator[FieldError]:
    for name, high in (("failure_percent", 100), ("p95_ms", MAX_P95_MS), ("change_percent", 100)):
        value: float | None = getattr(bounds, name)
        if value is not None:
            yield from _range_errors(f"/bounds/{name}", value, 0, high)
    yield from _range_errors("/bounds/min_calls", bounds.min_calls, 1, MAX_MIN_CALLS)


def _range_errors(field: str, value: float, low: float, high: float) -> Iterable[FieldError]:
    if not low <= value <= high:
        yield FieldError(field, f"{value} is not between {low} and {high}")
