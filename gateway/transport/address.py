"""Which addresses calls may go to: the guard against being sent into one's own network (SSRF).

The guard judges the very address that is about to be connected to, after DNS and for each new
connection, so a host name that changes its answer between a check and the use gains nothing.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import AddressBlocked, ConfigError
from gateway.transport.endpoint import canonical_host

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gateway.transport.protocol import Endpoint

__all__ = ["AddressGuard"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_6TO4: Final = ipaddress.IPv6Network("2002::/16")  # RFC 3056
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out
# Not everywhere in `ipaddress`'s tables yet, depending on the version of Python.
_SPECIAL_4: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))
_SPECIAL_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))


class AddressGuard:
    """Decides where calls may go: public unicast addresses over https, and what the operator adds.

    `allow` lists what is allowed beyond public addresses: networks (`10.1.0.0/16`), addresses, host names
    (`hooks.internal`) and host name suffixes (`*.internal`). An allowed name may resolve to anything.
    `allow_http` permits plain http. `ports` are those that calls to public addresses may go to, none given: any;
    what `allow` names may have any port. Raises `ConfigError` naming an entry that is none of these.
    """

    def __init__(self, allow: Sequence[str] = (), *, allow_http: bool = False, ports: Collection[int] = ()) -> None:
        self._allow_http = allow_http
        self._ports = frozenset(ports)
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[str] = set()
        self._suffixes: list[str] = []
        for entry in allow:
            self._add(entry)

    def refusal(self, endpoint: Endpoint) -> str | None:
        """Why `endpoint` can never be called, as a sentence, or `None` if it may be tried.

        Judges what the URL alone tells: the scheme, an address written out, and `localhost`. What a
        name resolves to is judged by `check` at each connection.
        """
        if endpoint.scheme != "https" and not self._allow_http:
            return "Plain http is not allowed here; use https, or let the operator set calls.allow_http."
        host = endpoint.host
        if host == "localhost" or host.endswith(".localhost"):
            return None if self.permits(host, "::1") else self._refusal_of(host, "127.0.0.1", endpoint.port)
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return None
        return self._refusal_of(host, host, endpoint.port)

    def permits(self, host: str, address: str) -> bool:
        """Whether a call for `host` may connect to `address`, an IP address as the system writes it, at some port."""
        return self._allows(host, address) or _is_public(address)

    def check(self, host: str, sockaddr: Sequence[Any]) -> None:
        """Raise `AddressBlocked` unless a call for `host` may connect to `sockaddr`.

        `sockaddr` is what `getaddrinfo` or `getpeername` give: `(address, port)`, and for IPv6 also flow
        and scope. An address with a scope is refused unless it is allowed by name or network.
        """
        address = str(sockaddr[0])
        if len(sockaddr) == 4 and sockaddr[3] and "%" not in address:
            address = f"{address}%{sockaddr[3]}"
        refusal = self._refusal_of(host, address, sockaddr[1])
        if refusal is not None:
            raise AddressBlocked(refusal)

    def _refusal_of(self, host: str, address: str, port: int) -> str | None:
        if self._allows(host, address):
            return None
        what = f"The address {address}" if host == address else f"The address {address} of the host {host!r}"
        if not _is_public(address):
            return f"{what} is not public; let the operator add it to calls.allow if it is meant."
        if self._ports and port not in self._ports:
            return f"The port {port} is not one that calls may go to; let the operator add it to calls.ports."
        return None

    def _allows(self, host: str, address: str) -> bool:
        """Whether the operator named the host or its address."""
        if self._permits_name(host):
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        inner = _inner(found)
        return any(found in network or inner in network for network in self._networks)

    def _permits_name(self, host: str) -> bool:
        return host in self._names or any(host.endswith(suffix) for suffix in self._suffixes)

    def _add(self, entry: str) -> None:
        text = entry.strip()
        try:
            self._networks.append(ipaddress.ip_network(text.strip("[]")))
            return
        except ValueError as error:
            if "/" in text:
                raise ConfigError(f"calls.allow: {entry!r} is not a network: {error}.") from None
        wildcard = text.startswith("*.")
        try:
            name = canonical_host(text[2:] if wildcard else text)
        except ValueError:
            raise ConfigError(
                f"calls.allow: {entry!r} is neither a network (10.0.0.0/8), nor an address, "
                "nor a host name (hooks.internal, *.internal)."
            ) from None
        if wildcard:
            self._suffixes.append("." + name)
        else:
            self._names.add(name)


def _inner(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        number = int(address)
        if address in _MAPPED or address in _NAT64:
            return ipaddress.IPv4Address(number & 0xFFFFFFFF)
        if address in _6TO4:
            return ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF)
    return address


def _is_public(text: str) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    if getattr(found, "scope_id", None) is not None:
        return False
    address = _inner(found)
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_6)
