"""The workers together, as the supervisor speaks with them: who follows its registry, and whose news it collects.

An update of the registry is sent to all at once, and whoever made the change waits until each worker that answers
queries has taken it over. One that does not within a few seconds cannot be left to answer with what no longer holds:
it is ended, and replaced.
"""

from __future__ import annotations

import asyncio
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import CallError, ConfigError, TimedOut
from gateway.model import Query
from gateway.observe.log import get_logger
from gateway.pipeline.exchange import Diff
from gateway.pipeline.journal import Detail, Entry
from gateway.pipeline.listening import MOST_BYTES, ListenMode
from gateway.resilience.breaker import BreakerState
from gateway.service.proxy import pseudonym
from gateway.service.readiness import KnownUpstream
from gateway.service.reloading import Change
from gateway.service.workers import messages
from gateway.service.workers.link import LinkBroken, Refused
from gateway.service.workers.messages import BreakerSeen, Bring, Brought, CallNews, Prepared
from gateway.service.workers.share import document_of, with_reloaded
from gateway.service.workers.sums import Sums
from gateway.transport.protocol import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import msgspec
    from prometheus_client.core import Metric

    from gateway.config import Settings
    from gateway.registry.image import RegistryUpdate
    from gateway.resilience.breaker import BreakerView
    from gateway.runtime import Gateway
    from gateway.service.workers.member import Member

__all__ = ["Crew"]

log = get_logger("workers")

PATIENCE_SECONDS: Final = 5.0  # a worker that is busy with something large may answer late; a stuck one never does
_ANSWER_SECONDS: Final = 1.0
_REFRESH_SECONDS: Final = 1.0
_REFRESH_SHARE: Final = 50  # a worker spends at most one part in so many of its time on telling its news
_PREPARE_SECONDS: Final = 30.0
_STANDING: Final = ("up", "unknown", "down")
_SEVERITY: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class Crew:
    """The workers of `gateway`, of which there are to be `count`: its followers, and its other processes."""

    def __init__(self, gateway: Gateway, count: int, operator_keys: Sequence[str]) -> None:
        self.count: Final = count
        self._gateway = gateway
        self._settings = gateway.settings  # what a worker that is started now has to be given
        gateway.insight.explainer.others = self
        self._operator_keys = list(operator_keys)
        self._members: list[Member] = []
        self._sums = Sums()
        self._arrived: list[CallNews] = []
        self._listened: dict[str, ListenMode] = {}
        self._pause = _REFRESH_SECONDS
        self._name = pseudonym()

    # ------------------------------------------------------------ who belongs to it

    def welcome(self, member: Member) -> None:
        """Take in a worker that was started: from now on it is shown every update."""
        gateway = self._gateway
        member.link.tell(
            messages.Welcome(
                member.number,
                self.count,
                document_of(self._settings),
                self._operator_keys,
                gateway.registry.whole(),
                {hook_id: mode.value for hook_id, mode in self._listened.items()},
                self._name,
            )
        )
        self._members.append(member)

    def left(self, member: Member) -> None:
        """A worker is gone. What it had told stays told."""
        self._members.remove(member)
        self._sums.ended(member.serial)
        for hook_id in list(member.breakers):
            self._breaker_seen(member, hook_id, None, "the worker whose breaker that was has ended")

    def received(self, member: Member, message: Any) -> Any:
        """Do what a worker says; the answer, if it wants one."""
        registry = self._gateway.registry
        match message:
            case messages.News(calls):
                self._arrived += calls
                self._sums.take(member.serial, message)
                member.upstreams = [KnownUpstream(*each) for each in message.upstreams]
            case messages.Ended(broken_off):
                member.broken_off = broken_off
            case messages.Ready():
                # Every update that was shown so far is on its way before this; each later one is waited for.
                member.serving = True
                member.link.tell(messages.Serve())
                member.ready.set()
                log.info("worker.ready", worker=member.number, worker_pid=member.process.pid)
            case BreakerSeen(hook_id):
                closed = message.view.state is BreakerState.CLOSED
                self._breaker_seen(member, hook_id, None if closed else message, message.view.why or "")
            case messages.Gone(hook_id, generation):
                bound = registry.snapshot.get(hook_id)
                if bound is not None and bound.generation == generation:
                    registry.report_gone(bound)
            case messages.SteppedBack(hook_id, generation, why):
                bound = registry.snapshot.get(hook_id)
                if bound is not None and bound.generation == generation:
                    registry.report_step_back(bound, why)
            case Bring():
                return self._bring(message)
        return None

    # ------------------------------------------------------------ who follows the registry

    def show(self, update: RegistryUpdate) -> None:
        """Send every worker an update."""
        message = messages.Show(update)
        for member in self._members:
            member.shown = member.link.ask(message, None)

    async def reached(self) -> None:
        """Return when each worker that answers queries has taken over what was shown."""
        late = [each for each in self._members if each.serving and each.shown is not None and not each.shown.done()]
        if late:
            await asyncio.wait([each.shown for each in late if each.shown is not None], timeout=PATIENCE_SECONDS)
        for member in list(self._members):
            shown = member.shown
            if not member.serving or shown is None:
                continue
            if not shown.done():
                member.kill(f"it did not take over a change of the registry within {PATIENCE_SECONDS:g} s")
                await member.exited.wait()
            elif shown.exception() is not None:
                member.kill("it did not take over a change of the registry")
                await member.exited.wait()

    async def drained(self, hook_ids: Iterable[str]) -> None:
        """Return when no worker has a query that uses an older generation of these hooks."""
        message = messages.Drain(list(hook_ids))
        asked: list[tuple[Member, asyncio.Future[None]]] = [(m, m.link.ask(message, None)) for m in self._members]
        for member, answer in asked:
            try:
                await answer
            except (LinkBroken, Refused):
                await member.exited.wait()

    # ------------------------------------------------------------ what the control API asks

    async def refresh(self) -> None:
        """Have the journal and the metrics know what became of calls up to now."""
        took = await self._ask_all(messages.Collect(), float)
        self.tidy()
        self._pause = max(_REFRESH_SECONDS, _REFRESH_SHARE * max(took, default=0.0))
        self._absorb()

    async def refreshing(self) -> None:
        """Refresh again and again, so that little is lost with a worker that ends by force."""
        while True:
            await asyncio.sleep(self._pause)
            await self.refresh()

    def _absorb(self) -> None:
        """Put the calls that were told into the journal, in the order in which they ended."""
        calls, self._arrived = self._arrived, []
        journal, transients = self._gateway.insight.journal, self._gateway.transients
        for each in sorted(calls, key=attrgetter("at")):
            entry = Entry(
                0, each.at, each.query_id, each.type, each.capability, each.tenant, each.outcome, each.would_be
            )
            detail = None
            if each.exchange is not None or each.patch is not None or each.patch_note is not None:
                detail = Detail(each.exchange, Diff(each.patch, each.patch_note))
            journal.absorb(entry, detail)
            if each.would_be is None:
                transients.outcome(Query(type=each.type, id=each.query_id), each.outcome)

    def tidy(self) -> None:
        """Forget what workers that are gone had counted of hooks that are no more."""
        registry = self._gateway.registry
        names = {each.id: each.name for each in registry.integrations()}
        self._sums.tidy({(names[hook.integration_id], hook.name) for hook in registry.hooks()})

    def metrics(self, own: Iterable[Metric]) -> Iterable[Metric]:
        """The metrics of all processes."""
        return self._sums.families(own)

    def open_breakers(self, hook_id: str) -> list[BreakerView]:
        """The breakers of a hook that are not closed, as last heard of."""
        return [seen.view for each in self._members if (seen := each.breakers.get(hook_id)) and self._holds(seen)]

    async def breakers(self, hook_id: str) -> list[BreakerSeen]:
        """The breakers of a hook, in each worker that has called it."""
        found: list[BreakerSeen | None] = await self._ask_all(messages.ReadBreaker(hook_id), BreakerSeen | None)
        return [each for each in found if each is not None]

    async def reset_breaker(self, hook_id: str) -> None:
        """Close the breakers of a hook."""
        await self._ask_all(messages.ResetBreaker(hook_id), None)

    async def purge(self, hook_id: str) -> int:
        """Forget the replies of a hook; how many those were."""
        return sum(await self._ask_all(messages.Purge(hook_id), int))

    async def trace(self, trace_id: str) -> bytes | None:
        """The trace with this id, if a worker has it."""
        found: list[bytes | None] = await self._ask_all(messages.FindTrace(trace_id), bytes | None)
        return next((each for each in found if each is not None), None)

    async def listen(self, hook_id: str, mode: ListenMode | None) -> None:
        """Have the calls of a hook brought here. Recorded calls are sent again from here only."""
        if mode is ListenMode.REPLAYED:
            mode = None
        if self._listened.get(hook_id) is mode:
            return
        if mode is None:
            del self._listened[hook_id]
        else:
            self._listened[hook_id] = mode
        message = messages.Listen(hook_id, None if mode is None else mode.value)
        for member in self._members:
            if not member.ready.is_set():  # it hears of it before it begins to answer queries
                member.link.tell(message)
        await self._ask_all(message, None)

    # ------------------------------------------------------------ the configuration, read again

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """What all workers make of new settings: see `gateway.service.reloading`. Raises `ConfigError`."""
        message = messages.Prepare(document_of(settings), sorted(changed))
        asked: list[asyncio.Future[Prepared]] = [m.link.ask(message, Prepared) for m in self._members if m.serving]
        if asked:
            await asyncio.wait(asked, timeout=_PREPARE_SECONDS)
        refused = [error for each in asked if each.done() and isinstance(error := each.exception(), Refused)]
        if refused or not all(each.done() for each in asked):
            await self._ask_all(messages.Apply(discard=True), None)
            raise ConfigError(refused[0].detail if refused else "A worker did not say in time whether it can use it.")
        prepared = [each.result() for each in asked if each.exception() is None]
        return Change(
            frozenset[str]().union(*(each.applied for each in prepared)),
            lambda: self._apply(settings),
            lambda: self._apply(None),
            tuple(prepared[0].renewed) if prepared else (),
        )

    async def _apply(self, settings: Settings | None) -> None:
        if settings is not None:
            self._settings = with_reloaded(self._settings, settings)
        await self._ask_all(messages.Apply(discard=settings is None), None)

    def upstreams(self) -> list[KnownUpstream]:
        """What is known of the query APIs: one that a worker can reach is up."""
        found: dict[str, KnownUpstream] = {}
        for each in (known for member in self._members for known in member.upstreams):
            if each.url not in found or _STANDING.index(each.state) < _STANDING.index(found[each.url].state):
                found[each.url] = each
        return list(found.values())

    async def _ask_all(self, message: msgspec.Struct, answer: Any) -> list[Any]:
        """The answers of all workers that give one in time."""
        asked = [each.link.ask(message, answer) for each in self._members if each.ready.is_set()]
        if not asked:
            return []
        await asyncio.wait(asked, timeout=_ANSWER_SECONDS)
        return [each.result() for each in asked if each.done() and each.exception() is None]

    # ------------------------------------------------------------ what workers tell

    def _holds(self, seen: BreakerSeen) -> bool:
        """Whether that is still the breaker which the hook has."""
        bound = self._gateway.registry.snapshot.get(seen.hook_id)
        return bound is not None and (bound.fresh_since, bound.endpoint.url) == (seen.fresh_since, seen.url)

    def _breaker_seen(self, member: Member, hook_id: str, seen: BreakerSeen | None, why: str) -> None:
        """The breaker of a hook changed in one worker. What is published is the worst of all, when that changes."""
        before = self._worst(hook_id)
        if seen is None:
            member.breakers.pop(hook_id, None)
        else:
            member.breakers[hook_id] = seen
        after = self._worst(hook_id)
        names = self._gateway.registry.names_of(hook_id)
        if after is not before and names is not None:
            self._gateway.transients.breaker_changed(*names, hook_id, after.value, why)

    def _worst(self, hook_id: str) -> BreakerState:
        states = [view.state for view in self.open_breakers(hook_id)]
        return max(states, key=_SEVERITY.__getitem__, default=BreakerState.CLOSED)

    async def _bring(self, call: Bring) -> Brought:
        """Bring a worker's call to who listens to its hook."""
        listener = self._gateway.insight.listeners.of(call.hook_id)
        if listener is None:
            await self.listen(call.hook_id, None)
            return Brought(there=False)
        if not listener.takes(call.body) or (call.answers and listener.mode is not ListenMode.LIVE):
            return Brought(there=False)
        if not call.answers:
            listener.bring(call.url, call.headers, call.body, call.seconds, answers=False)
            return Brought()
        deadline = asyncio.get_running_loop().time() + call.seconds
        try:
            said = await listener.answer(call.url, call.headers, call.body, deadline, Limits(body=MOST_BYTES))
        except CallError as error:
            return Brought(failed=error.detail, timed_out=isinstance(error, TimedOut))
        return Brought(status=said.status, headers=list(said.headers), body=said.body)
