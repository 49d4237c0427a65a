"""The front's reading of requests: the same in any pieces, never two readings, never an error of its own."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.service.front import FrontSettings, RequestRefused
from gateway.service.front.heads import HeadReader, after_empty_lines
from gateway.testing.front_wire import read_requests

LIMITS = FrontSettings(max_header_bytes=1500, max_headers=20, max_target_bytes=200)
TOKEN = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~"

names = st.text(TOKEN, min_size=1, max_size=12).filter(
    lambda name: name.lower() not in {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"}
)
values = st.text([chr(c) for c in [9, *range(32, 127), *range(128, 256)]], max_size=20).map(lambda v: v.strip(" \t"))
targets = st.text([chr(c) for c in range(33, 127) if chr(c) != "#"], max_size=30).map(lambda rest: "/" + rest)
paddings = st.sampled_from(["", " ", "\t", "  \t "])


@st.composite
def requests(draw):
    """The bytes of a valid request, in one of the ways to write it, and what it means."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "QUERY", "M-SEARCH"]))
    target = draw(targets)
    headers = [("host", "a.example"), *draw(st.lists(st.tuples(names, values), max_size=5))]
    body = draw(st.none() | st.binary(max_size=60))
    trailers = []
    sent = b""
    if body is not None and draw(st.booleans()):
        headers.append(("Transfer-Encoding", draw(st.sampled_from(["chunked", "Chunked"]))))
        at = 0
        while at < len(body):
            size = draw(st.integers(1, 20))
            piece = body[at : at + size]
            extension = draw(st.sampled_from(["", ";x", " ; a=b", ';a="\xe9"']))
            sent += f"{len(piece):0{draw(st.integers(1, 4))}x}{extension}\r\n".encode("latin-1") + piece + b"\r\n"
            at += size
        trailers = draw(st.lists(st.tuples(names.map(lambda name: "x-" + name), values), max_size=2))
        sent += b"0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers).encode("latin-1") + b"\r\n"
    elif body is not None:
        headers.append(("Content-Length", str(len(body))))
        sent = body
    headers = draw(st.permutations(headers))
    head = f"{method} {target} HTTP/1.1\r\n"
    for name, value in headers:
        head += f"{name}:{draw(paddings)}{value}{draw(paddings)}\r\n"
    meaning = (method, target, lowered(headers), body or b"", lowered(trailers))
    return draw(st.sampled_from([b"", b"\r\n"])) + head.encode("latin-1") + b"\r\n" + sent, meaning


def lowered(headers):
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


def cut(data, cuts):
    edges = sorted({0, len(data), *(each % (len(data) + 1) for each in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


LOOP = []  # one for all examples: making it costs more than reading a request


@pytest.fixture(scope="module", autouse=True)
def _loop():
    with asyncio.Runner() as runner:
        LOOP.append(runner)
        yield
        LOOP.clear()


def read(pieces):
    return LOOP[0].run(read_requests(pieces, LIMITS))


def parts(request):
    return request.method, request.target, request.headers, request.body, request.trailers


@settings(max_examples=60, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=5), st.lists(st.integers(0, 5000), max_size=12))
def test_requests_in_any_pieces_are_the_requests_that_were_sent(sent, cuts):
    stream = b"".join(data for data, _ in sent)
    seen = read(cut(stream, cuts))
    assert [parts(request) for request in seen.requests] == [meaning for _, meaning in sent]
    assert seen.output.count(b"HTTP/1.1 200 OK\r\n") == len(sent)
    assert not seen.ended


@settings(max_examples=30, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3))
def test_requests_byte_by_byte_are_the_requests_that_were_sent(sent):
    stream = b"".join(data for data, _ in sent)
    seen = read([bytes([byte]) for byte in stream])
    assert [parts(request) for request in seen.requests] == [meaning for _, meaning in sent]


SAMPLES = [
    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET /x?y HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nUpgrade: h2c\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
    b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    b"GET http://a/x HTTP/1.1\r\nhost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab",
]
BITS = [
    b"\r\n", b"\n", b"\r", b": ", b":", b" ", b"\t", b"\x00", b"0", b"\r\n\r\n", b"content-length: 1\r\n", b"chunked",
    b"transfer-encoding: chunked\r\n", b"host: b\r\n", b"+", b",", b";", b"\x0b", b"\xff", b"HTTP/1.0", b"#", b"_",
]  # fmt: skip


@st.composite
def mutated(draw):
    """Valid requests, one after another, with a few bytes replaced, removed or put in."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3) | st.sampled_from(BITS))
    return bytes(data)


anything = st.binary(max_size=300) | mutated()


def written_anew(request):
    """The request in the plainest way to write it."""
    kept = [(n, v) for n, v in request.headers if n not in {b"content-length", b"transfer-encoding", b"expect"}]
    if not any(name == b"host" for name, _ in kept):
        kept.append((b"host", b"a"))
    lines = b"".join(b"%b: %b\r\n" % header for header in kept)
    start = f"{request.method} {request.target} HTTP/1.1\r\n".encode()
    return start + lines + b"content-length: %d\r\n\r\n" % len(request.body) + request.body


@settings(max_examples=100, deadline=None)
@given(anything, st.lists(st.integers(0, 5000), max_size=8))
def test_any_bytes_are_clear_requests_or_a_refusal(data, cuts):
    whole, in_pieces = read([data]), read(cut(data, cuts))
    assert whole.requests == in_pieces.requests
    assert whole.ended == in_pieces.ended
    for seen in (whole, in_pieces):
        assert b"HTTP/1.1 500" not in seen.output
        refusals = seen.output.count(b"application/problem+json")
        assert refusals <= 1
        assert not refusals or seen.ended
    for request in whole.requests:
        if request.method == "TRACE":
            continue
        (again,) = read([written_anew(request)]).requests
        assert (again.method, again.target, again.body) == (request.method, request.target, request.body)


ENDS = [
    b" HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n", b" HTTP/1.1\r\n\r\n", b" HTTP/1.0\r\nhost: a\r\n\r\n",
    b" HTTP/1.1\r\nhost: a\r\nexpect: x\r\n\r\n", b" HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n",
]  # fmt: skip
starts = st.binary(max_size=30) | st.builds(
    lambda method, target: method + b" " + target,
    st.sampled_from([b"GET", b"POST", b"CONNECT", b"TRACE", b"get", b"", b"\r\nGET", b"GET "]),
    st.sampled_from(
        [b"/", b"/x?y=%20", b"", b"*", b"/a b", b"/#", b"/\xc3\xa9", b"http://a/", b"//", b"/" + b"x" * 200]
    )
    | targets.map(str.encode),
)


def whole(reader, data):
    try:
        found = reader.repeated(data) or reader.read(after_empty_lines(data))
    except RequestRefused as refusal:
        return refusal.status, refusal.detail
    if found is None:
        return None
    method, target, minor, fields, rest = found
    return method, target, minor, fields.headers, rest


@settings(max_examples=300, deadline=None)
@given(starts, st.sampled_from([b"", *ENDS]), st.sampled_from(ENDS), st.sampled_from([b"", b"G", b"\r\n"]))
def test_a_head_is_read_as_if_none_had_come_before_it(start, end, before, behind):
    reader = HeadReader(LIMITS, "http")
    whole(reader, b"GET /before" + before)
    data = start + end + behind or b"G"
    assert whole(HeadReader(LIMITS, "http"), data) == whole(reader, data)


class Llhttp:
    """What llhttp, the parser of Node.js, reads."""

    def __init__(self, data):
        self.requests = []
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.parser.feed_data(data)

    def on_message_begin(self):
        self.url, self.headers, self.body = b"", [], b""
        self.in_head = True

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        if self.in_head:
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self):
        self.in_head = False
        self.upgrade = self.parser.should_upgrade()

    def on_body(self, piece):
        self.body += piece

    def on_message_complete(self):
        if not self.upgrade:  # after an offer to upgrade, it leaves the body to others
            self.requests.append((self.parser.get_method().decode(), self.url.decode(), self.headers, self.body))


def of_h11(data):
    """What h11 reads."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    found = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head = (event.method.decode(), event.target.decode(), list(event.headers))
                body = b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append((*head, body))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            else:
                return found
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return found


def compared(request):
    headers = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in request[2]]
    return (request[0], request[1], headers, request[3])


@settings(max_examples=200, deadline=None)
@given(mutated())
def test_what_the_front_takes_for_a_request_others_do_not_take_for_another_one(data):
    ours = [compared((r.method, r.target, r.headers, r.body)) for r in read([data]).requests]
    for theirs in (Llhttp(data).requests, of_h11(data)):
        for mine, other in zip(ours, map(compared, theirs), strict=False):
            if other[1].startswith("/"):  # a target in absolute form is written anew here
                assert mine == other
