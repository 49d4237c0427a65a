"""Which handler a call is for, and which hooks to declare for the handlers there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.model import Query
    from gateway.receiver.call import Call
    from gateway.receiver.control.hooks import HookRequest

    HandlerFunction = Callable[[Call], Any]
    """Takes the call; returns an answer, or an awaitable of one."""

__all__ = ["Handler", "Routing"]


@dataclass(frozen=True, slots=True)
class Handler:
    """One handler: what it serves (`None` is anything), and for how long its answers may be used again."""

    function: HandlerFunction
    hook: str
    type: str | None
    capability: str | None
    max_age: int | None


class Routing:
    """The handlers of each hook, and the hooks in the order in which they were named."""

    def __init__(self) -> None:
        self._declared: dict[str, dict[str, Any]] = {}
        self._handlers: dict[str, dict[tuple[str | None, str | None], Handler]] = {}

    def declare(self, hook: HookRequest) -> None:
        """Say more of a hook than what follows from its handlers. Raises `ConfigError` the second time."""
        name = hook["name"]
        if name in self._declared:
            raise ConfigError(f"The hook {name!r} is declared twice.")
        self._declared[name] = dict(hook)
        self._handlers.setdefault(name, {})

    def add(self, handler: Handler) -> None:
        """One more handler. Raises `ConfigError` if there is one for the very same calls."""
        mine = self._handlers.setdefault(handler.hook, {})
        key = (handler.type, handler.capability)
        if key in mine:
            raise ConfigError(
                f"The hook {handler.hook!r} has two handlers for type {handler.type!r} and "
                f"capability {handler.capability!r}; the calls cannot be for both."
            )
        mine[key] = handler

    @property
    def hooks(self) -> list[str]:
        """The names of all hooks."""
        return list(self._handlers)

    def handler(self, hook: str, query: Query) -> Handler | None:
        """The handler of `hook` for `query`: the one that names its type and capability, its type, its capability, any.

        `None` if there is none of these.
        """
        mine = self._handlers.get(hook, {})
        asked, capability = query.type, query.capability
        for key in ((asked, capability), (asked, None), (None, capability), (None, None)):
            if key in mine:
                return mine[key]
        return None

    def path(self, hook: str) -> str:
        """The path of a hook, below the base URL of the integration, without its query."""
        return str(self._declared.get(hook, {}).get("path", f"/{hook}")).partition("?")[0]

    def at(self, path: str | None) -> str | None:
        """The hook at `path`, which may begin with the path of the integration's base URL; `None` if there is none.

        Where the path is not known (`None`), it is the only hook.
        """
        if path is None:
            return next(iter(self._handlers)) if len(self._handlers) == 1 else None
        fitting = [hook for hook in self._handlers if path.endswith(self.path(hook))]
        return max(fitting, key=lambda hook: len(self.path(hook)), default=None)

    def declarations(self) -> list[HookRequest]:
        """All hooks, as the control API takes them."""
        return [self._declaration(name, list(mine.values())) for name, mine in self._handlers.items()]

    def _declaration(self, name: str, handlers: list[Handler]) -> HookRequest:
        if not handlers:
            raise ConfigError(f"The hook {name!r} has no handler; give it one with transform(…, hook={name!r}).")
        hook: dict[str, Any] = {"name": name, "path": f"/{name}"}
        types = _named(handler.type for handler in handlers)
        capabilities = _named(handler.capability for handler in handlers)
        if types is not None:
            hook["types"] = types
        if capabilities is not None:
            hook["capabilities"] = capabilities
        return cast("HookRequest", hook | self._declared.get(name, {}))


def _named(words: Iterable[str | None]) -> list[str] | None:
    """What the handlers name, sorted; `None` if one of them takes anything."""
    found = set(words)
    return None if None in found else sorted(word for word in found if word is not None)
