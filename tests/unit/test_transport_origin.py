"""Where a URL of the operator's points: one reading, or a sentence."""

from __future__ import annotations

import pytest

from gateway.transport.origin import Origin, parse_origin


@pytest.mark.parametrize(
    ("url", "origin", "text", "place", "authority"),
    [
        ("http://127.0.0.1:9000", Origin("http", "127.0.0.1", 9000), None, "127.0.0.1:9000", "127.0.0.1:9000"),
        ("HTTP://A.Example/", Origin("http", "a.example", 80), "http://a.example", "a.example:80", "a.example"),
        ("https://api.example:443/v1/", Origin("https", "api.example", 443, base="/v1"), "https://api.example/v1",
         "api.example:443", "api.example"),
        ("https://[::1]:8443/a/b", Origin("https", "::1", 8443, base="/a/b"), None, "[::1]:8443", "[::1]:8443"),
        ("http://my_api:8000", Origin("http", "my_api", 8000), None, "my_api:8000", "my_api:8000"),
        ("http://xn--bcher-kva.example", Origin("http", "xn--bcher-kva.example", 80), None, "xn--bcher-kva.example:80",
         "xn--bcher-kva.example"),
        ("http+unix:///run/api.sock", Origin("http", "localhost", 80, "/run/api.sock"), None, "unix:/run/api.sock",
         "localhost"),
        ("http+unix:///run/api.sock:/v1/", Origin("http", "localhost", 80, "/run/api.sock", "/v1"),
         "http+unix:///run/api.sock:/v1", "unix:/run/api.sock", "localhost"),
        ("http+unix:///run/a%3Ab%25.sock", Origin("http", "localhost", 80, "/run/a:b%.sock"), None,
         "unix:/run/a:b%.sock", "localhost"),
    ],
)  # fmt: skip
def test_an_origin(url, origin, text, place, authority):
    found = parse_origin(url)
    assert (found, str(found), found.place, found.authority) == (origin, text or url, place, authority)
    assert parse_origin(str(found)) == found
    assert found.secure == (found.scheme == "https")


@pytest.mark.parametrize(
    "url",
    [
        "", "api.example", "/v1", "ftp://api.example", "http://", "http:///v1", "http://user@api.example",
        "http://api.example?x", "http://api.example/#x", "http://api.example:0", "http://api.example:65536",
        "http://api.example:x", "http://[::1", "http://a b", "http://api.example/a b", "http://api.example/../b",
        "http://api.example/%2e%2E/b", "http://api.example/\u20ac", "http://127.1", "http://0x7f.1", "http://-a",
        "http+unix://run/api.sock", "http+unix://", "http+unix:///", "http+unix:///run/a.sock:v1",
        "http+unix:///run/a\0.sock", "http+unix:///" + "a" * 110, "http+unix:///run/a%00.sock", "http://a\\b",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_told_in_words_that_complete_a_sentence(url):
    with pytest.raises(ValueError, match=r"^must ") as caught:
        parse_origin(url)
    assert not str(caught.value).endswith(".")
