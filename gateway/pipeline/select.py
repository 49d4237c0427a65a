"""Whether a hook is called for a query at all: its condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.errors import ConditionFailed, ConditionTooCostly
from gateway.model import Reason, Status

if TYPE_CHECKING:
    from gateway.model import Query, Result
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent


class NotCalled(NamedTuple):
    """Why a hook is not called: `status` is skipped or failed."""

    status: Status
    reason: Reason
    detail: str | None = None


class Selection:
    """Says which hooks are called. Conditions that look into a result of more than `max_bytes` are not evaluated."""

    def __init__(self, max_bytes: int = 256 * 1024) -> None:
        self._max_bytes = max_bytes

    def refusal(
        self, hook: BoundHook, plan: HookPlan, query: Query, event: QueryEvent, result: Result
    ) -> NotCalled | None:
        """Why `hook` is not called for `query`; `None` if it is.

        A condition without an answer calls for no call; under the failure policy `fail` that is a failure.
        """
        if plan.problem is not None:
            return _unanswered(hook, plan.problem)
        condition = plan.condition
        if condition is None:
            return None
        values: dict[str, Any] = {}
        texts: dict[str, bytes] = {}
        try:
            if condition.mentions("query"):
                values["query"] = asked(query)
                texts["query"] = event.question()
            if condition.mentions("result"):
                texts["result"] = result.body
            if any(len(text) > self._max_bytes for text in texts.values()):
                raise ConditionTooCostly
            if "result" in texts:
                values["result"] = result.value
            if condition.holds(values, texts):
                return None
        except ConditionTooCostly as e:
            return _unanswered(hook, e.detail, Reason.SIZE)
        except ConditionFailed as e:
            return _unanswered(hook, e.detail)
        except TypeError:
            return _unanswered(hook, "the query's params or context cannot be written as JSON")
        except ValueError:
            return _unanswered(hook, "the condition asks for the result, which is not JSON")
        return NotCalled(Status.SKIPPED, Reason.CONDITION, "its condition does not hold")


def asked(query: Query) -> dict[str, Any]:
    """What conditions know of a query."""
    return {
        "type": query.type,
        "capability": query.capability,
        "tenant": query.tenant,
        "params": query.params,
        "context": query.context,
    }


def _unanswered(hook: BoundHook, why: str, reason: Reason = Reason.CONDITION) -> NotCalled:
    if hook.fail:
        return NotCalled(Status.FAILED, Reason.CONTRACT, why)
    return NotCalled(Status.SKIPPED, reason, why)
