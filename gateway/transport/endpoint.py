"""From a URL that someone typed to an `Endpoint`: a strict parse, so that nothing is guessed later.

Two programs that read the same URL differently are how requests get past a check. So this parser
accepts one spelling of everything and refuses what needs interpretation: user-info, fragments, white
space, backslashes, dot segments, and host names that resolvers take for numbers.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from gateway.transport.protocol import Endpoint

if TYPE_CHECKING:
    from gateway.transport.tls import TlsProfile

__all__ = ["canonical_host", "parse_endpoint"]

_URL: Final = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?")
_TARGET: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DOTS: Final = frozenset({".", ".."})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def parse_endpoint(url: str, *, pool: str = "", tls: TlsProfile | None = None) -> Endpoint:
    """Parse an absolute http or https URL; `pool` and `tls` are passed on to the endpoint.

    Says nothing about whether the address may be called: that is `AddressGuard`'s. Raises `ValueError`
    with one sentence for the person who wrote the URL.
    """
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError("The URL must not contain white space or control characters.")
    if "\\" in url:
        raise ValueError("The URL must not contain a backslash.")
    if "#" in url:
        raise ValueError("The URL must not have a fragment (the part after '#').")
    match = _URL.fullmatch(url)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in _DEFAULT_PORTS:
        raise ValueError("The URL must start with https:// (or http:// where the operator allows it).")
    if "@" in match["authority"]:
        raise ValueError("The URL must not contain a user name or password.")
    parts = _AUTHORITY.fullmatch(match["authority"])
    if parts is None:
        raise ValueError("The URL's host is not valid.")
    host = canonical_host(parts["host"])
    port = _port(parts["port"], _DEFAULT_PORTS[scheme])
    target = (match["path"] or "/") + (match["query"] or "")
    _check_target(target)
    authority = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS[scheme]:
        authority = f"{authority}:{port}"
    return Endpoint(scheme=scheme, host=host, port=port, authority=authority, target=target, pool=pool, tls=tls)


def canonical_host(host: str) -> str:
    """The one spelling of a host: a lower-case ASCII name without trailing dot, or an IP literal.

    IPv6 literals come in brackets and are returned without. Names outside ASCII are mapped and encoded
    as UTS #46 and IDNA 2008 say, *then* judged, so that full-width digits do not slip by. Names that
    many resolvers read as IPv4 numbers (`127.1`, `0x7f.1`, `2130706433`) are refused. Raises `ValueError`.
    """
    if host.startswith("["):
        return _ipv6(host[1:-1])
    name = host if host.isascii() else _to_ascii(host)
    name = name.lower().removesuffix(".")
    if not name:
        raise ValueError("The URL has no host.")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ValueError(
                f"The host {name!r} looks like an IPv4 address in a disguised form; write it as four decimal numbers."
            ) from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"The host {name[:80]!r} is not a valid host name.")
    return name


def _ipv6(text: str) -> str:
    if "%" in text:
        raise ValueError("The URL must not contain a zone id (the part after '%' in an IPv6 address).")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError(f"[{text[:80]}] is not a valid IPv6 address.") from None


def _to_ascii(host: str) -> str:
    import idna

    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return mapped if mapped.isascii() else idna.encode(mapped).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError(f"The host {host[:80]!r} is not a valid internationalised name.") from None


def _port(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("The URL's port must be a number between 1 and 65535.")
    return int(text)


def _check_target(target: str) -> None:
    if not _TARGET.fullmatch(target):
        raise ValueError("The URL's path or query has a character that must be percent-encoded.")
    path = target.partition("?")[0].lower().replace("%2e", ".")
    if not _DOTS.isdisjoint(path.split("/")):
        raise ValueError("The URL's path must not have '.' or '..' segments.")
