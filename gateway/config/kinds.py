"""What the settings' models have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticKnownError

from gateway.config.values import Address, UnixAddress, parse_listen_address


def _address(value: object) -> object:
    if isinstance(value, Address | UnixAddress):
        return value
    if not isinstance(value, str):
        raise PydanticKnownError("is_instance_of", {"class": "Address"})  # one error, not one for each kind
    return parse_listen_address(value)


FROZEN = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
Count = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
ListenAddress = Annotated[Address | UnixAddress, BeforeValidator(_address)]
