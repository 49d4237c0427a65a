"""The settings of routes: patterns, conditions, selectors, and what is told of those that cannot be."""

from __future__ import annotations

import pytest

from gateway.config import Selector, load_settings
from gateway.errors import ConfigError
from gateway.wire.path_pattern import PathPattern


@pytest.fixture
def routes(tmp_path):
    def loaded(*texts: str):
        head = '[[routes]]\nupstream = "http://a"\n'
        path = tmp_path / "gateway.toml"
        path.write_text(
            "\n".join(head + ('path = "/a"\n' if not text.startswith("path = ") else "") + text for text in texts)
        )
        return load_settings(path, {}).routes

    return loaded


def problem(routes, *texts: str) -> str:
    with pytest.raises(ConfigError) as caught:
        routes(*texts)
    (line,) = caught.value.detail.splitlines()
    return line.partition("gateway.toml: ")[2]


@pytest.mark.parametrize(
    ("pattern", "fitting", "not_fitting"),
    [
        ("/", ["/"], ["/a"]),
        ("/*", ["/", "/a", "/a/b"], []),
        ("/query", ["/query", "/query/", "//query"], ["/", "/query/a", "/Query"]),
        ("/query/*", ["/query", "/query/a", "/query/a/b"], ["/", "/queryx", "/a/query"]),
        ("/s/{index}", ["/s/a", "/s/a/"], ["/s", "/s/a/b"]),
        ("/s/{index}/rows/*", ["/s/a/rows", "/s/b/rows/1"], ["/s/rows", "/s/a/b"]),
        ("/caf%C3%A9", ["/café"], ["/caf%C3%A9"]),
    ],
)
def test_a_pattern_fits_paths_segment_by_segment(pattern, fitting, not_fitting):
    read = PathPattern.parse(pattern)
    for paths, expected in ((fitting, True), (not_fitting, False)):
        assert [read.fits([s for s in path.split("/") if s]) for path in paths] == [expected] * len(paths)


def test_upper_and_lower_case_are_the_same_where_the_route_says_so():
    read = PathPattern.parse("/Query/{Name}", ignore_case=True)
    assert read.fits(["qUERY", "X"])
    assert read.names == {"Name": 1}


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("query", 'must begin with "/"'),
        ("/a/*/b", 'may hold "*" only as its last segment, as in "/query/*"'),
        ("/a/b*", 'may hold "*" only as its last segment, as in "/query/*"'),
        ("/a/x{y}", 'may hold braces only around the name of a whole segment, as in "/search/{index}"'),
        ("/a/{1}", 'may hold braces only around the name of a whole segment, as in "/search/{index}"'),
        ("/{a}/{a}", "names the segment {a} twice"),
        ("/a/%2", 'holds a "%" that two hexadecimal digits do not follow'),
        ("/a/../b", 'must not hold the segments "." and ".." nor, encoded or not, a slash, a backslash or ";"'),
        ("/a%2Fb", 'must not hold the segments "." and ".." nor, encoded or not, a slash, a backslash or ";"'),
    ],
)
def test_a_pattern_that_cannot_be_is_told(routes, path, sentence):
    assert problem(routes, f'path = "{path}"') == f"routes[0].path: {sentence}"


def test_a_route_holds_what_its_file_says(routes):
    (route,) = routes(
        'path = "/t/{tenant}/search"\nheaders = { X-Api = "v2", x-other = "*" }\nignore_case = true\n'
        'tenant = { path = "tenant" }\nparams = { q = { query = "q" }, n = { body = "/n" }, lang = "en" }\n'
        'result_status = [200, 404]\nresult_types = ["application/*+json", "text/json"]\ncaching = "upstream"\n'
    )
    assert route.headers == {"x-api": "v2", "x-other": "*"}
    assert route.tenant == Selector(path="tenant")
    assert route.params == {"q": Selector(query="q"), "n": Selector(body="/n"), "lang": Selector(fixed="en")}
    assert (route.result_status, route.result_types) == ((200, 404), ("application/*+json", "text/json"))
    assert (route.caching, route.ignore_case) == ("upstream", True)
    assert dict(route.selectors())["params.q"] == Selector(query="q")


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ('params = "all"', Selector(fixed="all")),
        ('params = { header = "x-p" }', Selector(header="x-p")),
        ('path = "/*"\nparams = { path = 3 }', Selector(path=3)),
    ],
)
def test_params_may_be_one_selector(routes, text, selector):
    assert routes(text)[0].params == selector


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("headers = 3", "routes[0].headers: must be a table, not a whole number"),
        ('headers = { "a b" = "1" }', "routes[0].headers: must be the name of a header"),
        ('headers = { X-A = "1", x-a = "2" }', "routes[0].headers: names a header twice"),
        ('headers = { x-a = "" }', "routes[0].headers: must give for x-a the value that the header has"),
        ("headers = { x-a = 1 }", "routes[0].headers.x-a: must be a text, not a whole number"),
        ("params = 3", "routes[0].params: must be a text or a table, not a whole number"),
        (
            'params = { q = { qery = "q" } }',
            "routes[0].params.q.qery: is not a setting; the nearest one is routes[0].params.q.query",
        ),
        (
            'params = { qery = "q" }',
            "routes[0].params.qery: is not a setting; the nearest one is routes[0].params.query",
        ),
        (
            'params = { q = { query = "a", body = "/b" } }',
            "routes[0].params.q: must be a text, or a table with exactly",
        ),
        ("type = { path = -1 }", "routes[0].type.path: must be the number of a segment, from 0 to 100"),
        ("type = { path = 1 }", "routes[0]: type reads the segment 1, but path has 1, counted from 0"),
        ('type = { path = "x" }', "routes[0]: type reads the segment {x}, but path names no such segment"),
        (
            'params = { q = { path = "x" } }',
            "routes[0]: params.q reads the segment {x}, but path names no such segment",
        ),
        ("result_status = [304]", "routes[0].result_status[0]: must be a status from 200 to 599"),
        ('result_status = ["200"]', "routes[0].result_status[0]: must be a status from 200 to 599"),
        ("result_status = []", "routes[0].result_status: must have at least 1 item(s)"),
        ('result_types = ["json"]', "routes[0].result_types[0]: must be a media type without parameters"),
        ('caching = "no"', "routes[0].caching: must be one of 'revalidate' or 'upstream'"),
        ("ignore_case = 1", "routes[0].ignore_case: must be true or false, not a whole number"),
        ("result_stauts = [200]", "routes[0].result_stauts: is not a setting; the nearest one is"),
    ],
)
def test_what_a_route_cannot_have_is_told_with_its_place(routes, text, sentence):
    assert problem(routes, text).startswith(sentence)


@pytest.mark.parametrize(
    ("first", "second", "hidden"),
    [
        ('path = "/*"', 'path = "/a"', True),
        ('path = "/a"', 'path = "/a/"', True),
        ('path = "/a"', 'path = "/*"', False),
        ('path = "/{x}"', 'path = "/a"', True),
        ('path = "/{x}"', 'path = "/a/b"', False),
        ('path = "/a"', 'path = "/{x}"', False),
        ('path = "/a/*"', 'path = "/a/{x}/b"', True),
        ('path = "/a"\nheaders = { x = "1" }', 'path = "/a"', False),
        ('path = "/a"\nheaders = { x = "*" }', 'path = "/a"\nheaders = { x = "1" }', True),
        ('path = "/a"\nheaders = { x = "1" }', 'path = "/a"\nheaders = { x = "*" }', False),
        ('path = "/a"', 'path = "/A"\nignore_case = true', False),
        ('path = "/A"\nignore_case = true', 'path = "/a"', True),
        ('path = "/A"', 'path = "/a"', False),
    ],
)
def test_a_route_that_no_request_can_take_is_told(routes, first, second, hidden):
    if not hidden:
        assert len(routes(first, second)) == 2
        return
    assert problem(routes, first, second) == (
        ": routes[1] is never taken: routes[0] stands before it and takes all its requests; "
        "put the more special route first"
    ).removeprefix(": ")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "", "unix:/x"])
def test_a_trusted_proxy_is_a_network_an_address_or_unix(tmp_path, text):
    path = tmp_path / "gateway.toml"
    path.write_text('trusted_proxies = ["10.0.0.0/8", "::1", "unix"]\n')
    assert load_settings(path, {}).trusted_proxies == ("10.0.0.0/8", "::1/128", "unix")
    path.write_text(f'trusted_proxies = ["{text}"]\n')
    with pytest.raises(ConfigError, match=r"trusted_proxies\[0\]: must be a network"):
        load_settings(path, {})
