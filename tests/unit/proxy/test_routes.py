"""Which route a request takes and which query it asks, without a server."""

from __future__ import annotations

import orjson
import pytest

from gateway.config import RouteSettings
from gateway.service.messages import RequestHead
from gateway.service.proxy.asked import Asked
from gateway.service.proxy.configured import route_of
from gateway.service.proxy.paths import Misread, readings
from gateway.service.proxy.routes import MediaTypes, Router
from gateway.wire.strict_names import is_named_once


def router(*routes):
    return Router([route_of(RouteSettings(upstream=f"http://u{n}", **route)) for n, route in enumerate(routes)])


def head(target, method="GET", **headers):
    return RequestHead(
        method, target, [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    )


def upstream(routing, request):
    taken = routing.find(request)
    return taken and taken.route.upstream.removeprefix("http://u")


SEVERAL = router(
    {"path": "/query", "headers": {"x-api": "v2"}},
    {"path": "/query/*", "headers": {"x-any": "*"}},
    {"path": "/query"},
    {"path": "/search/{index}"},
    {"path": "/static/*"},
)


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("/query?a=1", {"x_api": "v2"}, "0"),
        ("/query", {"x_any": ""}, "1"),
        ("/query", {"x_api": "v1"}, "2"),
        ("/query/", {}, "2"),
        ("//query", {}, "2"),
        ("/%71uery", {}, "2"),
        ("/query/x", {}, None),
        ("/search/a%20b", {}, "3"),
        ("/search", {}, None),
        ("/static/a;v=1/b", {}, "4"),
        ("/static/a%2Fb", {}, "4"),
        ("/static/a/./b", {}, "4"),
        ("/static/.well-known/x", {}, "4"),
        ("/static/a%2520b", {}, "4"),
        ("/", {}, None),
    ],
)
def test_the_first_route_that_fits_is_taken(target, headers, expected):
    assert upstream(SEVERAL, head(target, **headers)) == expected


@pytest.mark.parametrize(
    "target",
    [
        "/static/../query",
        "/static/%2e%2e/query",
        "/static/.%2E/query",
        "/static/..%2fquery",
        "/static/..%5cquery",
        "/static/..\\query",
        "/static/..;x=1/query",
        "/static/..%3bx/query",
        "/static/%252e%252e/query",
        "/static/%252e%252e%252fquery",
        "/query;jsessionid=1",
        "/query%3bx",
        "/./query/../static/x",
        "/static%2fx",
        "/query%00.png",
        "/query#x",
        "/static/../../x",
        "/..",
        "/%2e%2e/",
        "query",
        "*",
    ],
)
def test_a_path_that_servers_read_in_different_ways_gets_nowhere(target):
    with pytest.raises(Misread):
        SEVERAL.find(head(target))


def test_where_all_readings_lead_to_the_same_a_path_goes_on_as_it_is():
    all_of_it = router({"path": "/*"})
    for target in ("/a/../b", "/a%2fb", "/a;b", "/a%5Cb", "/x%2525", "//a//", "/ü"):
        assert upstream(all_of_it, head(target)) == "0"


def test_a_segment_that_is_read_must_be_the_same_in_all_readings():
    routing = router({"path": "/t/{tenant}/*", "tenant": {"path": "tenant"}})
    assert upstream(routing, head("/t/acme/a%2Fb")) == "0"
    for target in ("/t/acme%2Fother/x", "/t/acme;x/x", "/t/acme/../other/x", "/t/%2561cme/x"):
        with pytest.raises(Misread):
            routing.find(head(target))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", [()]),
        ("/a/b", [("a", "b")]),
        ("/a/b/", [("a", "b")]),
        ("/a%20b", [("a b",)]),
        ("/a//b", [("a", "b")]),
        ("/a/./b", [("a", ".", "b"), ("a", "b")]),
        ("/a/../b", [("a", "..", "b"), ("b",)]),
        ("/a%2Fb", [("a/b",), ("a", "b")]),
        ("/a;c/b", [("a;c", "b"), ("a", "b")]),
    ],
)
def test_a_path_has_as_many_readings_as_servers_give_it(path, expected):
    assert readings(path) == expected


def test_what_a_route_depended_on_is_told_for_caches():
    assert SEVERAL.find(head("/query")).vary == (b"x-api", b"x-any")
    assert SEVERAL.find(head("/query", x_api="v2")).vary == (b"x-api",)
    assert SEVERAL.find(head("/static/a")).vary == ()
    (route,) = router({"path": "/a", "tenant": {"header": "x-t"}, "params": {"q": {"header": "x-q"}}})._routes
    assert route.headers_read == (b"x-q", b"x-t")


def asked(target="/", body=None, **headers):
    return Asked(head(target, **headers), readings(target.partition("?")[0])[0], body)


def query(route, request):
    made = route_of(RouteSettings(upstream="http://a", **{"path": "/*", **route}))
    names = made.names(request)
    return names and made.query(names, request)


JSON = {"content_type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("type_", "request_", "expected"),
    [
        ("search", asked(), "search"),
        ({"header": "x-t"}, asked(x_t="form"), "form"),
        ({"header": "x-t"}, asked(x_t=""), None),
        ({"header": "x-t"}, asked(), None),
        ({"query": "t"}, asked("/?t=a%20b"), "a b"),
        ({"query": "t"}, asked("/?t="), None),
        ({"query": "t"}, asked("/?t=a&t=a"), "a"),
        ({"path": 1}, asked("/a/b"), "b"),
        ({"path": 2}, asked("/a/b"), None),
        ({"body": "/a/0"}, asked(body=b'{"a": ["x"]}', **JSON), "x"),
        ({"body": "/a"}, asked(body=b'{"a": 1.5}', **JSON), "1.5"),
        ({"body": "/a"}, asked(body=b'{"a": true}', **JSON), "true"),
        ({"body": "/a"}, asked(body=b'{"a": {}}', **JSON), None),
        ({"body": "/b"}, asked(body=b'{"a": 1}', **JSON), None),
        ({"body": "/a"}, asked(body=b'{"a": ', **JSON), None),
        ({"body": "/a"}, asked(body=b'{"a": "x"}', content_type="text/plain"), None),
    ],
)
def test_a_type_comes_from_where_the_route_says_and_without_one_there_is_no_query(type_, request_, expected):
    made = query({"type": type_}, request_)
    assert (made and made.type) == expected


@pytest.mark.parametrize(
    ("type_", "request_"),
    [
        ({"query": "t"}, asked("/?t=a&t=b")),
        ({"body": "/t"}, asked(body=b'{"t": "a", "t": "b"}', **JSON)),
        ({"body": "/t"}, asked(body=b'{"t": "a", "\\u0074": "b"}', **JSON)),
        ({"body": "/a/t"}, asked(body=b'{"a": {"t": "a"}, "a": {}}', **JSON)),
    ],
)
def test_a_name_that_is_there_twice_is_refused(type_, request_):
    with pytest.raises(Misread, match=r"there (twice|2 times)"):
        query({"type": type_}, request_)
    twice = RequestHead("GET", "/", [(b"x-t", b"a"), (b"x-t", b"b")])
    with pytest.raises(Misread, match="there 2 times"):
        query({"type": {"header": "x-t"}}, Asked(twice, ()))


@pytest.mark.parametrize(
    ("params", "request_", "expected"),
    [
        (None, asked("/?q=lisbon&q=porto&n=1"), {"q": ["lisbon", "porto"], "n": "1"}),
        (None, asked("/?q=1", body=b'{"a": [1]}', **JSON), {"a": [1]}),
        (None, asked("/?q=1", body=b"no json", **JSON), {"q": "1"}),
        ({"body": "/ask"}, asked(body=b'{"ask": {"q": 1}}', **JSON), {"q": 1}),
        ({"header": "x-q"}, asked(x_q="x"), "x"),
        ("fixed", asked(), "fixed"),
        (
            {"q": {"query": "q"}, "in": {"path": 0}, "n": {"body": "/n"}, "no": {"header": "x-no"}, "lang": "en"},
            asked("/cities?q=x", body=b'{"n": [1]}', **JSON),
            {"q": "x", "in": "cities", "n": [1], "no": None, "lang": "en"},
        ),
    ],
)
def test_params_come_from_where_the_route_says(params, request_, expected):
    assert query({"params": params}, request_).params == expected


def test_depth_and_trace_come_with_the_query():
    made = query({}, asked(gateway_depth="2", traceparent="00-x", tracestate="a=b"))
    assert (made.depth, made.traceparent, made.tracestate) == (2, "00-x", "a=b")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"application/json", "application/json"),
        (b"Application/JSON ; charset=utf-8", "application/json"),
        (b"application/geo+json", "application/geo+json"),
        (b"application/+json", None),
        (b"text/json", None),
        (b"application/jsonp", None),
        (b"", None),
        (None, None),
    ],
)
def test_media_types_are_compared_without_parameters(kind, expected):
    types = MediaTypes(("application/json", "application/*+json"))
    assert [types.of(kind), types.of(kind)] == [expected] * 2


def test_what_is_remembered_of_media_types_is_bounded():
    types = MediaTypes(("application/json",))
    for number in range(1_000):
        assert types.of(b"application/json;n=%d" % number)
    assert len(types._known) <= 256


@pytest.mark.parametrize(
    ("document", "pointer", "expected"),
    [
        ({"a": {"b": 1}}, "/a/b", True),
        ({"a": {"a": 1}}, "/a", True),
        ({"a": "a", "b": ["a"]}, "/a", True),
        (b'{"a": 1, "a": 1}', "/a", False),
        (b'{"a": 1, "\\u0061": 1}', "/a", False),
        (b'{"x/y": 1, "x\\/y": 1}', "/x~1y", False),
        (b'{"a": 1, "b": 2, "b": 3}', "/a", True),
        (b'{"a": 1, "b": 2, "b": 3}', "", True),
    ],
)
def test_a_member_is_found_to_be_named_once_or_twice(document, pointer, expected):
    assert is_named_once(document if isinstance(document, bytes) else orjson.dumps(document), pointer) is expected


FORM = {"content_type": "application/x-www-form-urlencoded;charset=UTF-8"}


def asked_as_form(body, target="/query", **headers):
    return Asked(head(target, "POST", **(FORM | headers)), ("query",), body)


def test_the_params_of_a_form_are_its_fields_beside_the_parameters_of_the_query():
    route = route_of(RouteSettings(path="/query", upstream="http://u"))
    asked = asked_as_form(b"query=up&match=a&match=b+c&empty=&time=2", "/query?time=1&timeout=3")
    query = route.query(route.names(asked), asked)
    assert query.params == {"query": "up", "match": ["a", "b c"], "empty": "", "time": "2", "timeout": "3"}
    for nothing in (b"\xff=1", b"&".join([b"a=1"] * 1001), b""):
        asked = asked_as_form(nothing, "/query?time=1")
        assert route.query(route.names(asked), asked).params == {"time": "1"}


def test_a_field_of_a_form_can_name_a_query_if_it_says_one_name():
    route = route_of(RouteSettings(path="/query", upstream="http://u", type={"body": "/kind"}))
    assert route.names(asked_as_form(b"kind=search")).type == "search"
    assert route.names(asked_as_form(b"kind=search&kind=search")).type == "search"
    assert route.names(asked_as_form(b"other=search")) is None
    assert route.names(asked_as_form(b"kind=search", content_type="text/plain")) is None
    with pytest.raises(Misread):
        route.names(asked_as_form(b"kind=search&kind=form"))


def test_a_path_is_remembered_only_where_it_alone_decides():
    plain = router({"path": "/a/*"}, {"path": "/{x}/*"})
    for target in ("/a/1?q=1", "/b/1", "/a/1?q=2", "/b/1"):
        assert upstream(plain, head(target, x_api="v2")) == ("0" if target.startswith("/a") else "1")
    assert upstream(SEVERAL, head("/query", x_api="v2")) == "0"
    assert upstream(SEVERAL, head("/query", x_api="v1")) == "2"
