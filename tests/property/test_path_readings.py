"""Whatever way a server reads a path, what the gateway lets through is what the gateway took it for."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import RouteSettings
from gateway.service.messages import RequestHead
from gateway.service.proxy.configured import route_of
from gateway.service.proxy.paths import Misread
from gateway.service.proxy.routes import Router

ROUTES = ("/secret", "/secret/*", "/t/{tenant}/rows", "/open/*")
ROUTER = Router(
    [
        route_of(
            RouteSettings(path=path, upstream="http://a", **({"tenant": {"path": "tenant"}} if "{" in path else {}))
        )
        for path in ROUTES
    ]
)


def split(path):
    return tuple(segment for segment in path.split("/") if segment)


def resolved(path):
    return posixpath.normpath(path)


# Each as a kind of server reads a path (none of them is the gateway's own code).
SERVERS = {
    "by the letter": lambda path: tuple(unquote(segment) for segment in split(path)),
    "decoding first": lambda path: split(unquote(path)),
    "resolving dots first": lambda path: tuple(unquote(segment) for segment in split(resolved(path))),
    "resolving dots after decoding": lambda path: split(resolved(unquote(path))),
    "servlet containers": lambda path: split(resolved(unquote(re.sub(r";[^/]*", "", path)))),
    "backslashes are slashes": lambda path: split(resolved(unquote(path).replace("\\", "/"))),
    "decoding twice": lambda path: split(resolved(unquote(unquote(path)))),
}
PIECES = st.sampled_from(
    [
        "/", "//", "secret", "open", "t", "rows", "acme", ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", ";x=1",
        "%3b", "%252e", "%252f", "%253b", "%252e%252e", "%2573ecret", "..%2f", "%25", "%20", "a", "ü", "%C3%BC",
    ]
)  # fmt: skip


def route_by(segments):
    for number, route in enumerate(ROUTER._routes):
        if route.pattern.fits(segments):
            return number, segments[1] if "{" in ROUTES[number] else None
    return None


@pytest.mark.parametrize("server", SERVERS)
@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)))
def test_a_path_that_is_let_through_means_the_same_to_the_server(server, path):
    try:
        taken = ROUTER.find(RequestHead("GET", path))
    except Misread:
        return
    mine = None
    if taken is not None:
        mine = route_by(taken.segments)
    theirs = route_by(SERVERS[server](path))
    assert mine == theirs
