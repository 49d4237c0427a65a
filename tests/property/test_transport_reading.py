"""Whatever bytes come, and in whatever pieces: one response or one `CallError`, always the same."""

from __future__ import annotations

import gzip
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import CallError
from gateway.testing import hook_routes
from gateway.transport.buffers import ReplyBuffers
from gateway.transport.protocol import Limits
from gateway.transport.reading import ResponseReader

LIMITS = Limits(body=2000, head=1500, header_count=20)

WHOLE = [
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\nDate: x\r\n\r\n{"rows":[1,2]}'[:-1],
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nx-t: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 No\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b"
    % (len(gzip.compress(b"a" * 500)), gzip.compress(b"a" * 500)),
]
SAMPLES = [
    *WHOLE,
    *(data for data in hook_routes._BYTES.values() if len(data) < 5000),
    *hook_routes._OPEN_BYTES.values(),
]


def new_reader() -> ResponseReader:
    return ResponseReader(ReplyBuffers(10**9), "hook")


def read(reader, data, cuts):
    """What the reader makes of `data` cut into pieces: a description that can be compared."""
    reader.begin(LIMITS)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        try:
            response = reader.feed(data[start:end])
        except CallError as error:
            return ("error", type(error), error.detail)
        if response is not None:
            # Bytes in a later piece close the connection elsewhere; in the same piece the reader sees them.
            return ("reply", response.status, list(response.headers), response.body, response.received)
    return ("more",)


def mutated(samples):
    """One of the samples with a few bytes replaced, removed or put in."""

    @st.composite
    def build(draw):
        data = bytearray(draw(st.sampled_from(samples)))
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(data)))
            data[at : at + draw(st.integers(0, 3))] = draw(
                st.binary(max_size=4)
                | st.sampled_from([b"\r\n", b"\n", b"\r", b": ", b"0", b" ", b"\x00", b"content-length: 1\r\n"])
            )
        return bytes(data)

    return build()


@settings(max_examples=100)
@given(st.binary(max_size=300) | mutated(SAMPLES), st.lists(st.integers(0, 5000), max_size=8))
def test_any_bytes_in_any_pieces_are_a_reply_or_a_call_error_whose_kind_does_not_depend_on_the_pieces(data, cuts):
    whole = read(new_reader(), data, [])
    pieces = read(new_reader(), data, cuts)
    assert whole == pieces or (whole[0] == pieces[0] == "error")


@settings(max_examples=100)
@given(st.lists(st.sampled_from(WHOLE) | mutated(WHOLE), min_size=1, max_size=6))
def test_a_reader_that_has_seen_other_replies_reads_the_next_one_like_a_new_reader(messages):
    reader = new_reader()
    for data in messages:
        expected = read(new_reader(), data, [])
        assert expected == read(reader, data, [])
        if expected[0] != "reply" or not reader.keep:
            return


@settings(max_examples=100)
@given(st.binary(max_size=2500), st.integers(0, 2), st.binary(max_size=3))
def test_a_reply_with_a_length_is_read_exactly_also_when_its_head_is_familiar(body, times, extra):
    reader = new_reader()
    head = b"HTTP/1.1 200 OK\r\nserver: s\r\nContent-Length: %d\r\nx-after: y\r\n\r\n"
    for _ in range(times):
        assert read(reader, head % 3 + b"abc", [])[3] == b"abc"
    outcome = read(reader, head % len(body) + body + extra, [])
    if len(body) > LIMITS.body:
        assert outcome[0] == "error"
        return
    assert outcome[:2] == ("reply", 200)
    assert outcome[2] == [("server", "s"), ("content-length", str(len(body))), ("x-after", "y")]
    assert outcome[3:] == (body, len(body))
    assert reader.keep or extra


@settings(max_examples=50)
@given(st.lists(st.sampled_from([1, 2, 300, 4_095, 4_096, 9_000]), max_size=12), st.integers(0, 255), st.booleans())
def test_a_body_in_large_and_small_pieces_comes_whole_and_in_order(sizes, seed, chunked):
    reader = new_reader()
    body = bytes((seed + i // 7) % 256 for i in range(sum(sizes)))
    head = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body)
    for _ in range(2):
        reader.begin(Limits())
        response = reader.feed(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % head)
        at = 0
        for size in sizes:
            piece = body[at : at + size]
            response = reader.feed(b"%x\r\n%b\r\n" % (size, piece) if chunked else piece)
            at += size
        if chunked:
            response = reader.feed(b"0\r\n\r\n")
        assert response is not None
        assert response.body == body
        assert isinstance(response.body, bytes)


def test_line_ends_behind_a_reply_are_no_part_of_the_next_one():
    """The parser passes over them; a head that was learned with some of the body in it would shift later bodies."""
    reader = new_reader()
    first, second = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12999\r\n",
    )
    assert read(reader, first, [])[3] == b"12345"
    assert read(reader, second, [])[3] == b"12999"
