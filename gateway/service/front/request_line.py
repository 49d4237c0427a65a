"""The first line of a request: method, target and version (RFC 9112, section 3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.service.front.refusal import RequestRefused

if TYPE_CHECKING:
    from gateway.service.front.fields import Fields

__all__ = ["USUAL", "VISIBLE", "read_request_line", "too_long"]

# For a first line in two glances: the methods of nearly all requests, and a table that changes every character which
# such a line has not got, CR and LF above all.
USUAL: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"})
VISIBLE: Final = bytes([c if 0x20 <= c <= 0x7E and c != ord("#") else c ^ 0x80 for c in range(256)])

_USUAL_LINE: Final = re.compile(rb"""(?!CONNECT )([A-Z][A-Z0-9_-]{0,31}) (/[!"$-~]*) HTTP/1\.([0-9])""")
_VERSION: Final = re.compile(rb"HTTP/([0-9])\.([0-9])")
_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = re.compile(rb"[A-Z][A-Z0-9_-]{0,31}")
_VISIBLE: Final = re.compile(rb"[!-~]+")
_ABSOLUTE: Final = re.compile(rb"""(https?)://([^/?#@]+)(/[!"$-~]*|\?[!"$-~]*)?""", re.IGNORECASE)
_PORTS: Final = {b"http": b":80", b"https": b":443"}


def read_request_line(line: bytes, fields: Fields, scheme: str, longest: int) -> tuple[str, str, int]:
    """Method, target in origin form (or `*`) and minor version. Raises `RequestRefused`.

    A target in absolute form becomes one in origin form if it agrees with the host header. RFC 9112, section 3.2.2,
    lets the target win over a host header that says something else; here that is refused, because whoever stands
    in front or behind may have gone by the other one.
    """
    usual = _USUAL_LINE.fullmatch(line)
    if usual is None:
        method, target, minor = _unusual(line, fields, scheme, longest)
    else:
        raw_method, raw_target, raw_minor = usual.groups()
        if len(raw_target) > longest:
            raise too_long(longest)
        method, target = raw_method.decode(), raw_target.decode()
        minor = 0 if raw_minor == b"0" else 1  # RFC 9110, section 2.5: a higher minor version is read as 1.1
    if not minor:
        if fields.chunked:
            raise RequestRefused(400, "HTTP/1.0 has no transfer-encoding; send a content-length.")
    elif fields.host is None:
        raise RequestRefused(400, "The request has no host header.")
    if fields.unmet:
        raise RequestRefused(417, "The only expectation that can be met here is 100-continue.")
    return method, target, minor


def _unusual(line: bytes, fields: Fields, scheme: str, longest: int) -> tuple[str, str, int]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise RequestRefused(400, "The first line of the request is not method, target and version.")
    method, target, version = parts
    spoken = _VERSION.fullmatch(version)
    if spoken is None or not _METHOD.fullmatch(method) or not target:
        raise RequestRefused(400, "The first line of the request is not method, target and version.")
    if spoken[1] != b"1":
        raise RequestRefused(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if len(target) > longest:
        raise too_long(longest)
    if not _OURS.fullmatch(method):
        raise RequestRefused(501, "The method is not known here; methods are written in capital letters.")
    if method == b"CONNECT":
        raise RequestRefused(501, "CONNECT is not offered: this is a gateway in front of a query API, no open proxy.")
    if not _VISIBLE.fullmatch(target):
        raise RequestRefused(400, "The target has a control character or one beyond ASCII; percent-encode it.")
    if b"#" in target:
        raise RequestRefused(400, "The target has a fragment; what follows a # is never sent.")
    minor = 0 if spoken[2] == b"0" else 1
    if target == b"*":
        if method != b"OPTIONS":
            raise RequestRefused(400, "The target * belongs to OPTIONS alone.")
        return "OPTIONS", "*", minor
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise RequestRefused(400, "The target is neither a path nor an http or https URL.")
    _agrees(absolute[1].lower(), absolute[2], fields, scheme.encode())
    path = absolute[3] or b"/"
    return method.decode(), ("/" if path[:1] == b"?" else "") + path.decode(), minor


def _agrees(named: bytes, authority: bytes, fields: Fields, scheme: bytes) -> None:
    if named != scheme:
        raise RequestRefused(421, f"The target's scheme is not {scheme.decode()}, which is spoken on this connection.")
    port = _PORTS[named]
    host = fields.host
    if host is None or authority.lower().removesuffix(port) != host.lower().removesuffix(port):
        raise RequestRefused(400, "The target's host is not the one in the host header.")


def too_long(longest: int) -> RequestRefused:
    """The error for a target beyond so many bytes."""
    return RequestRefused(414, f"The target is longer than {longest} bytes (server.max_target_bytes).")
