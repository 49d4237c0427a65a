"""What the settings' models have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from gateway.config.values import Address, parse_address


def _address(value: object) -> object:
    return parse_address(value) if isinstance(value, str) else value


FROZEN = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
Count = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
ListenAddress = Annotated[Address, BeforeValidator(_address)]
