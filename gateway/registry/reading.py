"""Reading the registry: what every process can do that has it, whether it owns it or follows the one that does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.model import Hook, Integration
    from gateway.registry.image import RegistryImage
    from gateway.registry.snapshot import BoundHook, Snapshot


class RegistryReading(ABC):
    """Integrations and hooks, read from memory. `present()` is `snapshot` for who asks with every query."""

    def __init__(self, image: RegistryImage) -> None:
        self._image = image
        self.present: Callable[[], Snapshot] = partial(getattr, image, "snapshot")

    @property
    def snapshot(self) -> Snapshot:
        """What queries see now."""
        return self._image.snapshot

    @property
    def generation(self) -> int:
        """The generation of the last change."""
        return self._image.tables.generation

    def integrations(self) -> list[Integration]:
        """All integrations, sorted by name."""
        return sorted(self._image.tables.integrations.values(), key=lambda i: i.name)

    def integration(self, integration_id: str) -> Integration:
        """The integration with this id. Raises `NotFound`."""
        return self._image.tables.integration(integration_id)

    def hooks(self, integration_id: str | None = None) -> list[Hook]:
        """All hooks, or those of one integration, sorted by the integration's name, order and name."""
        tables = self._image.tables
        found: Iterable[Hook] = tables.hooks.values()
        if integration_id is not None:
            tables.integration(integration_id)
            found = tables.hooks_of(integration_id)
        return sorted(found, key=lambda h: (tables.integrations[h.integration_id].name, h.order, h.name))

    def hook(self, hook_id: str, *, integration_id: str | None = None) -> Hook:
        """The hook with this id. Raises `NotFound`, also if it belongs to another integration."""
        return self._image.tables.hook(hook_id, integration_id)

    def names_of(self, hook_id: str) -> tuple[str, str] | None:
        """The names of the integration and the hook with this id, or `None`."""
        tables = self._image.tables
        hook = tables.hooks.get(hook_id)
        return None if hook is None else (tables.integrations[hook.integration_id].name, hook.name)

    @abstractmethod
    def report_gone(self, hook: BoundHook) -> None:
        """A call of this generation of a hook was answered 410: disable it, after the fact."""

    @abstractmethod
    def report_step_back(self, hook: BoundHook, why: str) -> None:
        """This canary left its bounds: let it be in shadow until its owner says otherwise, after the fact."""
