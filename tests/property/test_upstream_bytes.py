"""Whatever bytes an upstream sends, and in whatever pieces: one answer or one `UpstreamFailed`, always the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.service.messages import ResponseHead
from gateway.service.upstream.heads import KnownHeads, ReadHead, read_alike, read_head
from gateway.service.upstream.limits import Limits
from gateway.testing.upstream_wire import AnswerRead, read_answer

LIMITS = Limits(head=1500)
WHOLE = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nt: 1\r\n\r\n",
        b"hello",
    ),
    "hints": (b"HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"{}"),
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "bytes behind it": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n", b"{}"),
}
WORDS = st.sampled_from(
    [
        b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 OK\r\n", b"204 \r\n", b"100 \r\n\r\n", b"103\r\n\r\n", b"\r\n", b"\r", b"\n",
        b"content-length: ", b"5", b"0", b"transfer-encoding: ", b"chunked\r\n", b": ", b"x", b"\0", b"hello", b" ",
        b"connection: close\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"keep-alive: timeout=0\r\n", b"101 \r\n", b"\xff",
    ]
)  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_every_split_of_an_answer_in_two_gives_the_same(name):
    message, body = WHOLE[name]
    whole = read_answer(message, (), LIMITS)
    assert (whole.body, whole.failed, whole.kept) == (body, False, name not in {"to the end", "bytes behind it"})
    for cut in range(len(message)):
        split = read_answer(message, (cut,), LIMITS)
        assert (split.interim, split.head, split.body, split.trailers, split.failed) == (
            whole.interim, whole.head, whole.body, whole.trailers, False,
        )  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_byte_by_byte_is_the_same(name):
    message, body = WHOLE[name]
    split = read_answer(message, range(len(message)), LIMITS)
    assert (split.head.status, split.body, split.failed) == (204 if name == "nothing" else 200, body, False)


@given(
    st.sampled_from([message for message, _ in WHOLE.values()]),
    st.lists(st.integers(0, 100), max_size=8),
    st.sampled_from(["GET", "HEAD"]),
)
def test_any_pieces_of_an_answer_give_the_same(message, cuts, method):
    whole = read_answer(message, (), LIMITS, method=method)
    split = read_answer(message, cuts, LIMITS, method=method)
    assert (split.head, split.body, split.failed) == (whole.head, whole.body, whole.failed)


@settings(max_examples=400)
@given(
    st.lists(WORDS, max_size=24).map(b"".join) | st.binary(max_size=200),
    st.lists(st.integers(0, 200), max_size=5),
    st.booleans(),
)
def test_any_bytes_give_an_answer_or_fail_and_nothing_else_happens(message, cuts, upgrade):
    read = read_answer(message, cuts, LIMITS, upgrade=upgrade)
    assert isinstance(read, AnswerRead)
    assert read.head is not None or read.failed
    whole = read_answer(message, (), LIMITS, upgrade=upgrade)
    assert (whole.head is None or whole.failed) == (read.head is None or read.failed)


FIELDS = st.sampled_from(
    [
        b"date: now", b"Date: then", b"x: 1", b"x:  \xff ", b"x:", b"content-length: 5", b"Content-Length: 70",
        b"content-length: -1", b"transfer-encoding: chunked", b"transfer-encoding: gzip", b"connection: close",
        b"connection: keep-alive", b"keep-alive: timeout=9", b"keep-alive: timeout=2", b"content-type: text/html",
        b"content-type: text/event-stream", b"x\n: 1", b"x y: 1", b"x: \0", b" x: 1", b"x",
    ]
)  # fmt: skip
HEADS = st.builds(
    lambda first, fields: b"\r\n".join([first, *fields, b"", b""]),
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 ", b"HTTP/1.1 103 ", b"HTTP/1.1"]),
    st.lists(FIELDS, max_size=4),
)


def what_it_says(reading, raw):
    try:
        head = reading(raw)
    except UpstreamFailed as error:
        return error.detail
    return {name: getattr(head, name) for name in ReadHead.__slots__}


@settings(max_examples=1000)
@given(st.lists(HEADS, max_size=8))
def test_a_head_says_the_same_whatever_heads_came_before_it(heads):
    known = KnownHeads()
    for raw in heads:
        assert what_it_says(known.read, raw) == what_it_says(read_head, raw)


def test_a_head_with_another_date_and_length_is_read_by_what_differs():
    raw = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n"
    other = read_head(raw.replace(b"now", b"then").replace(b"5", b"77"))
    alike = read_alike(raw, other)
    assert alike is not None
    assert alike.headers == [(b"date", b"now"), (b"content-length", b"5"), (b"x-a", b"1")]
    assert alike.length == 5


@pytest.mark.parametrize("cut", range(0, 44, 3))
def test_an_answer_that_is_cut_off_anywhere_is_none(cut):
    message = WHOLE["a length"][0]
    read = read_answer(message[:cut], (), LIMITS)
    assert read.failed
    assert read.head == (None if cut < 38 else ResponseHead(200, b"OK", [(b"content-length", b"5")]))
