"""Reading the configuration again, by call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.config import describe
from gateway.errors import ConfigError, FieldError, InvalidInput
from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.base import Nothing
from gateway.service.models.configuration import ConfigReloaded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.service.reloading import Reloaded

__all__ = ["ConfigurationRoutes"]

_TAG: Final = "gateway"
_KEY: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+|\[\d+\])*")
_VARIABLE: Final = re.compile(r"GATEWAY_[A-Z0-9_]+")


class ConfigurationRoutes:
    """The operation that reloads. `reload` does it, and raises `ConfigError` without having changed anything."""

    def __init__(self, reload: Callable[[], Awaitable[Reloaded]]) -> None:
        self._reload = reload

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """It, described."""
        return (
            Operation(
                "POST", "/v1/config/reload", self._read_again, "reloadConfig", "Read the configuration again",
                _TAG, Access.OPERATOR, query=Nothing, body=Nothing, errors=(422,),
                description="File, environment and command line, as at the start, and the files of certificates. "
                "Nothing changes if any of it cannot be used. Connections and requests live on.",
                out={200: Out("What has changed, and what of it waits for a restart.", ConfigReloaded)},
            ),
        )  # fmt: skip

    async def _read_again(self, _call: Call[Nothing, Nothing]) -> Answer:
        try:
            done = await self._reload()
        except ConfigError as e:
            raise InvalidInput(*(FieldError(_pointer(line), line) for line in e.detail.splitlines())) from None
        return Answer(
            ConfigReloaded(
                changed=list(done.changed),
                applied=list(done.applied),
                needs_restart=list(done.needs_restart),
                renewed=list(done.renewed),
            )
        )


def _pointer(line: str) -> str:
    """The JSON Pointer of the setting that a line of a `ConfigError` names; empty if it names none.

    A line begins with the setting, or with where it comes from and then the setting.
    """
    first, _, rest = line.partition(": ")
    name = first if first in {setting.key for setting in describe()} else rest.partition(": ")[0]
    if _VARIABLE.match(name):
        name = name.removeprefix("GATEWAY_").lower().replace("__", ".")
    return "/" + re.sub(r"\[(\d+)\]", r".\1", name).replace(".", "/") if _KEY.fullmatch(name) else ""
