"""The caps of a reply hold to the byte: what is exactly as large passes, one more does not."""

from __future__ import annotations

import gzip
import zlib

import pytest

from gateway.errors import ReplyTooLarge
from gateway.transport.buffers import ReplyBuffers
from gateway.transport.protocol import Limits
from gateway.transport.reading import ResponseReader

START = b"HTTP/1.1 200 OK\r\n"


def read(data: bytes, limits: Limits):
    reader = ResponseReader(ReplyBuffers(10**9), "hook")
    reader.begin(limits)
    return reader.feed(data)


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_may_be_as_large_as_its_cap_once_it_is_decompressed(coding, chunked, over):
    body = b" " * (1000 + over)
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body), "identity": body}[coding]
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(packed)
    payload = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed) if chunked else packed
    data = START + b"content-encoding: " + coding.encode() + b"\r\n" + framing + b"\r\n\r\n" + payload
    if over:
        with pytest.raises(ReplyTooLarge):
            read(data, Limits(body=1000))
    else:
        assert read(data, Limits(body=1000)).body == body


@pytest.mark.parametrize("over", [0, 1])
def test_a_compressed_body_may_be_as_large_as_its_cap_as_it_is_received(over):
    packed = gzip.compress(bytes(range(256)), 0)
    data = START + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed
    if over:
        with pytest.raises(ReplyTooLarge):
            read(data, Limits(body=len(packed) - 1))
    else:
        assert read(data, Limits(body=len(packed))).body == bytes(range(256))


def test_a_head_may_have_as_many_headers_and_bytes_as_its_caps():
    data = START + b"x: 1\r\n" * 9 + b"content-length: 0\r\n\r\n"
    assert read(data, Limits(header_count=10, head=len(data))).status == 200
    with pytest.raises(ReplyTooLarge):
        read(data, Limits(header_count=10 - 1, head=len(data)))
    with pytest.raises(ReplyTooLarge):
        read(data, Limits(header_count=10, head=len(data) - 1))
