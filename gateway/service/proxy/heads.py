"""What of a head goes on to the other side, and what the gateway adds (RFC 9110, section 7.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.pipeline import provenance
from gateway.pipeline.debug import HEADER
from gateway.pipeline.http_answer import CONDITIONS, VALIDATORS
from gateway.service.messages import value_of
from gateway.wire.nesting import DEPTH

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from gateway.service.messages import Headers, RequestHead

__all__ = [
    "ASKS",
    "CODED",
    "CONTEXT",
    "DEBUG",
    "TAGGED",
    "TAGS",
    "UPGRADE",
    "VIA",
    "Known",
    "RequestRules",
    "ResponseRules",
    "Seen",
    "without_named",
]

# What a header is, as bits.
_HOP: Final = 1  # concerns one connection, is for this gateway alone, or is made anew
_CONDITION: Final = 2  # asks for a part or a change of the unchanged result
CODED: Final = 4
_EXPECT: Final = 8
_VALIDATOR: Final = 16  # speaks of the very bytes of the upstream
_TOLD: Final = 32  # what another gateway tells of its hooks
_FRESH: Final = 64  # how long the upstream's answer may be used again
_TRAILER: Final = 128
_UNFIT: Final = _HOP | _VALIDATOR | _TOLD  # beside a result that hooks were there for
NAMES: Final = 256  # may name others that concern one connection
VIA: Final = 512
UPGRADE: Final = 1024
DEBUG: Final = 2048
TAGS: Final = 4096  # may hold a tag of a gateway's own
ASKS: Final = 8192  # makes a difference to a GET
CONTEXT: Final = 16384  # says what the query is a part of
TAGGED: Final = 32768  # caches may ask about the answer again

_ALL_HOPS: Final = (
    b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"content-length", b"upgrade",
    b"proxy-authenticate", b"proxy-authorization", b"http2-settings",
)  # fmt: skip
_TOKENS_OF_OUR_OWN: Final = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings", b""})
_UNDOABLE: Final = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})
_MOST_REMEMBERED: Final = 1024
_MOST_WAYS: Final = 16
_LONGEST_REMEMBERED: Final = 64  # bytes

_OF_REQUESTS: Final = {
    **dict.fromkeys((*_ALL_HOPS, b"host", b"forwarded", b"x-real-ip"), _HOP),
    **dict.fromkeys((name.encode() for name in CONDITIONS), _CONDITION | ASKS),
    b"if-none-match": _CONDITION | ASKS | TAGS,
    b"if-range": _CONDITION | TAGS,  # means something beside a range only
    b"connection": _HOP | NAMES,
    b"upgrade": _HOP | UPGRADE,
    HEADER.encode(): _HOP | DEBUG,
    b"via": VIA,
    b"accept-encoding": CODED,
    b"expect": _EXPECT,
    **dict.fromkeys((b"traceparent", b"tracestate", DEPTH.encode()), CONTEXT),
}
_OF_RESPONSES: Final = {
    **dict.fromkeys(_ALL_HOPS, _HOP),
    **dict.fromkeys((name.encode() for name in VALIDATORS), _VALIDATOR),
    **dict.fromkeys((name.encode() for name in (provenance.HOOKS, provenance.TRACE_ID)), _TOLD),
    **dict.fromkeys((b"cache-control", b"expires", b"pragma"), _FRESH),
    **dict.fromkeys((b"etag", b"last-modified"), _VALIDATOR | TAGGED),
    b"connection": _HOP | NAMES,
    b"content-encoding": CODED,
    b"trailer": _TRAILER,
}


class Kinds(dict[bytes, int]):
    """What each header is, by its name in lower case: a table; a `family` of names is left out whole.

    What was found of a name is remembered.
    """

    def __init__(self, table: dict[bytes, int], family: bytes | None = None) -> None:
        super().__init__(table)
        self._table = table
        self._family = family

    def __missing__(self, name: bytes) -> int:
        """What a name is that was not asked for lately."""
        # Some servers take an underscore for a hyphen, so a name with one must not slip through.
        plain = name.replace(b"_", b"-")
        kind = self._table.get(plain, 0)
        if self._family is not None and plain.startswith(self._family):
            kind = _HOP
        if len(name) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[name] = kind
        return kind


def without_named(headers: Headers, naming: Headers | None = None) -> Headers:
    """`headers` without those that `connection` names as concerning this connection only; itself, if there are none.

    `naming` are the headers with `connection` among them, if those are others.
    """
    named: set[bytes] = set()
    for name, value in naming or headers:
        if name == b"connection" and value not in _TOKENS_OF_OUR_OWN:
            named.update([token.strip(b" \t") for token in value.lower().split(b",")])
    named -= _TOKENS_OF_OUR_OWN
    return [field for field in headers if field[0] not in named] if named else headers


class _Revalidated(dict[bytes, tuple[bytes, bytes]]):
    """The `cache-control` of a result, by that of the upstream's answer. What was made is remembered."""

    def __missing__(self, told: bytes) -> tuple[bytes, bytes]:
        """What was not asked for lately."""
        made = (b"cache-control", revalidated([told]))
        if len(told) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[told] = made
        return made


class Known:
    """What follows from the headers of a request, for later ones with the same headers on the same connection.

    `headers` are those that do not concern one connection only, `marks` what there is among them. `onward` has what is
    sent on, by all else that this depends on; those lists are not to be changed.
    """

    __slots__ = ("headers", "marks", "onward", "rules")

    def __init__(self, rules: RequestRules, headers: Headers, marks: int) -> None:
        self.rules: Final = rules
        self.headers: Final = headers
        self.marks: Final = marks
        self.onward: Final[dict[Hashable, Headers]] = {}

    def keep(self, key: Hashable, headers: Headers) -> None:
        """Remember what is sent on."""
        if len(self.onward) >= _MOST_WAYS:
            self.onward.clear()
        self.onward[key] = headers


class Seen:
    """What follows from the headers of an answer, for the next one with the same.

    `marks` is what there is among them (`CODED`, `TAGGED`). `after_hooks` are those of a result; not to be changed.
    """

    __slots__ = ("after_hooks", "content_type", "headers", "marks")

    def __init__(self, headers: Headers, marks: int, after_hooks: Headers) -> None:
        self.headers: Final = headers
        self.marks: Final = marks
        self.content_type: Final = value_of(headers, b"content-type")
        self.after_hooks: Final = after_hooks


class RequestRules:
    """The headers of requests on their way to an upstream. `pseudonym` is the gateway's name in `via`."""

    def __init__(self, pseudonym: bytes) -> None:
        self._vias = (b"1.0 " + pseudonym, b"1.1 " + pseudonym)
        self._pseudonym = pseudonym
        self._kinds = Kinds(_OF_REQUESTS, b"x-forwarded-")

    def onward(
        self, head: RequestHead, authority: bytes, origin: Headers, *, wanted: bool, whole: bool, body: bool
    ) -> Headers:
        """The headers to send on to `authority`, whose body is streamed if there is a `body`.

        `origin` tells of the client. For a query that is `wanted` by hooks, only codings are accepted that the
        gateway can undo; with `whole`, conditions and ranges are left out.
        """
        mask = _HOP if body else _HOP | _EXPECT
        if wanted:
            mask |= CODED
        if whole:
            mask |= _CONDITION
        kinds = self._kinds
        made: Headers = [(b"host", authority)]
        codings: list[bytes] = []
        trailers = False
        for field in head.headers:
            kind = kinds[field[0]] & mask
            if not kind:
                made.append(field)
            elif kind & CODED:
                codings.append(field[1])
            elif field[0] == b"te":
                trailers = trailers or b"trailers" in field[1].lower()
        if wanted:
            made.append((b"accept-encoding", undoable(codings)))
        if trailers:
            made += [(b"te", b"trailers"), (b"connection", b"te")]
        made.append((b"via", self._vias[head.minor]))
        made += origin
        return made

    def known(self, headers: Headers) -> Known:
        """What follows from these headers."""
        marks = self.marks(headers)
        if marks & NAMES:
            headers = without_named(headers)
            marks = self.marks(headers)
        return Known(self, headers, marks)

    def marks(self, headers: Headers) -> int:
        """What there is among these headers: `NAMES`, `VIA`, `UPGRADE`, `DEBUG`, `TAGS`, `ASKS`, `CONTEXT`."""
        kinds = self._kinds
        marks = 0
        for field in headers:
            marks |= kinds[field[0]]
        return marks

    def has_been_here(self, headers: Headers) -> bool:
        """Whether the request came through this very gateway before: a loop."""
        pseudonym = self._pseudonym
        return any(name == b"via" and pseudonym in value for name, value in headers)


class ResponseRules:
    """The headers of answers on their way to a client. `pseudonym` is the gateway's name in `via`."""

    def __init__(self, pseudonym: bytes) -> None:
        self._via = (b"via", b"1.1 " + pseudonym)
        self._kinds = Kinds(_OF_RESPONSES)
        self._revalidated = _Revalidated()
        self._seen: dict[tuple[str, tuple[bytes, ...], bool], Seen] = {}

    def seen(self, headers: Headers, upstream: str, vary: tuple[bytes, ...], *, revalidate: bool) -> Seen:
        """What follows from these headers of an answer of `upstream`: often the same as from those before.

        `vary` and `revalidate` are what `after_hooks` takes.
        """
        key = (upstream, vary, revalidate)
        seen = self._seen.get(key)
        if seen is None or seen.headers != headers:
            made, marks = self._after_hooks(headers, _UNFIT | _TRAILER, vary, revalidate=revalidate)
            seen = self._seen[key] = Seen(headers, marks, made)
        return seen

    def untouched(self, headers: Headers, vary: Iterable[bytes] = ()) -> Headers:
        """Those of an answer that passes as it is. `vary`: request headers that it was chosen by."""
        kinds = self._kinds
        marks = 0
        made: Headers = []
        for field in headers:
            kind = kinds[field[0]]
            if kind & _HOP:
                marks |= kind
            else:
                made.append(field)
        if marks & NAMES:
            made = without_named(made, headers)
        made.append(self._via)
        if vary:
            made.append((b"vary", b", ".join(vary)))
        return made

    def after_hooks(
        self, headers: Headers, vary: Iterable[bytes], *, decoded: bool, whole: bool, revalidate: bool
    ) -> Headers:
        """Those of a result that hooks were there for.

        Nothing is left that speaks of the unchanged bytes. `decoded`: the body goes out without the upstream's content
        encoding; `whole`: it is known, so it has no trailers; `revalidate`: caches ask again before each use.
        """
        unfit = _UNFIT
        if decoded:
            unfit |= CODED
        if whole:
            unfit |= _TRAILER
        return self._after_hooks(headers, unfit, vary, revalidate=revalidate)[0]

    def without_content(self, headers: Headers, vary: Iterable[bytes]) -> Headers:
        """Those of the answer to a HEAD for a result that hooks are there for: nothing is known of what they make."""
        made = self.after_hooks(headers, vary, decoded=False, whole=True, revalidate=True)
        return [field for field in made if field[0] != b"content-encoding"]

    def _after_hooks(
        self, headers: Headers, unfit: int, vary: Iterable[bytes], *, revalidate: bool
    ) -> tuple[Headers, int]:
        """The headers that are not `unfit`, with the gateway's own, and what there was among all of them."""
        if revalidate:
            unfit |= _FRESH
        kinds = self._kinds
        marks = 0
        made: Headers = []
        directives = b""
        for field in headers:
            kind = kinds[field[0]]
            if kind:
                marks |= kind
                if kind & unfit:
                    if kind == _FRESH and field[0] == b"cache-control":
                        directives = directives + b"," + field[1] if directives else field[1]
                    continue
            made.append(field)
        if marks & NAMES:
            made = without_named(made, headers)
        if revalidate:
            made.append(self._revalidated[directives])
        made.append(self._via)
        if vary:
            made.append((b"vary", b", ".join(vary)))
        return made, marks


# RFC 9111, section 5.2.2: who may store an answer stays as the upstream said; for how long it may be used does not.
_KEPT_DIRECTIVES: Final = (b"no-store", b"private", b"no-transform")


def revalidated(values: list[bytes]) -> bytes:
    """`cache-control` of an answer that is to be checked with the gateway before each use."""
    kept = [b"no-cache"]
    for value in values:
        for directive in value.split(b","):
            name = directive.strip(b" \t").partition(b"=")[0].lower()
            if name in _KEPT_DIRECTIVES and name not in kept:
                kept.append(name)
    return b", ".join(kept)


def undoable(values: list[bytes]) -> bytes:
    """`accept-encoding` with those codings only that the gateway can undo; `identity` if there is none."""
    if not values:
        return b"identity"
    kept = []
    for value in values:
        for member in value.split(b","):
            coding, _, weight = member.strip(b" \t").partition(b";")
            if coding.strip(b" \t").lower() in _UNDOABLE:
                kept.append(coding.strip(b" \t").lower() + (b";" + weight.strip(b" \t") if weight else b""))
    return b", ".join(kept) or b"identity"
