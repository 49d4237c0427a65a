"""What of a head goes on, what stays, and what is added, as pure functions."""

from __future__ import annotations

import pytest

from gateway.service.messages import RequestHead
from gateway.service.proxy.forwarded import Forwarding
from gateway.service.proxy.heads import (
    CODED,
    TAGGED,
    RequestRules,
    ResponseRules,
    revalidated,
    undoable,
    without_named,
)
from gateway.service.proxy.passing import asks_for_websocket
from gateway.service.proxy.refusals import is_for_us

NAME = b"query-hook-gateway-1"
REQUESTS = RequestRules(NAME)
RESPONSES = ResponseRules(NAME)
VIA = (b"via", b"1.1 " + NAME)


def fields(text: str) -> list[tuple[bytes, bytes]]:
    lines = [line.partition(":") for line in text.strip().splitlines()]
    return [(name.strip().encode(), value.strip().encode()) for name, _, value in lines]


def onward(text: str, *, wanted=False, whole=False, body=False, minor=1):
    head = RequestHead("GET", "/", fields(text), minor)
    made = REQUESTS.onward(head, b"api:9000", [], wanted=wanted, whole=whole, body=body)
    assert made[0] == (b"host", b"api:9000")
    assert made[-1] == (b"via", b"1.%d " % minor + NAME)
    return made[1:-1]


@pytest.mark.parametrize(
    "line",
    [
        "connection: close", "keep-alive: timeout=5", "proxy-connection: close", "transfer-encoding: chunked",
        "content-length: 5", "upgrade: h2c", "http2-settings: x", "proxy-authorization: Basic x", "host: other",
        "gateway-debug: key", "forwarded: for=1.2.3.4", "x-forwarded-for: 1.2.3.4", "x-forwarded-host: a",
        "x-forwarded-proto: https", "x-forwarded-port: 1", "x-forwarded-anything: 1", "x-real-ip: 1.2.3.4",
        "x_forwarded_for: 1.2.3.4", "x_real_ip: 1.2.3.4", "gateway_debug: key", "proxy_authorization: x",
    ],
)  # fmt: skip
def test_what_concerns_one_hop_or_would_forge_the_origin_stays(line):
    assert onward(f"x-a: 1\n{line}\nx-b: 2") == [(b"x-a", b"1"), (b"x-b", b"2")]


def test_what_is_remembered_of_names_is_bounded():
    rules = RequestRules(NAME)
    for number in range(3_000):
        rules.marks([(b"x-%d" % number, b""), (b"x" * 100 + b"%d" % number, b"")])
    assert len(rules._kinds) <= 1_024
    assert max(map(len, rules._kinds)) <= 64
    assert rules.marks([(b"via", b"")]), "what it knows, it still knows"


def test_what_is_for_the_upstream_goes_on_in_its_order():
    kept = """
        cookie: a=1
        authorization: Bearer x
        x_own: 1
        accept-encoding: br
        if-none-match: "v1"
        range: bytes=0-1
        trailer: x-sum
        gateway-depth: 1
        traceparent: 00-x
        cookie: b=2
        via: 1.0 other
    """
    assert onward(kept) == fields(kept)
    assert onward("x-a: 1", minor=0) == fields("x-a: 1")


def test_a_query_for_hooks_is_asked_for_whole_and_in_codings_that_can_be_undone():
    conditions = "\n".join(
        f"{name}: x"
        for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")
    )
    assert onward(conditions, wanted=True, whole=True) == [(b"accept-encoding", b"identity")]
    assert onward(conditions, wanted=True) == [*fields(conditions), (b"accept-encoding", b"identity")]


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ([], b"identity"),
        ([b"br"], b"identity"),
        ([b"gzip, deflate, br, zstd"], b"gzip, deflate"),
        ([b"br;q=1.0, GZIP ; q=0.5", b"identity;q=0"], b"gzip;q=0.5, identity;q=0"),
        ([b"*"], b"identity"),
    ],
)
def test_codings_that_the_gateway_cannot_undo_are_not_asked_for(sent, asked):
    assert undoable(sent) == asked


def test_te_goes_on_for_trailers_alone():
    assert onward("te: trailers, deflate") == fields("te: trailers\nconnection: te")
    assert onward("te: gzip") == []


def test_an_expectation_goes_on_with_the_body_that_it_is_about():
    assert onward("expect: 100-continue", body=True) == fields("expect: 100-continue")
    assert onward("expect: 100-continue") == []


def test_headers_that_connection_names_stay_on_their_hop():
    given = fields("connection: X-Secret , close\nx-secret: 1\nx-kept: 1\nconnection: x-other\nx-other: 1")
    assert without_named(given) == fields("connection: X-Secret , close\nx-kept: 1\nconnection: x-other")
    plain = fields("connection: keep-alive\nx: 1")
    assert without_named(plain) is plain


def test_a_request_that_comes_back_is_known():
    assert not REQUESTS.has_been_here(fields("via: 1.1 query-hook-gateway-2\nvia: 1.0 a"))
    assert REQUESTS.has_been_here(fields("via: 1.1 a, 1.1 query-hook-gateway-1, 1.1 b"))


UPSTREAM = """
    content-type: application/json
    content-encoding: gzip
    content-length: 5
    connection: x-hop, keep-alive
    x-hop: 1
    keep-alive: timeout=5
    transfer-encoding: chunked
    etag: "v1"
    last-modified: Tue, 14 Nov 2023 22:13:50 GMT
    content-md5: x
    digest: x
    content-digest: x
    repr-digest: x
    accept-ranges: bytes
    content-range: bytes 0-1/2
    cache-control: private, max-age=60
    expires: Tue, 14 Nov 2023 22:13:50 GMT
    age: 5
    vary: accept
    trailer: x-sum
    gateway-hooks: forged;applied
    gateway-trace-id: tr_x
    server-timing: db;dur=1
    set-cookie: a=1
    set-cookie: b=2
    via: 1.1 inner
"""


def test_an_answer_that_passes_loses_what_concerns_one_hop_only():
    gone = {b"content-length", b"connection", b"x-hop", b"keep-alive", b"transfer-encoding"}
    assert RESPONSES.untouched(fields(UPSTREAM)) == [
        *(field for field in fields(UPSTREAM) if field[0] not in gone),
        VIA,
    ]
    assert RESPONSES.untouched([], [b"x-api", b"x-tenant"]) == [VIA, (b"vary", b"x-api, x-tenant")]


def test_nothing_speaks_of_the_unchanged_bytes_after_hooks():
    made = RESPONSES.after_hooks(fields(UPSTREAM), [b"x-api"], decoded=True, whole=True, revalidate=True)
    assert made == [
        *fields("""
            content-type: application/json
            age: 5
            vary: accept
            server-timing: db;dur=1
            set-cookie: a=1
            set-cookie: b=2
            via: 1.1 inner
            cache-control: no-cache, private
        """),
        VIA,
        (b"vary", b"x-api"),
    ]


def test_a_result_keeps_its_coding_trailers_and_freshness_where_they_hold():
    made = RESPONSES.after_hooks(fields(UPSTREAM), [], decoded=False, whole=False, revalidate=False)
    names = [name for name, _ in made]
    assert {b"content-encoding", b"trailer", b"expires"} <= set(names)
    assert made[names.index(b"cache-control")] == (b"cache-control", b"private, max-age=60")
    assert not {b"etag", b"last-modified", b"gateway-hooks", b"content-range"} & set(names)


def test_the_head_of_a_result_without_its_content_tells_nothing_of_it():
    names = {name for name, _ in RESPONSES.without_content(fields(UPSTREAM), [])}
    assert not {b"etag", b"last-modified", b"content-encoding", b"content-length", b"gateway-hooks"} & names
    assert b"content-type" in names


def test_what_follows_from_the_headers_of_an_answer_holds_for_the_same_ones_only():
    rules = ResponseRules(NAME)

    def seen(text, upstream="http://a", vary=(), *, revalidate=True):
        found = rules.seen(fields(text), upstream, vary, revalidate=revalidate)
        whole = rules.after_hooks(fields(text), vary, decoded=False, whole=True, revalidate=revalidate)
        assert found.after_hooks == whole
        return found.content_type, found.marks & (CODED | TAGGED)

    for _ in range(2):
        assert seen(UPSTREAM) == (b"application/json", CODED | TAGGED)
    assert seen("content-type: text/html\ncontent_type: a") == (b"text/html", 0)
    assert seen("content_type: a\netag: b") == (None, TAGGED)
    assert seen("content-type: a\ncontent-type: b") == (b"a", 0)
    assert seen("content-type: a\ncontent-type: b", vary=(b"x-api",)) == (b"a", 0)
    assert seen("content-type: a\ncontent-type: b", revalidate=False) == (b"a", 0)
    assert seen("cache-control: private", "http://b") == (None, 0)


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ([], b"no-cache"),
        ([b"max-age=60, public, stale-while-revalidate=5, immutable"], b"no-cache"),
        ([b"Private, s-maxage=5", b"no-transform"], b"no-cache, private, no-transform"),
        ([b'private="x-a", no-store'], b"no-cache, private, no-store"),
        ([b"no-cache, no-cache=x"], b"no-cache"),
    ],
)
def test_caches_ask_again_and_store_no_more_than_they_might(values, made):
    assert revalidated(values) == made


# ---------------------------------------------------------------- where a request comes from

HOST = [(b"host", b"api.example:8080")]


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("192.0.2.7", 'for=192.0.2.7;host="api.example:8080";proto=http'),
        ("2001:db8::1", 'for="[2001:db8::1]";host="api.example:8080";proto=http'),
        (None, 'for=unknown;host="api.example:8080";proto=http'),
    ],
)
def test_the_origin_is_told_in_both_forms(client, told):
    expected = [(b"forwarded", told.encode()), (b"x-forwarded-proto", b"http")]
    if client:
        expected.append((b"x-forwarded-for", client.encode()))
    expected.append((b"x-forwarded-host", b"api.example:8080"))
    lied = [(b"x-forwarded-for", b"10.0.0.1"), (b"forwarded", b"for=10.0.0.1")]
    assert Forwarding().origin([*HOST, *lied], client, "http") == expected


def continued(text, client="10.0.0.1", trusted=("10.0.0.0/8",)):
    made = Forwarding(trusted).origin([*HOST, *fields(text)], client, "http")
    return {name.decode(): value.decode() for name, value in made}


def test_a_trusted_proxy_is_believed_and_continued():
    made = continued("""
        x-forwarded-for: 192.0.2.7, 198.51.100.1
        x-forwarded-proto: https
        x-forwarded-host: public.example
        x-forwarded-port: 443
        x-real-ip: 192.0.2.7
    """)
    assert made == {
        "forwarded": 'for=192.0.2.7, for=198.51.100.1, for=10.0.0.1;host="api.example:8080";proto=http',
        "x-forwarded-for": "192.0.2.7, 198.51.100.1, 10.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "public.example",
        "x-forwarded-port": "443",
        "x-real-ip": "192.0.2.7",
    }


def test_what_a_trusted_proxy_says_in_one_form_is_said_in_both():
    made = continued('forwarded: For="[2001:db8::1]:80";by=x;proto=https, for=_hidden;host="a, for=1.1.1.1"')
    assert made["forwarded"].startswith('For="[2001:db8::1]:80";by=x;proto=https, for=_hidden;host=')
    assert made["forwarded"].endswith('for=10.0.0.1;host="api.example:8080";proto=http')
    assert made["x-forwarded-for"].startswith("2001:db8::1, _hidden")
    assert made["x-forwarded-for"].endswith(", 10.0.0.1")
    assert continued("x-forwarded-for: 2001:db8::1")["forwarded"].startswith('for="[2001:db8::1]", for=10.0.0.1;')
    assert continued("")["x-forwarded-for"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("client", "trusted", "believed"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("::1", ["10.0.0.0/8", "::1/128"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
        (None, ["unix"], True),
        (None, ["0.0.0.0/0"], False),
        ("10.1.2.3", [], False),
    ],
)
def test_who_is_believed_is_in_a_trusted_network(client, trusted, believed):
    forwarding = Forwarding(trusted)
    assert [forwarding.trusts(client), forwarding.trusts(client)] == [believed] * 2


# ---------------------------------------------------------------- OPTIONS, upgrades


def test_a_request_for_the_server_itself_goes_no_further():
    assert is_for_us(RequestHead("OPTIONS", "*"))
    assert is_for_us(RequestHead("OPTIONS", "/", fields("max-forwards: 0")))
    head = RequestHead("OPTIONS", "/", fields("x: 1\nmax-forwards: 3"))
    assert not is_for_us(head)
    assert head.headers == fields("x: 1\nmax-forwards: 2")
    assert not is_for_us(RequestHead("OPTIONS", "/", fields("max-forwards: x")))


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("connection: keep-alive, Upgrade\nupgrade: WebSocket", True),
        ("connection: upgrade\nupgrade: h2c", False),
        ("upgrade: websocket", False),
        ("connection: upgrade", False),
    ],
)
def test_websocket_is_the_only_upgrade(text, asks):
    assert asks_for_websocket(fields(text)) is asks
