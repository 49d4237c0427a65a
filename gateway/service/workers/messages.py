"""What the supervisor and a worker say to each other."""

from __future__ import annotations

import msgspec

from gateway.model import Outcome  # noqa: TC001  msgspec reads the types of the fields
from gateway.pipeline.exchange import Exchange  # noqa: TC001
from gateway.registry.image import RegistryUpdate  # noqa: TC001
from gateway.resilience.breaker import BreakerView  # noqa: TC001

# ---------------------------------------------------------------- the supervisor says


class Welcome(msgspec.Struct, tag=True, frozen=True):
    """The first message to a worker: who it is and what it needs.

    `number` counts from 1 to `workers`. `settings` are those that were set, as a document; `operator_keys` may have
    queries traced. `registry` leads from nothing to the present; `listened` are the hooks somebody listens to, with
    the mode. `name` is that of the whole gateway in `via`, so that each worker notices a circle through another one.
    """

    number: int
    workers: int
    settings: dict[str, object]
    operator_keys: list[str]
    registry: RegistryUpdate
    listened: dict[str, str]
    name: str


class Serve(msgspec.Struct, tag=True, frozen=True):
    """Begin to answer queries. All updates that were shown before have been sent before this."""


class EndConnections(msgspec.Struct, tag=True, frozen=True):
    """Go on, and let each answer be the last one on its connection."""


class Stop(msgspec.Struct, tag=True, frozen=True):
    """Take no further connections, answer what is in flight within so many seconds, and end."""

    seconds: float


class Prepare(msgspec.Struct, tag=True, frozen=True):
    """Answer with what you would make of these settings (`Prepared`), of which `changed` differ; change nothing yet."""

    settings: dict[str, object]
    changed: list[str]


class Apply(msgspec.Struct, tag=True, frozen=True):
    """Take the settings that were prepared; answered once they hold. With `discard`, forget them instead."""

    discard: bool = False


class Show(msgspec.Struct, tag=True, frozen=True):
    """Take this over; answered once it holds for every query that begins from then on."""

    update: RegistryUpdate


class Drain(msgspec.Struct, tag=True, frozen=True):
    """Answer once no query uses an older generation of these hooks."""

    hook_ids: list[str]


class Collect(msgspec.Struct, tag=True, frozen=True):
    """Tell the `News` since the last time, then answer with the seconds that it took to gather them."""


class Purge(msgspec.Struct, tag=True, frozen=True):
    """Forget the replies of a hook; answered with how many there were."""

    hook_id: str


class ReadBreaker(msgspec.Struct, tag=True, frozen=True):
    """Answer with the `BreakerSeen` of a hook, or nothing if it was not called here."""

    hook_id: str


class ResetBreaker(msgspec.Struct, tag=True, frozen=True):
    """Close the breaker of a hook."""

    hook_id: str


class FindTrace(msgspec.Struct, tag=True, frozen=True):
    """Answer with the trace of this id as the control API shows it, or nothing if it is not here."""

    trace_id: str


class Listen(msgspec.Struct, tag=True, frozen=True):
    """Bring the calls of a hook to the supervisor, in this mode; with none, do not any more."""

    hook_id: str
    mode: str | None


# ---------------------------------------------------------------- a worker says


class Prepared(msgspec.Struct, frozen=True):
    """The settings that a worker takes, and the files that it has read again."""

    applied: list[str]
    renewed: list[str]


class Ended(msgspec.Struct, tag=True, frozen=True):
    """It has answered what was in flight, but for so many requests that it had to break off."""

    broken_off: int


class Ready(msgspec.Struct, tag=True, frozen=True):
    """It can begin to answer queries."""


class Gone(msgspec.Struct, tag=True, frozen=True):
    """A call of this generation of a hook was answered 410."""

    hook_id: str
    generation: int


class SteppedBack(msgspec.Struct, tag=True, frozen=True):
    """This generation of a canary left its bounds."""

    hook_id: str
    generation: int
    why: str


class BreakerSeen(msgspec.Struct, tag=True, frozen=True):
    """How the breaker of a hook stands in this worker, and its bulkhead; times are those of the machine's clock.

    The clock is CLOCK_MONOTONIC, which is the same in all processes of a machine. `fresh_since` and `url` are those of
    the hook: when either changes, there is another breaker.
    """

    hook_id: str
    fresh_since: int
    url: str
    view: BreakerView
    in_use: int
    waiting: int


class Bring(msgspec.Struct, tag=True, frozen=True):
    """Bring a call to the listener of a hook; answered with its reply, or with nothing where `answers` is not set.

    `seconds` is the time left for it.
    """

    hook_id: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float
    answers: bool


class Brought(msgspec.Struct, frozen=True):
    """What a listener replied. `there`: whether anybody listened at all; `failed` says why there is no reply."""

    there: bool = True
    status: int = 0
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    failed: str | None = None
    timed_out: bool = False


class CallNews(msgspec.Struct, array_like=True, frozen=True):
    """One entry of the journal, and what was kept beside it."""

    at: float
    query_id: str
    type: str
    capability: str | None
    tenant: str | None
    outcome: Outcome
    would_be: Outcome | None
    exchange: Exchange | None
    patch: bytes | None
    patch_note: str | None


Labels = tuple[tuple[str, str], ...]


class FamilyNews(msgspec.Struct, array_like=True, frozen=True):
    """The samples of one metric that changed: `(name, labels, value)`."""

    name: str
    documentation: str
    kind: str
    samples: list[tuple[str, Labels, float]]


class News(msgspec.Struct, tag=True, frozen=True):
    """What became of a worker's calls since it last told, and its metrics. Told, not answered, so that none is lost.

    Of the metrics, those samples whose values changed; `ended` are series that are no more. `upstreams` are the query
    APIs: their URL, whether they are up, and why not.
    """

    calls: list[CallNews]
    metrics: list[FamilyNews]
    ended: list[tuple[str, Labels]]
    upstreams: list[tuple[str, str, str | None]]


ToWorker = (
    Welcome
    | Serve
    | EndConnections
    | Stop
    | Prepare
    | Apply
    | Show
    | Drain
    | Collect
    | Purge
    | ReadBreaker
    | ResetBreaker
    | FindTrace
    | Listen
)  # fmt: skip
ToSupervisor = Ready | Ended | Gone | SteppedBack | BreakerSeen | Bring | News
