"""The options of an integration's keys and TLS settings, the bodies made of them, and how they are shown."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final

import click

from gateway.cli.failures import Misuse
from gateway.cli.output import said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FILES: Final = {
    "tls_ca": "ca_pem",
    "tls_certificate": "client_certificate_pem",
    "tls_key": "client_key_pem",
}


def security_options(function: Callable[..., None]) -> Callable[..., None]:
    """What secures messages and connections."""
    file = click.File("r", encoding="utf-8")
    for option in reversed(
        [
            click.option(
                "--reply-public-key",
                "reply_public_keys",
                multiple=True,
                metavar="WHPK",
                help="An Ed25519 key (whpk_…) that its replies may be signed with; repeat for more.",
            ),
            click.option("--tls-ca", type=file, help="A PEM file with the only authorities to accept certificates of."),
            click.option("--tls-certificate", type=file, help="A PEM file with the client certificate to show."),
            click.option("--tls-key", type=file, help="A PEM file with its private key, without a pass phrase."),
            click.option("--tls-server-name", help="The name its certificate must have, instead of the URL's host."),
        ]
    ):
        function = option(function)
    return function


def security_of(given: dict[str, Any]) -> dict[str, Any]:
    """Take these options out of `given`; the part of the body that they make."""
    keys, name = given.pop("reply_public_keys"), given.pop("tls_server_name")
    body: dict[str, Any] = {"reply_public_keys": list(keys)} if keys else {}
    tls = {field: _text(file) for option, field in _FILES.items() if (file := given.pop(option)) is not None}
    if name is not None:
        tls["server_name"] = name
    if tls:
        body["tls"] = tls
    return body


def _text(file: IO[str]) -> str:
    try:
        return file.read()
    except UnicodeDecodeError:
        raise Misuse(f"{file.name!r} is not PEM: it is no text.") from None


def security_facts(name: str, value: Any) -> dict[str, str] | None:
    """A field about keys, TLS or health as names and values; `None` for any other field."""
    if name == "signing_public_keys":
        keys = [key["public_key"] + (f" (until {key['expires_at']})" if key["expires_at"] else "") for key in value]
        return {name: said(keys)}
    if name == "tls":
        return {name: "-"} if value is None else _tls_facts(value)
    if name == "health":
        return {name: "-"} if value is None else {f"health.{part}": said(v) for part, v in value.items()}
    return None


def _tls_facts(tls: Mapping[str, Any]) -> dict[str, str]:
    count = {
        part: (tls[part] or "").count("-----BEGIN CERTIFICATE-----") for part in ("ca_pem", "client_certificate_pem")
    }
    return {
        "tls.ca_pem": f"{count['ca_pem']} of its own" if count["ca_pem"] else "-",
        "tls.client_certificate_pem": said(bool(count["client_certificate_pem"])),
        "tls.server_name": said(tls["server_name"]),
    }
