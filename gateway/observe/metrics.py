"""The gateway's metrics for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.model import Reason, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Outcome, Query

__all__ = ["CONTENT_TYPE", "GatewayMetrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# From a hook next door to the operator's ceiling; the default limits, 1 s and 2 s, are bounds of their own.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
MAX_HOOKS: Final = 10_000
_HOOK: Final = ("integration", "hook")
_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
_NOT_CALLED: Final = frozenset({Reason.BREAKER_OPEN, Reason.OVERLOAD})


class GatewayMetrics:
    """Counts what the data path tells it: an `Observer`.

    Every instance has a Prometheus registry of its own, so that two gateways in one process do not mix.
    Series are made when a hook has its first outcome and end with `forget` or `tidy`; past `max_hooks`
    those of the hook seen first end, so that names which come and go cannot fill the memory.
    Use it from one thread, but for `render`.
    """

    def __init__(self, *, max_hooks: int = MAX_HOOKS) -> None:
        self._max_hooks = max_hooks
        self._hooks: dict[tuple[str, str], _HookSeries] = {}
        self._http: dict[tuple[str, int], Counter] = {}
        self._in_flight = 0
        self._load_of: Callable[[str], tuple[str, int, int]] = lambda _: ("closed", 0, 0)
        self._names_of: Callable[[str], tuple[str, str] | None] | None = None
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "gateway_hook_calls",
            "What became of hooks, by outcome and reason; skipped ones too.",
            (*_HOOK, "outcome", "reason"),
            registry=self._registry,
        )
        self._call_seconds = Histogram(
            "gateway_hook_call_seconds",
            "Seconds that calls to a hook took, failed ones too.",
            _HOOK,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._fail_open = Counter(
            "gateway_fail_open",
            "Failures of a hook that queries went on without.",
            _HOOK,
            registry=self._registry,
        )
        self._chain_seconds = Histogram(
            "gateway_chain_seconds",
            "Seconds that all hooks of a query took together.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        Gauge(
            "gateway_calls_in_flight",
            "Queries whose hooks are being called now; each has one call at a time.",
            registry=self._registry,
        ).set_function(lambda: self._in_flight)
        self._generation = Gauge(
            "gateway_snapshot_generation",
            "The generation of the registry that queries see.",
            registry=self._registry,
        )
        self._enabled = Gauge(
            "gateway_hooks_enabled",
            "Hooks that queries may be sent to now.",
            registry=self._registry,
        )
        self._breaker_state = Gauge(
            "gateway_breaker_state",
            "The breaker of a hook: 0 closed, 1 half-open, 2 open.",
            _HOOK,
            registry=self._registry,
        )
        self._breaker_transitions = Counter(
            "gateway_breaker_transitions",
            "Changes of a hook's breaker, by the state that it came to.",
            (*_HOOK, "to"),
            registry=self._registry,
        )
        self._in_use = Gauge(
            "gateway_bulkhead_in_use",
            "Calls of a hook that are under way.",
            _HOOK,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "gateway_bulkhead_waiting",
            "Calls of a hook that wait for a place.",
            _HOOK,
            registry=self._registry,
        )
        self._total_in_use = Gauge(
            "gateway_bulkhead_total_in_use",
            "Calls that are under way, of all hooks.",
            registry=self._registry,
        )
        self._total_waiting = Gauge(
            "gateway_bulkhead_total_waiting",
            "Calls that wait for a place among those of all hooks.",
            registry=self._registry,
        )
        self._requests = Counter(
            "gateway_http_requests",
            "HTTP requests answered, by API (control, gateway) and status.",
            ("api", "status"),
            registry=self._registry,
        )

    def watch(
        self,
        *,
        generation: Callable[[], int],
        hooks_enabled: Callable[[], int],
        names_of: Callable[[str], tuple[str, str] | None],
    ) -> None:
        """Ask these for what the registry knows.

        `generation` and `hooks_enabled` tell of the present snapshot; `render` asks them, perhaps on another thread.
        `names_of` gives the names `(integration, hook)` of the hook with an id, `None` if there is none; `tidy` asks.
        """
        self._names_of = names_of
        self._generation.set_function(generation)
        self._enabled.set_function(hooks_enabled)

    def watch_protection(
        self,
        *,
        load_of: Callable[[str], tuple[str, int, int]],
        total: Callable[[], tuple[int, int]],
    ) -> None:
        """Ask these how well hooks are; `render` does, perhaps on another thread.

        `load_of` gives, for a hook's id, its breaker's state (`closed`, `half_open`, `open`), how many of its calls are
        under way and how many wait; `total` gives the last two for all hooks together.
        """
        self._load_of = load_of
        self._total_in_use.set_function(lambda: total()[0])
        self._total_waiting.set_function(lambda: total()[1])

    # ------------------------------------------------------------ the data path tells

    def chain_started(self) -> None:
        """A chain begins."""
        self._in_flight += 1

    def chain_finished(self, seconds: float) -> None:
        """A chain ended after `seconds`."""
        self._in_flight -= 1
        self._chain_seconds.observe(seconds)

    def outcome(self, query: Query, outcome: Outcome) -> None:  # noqa: ARG002  the seam's signature
        """This became of one hook."""
        series = self._hooks.get((outcome.integration, outcome.hook))
        if series is None:
            series = self._begin(outcome.integration, outcome.hook)
        series.hook_id = outcome.hook_id
        status, reason = outcome.status, outcome.reason
        counter = series.calls.get((status, reason))
        if counter is None:
            counter = self._calls.labels(
                outcome.integration, outcome.hook, status.value, "" if reason is None else reason.value
            )
            series.calls[status, reason] = counter
        counter.inc()
        if status is not Status.SKIPPED:
            if outcome.milliseconds and reason not in _NOT_CALLED:
                series.seconds.observe(outcome.milliseconds / 1000)
            if status is Status.FAILED and not outcome.fatal:
                series.fail_open.inc()

    def breaker_changed(self, integration: str, hook: str, hook_id: str, state: str) -> None:
        """The breaker of a hook came to `state`."""
        series = self._hooks.get((integration, hook)) or self._begin(integration, hook)
        series.hook_id = hook_id
        series.transitions.add(state)
        self._breaker_transitions.labels(integration, hook, state).inc()

    def http_request(self, api: str, status: int) -> None:
        """One HTTP request to `api` (`control` or `gateway`) was answered with `status`."""
        counter = self._http.get((api, status))
        if counter is None:
            counter = self._http[api, status] = self._requests.labels(api, str(status))
        counter.inc()

    # ------------------------------------------------------------ the series of hooks

    def forget(self, integration: str, hook: str) -> None:
        """End the series of a hook that was removed. Nothing happens if it has none."""
        series = self._hooks.pop((integration, hook), None)
        if series is None:
            return
        for status, reason in series.calls:
            self._calls.remove(integration, hook, status.value, "" if reason is None else reason.value)
        for state in series.transitions:
            self._breaker_transitions.remove(integration, hook, state)
        for metric in (self._call_seconds, self._fail_open, self._breaker_state, self._in_use, self._waiting):
            metric.remove(integration, hook)

    def tidy(self) -> None:
        """End the series of hooks that were removed or renamed. Call it before `render`."""
        if self._names_of is None:
            return
        for names in [names for names, series in self._hooks.items() if self._names_of(series.hook_id) != names]:
            self.forget(*names)

    def _begin(self, integration: str, hook: str) -> _HookSeries:
        if len(self._hooks) >= self._max_hooks:
            self.forget(*next(iter(self._hooks)))
        series = _HookSeries(self._call_seconds.labels(integration, hook), self._fail_open.labels(integration, hook))
        self._hooks[integration, hook] = series
        self._breaker_state.labels(integration, hook).set_function(lambda: _STATES[self._load_of(series.hook_id)[0]])
        self._in_use.labels(integration, hook).set_function(lambda: self._load_of(series.hook_id)[1])
        self._waiting.labels(integration, hook).set_function(lambda: self._load_of(series.hook_id)[2])
        return series

    def render(self) -> bytes:
        """All metrics in Prometheus' text format; its media type is `CONTENT_TYPE`. May run on another thread."""
        return generate_latest(self._registry)


class _HookSeries:
    """The series of one hook, looked up once: to find them by labels costs more than to count."""

    __slots__ = ("calls", "fail_open", "hook_id", "seconds", "transitions")

    def __init__(self, seconds: Histogram, fail_open: Counter) -> None:
        self.hook_id = ""
        self.calls: dict[tuple[Status, Reason | None], Counter] = {}
        self.transitions: set[str] = set()
        self.seconds = seconds
        self.fail_open = fail_open
