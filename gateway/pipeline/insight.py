"""What answers the question why: everything about calls that can be asked afterwards, or tried out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.pipeline.listening import Listeners

if TYPE_CHECKING:
    from gateway.pipeline.explain import Explainer
    from gateway.pipeline.journal import Journal
    from gateway.pipeline.replay import Replays
    from gateway.pipeline.trace import Traces
    from gateway.pipeline.trial import HookTrials
    from gateway.wire.redaction import Redaction


@dataclass(frozen=True, slots=True)
class Insight:
    """The journal of calls, the traces of queries, the explainer, the trials of hooks, the replays of recorded calls.

    `redaction` is what holds for whatever is shown of bodies; `listeners` take calls where they can only call out.
    """

    journal: Journal
    traces: Traces
    explainer: Explainer
    trials: HookTrials
    replays: Replays
    redaction: Redaction
    listeners: Listeners = field(default_factory=Listeners)
