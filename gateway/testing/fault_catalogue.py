"""The list of faults: what each does, how it is reached, and what a gateway must make of it.

Data only; `gateway.testing.fault_server` produces them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from gateway.model import Reason, Status

__all__ = ["FAULTS", "Expected", "Fault", "Site"]


class Site(StrEnum):
    """Where a fault lives: each is an address of its own."""

    HTTP = "http"
    REFUSED = "refused"  # nobody listens
    BLACK_HOLE = "black-hole"  # connects get no answer
    NO_NAME = "no-name"  # the name does not resolve
    SILENT_DNS = "silent-dns"  # the look-up of the name gets no answer
    REBINDING = "rebinding"  # the name resolves to an allowed address once, then to an internal one
    TLS = "tls"  # in order: what the others are compared with
    TLS_EXPIRED = "tls-expired"
    TLS_WRONG_HOST = "tls-wrong-host"
    TLS_SELF_SIGNED = "tls-self-signed"
    TLS_OLD = "tls-old"  # TLS 1.1 at most
    TLS_NOT = "tls-not"  # https to a server that speaks plain HTTP


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of a call. `reason` if it fails; `result`: the bytes it leaves, `None` those from before."""

    status: Status = Status.FAILED
    reason: Reason | None = None
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong.

    `does` completes "the server …". `expected` holds for every call but the first, if `first` is given. `signed`: it
    takes an integration whose envelope asks for signed replies, and its secret in `FaultServer.secret`.
    """

    name: str
    does: str
    expected: Expected
    path: str = "/replace"
    site: Site = Site.HTTP
    first: Expected | None = None
    signed: bool = False


_UNCHANGED: Final = Expected(Status.UNCHANGED)
_REPLACED: Final = Expected(Status.APPLIED, result=b'{"replaced":true}')
BIG_NUMBERS: Final = b'{"big":123456789012345678901234567890,"exact":0.1234567890123456789,"huge":1e400}'
DUPLICATE_KEYS: Final = b'{"a":1,"a":2}'


def _fails(reason: Reason, **faults: str) -> list[Fault]:
    """Faults of one reason: their paths, as names with `_`, and what they do."""
    names = {name.replace("_", "-"): does for name, does in faults.items()}
    return [Fault(name, does, Expected(reason=reason), "/" + name) for name, does in names.items()]


def _passes(name: str, does: str, expected: Expected, path: str | None = None) -> Fault:
    return Fault(name, does, expected, path or "/" + name)


def _at(site: Site, does: str, reason: Reason) -> Fault:
    return Fault(site.value, does, Expected(reason=reason), site=site)


def _statuses() -> list[Fault]:
    codes = [code for code in HTTPStatus if code >= 200 and code not in {200, 204}]
    special = {HTTPStatus.GONE: Reason.GONE}
    found = [
        Fault(
            f"status-{code.value}",
            f"answers {code.value} {code.phrase}",
            Expected(reason=special.get(code, Reason.STATUS)),
            f"/status/{code.value}",
        )
        for code in codes
    ]
    return found + [
        Fault(f"status-{code}", f"answers {code}", Expected(reason=Reason.STATUS), f"/status/{code}")
        for code in (299, 399, 499, 599)
    ]


FAULTS: Final[tuple[Fault, ...]] = (
    # ---------------------------------------------------------------- reaching it
    _at(Site.REFUSED, "does not listen", Reason.CONNECT),
    _at(Site.BLACK_HOLE, "never answers a connect: its queue of connections is full", Reason.TIMEOUT),
    _at(Site.NO_NAME, "has a name that does not resolve", Reason.DNS),
    _at(Site.SILENT_DNS, "has a name whose look-up gets no answer", Reason.TIMEOUT),
    Fault(
        "rebinding",
        "has a name that resolves to an internal address from the second connect on",
        Expected(reason=Reason.BLOCKED_ADDRESS),
        "/once",
        Site.REBINDING,
        first=_REPLACED,
    ),
    Fault("tls", "speaks TLS as it should", _REPLACED, site=Site.TLS),
    _at(Site.TLS_EXPIRED, "has a certificate that has expired", Reason.TLS),
    _at(Site.TLS_WRONG_HOST, "has a certificate for another name", Reason.TLS),
    _at(Site.TLS_SELF_SIGNED, "has a certificate that it signed itself", Reason.TLS),
    _at(Site.TLS_OLD, "speaks TLS 1.1 at most", Reason.TLS),
    _at(Site.TLS_NOT, "speaks plain HTTP where TLS is expected", Reason.TLS),
    *_fails(Reason.CONNECT, hang_up="closes the connection before any byte of a reply"),
    # ---------------------------------------------------------------- slow
    *_fails(
        Reason.TIMEOUT,
        hang="never answers",
        slow_head="sends its head byte by byte, without end",
        drip="sends its body byte by byte, without end",
        drip_chunks="sends its body in chunks of one byte, without end",
        length_too_long="announces more bytes than it sends, and keeps the connection open",
        interim_only="sends 100 Continue and then nothing",
        late="sends a good reply just after the deadline",
    ),
    # ---------------------------------------------------------------- broken HTTP
    *_fails(
        Reason.PROTOCOL,
        cut_head="closes in the middle of the head",
        cut_body="closes in the middle of the body",
        cut_chunk="closes in the middle of a chunk",
        no_last_chunk="closes before the last chunk",
        garbage="sends bytes that are no HTTP",
        http09="sends a body without a head (HTTP/0.9)",
        http2="answers as HTTP/2.0",
        icecast="answers as ICY",
        ssh="sends the greeting of another protocol",
        status_000="sends the status 000",
        status_999="sends the status 999",
        leading_lines="sends empty lines before the status line",
        bare_lf="ends its lines with LF only",
        folded="folds a header over two lines",
        nul_header="sends a header with a NUL",
        space_before_colon="sends a header with a space before the colon",
        two_lengths="sends two different Content-Lengths",
        length_list="sends a list as Content-Length",
        length_negative="sends a negative Content-Length",
        length_and_chunked="sends a Content-Length, then Transfer-Encoding",
        chunked_and_length="sends Transfer-Encoding, then a Content-Length",
        transfer_gzip="sends the transfer encoding gzip",
        transfer_identity="sends the transfer encoding identity",
        chunk_garbage="sends a chunk size that is no number",
        chunk_overrun="sends a chunk that is longer than its size",
        upgrade="answers 101 Switching Protocols",
        continue_flood="sends a hundred interim replies",
        unknown_encoding="labels a plain body as Brotli",
        br_bomb="sends 12 MB labelled as Brotli",
        two_encodings="names two content encodings",
        encoded_twice="sends two content-encoding headers",
        gzip_cut="cuts off a gzip body",
        gzip_trailing="sends bytes behind the end of a gzip body",
        gzip_garbage="labels a body as gzip that is not",
        deflate_raw="labels a body as deflate that has no zlib header",
    ),
    # ---------------------------------------------------------------- too much
    *_fails(
        Reason.TOO_LARGE,
        header_line_100k="sends a header line of 100 KB",
        long_header="sends a header line of 1 MB",
        many_headers="sends 1,000 headers",
        ten_thousand_headers="sends 10,000 headers",
        endless_header="sends a header line without end",
        endless_headers="sends headers without end",
        endless_body="sends a body without end",
        endless_extension="sends a chunk extension without end",
        endless_trailers="sends trailers without end",
        announced="announces a body of 1 TB",
        gzip_bomb="sends 12 MB as 12 KB of gzip",
        deflate_bomb="sends 12 MB as 12 KB of deflate",
    ),
    # ---------------------------------------------------------------- wrong in what it says
    *_fails(
        Reason.BAD_JSON,
        empty_200="answers 200 with an empty body",
        truncated_json="sends half a JSON document",
        length_too_short="announces fewer bytes than it sends, in the middle of the document",
        unlabelled_gzip="sends gzip without saying so",
        invalid_utf8="sends a string that is not UTF-8",
        utf8_bom="puts a byte order mark in front",
        lone_surrogate="sends half of a surrogate pair",
        nan="sends NaN",
        infinity="sends Infinity",
        trailing_comma="sends a comma too many",
        two_documents="sends two documents in one body",
        depth_100000="nests 100,000 arrays",
        depth_mixed="nests 100,000 arrays and objects that do not close",
        merge_patch_truncated="sends half a merge patch",
    ),
    *_fails(
        Reason.CONTENT_TYPE,
        wrong_type="answers with text/html",
        no_type="answers without a content type",
        charset_latin1="answers in ISO 8859-1",
        charset_utf16="answers in UTF-16",
    ),
    *_fails(
        Reason.BAD_PATCH,
        patch_missing_path="patches a path that is not there",
        patch_not_a_patch="sends a JSON Patch that is an object",
        patch_unknown_operation="sends a JSON Patch with an unknown operation",
        patch_failed_test="sends a JSON Patch whose test fails, after an operation that does not",
        patch_bomb="sends a JSON Patch that doubles the result sixty times",
        patch_too_long="sends a JSON Patch of 10,001 operations",
    ),
    *_fails(
        Reason.STATUS,
        redirect_internal="redirects to an internal address",
        reject_without_problem="answers 422 without a problem document",
    ),
    Fault("redirect", "redirects to another path", Expected(reason=Reason.STATUS), "/redirect"),
    Fault("reject", "rejects the query", Expected(reason=Reason.REJECTED_NOT_ALLOWED), "/reject"),
    *_statuses(),
    # ---------------------------------------------------------------- signed replies
    Fault("signed", "signs its reply as it should", _REPLACED, "/signed", signed=True),
    Fault("unsigned", "does not sign", Expected(reason=Reason.SIGNATURE), "/replace", signed=True),
    Fault(
        "signed-for-another",
        "signs a reply to another call's id",
        Expected(reason=Reason.SIGNATURE),
        "/signed-for-another",
        signed=True,
    ),
    Fault(
        "signed-by-another",
        "signs with another secret",
        Expected(reason=Reason.SIGNATURE),
        "/signed-by-another",
        signed=True,
    ),
    Fault(
        "signed-long-ago",
        "signs with a timestamp of an hour ago",
        Expected(reason=Reason.SIGNATURE),
        "/signed-long-ago",
        signed=True,
    ),
    Fault(
        "replayed",
        "repeats its first reply, which was signed as it should",
        Expected(reason=Reason.SIGNATURE),
        "/replayed",
        first=_REPLACED,
        signed=True,
    ),
    # ---------------------------------------------------------------- odd, and allowed
    _passes("set-cookie", "sets a cookie", _UNCHANGED),
    _passes("pipelined", "sends a second reply behind the first", _UNCHANGED),
    _passes("half-pipelined", "sends half of a second reply behind the first", Expected(Status.APPLIED, result=b"{}")),
    _passes("interim-100", "sends 100 Continue before its reply", _UNCHANGED, "/interim/100"),
    _passes("interim-102", "sends 102 Processing before its reply", _UNCHANGED, "/interim/102"),
    _passes("interim-103", "sends 103 Early Hints before its reply", _UNCHANGED, "/interim/103"),
    _passes("until-close", "ends its body by closing", Expected(Status.APPLIED, result=b'{"until":"close"}')),
    _passes("duplicate-keys", "sends an object with a key twice", Expected(Status.APPLIED, result=DUPLICATE_KEYS)),
    _passes("big-numbers", "sends numbers beyond 64 bits", Expected(Status.APPLIED, result=BIG_NUMBERS)),
    _passes("scalar", "replaces the result by a number", Expected(Status.APPLIED, result=b"5")),
    _passes("merge-patch-scalar", "sends a merge patch that is a number", Expected(Status.APPLIED, result=b"5")),
)
