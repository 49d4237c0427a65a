"""The header block of a request: its grammar, and what in it says where the request ends.

RFC 9110, section 5, and RFC 9112, sections 5 and 6. Whatever two servers could read in two ways is refused: a proxy
that guesses lets one client's bytes become another one's request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.service.front.refusal import RequestRefused

if TYPE_CHECKING:
    from gateway.service.messages import Headers

__all__ = ["Fields", "read_fields", "read_trailers"]

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_LINE: Final = re.compile(_TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+")
_NAME: Final = re.compile(_TOKEN + rb"+")
_TEXT: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])  # what a value consists of
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_WEIGHED: Final = frozenset({
    b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"content_length",
    b"transfer_encoding",
})  # fmt: skip
_FAMILIAR: Final = (
    "accept accept-charset accept-encoding accept-language authorization cache-control connection content-encoding "
    "content-length content-type cookie date dnt expect forwarded host if-match if-modified-since if-none-match "
    "keep-alive origin pragma priority range referer sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest "
    "sec-fetch-mode sec-fetch-site sec-fetch-user te traceparent tracestate transfer-encoding upgrade "
    "upgrade-insecure-requests user-agent via x-api-key x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip "
    "x-request-id x-requested-with"
)
# Names that need no look at their characters, as clients write them: in small letters, or With-Capitals.
_NAMES: Final = {spelt: name.encode() for name in _FAMILIAR.split() for spelt in (name.encode(), name.title().encode())}
_LONGEST_LENGTH: Final = 18  # digits: below 2**63 in all software that has to count it

# RFC 9110, section 6.5.1: what frames, routes, authenticates or describes the message has no place behind it.
_NO_TRAILERS: Final = frozenset({
    b"age", b"authorization", b"cache-control", b"connection", b"content-encoding", b"content-length",
    b"content-range", b"content-type", b"cookie", b"expect", b"host", b"keep-alive", b"max-forwards", b"pragma",
    b"proxy-authorization", b"proxy-connection", b"range", b"set-cookie", b"te", b"trailer", b"transfer-encoding",
    b"upgrade", b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
})  # fmt: skip


class Fields:
    """The headers of a request, and what those among them mean that the connection must know."""

    __slots__ = ("chunked", "close", "expects", "headers", "host", "keep_alive", "length", "memo", "unmet")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.host: bytes | None = None
        self.length: int | None = None
        self.chunked = False
        self.close = False
        self.keep_alive = False
        self.expects = False  # 100-continue
        self.unmet = False  # an expectation that nobody knows
        self.memo: object = None  # see `Exchange.memo`


def read_fields(block: bytes, most: int) -> Fields:
    """The fields of `block`, lines that each end with CRLF. Raises `RequestRefused`."""
    headers = _split(block, most, "headers")
    fields = Fields(headers)
    for name, value in headers:
        if name in _WEIGHED:
            _weigh(fields, name, value)
    if fields.chunked and fields.length is not None:
        raise RequestRefused(400, "The request has both content-length and transfer-encoding; send one of them.")
    return fields


def read_trailers(block: bytes, most: int) -> Headers:
    """The trailer fields of `block`, without those that must not stand in trailers. Raises `RequestRefused`."""
    return [field for field in _split(block, most, "trailers") if field[0] not in _NO_TRAILERS]


def _split(block: bytes, most: int, what: str) -> Headers:
    lines = block.split(b"\r\n")
    lines.pop()  # behind the last line end
    count = len(lines)
    # All that is no text must be the line ends by which it was split.
    if block.translate(None, _TEXT) != b"\r\n" * count:
        raise RequestRefused(400, _what_is_wrong(block))
    if count > most:
        raise RequestRefused(431, f"The request has more than {most} {what} (server.max_headers).")
    headers = []
    for line in lines:
        raw, colon, value = line.partition(b":")
        name = _NAMES.get(raw)
        if name is None or not colon:
            if not colon or not _NAME.fullmatch(raw):
                raise RequestRefused(400, _what_is_wrong(block))
            name = raw.lower()
        headers.append((name, value.strip(b" \t")))
    return headers


def _weigh(fields: Fields, name: bytes, value: bytes) -> None:
    if name == b"host":
        if fields.host is not None:
            raise RequestRefused(400, "The request has more than one host header.")
        if not _HOST.fullmatch(value):
            raise RequestRefused(400, "The host header is not a host name or IP address with an optional port.")
        fields.host = value
    elif name == b"connection":
        options = value.lower().replace(b" ", b"").replace(b"\t", b"").split(b",")
        fields.close = fields.close or b"close" in options
        fields.keep_alive = fields.keep_alive or b"keep-alive" in options
    elif name == b"content-length":
        if fields.length is not None:
            raise RequestRefused(400, "The request has more than one content-length.")
        if not value.isdigit():
            raise RequestRefused(400, "The content-length is not a number; it must consist of digits only.")
        if len(value) > _LONGEST_LENGTH:
            raise RequestRefused(413, "The content-length is larger than any body can be.")
        fields.length = int(value)
    elif name == b"transfer-encoding":
        if fields.chunked:
            raise RequestRefused(400, "The request has more than one transfer-encoding.")
        _weigh_codings(value.lower())
        fields.chunked = True
    elif name == b"expect":
        if value.lower() == b"100-continue":
            fields.expects = True
        else:
            fields.unmet = True
    else:  # CGI and WSGI servers take an underscore for a hyphen
        shown = name.decode()
        raise RequestRefused(400, f"The request has a header {shown}; its name is written with a hyphen.")


def _weigh_codings(codings: bytes) -> None:
    if codings == b"chunked":
        return
    *others, last = [coding.strip(b" \t") for coding in codings.split(b",")]
    if last == b"chunked" and b"chunked" not in others and all(_NAME.fullmatch(coding) for coding in others):
        raise RequestRefused(501, "The only transfer-encoding that is understood here is chunked, alone.")
    raise RequestRefused(400, "The transfer-encoding is not chunked, so the end of the body cannot be told.")


def _what_is_wrong(block: bytes) -> str:
    for line in block.removesuffix(b"\r\n").split(b"\r\n"):
        if _LINE.fullmatch(line):
            continue
        if b"\n" in line or b"\r" in line:
            return "The request has a line end other than CRLF in its headers."
        if line[:1] in {b" ", b"\t"}:
            return "A header line begins with white space; headers folded over several lines are not taken."
        name, colon, _value = line.partition(b":")
        if not colon:
            return "A header line has no colon."
        if name[-1:] in {b" ", b"\t"}:
            return "A header has white space in front of its colon."
        if not _NAME.fullmatch(name):
            return "The name of a header is empty, or has a character that no header's name may have."
        return f"The header {name[:64].decode()} has a control character in its value."
    return "The headers of the request are not complete lines."
