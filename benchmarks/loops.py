"""The event loop: uvloop where present, unless asyncio is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, plain: bool = False) -> T:
    """Run `main` to its end; on plain asyncio if `plain` or if there is no uvloop."""
    if not plain:
        try:
            import uvloop
        except ModuleNotFoundError:
            pass
        else:
            return uvloop.run(main)
    return asyncio.run(main)


def name_of_running_loop() -> str:
    """`uvloop` or `asyncio`."""
    return type(asyncio.get_running_loop()).__module__.split(".", maxsplit=1)[0]
