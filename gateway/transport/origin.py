"""Where a server of the operator's own is: a base URL with http, https, or the path of a unix socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from gateway.transport.endpoint import canonical_host

__all__ = ["Origin", "parse_origin"]

_URL: Final = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/]*)(?P<path>.*)")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,5}))?")
_PATH: Final = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_UNIX: Final = "http+unix"
_LONGEST_SOCKET: Final = 107  # bytes; sun_path of unix(7) holds 108 with the zero at its end


@dataclass(frozen=True, slots=True)
class Origin:
    """A server and the path below which its API is. `socket`: the path of its unix socket, instead of host and port.

    `base` has no slash at its end, and is empty for the root.
    """

    scheme: str
    host: str
    port: int
    socket: str | None = None
    base: str = ""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken there."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """What the `host` header says: host and port, without the scheme's own port. `localhost` on a socket."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        """Where connections go to, for people: `host:port`, or `unix:` and the path."""
        if self.socket is not None:
            return f"unix:{self.socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        if self.socket is not None:
            socket = self.socket.replace("%", "%25").replace(":", "%3A")
            return f"{_UNIX}://{socket}" + (f":{self.base}" if self.base else "")
        return f"{self.scheme}://{self.authority}{self.base}"


def parse_origin(url: str) -> Origin:
    """The origin that `url` names: `http://host:port/base`, `https://…`, `http+unix:///run/api.sock`.

    On a unix socket, a base path follows after a colon: `http+unix:///run/api.sock:/base`. A colon or a percent sign in
    the socket's own path is written `%3A` or `%25`. Raises `ValueError`; its text completes "upstream …".
    """
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError("must hold no spaces and no control characters")
    match = _URL.fullmatch(url)
    scheme = match["scheme"].lower() if match else ""
    if match is None or (scheme != _UNIX and (scheme not in _DEFAULT_PORTS or not match["authority"])):
        raise ValueError(
            'must be an absolute URL, such as "http://127.0.0.1:9000", "https://api.example.com" or '
            '"http+unix:///run/api.sock"'
        )
    if "@" in match["authority"]:
        raise ValueError("must not hold a user name or password")
    if "?" in url or "#" in url:
        raise ValueError("must not have a query or a fragment")
    if scheme == _UNIX:
        return _on_socket(match["authority"], match["path"])
    parts = _AUTHORITY.fullmatch(match["authority"])
    port = int((parts and parts["port"]) or _DEFAULT_PORTS[scheme])
    if parts is None or not 1 <= port <= 65535:
        raise ValueError("must be a URL with a host and, if need be, a port from 1 to 65535")
    try:
        host = canonical_host(parts["host"])
    except ValueError:
        raise ValueError("must hold a valid host name or IP address") from None
    return Origin(scheme, host, port, base=_base(match["path"]))


def _on_socket(authority: str, path: str) -> Origin:
    socket, _, base = path.partition(":")
    socket = unquote(socket)
    if authority or socket in {"", "/"} or "\0" in socket:
        raise ValueError('must give the absolute path of the socket, as in "http+unix:///run/api.sock"')
    if len(socket.encode()) > _LONGEST_SOCKET:
        raise ValueError(f"must name a socket whose path has at most {_LONGEST_SOCKET} bytes")
    return Origin("http", "localhost", 80, socket, _base(base))


def _base(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError('must have a path that begins with "/", with other characters than those of URLs %-encoded')
    if not {".", ".."}.isdisjoint(path.lower().replace("%2e", ".").split("/")):
        raise ValueError("must not have '.' or '..' in its path")
    return path.rstrip("/")
