"""Where a request comes from, told to the upstream: `Forwarded` (RFC 7239) and its older `X-Forwarded-…` forms."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from gateway.service.messages import value_of, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.service.messages import Headers

__all__ = ["Forwarding"]

_MOST_REMEMBERED: Final = 1024
_FOR: Final = re.compile(rb'(?:^|[;,])[ \t]*for=(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]+))', re.IGNORECASE)
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Forwarding:
    """Makes these headers.

    What a peer says of those before it is believed if the peer is in one of the networks of `trusted`; `unix` is
    whoever connects through a unix socket. What others say is replaced.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        names = list(trusted)
        self._unix = "unix" in names
        self._networks = [ipaddress.ip_network(name) for name in names if name != "unix"]
        self._known: dict[str, bool] = {}
        self._told: dict[tuple[str | None, bytes | None, str], Headers] = {}

    def trusts(self, client: str | None) -> bool:
        """Whether what the peer `client` says of others is believed."""
        if client is None:
            return self._unix
        if not self._networks:
            return False
        known = self._known.get(client)
        if known is None:
            try:
                address = ipaddress.ip_address(client.partition("%")[0])
                known = any(address in network for network in self._networks)
            except ValueError:
                known = False
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[client] = known
        return known

    def origin(self, headers: Headers, client: str | None, scheme: str) -> Headers:
        """What is told of a request with these headers that `client` sent; not to be changed."""
        host = value_of(headers, b"host")
        if self.trusts(client):
            return _continued(headers, None if client is None else client.encode(), host, scheme.encode())
        key = (client, host, scheme)
        known = self._told.get(key)
        if known is None:
            if len(self._told) >= _MOST_REMEMBERED:
                self._told.clear()
            known = self._told[key] = self._of_peer(*key)
        return known

    def _of_peer(self, client: str | None, host: bytes | None, scheme: str) -> Headers:
        peer = None if client is None else client.encode()
        fields: Headers = [
            (b"forwarded", _element(peer, host, scheme.encode())),
            (b"x-forwarded-proto", scheme.encode()),
        ]
        if peer is not None:
            fields.append((b"x-forwarded-for", peer))
        if host is not None:
            fields.append((b"x-forwarded-host", host))
        return fields


def _continued(headers: Headers, peer: bytes | None, host: bytes | None, scheme: bytes) -> Headers:
    """What a trusted peer said, with the peer itself behind it. Of two forms, what only one says is said in both."""
    forwarded, addresses = values_of(headers, b"forwarded"), values_of(headers, b"x-forwarded-for")
    if not forwarded and not addresses:
        forwarded_before, before = [], []
    elif not forwarded:
        before = [part.strip(b" \t") for part in addresses.split(b",") if part.strip(b" \t")]
        forwarded_before = [b"for=" + _node(part) for part in before]
    else:
        forwarded_before = [forwarded]
        before = [addresses] if addresses else [_address(*found) for found in _FOR.findall(forwarded)]
    fields: Headers = [(b"forwarded", b", ".join([*forwarded_before, _element(peer, host, scheme)]))]
    after = [*before, *([peer] if peer is not None else [])]
    if after:
        fields.append((b"x-forwarded-for", b", ".join(after)))
    fields += [field for field in headers if field[0].startswith(b"x-forwarded-") and field[0] != b"x-forwarded-for"]
    fields += [field for field in headers if field[0] == b"x-real-ip"]
    if value_of(headers, b"x-forwarded-proto") is None:
        fields.append((b"x-forwarded-proto", scheme))
    if host is not None and value_of(headers, b"x-forwarded-host") is None:
        fields.append((b"x-forwarded-host", host))
    return fields


def _element(peer: bytes | None, host: bytes | None, scheme: bytes) -> bytes:
    who = b"unknown" if peer is None else _node(peer)
    if host is None:
        return b"for=" + who + b";proto=" + scheme
    return b"for=" + who + b";host=" + _quoted(host) + b";proto=" + scheme


def _node(address: bytes) -> bytes:
    """An address as RFC 7239, section 6, writes it."""
    return b'"[%b]"' % address.strip(b"[]") if address.count(b":") > 1 else _quoted(address)


def _quoted(value: bytes) -> bytes:
    if _TOKEN.fullmatch(value):
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _address(quoted: bytes, token: bytes) -> bytes:
    text = quoted.replace(b"\\", b"") or token
    return text[1:].partition(b"]")[0] if text.startswith(b"[") else text
