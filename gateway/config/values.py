"""The syntax of single values: addresses, URLs, networks, keys. Each function returns the value or raises `ValueError`.

The text of the error completes the sentence "calls.allow[0] …" and never holds the value itself.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.errors import ConfigError
from gateway.transport import AddressGuard
from gateway.wire.path_pattern import PathPattern

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 9110, section 11.2: what follows "Bearer"
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*")  # RFC 6901
MIN_KEY_LENGTH: Final = 16
MAX_SOCKET_PATH: Final = 107  # sockaddr_un holds 108 bytes, the last one a NUL (unix(7))


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. `host` is a name or an IP literal without brackets; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def local_url(self) -> str:
        """Where a client on the same machine finds it, without TLS."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  addresses to listen on, not to call
        return f"http://{Address(anywhere.get(self.host, self.host), self.port)}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix domain socket to listen on: an absolute path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it."""
        return True

    @property
    def local_url(self) -> str:
        """Where a client on the same machine finds it."""
        return f"http+unix://{self.path}"


def parse_listen_address(text: str) -> Address | UnixAddress:
    """`host:port`, `[v6]:port`, or `unix:/path`."""
    return parse_unix_address(text) if text.startswith("unix:") else parse_address(text)


def parse_unix_address(text: str) -> UnixAddress:
    """`unix:` and an absolute path that fits into a socket's address."""
    path = text.removeprefix("unix:")
    if not path.startswith("/") or path.startswith("//") or path.endswith("/"):
        raise ValueError(
            'must have an absolute path behind "unix:", such as "unix:/run/query-hook-gateway/gateway.sock"'
        )
    if not path.isprintable():
        raise ValueError('must have a path of printable characters behind "unix:"')
    if (length := len(os.fsencode(path))) > MAX_SOCKET_PATH:
        raise ValueError(
            f"has a path of {length} bytes, but the path of a Unix socket has at most {MAX_SOCKET_PATH}: "
            "choose a shorter one"
        )
    return UnixAddress(path)


def parse_mode(text: str) -> str:
    """The mode of a file in octal, such as `660`."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError('must be the mode of a file in octal, such as "660" (user and group) or "666" (everyone)')
    return text


def parse_address(text: str) -> Address:
    """`host:port`, `[v6]:port`; the port may be 0."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError('must be "host:port", such as "127.0.0.1:8080" or "[::1]:8080"')
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("must end with a port from 0 to 65535 (0: any free one)")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError("must hold an IPv6 address between the brackets") from None
    elif ":" in host:
        raise ValueError('must have an IPv6 address in brackets, such as "[::1]:8080"')
    elif not is_host(host):
        raise ValueError("must begin with a host name or an IP address")
    return Address(host, int(port))


def is_host(text: str) -> bool:
    """Whether `text` is an IP literal or an ASCII host name (RFC 1123; `_` is let through)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        all_numbers = all(label.isdigit() for label in labels)  # "1.2.3" is a mistyped address, not a name
        return len(text) <= 253 and not all_numbers and all(_LABEL.fullmatch(label) for label in labels)
    return True


def parse_allowed(text: str) -> str:
    """What the transport's guard takes: a network, an IP address, a host name, or `*.` and a host name."""
    try:
        AddressGuard((text,))
    except ConfigError:
        raise ValueError(
            'must be a network whose host bits are zero ("10.0.0.0/8"), an IP address, a host name, or "*.internal"',
        ) from None
    return text


def parse_port(value: object) -> int:
    """A port as a number, or as digits, which is how a variable gives it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        value = int(value)
    if type(value) is not int or not 1 <= value <= 65535:
        raise ValueError("must be a port from 1 to 65535")
    return value


def parse_url(text: str) -> str:
    """An absolute http or https URL without user, query or fragment; without a slash at the end."""
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL with a host and, if need be, a port from 0 to 65535") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError('must be an absolute URL, such as "http://127.0.0.1:9000"')
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("must not have a query or a fragment")
    if not is_host(host) or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError("must hold a valid host name (international ones in their xn-- form) and no spaces")
    return text.rstrip("/")


def parse_operator_key(text: str) -> str:
    """A bearer key: at least 16 characters of RFC 9110's token68, so that it fits into a header."""
    if len(text) < MIN_KEY_LENGTH:
        raise ValueError(
            f"must have at least {MIN_KEY_LENGTH} characters; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    if not _TOKEN68.fullmatch(text):
        raise ValueError("must consist of letters, digits and -._~+/ only (then any number of =), to fit into a header")
    return text


def parse_route_path(text: str) -> str:
    """The pattern of a path: literal segments, `{name}` for any one, a last segment `*` for any rest."""
    PathPattern.parse(text)
    return text


def parse_peer(text: str) -> str:
    """A network or an IP address, or `unix` for whoever connects through a unix socket."""
    if text == "unix":
        return text
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(
            'must be a network whose host bits are zero ("10.0.0.0/8"), an IP address, or "unix"'
        ) from None


def parse_method(text: str) -> str:
    """An HTTP method in capital letters."""
    if not _METHOD.fullmatch(text):
        raise ValueError('must be an HTTP method in capital letters, such as "GET"')
    return text


def parse_pointer(text: str) -> str:
    """A JSON Pointer (RFC 6901)."""
    if not _POINTER.fullmatch(text):
        raise ValueError('must be a JSON Pointer: "" for the whole document, or such as "/data/rows"')
    return text


def parse_header_name(text: str) -> str:
    """A header's name, in lower case."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        raise ValueError("must be the name of a header")
    return text.lower()
