"""The gateway's metrics for Prometheus."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.model import Reason, Status
from gateway.observe.relay_metrics import RelayMetrics
from gateway.observe.request_series import RequestsCollector, Tallies
from gateway.observe.reuse_series import ReuseCollector
from gateway.observe.rollout_series import RolloutSeries
from gateway.observe.series import HookSeries, Seconds, SeriesCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import Metric

    from gateway.model import Outcome, Query
    from gateway.observe.reuse_series import ReuseFigures

__all__ = ["CONTENT_TYPE", "GatewayMetrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
MAX_HOOKS: Final = 10_000
_HOOK: Final = ("integration", "hook")
_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
_FAILED: Final = Status.FAILED  # to find a member through its class takes as long as the rest of a look at it
_NO_CALL: Final = frozenset({Status.SKIPPED, Status.CACHED})
_NOT_CALLED: Final = frozenset({Reason.BREAKER_OPEN, Reason.OVERLOAD})


class GatewayMetrics:
    """Counts what the data path tells it: an `Observer`.

    Every instance has a Prometheus registry of its own, so that two gateways in one process do not mix.
    Series are made when a hook has its first outcome and end with `forget` or `tidy`; past `max_hooks`
    those of the hook seen first end, so that names which come and go cannot fill the memory.
    Use it from one thread, but for `render`. `relay` counts what is published and delivered.
    """

    def __init__(self, *, max_hooks: int = MAX_HOOKS) -> None:
        self._max_hooks = max_hooks
        self._hooks: dict[tuple[str, str], HookSeries] = {}
        self._http: dict[str, Tallies] = {}
        self._load_of: Callable[[str], tuple[str, int, int]] = lambda _: ("closed", 0, 0)
        self._names_of: Callable[[str], tuple[str, str] | None] | None = None
        self._registry = CollectorRegistry()
        self._chains = Seconds()
        self._registry.register(SeriesCollector(lambda: self._hooks, self._chains))
        self._reuse = ReuseCollector()
        self._registry.register(self._reuse)
        self._rollout = RolloutSeries(self._registry)
        self._under_way = Gauge(
            "gateway_calls_in_flight",
            "Queries whose hooks are being called now; each has one call at a time.",
            registry=self._registry,
        )
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
        self._auth_failures = Counter(
            "gateway_auth_failures",
            "Keys for the control API that were not valid (wrong), or not looked at after too many such (refused).",
            ("answer",),
            registry=self._registry,
        )
        self._health_up = Gauge(
            "gateway_health_up",
            "Whether the last known state of an integration with a health path is up (1) or not (0).",
            ("integration",),
            registry=self._registry,
        )
        self._health_polls = Counter(
            "gateway_health_polls",
            "Health checks, by whether the answer was good or bad.",
            ("integration", "answer"),
            registry=self._registry,
        )
        self.relay = RelayMetrics(self._registry)
        self._registry.register(RequestsCollector(self._http))
        self._upstream_failures = Counter(
            "gateway_upstream_failures",
            "Requests that the query API behind the standalone gateway failed, by reason (as in the problem document).",
            ("reason",),
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

    def watch_chains(self, under_way: Callable[[], int]) -> None:
        """Ask `under_way` how many chains there are; `render` does, perhaps on another thread."""
        self._under_way.set_function(under_way)

    def watch_reuse(self, figures: Callable[[], ReuseFigures]) -> None:
        """Ask this for what was reused and shared; `render` does, perhaps on another thread."""
        self._reuse.figures = figures

    def watch_shadows(self, under_way: Callable[[], int]) -> None:
        """Ask `under_way` how many calls of hooks in shadow there are; `render` does, perhaps on another thread."""
        self._rollout.watch(under_way)

    # ------------------------------------------------------------ the data path tells

    def chain_finished(self, seconds: float) -> None:
        """A chain ended after `seconds`."""
        self._chains.observe(seconds)

    def outcome(self, query: Query, outcome: Outcome) -> None:  # noqa: ARG002  the seam's signature
        """This became of one hook."""
        series = self._hooks.get((outcome.integration, outcome.hook))
        if series is None:
            series = self._begin(outcome.integration, outcome.hook)
        series.hook_id = outcome.hook_id
        status, reason = outcome.status, outcome.reason
        try:
            series.calls[status, reason] += 1
        except KeyError:
            series.calls[status, reason] = 1
        if status not in _NO_CALL:
            milliseconds = outcome.milliseconds
            if milliseconds and reason not in _NOT_CALLED:
                series.seconds.observe(milliseconds / 1000)
            if outcome.batches:
                series.batches += outcome.batches
                series.batches_failed += outcome.batches_failed
            if (status is _FAILED or outcome.batches_failed) and not outcome.fatal:
                series.fail_open += 1

    def breaker_changed(self, integration: str, hook: str, hook_id: str, state: str, why: str) -> None:  # noqa: ARG002
        """The breaker of a hook came to `state`."""
        series = self._hooks.get((integration, hook)) or self._begin(integration, hook)
        series.hook_id = hook_id
        series.transitions.add(state)
        self._breaker_transitions.labels(integration, hook, state).inc()

    def shadowed(self, query: Query, outcome: Outcome, diff: object) -> None:  # noqa: ARG002  the seam's signature
        """This would have become of a hook in shadow."""
        names = (outcome.integration, outcome.hook)
        series = self._hooks.get(names) or self._begin(*names)
        series.hook_id = outcome.hook_id
        self._rollout.shadowed(outcome)

    def stepped_back(self, integration: str, hook: str) -> None:
        """A canary left its bounds and is in shadow again."""
        self._rollout.stepped_back(integration, hook)

    def auth_failed(self, refused: bool) -> None:  # noqa: FBT001  the signature of what is counted
        """A key for the control API was not valid, or (`refused`) was not looked at after too many such."""
        self._auth_failures.labels("refused" if refused else "wrong").inc()

    def health_polled(self, integration: str, *, good: bool, up: bool) -> None:
        """An integration was asked for its health."""
        self._health_up.labels(integration).set(up)
        self._health_polls.labels(integration, "good" if good else "bad").inc()

    def health_forgotten(self, integration: str) -> None:
        """End the series of an integration that is asked no more."""
        for metric, labels in ((self._health_up, ()), (self._health_polls, ("good",)), (self._health_polls, ("bad",))):
            with suppress(KeyError):  # it may never have been asked, or never have answered so
                metric.remove(integration, *labels)

    def http_request(self, api: str, status: int) -> None:
        """One HTTP request to `api` (`control` or `gateway`) was answered with `status`."""
        self.http_requests(api)[status].count += 1

    def http_requests(self, api: str) -> Tallies:
        """The requests to `api` by status, for whoever answers so many that each call counts."""
        return self._http.setdefault(api, Tallies())

    def upstream_failed(self, reason: str) -> None:
        """The query API behind the standalone gateway failed a request, before or in the middle of its answer."""
        self._upstream_failures.labels(reason).inc()

    # ------------------------------------------------------------ the series of hooks

    def forget(self, integration: str, hook: str) -> None:
        """End the series of a hook that was removed. Nothing happens if it has none."""
        series = self._hooks.pop((integration, hook), None)
        if series is None:
            return
        for state in series.transitions:
            self._breaker_transitions.remove(integration, hook, state)
        self._rollout.forget(integration, hook)
        for metric in (self._breaker_state, self._in_use, self._waiting):
            metric.remove(integration, hook)

    def tidy(self) -> None:
        """End the series of hooks that were removed or renamed. Call it before `render`."""
        if self._names_of is None:
            return
        for names in [names for names, series in self._hooks.items() if self._names_of(series.hook_id) != names]:
            self.forget(*names)

    def _begin(self, integration: str, hook: str) -> HookSeries:
        if len(self._hooks) >= self._max_hooks:
            self.forget(*next(iter(self._hooks)))
        series = self._hooks[integration, hook] = HookSeries()
        self._breaker_state.labels(integration, hook).set_function(lambda: _STATES[self._load_of(series.hook_id)[0]])
        self._in_use.labels(integration, hook).set_function(lambda: self._load_of(series.hook_id)[1])
        self._waiting.labels(integration, hook).set_function(lambda: self._load_of(series.hook_id)[2])
        return series

    def families(self) -> Iterable[Metric]:
        """All metrics as they are now. May run on another thread."""
        return self._registry.collect()

    def render(self, others: Callable[[Iterable[Metric]], Iterable[Metric]] | None = None) -> bytes:
        """All metrics in Prometheus' text format; its media type is `CONTENT_TYPE`. May run on another thread.

        `others` makes them those of all processes together, where there are several.
        """
        return generate_latest(self._registry if others is None else _Given(others(self.families())))


class _Given:
    """Tells Prometheus these metrics."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
