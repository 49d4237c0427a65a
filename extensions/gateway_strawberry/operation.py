"""One GraphQL operation: which gateway its fields use, and what became of their hooks."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from strawberry.extensions import SchemaExtension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway import Gateway, Outcome
    from gateway.sync import SyncGateway

    AnyGateway = Gateway | SyncGateway

__all__ = ["HooksExtension", "present", "provenance"]

NAME: Final = "gateway"
_present: ContextVar[HooksExtension | None] = ContextVar("gateway_strawberry", default=None)


class HooksExtension(SchemaExtension):
    """The schema's extension that `Hooked` fields need; one object for each operation. Made by `provenance`."""

    def __init__(self, gateway: AnyGateway | Callable[[], AnyGateway]) -> None:
        self._gateway = gateway
        self._told: list[dict[str, Any]] = []

    @property
    def gateway(self) -> AnyGateway:
        """The gateway that the operation's fields use."""
        return self._gateway() if callable(self._gateway) else self._gateway

    def on_operation(self) -> Iterator[None]:
        """Be found by the fields of the operation."""
        before = _present.get()
        _present.set(self)
        try:
            yield
        finally:
            _present.set(before)

    def tell(self, path: list[str | int], outcomes: Iterable[Outcome], trace_id: str | None) -> None:
        """Take what became of the hooks of the field at `path`."""
        for outcome in outcomes:
            told: dict[str, Any] = {"path": path, "hook": outcome.hook, "status": outcome.status.value}
            if outcome.reason is not None:
                told["reason"] = outcome.reason.value
            self._told.append({**told, "ms": round(outcome.milliseconds, 1)})
        if trace_id is not None:
            self._told.append({"path": path, "traceId": trace_id})

    def get_results(self) -> dict[str, Any]:
        """What the response says in `extensions`."""
        return {NAME: {"hooks": self._told}} if self._told else {}


def provenance(gateway: AnyGateway | Callable[[], AnyGateway]) -> Callable[[], HooksExtension]:
    """For `extensions=[…]` of a schema: its `Hooked` fields use `gateway`, and responses tell what became of the hooks.

    `gateway` is a `gateway.sync.SyncGateway`, which serves sync and async resolvers; or an open `gateway.Gateway` of
    the same event loop; or a function that gives either, where it is opened only when the application starts. A
    response has `{"gateway": {"hooks": [{"path", "hook", "status", "reason", "ms"}]}}` among its `extensions`, in
    order.
    """
    return lambda: HooksExtension(gateway)


def present() -> HooksExtension:
    """That of the operation under way. Raises `RuntimeError` if the schema has none."""
    found = _present.get()
    if found is None:
        raise RuntimeError("The schema lacks gateway_strawberry.provenance(gateway) in its extensions.")
    return found
