"""The data path: the three phases of a query, the chain of hooks, and what became of each hook.

One direction, one file per step: `query_pipeline` → `chain` → (the registry's snapshot) → `guard` →
`call` → the transport. Nothing here reads a store, a file or an environment variable.
"""

from gateway.pipeline.answer import Answer
from gateway.pipeline.call import CallSettings, HookCaller
from gateway.pipeline.canary import Canaries
from gateway.pipeline.chain import ChainSettings, HookChain
from gateway.pipeline.coalesce import Coalescer, CoalesceSettings
from gateway.pipeline.debug import DebugHeader
from gateway.pipeline.explain import Explainer
from gateway.pipeline.guard import HookGuard
from gateway.pipeline.insight import Insight
from gateway.pipeline.journal import Journal, JournalSettings
from gateway.pipeline.protection import BreakerObservers, Protections, ProtectionSettings
from gateway.pipeline.query_pipeline import QueryPipeline
from gateway.pipeline.replay import Replays
from gateway.pipeline.reuse import Reuse, ReuseSettings
from gateway.pipeline.rollout import Rollout, Shadows, ShadowSettings
from gateway.pipeline.rows import RowBatches, RowsSettings
from gateway.pipeline.select import Selection
from gateway.pipeline.sending import Sending
from gateway.pipeline.trace import Traces
from gateway.pipeline.trial import HookTrials
from gateway.pipeline.turn import HookTurn

__all__ = [
    "Answer",
    "BreakerObservers",
    "CallSettings",
    "Canaries",
    "ChainSettings",
    "CoalesceSettings",
    "Coalescer",
    "DebugHeader",
    "Explainer",
    "HookCaller",
    "HookChain",
    "HookGuard",
    "HookTrials",
    "HookTurn",
    "Insight",
    "Journal",
    "JournalSettings",
    "ProtectionSettings",
    "Protections",
    "QueryPipeline",
    "Replays",
    "Reuse",
    "ReuseSettings",
    "Rollout",
    "RowBatches",
    "RowsSettings",
    "Selection",
    "Sending",
    "ShadowSettings",
    "Shadows",
    "Traces",
]
