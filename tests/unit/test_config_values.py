"""The syntax of addresses, URLs, networks, paths and keys in settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.values import (
    Address,
    UnixAddress,
    parse_address,
    parse_allowed,
    parse_header_name,
    parse_listen_address,
    parse_method,
    parse_operator_key,
    parse_pointer,
    parse_route_path,
    parse_url,
)


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("[::1]:0", Address("::1", 0), True),
        ("localhost:1", Address("localhost", 1), True),
        ("0.0.0.0:65535", Address("0.0.0.0", 65535), False),
        ("gateway.example:80", Address("gateway.example", 80), False),
    ],
)
def test_an_address_is_read_and_written_the_same(text, address, loopback):
    assert parse_address(text) == address
    assert str(address) == text
    assert address.is_loopback is loopback


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "h:65536",
        "h:-1",
        "h:٣",
        "::1:80",
        "[::1]",
        "[h]:80",
        "a b:1",
        "1.2.3:4",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"must"):
        parse_address(text)


def test_a_unix_socket_is_read_and_written_the_same_and_only_this_machine_reaches_it():
    address = parse_listen_address("unix:/run/gateway/gateway.sock")
    assert address == UnixAddress("/run/gateway/gateway.sock")
    assert str(address) == "unix:/run/gateway/gateway.sock"
    assert address.is_loopback
    assert parse_listen_address("127.0.0.1:80") == Address("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("unix:", "must have an absolute path"),
        ("unix:gateway.sock", "must have an absolute path"),
        ("unix:///run/gateway.sock", "must have an absolute path"),
        ("unix:/run/", "must have an absolute path"),
        ("unix:/run/a\0b", "printable"),
        ("unix:/" + "a" * 107, "has a path of 108 bytes, but the path of a Unix socket has at most 107"),
        ("unix:/" + "é" * 54, "has a path of 109 bytes"),
    ],
)
def test_what_cannot_be_the_path_of_a_unix_socket_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_listen_address(text)


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "fd00::/8", "192.0.2.1", "::1", "hooks.internal", "*.internal", "xn--bcher-kva.example"]
)
def test_networks_addresses_and_names_may_be_allowed(text):
    assert parse_allowed(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.1/8", "10.0.0.0/33", "a/b", "-a.example", "a..b", "http://a", "1.2.3"],
)
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError, match=r"must be a network"):
        parse_allowed(text)


def test_a_base_url_loses_its_last_slash():
    assert parse_url("https://api.example:8443/v1/") == "https://api.example:8443/v1"
    assert parse_url("http://[::1]:80") == "http://[::1]:80"


@pytest.mark.parametrize(
    "text",
    [
        "", "api.example", "ftp://api.example", "http://", "http://:80", "http://u:p@api.example", "http://a?x=1", "http://a?",
        "http://a#f", "http://a:99999", "http://a:x", "http://a b", "http://[::1", "http://bücher.example", "http://a/\nb",
    ],
)  # fmt: skip
def test_what_is_no_base_url_is_refused(text):
    with pytest.raises(ValueError, match=r"must"):
        parse_url(text)


def test_a_route_takes_one_path_or_any_below_it():
    for text in ("/", "/*", "/query", "/query/*", "/a/b/*"):
        assert parse_route_path(text) == text
    for text in ("", "query", "/*/a", "/a*", "/**", "/a?b", "/a b", "/a\n"):
        with pytest.raises(ValueError, match=r"must|may"):
            parse_route_path(text)


def test_methods_headers_and_pointers_have_their_standards_syntax():
    assert (parse_method("GET"), parse_header_name("X-Type"), parse_pointer("/a~1b/0")) == ("GET", "x-type", "/a~1b/0")
    for parse, text in (
        (parse_method, "get"),
        (parse_header_name, "x type"),
        (parse_pointer, "a"),
        (parse_pointer, "/~2"),
    ):
        with pytest.raises(ValueError, match=r"must be"):
            parse(text)


# Marked, because Hypothesis tries words of the sentences themselves, too.
@given(st.text() | st.text().map("¤¤¤¤¤¤".__add__))
def test_any_text_is_a_value_or_a_sentence_that_does_not_repeat_it(text):
    for parse in (parse_address, parse_allowed, parse_url, parse_operator_key, parse_route_path, parse_pointer):
        try:
            parse(text)
        except ValueError as error:
            # Shorter texts may be words of the sentence itself, such as "secret" or "127.0.0.1:8080".
            assert len(text) < 16 or text not in str(error)  # noqa: PT017  either way is right
