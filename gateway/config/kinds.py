"""What the settings' models have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticKnownError

from gateway.config.values import Address, UnixAddress, parse_listen_address, parse_mode

if TYPE_CHECKING:
    from pathlib import Path

    class _Served(Protocol):
        @property
        def tls_certificate(self) -> Path | None: ...
        @property
        def tls_key(self) -> Path | None: ...


S = TypeVar("S", bound="_Served")


def certificate_named(section: S) -> S:
    """For a section's validator: there is no key without a certificate."""
    if section.tls_key is not None and section.tls_certificate is None:
        raise ValueError("tls_key stands without tls_certificate: name the file of the certificate, too")
    return section


def _address(value: object) -> object:
    if isinstance(value, Address | UnixAddress):
        return value
    if not isinstance(value, str):
        raise PydanticKnownError("is_instance_of", {"class": "Address"})  # one error, not one for each kind
    return parse_listen_address(value)


FROZEN = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
Count = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
SocketMode = Annotated[str, AfterValidator(parse_mode)]
ListenAddress = Annotated[Address | UnixAddress, BeforeValidator(_address)]
