"""Which URLs are understood, and which addresses calls may go to."""

from __future__ import annotations

import pytest

from gateway.errors import AddressBlocked, ConfigError
from gateway.transport import AddressGuard, parse_endpoint
from gateway.transport.endpoint import canonical_host

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%2",
    "2606:4700::1111%2",
    "fec0::1",
    "ff02::1",
    "not an address",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_unicast_address_is_permitted(address):
    assert AddressGuard().permits("hook.example", address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_any_other_address_is_refused(address):
    assert not AddressGuard().permits("hook.example", address)


@pytest.mark.parametrize(
    ("allow", "host", "address", "permitted"),
    [
        ("10.1.0.0/16", "hook.example", "10.1.2.3", True),
        ("10.1.0.0/16", "hook.example", "10.2.0.1", False),
        ("10.1.0.0/16", "hook.example", "::ffff:10.1.2.3", True),
        ("10.1.2.3", "hook.example", "10.1.2.3", True),
        ("10.1.2.3", "hook.example", "10.1.2.4", False),
        ("fd00::/8", "hook.example", "fd12::1", True),
        ("[fd12::1]", "hook.example", "fd12::1", True),
        ("fe80::/10", "hook.example", "fe80::1%2", True),
        ("hooks.internal", "hooks.internal", "10.0.0.1", True),
        ("HOOKS.Internal.", "hooks.internal", "127.0.0.1", True),
        ("hooks.internal", "a.hooks.internal", "10.0.0.1", False),
        ("hooks.internal", "evilhooks.internal", "10.0.0.1", False),
        ("*.internal", "hooks.internal", "10.0.0.1", True),
        ("*.internal", "a.b.internal", "10.0.0.1", True),
        ("*.internal", "internal", "10.0.0.1", False),
        ("*.internal", "evilinternal", "10.0.0.1", False),
        ("bücher.example", "xn--bcher-kva.example", "10.0.0.1", True),
        (" 10.0.0.0/8 ", "hook.example", "10.0.0.1", True),
    ],
)
def test_what_the_operator_allows_is_permitted_and_nothing_beside_it(allow, host, address, permitted):
    assert permitted == AddressGuard([allow]).permits(host, address)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "*.*.internal",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "127.1",
        "0x7f.1",
        "a b",
        "https://hooks.internal",
        "a/b",
        "host:80",
    ],
)
def test_an_entry_that_is_neither_network_nor_name_is_a_configuration_error_naming_it(entry):
    with pytest.raises(ConfigError) as caught:
        AddressGuard([entry])
    assert repr(entry) in caught.value.detail


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://hook.example/", "https"),
        ("https://127.0.0.1/", "127.0.0.1"),
        ("https://[::ffff:7f00:1]/", "::ffff:7f00:1"),
        ("https://localhost/", "localhost"),
        ("https://a.localhost/", "a.localhost"),
        ("https://hook.example/", None),
        ("https://8.8.8.8/", None),
        ("https://[2606:4700::1111]:8443/", None),
    ],
)
def test_what_can_be_refused_by_the_url_alone_is_refused_at_once(url, words):
    refusal = AddressGuard().refusal(parse_endpoint(url))
    assert refusal is None if words is None else words in refusal


def test_http_and_loopback_are_not_refused_where_the_operator_allows_them():
    guard = AddressGuard(["127.0.0.0/8"], allow_http=True)
    for url in ("http://127.0.0.1:8080/", "http://localhost/", "http://hook.example/"):
        assert guard.refusal(parse_endpoint(url)) is None


@pytest.mark.parametrize(
    "sockaddr", [("127.0.0.1", 80), ("fe80::1", 80, 0, 2), ("fe80::1%lo", 80, 0, 0), ("::1", 80, 0, 0)]
)
def test_a_socket_address_that_is_refused_names_host_and_address(sockaddr):
    with pytest.raises(AddressBlocked) as caught:
        AddressGuard().check("hook.example", sockaddr)
    assert "hook.example" in caught.value.detail
    assert sockaddr[0] in caught.value.detail


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "authority", "target"),
    [
        ("https://hook.example", "https", "hook.example", 443, "hook.example", "/"),
        ("HTTPS://Hook.Example./A?b=C", "https", "hook.example", 443, "hook.example", "/A?b=C"),
        ("https://hook.example?x", "https", "hook.example", 443, "hook.example", "/?x"),
        ("http://hook.example:80/", "http", "hook.example", 80, "hook.example", "/"),
        ("https://hook.example:0443/", "https", "hook.example", 443, "hook.example", "/"),
        ("https://hook.example:8443/a/b%20c", "https", "hook.example", 8443, "hook.example:8443", "/a/b%20c"),
        ("https://my_host/", "https", "my_host", 443, "my_host", "/"),
        ("https://1.2.3.4:1/", "https", "1.2.3.4", 1, "1.2.3.4:1", "/"),
        ("https://[2001:0DB8::0:1]:65535/", "https", "2001:db8::1", 65535, "[2001:db8::1]:65535", "/"),
        ("https://bücher.example/", "https", "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/"),
        ("https://ＨＯＯＫ.example/", "https", "hook.example", 443, "hook.example", "/"),
        ("https://１.２。３．４/", "https", "1.2.3.4", 443, "1.2.3.4", "/"),
    ],
)
def test_a_url_is_parsed_to_one_canonical_spelling(url, scheme, host, port, authority, target):
    endpoint = parse_endpoint(url, pool="hook")
    assert (scheme, host, port, authority, target, "hook") == (
        endpoint.scheme,
        endpoint.host,
        endpoint.port,
        endpoint.authority,
        endpoint.target,
        endpoint.pool,
    )
    assert endpoint == parse_endpoint(endpoint.url, pool="hook")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "start with https"),
        ("hook.example/path", "start with https"),
        ("//hook.example/", "start with https"),
        ("ftp://hook.example/", "start with https"),
        ("file:///etc/passwd", "start with https"),
        ("https:hook.example", "start with https"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://:443/", "no host"),
        ("https://./", "no host"),
        ("https://user@hook.example/", "user name"),
        ("https://user:secret@hook.example/", "user name"),
        ("https://hook.example#@1.2.3.4/", "fragment"),
        ("https://hook.example/#part", "fragment"),
        ("https://hook.example/\\@1.2.3.4", "backslash"),
        (" https://hook.example/", "white space"),
        ("https://hook.example/a b", "white space"),
        ("https://hook.example/\r\nx-a: 1", "white space"),
        ("https://hook.example/\x00", "control"),
        ("https://hook.example/\u202e", "control"),
        ("https://hook.example:0/", "port"),
        ("https://hook.example:65536/", "port"),
        ("https://hook.example:/", "port"),
        ("https://hook.example:+80/", "port"),
        ("https://hook.example:８０/", "port"),
        ("https://hook.example:80:80/", "port"),
        ("https://hook..example/", "not a valid host name"),
        ("https://-hook.example/", "not a valid host name"),
        ("https://hook,example/", "not a valid host name"),
        ("https://hook%2eexample/", "not a valid host name"),
        (f"https://{'a' * 64}.example/", "not a valid host name"),
        (f"https://{'a.' * 127}example/", "not a valid host name"),
        ("https://\u00ad/", "control"),
        ("https://a\u2260b.example/", "not a valid"),
        ("https://127.1/", "disguised"),
        ("https://2130706433/", "disguised"),
        ("https://0x7f000001/", "disguised"),
        ("https://0x7f.1/", "disguised"),
        ("https://0177.0.0.1/", "disguised"),
        ("https://1.2.3.4.5/", "disguised"),
        ("https://256.1.1.1/", "disguised"),
        ("https://hook.0x/", "disguised"),
        ("https://①②⑦.1/", "disguised"),
        ("https://[::1/", "not valid"),
        ("https://::1/", "no host"),
        ("https://[1.2.3.4]/", "not a valid IPv6"),
        ("https://[fe80::1%25lo]/", "zone id"),
        ("https://hook.example/ä", "percent-encoded"),
        ("https://hook.example/%zz", "percent-encoded"),
        ("https://hook.example/<a>", "percent-encoded"),
        ("https://hook.example/a/../b", "segments"),
        ("https://hook.example/%2E%2e/b", "segments"),
        ("https://hook.example/.", "segments"),
    ],
)
def test_a_url_that_needs_interpretation_is_refused_with_a_sentence(url, words):
    with pytest.raises(ValueError) as caught:
        parse_endpoint(url)
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_refused_url_does_not_repeat_its_password():
    with pytest.raises(ValueError) as caught:
        parse_endpoint("https://user:s3cret@hook.example/")
    assert "s3cret" not in str(caught.value)


def test_a_canonical_host_stays_as_it_is():
    for host in ("hook.example", "1.2.3.4", "xn--bcher-kva.example"):
        assert host == canonical_host(canonical_host(host))


@pytest.mark.parametrize(
    ("host", "address", "port", "blocked"),
    [
        ("hook.example", "93.184.216.34", 443, False),
        ("hook.example", "93.184.216.34", 8443, False),
        ("hook.example", "93.184.216.34", 25, True),
        ("hook.example", "2606:4700::1111", 6379, True),
        ("hook.example", "10.1.2.3", 6379, False),
        ("hooks.internal", "93.184.216.34", 6379, False),
        ("hook.example", "10.2.0.1", 443, True),
    ],
)
def test_with_a_list_of_ports_public_addresses_are_called_at_these_only(host, address, port, blocked):
    guard = AddressGuard(["10.1.0.0/16", "hooks.internal"], ports=[443, 8443])
    sockaddr = (address, port, 0, 0) if ":" in address else (address, port)
    if not blocked:
        guard.check(host, sockaddr)
        return
    with pytest.raises(AddressBlocked, match=str(port) if port not in {443, 8443} else "not public"):
        guard.check(host, sockaddr)


def test_an_address_that_is_written_out_is_refused_at_another_port_at_once():
    guard = AddressGuard(ports=[443])
    assert "calls.ports" in guard.refusal(parse_endpoint("https://8.8.8.8:8443/"))
    assert guard.refusal(parse_endpoint("https://8.8.8.8/")) is None
    assert guard.refusal(parse_endpoint("https://hook.example:8443/")) is None  # judged when it is connected to
