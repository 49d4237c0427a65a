"""No cache may ever take a changed result for an unchanged one, nor one change for another."""

from __future__ import annotations

import gzip

import pytest
from multidict import CIMultiDict

from gateway import FailurePolicy

UNCHANGED = b'{"rows": [1.50]}'
CHANGED = b'{"rows":[1.50],"merged":true}'


def with_condition(tag):
    return {"headers": {"if-none-match": tag}}


async def test_what_a_client_got_with_hooks_is_not_confirmed_without_them_nor_the_other_way_round(origin, serve):
    served = await serve(origin.url)
    status, plain, body = await served.ask("/q")
    assert (status, plain["etag"], body) == (200, '"v1"', UNCHANGED)

    hook = await served.hook("/merge-patch")
    status, hooked, body = await served.ask("/q", **with_condition(plain["etag"]))
    assert (status, body) == (200, CHANGED), "the upstream's tag is not confirmed while hooks run"
    status, again, body = await served.ask("/q", **with_condition(f'"v1", {hooked["etag"]}'))
    assert (status, body) == (304, b""), "the gateway confirms its own"
    assert again["etag"] == hooked["etag"]
    twice = CIMultiDict([("if-none-match", '"v0"'), ("if-none-match", hooked["etag"])])
    assert (await served.ask("/q", headers=twice))[0] == 304
    assert "gateway-hooks" in again
    assert "content-type" not in again

    await served.gateway.registry.disable(hook)
    status, headers, body = await served.ask("/q", **with_condition(f'"v1", {hooked["etag"]}'))
    assert (status, body, headers["etag"]) == (200, UNCHANGED, '"v1"'), "the gateway's tag is nothing to the upstream"
    assert (await served.ask("/q", **with_condition(plain["etag"])))[0] == 304


async def test_another_change_of_the_same_result_has_another_tag(origin, serve):
    served = await serve(origin.url)
    hook = await served.hook("/merge-patch")
    tag = (await served.ask("/q"))[1]["etag"]
    assert (await served.ask("/q"))[1]["etag"] == tag
    await served.gateway.registry.disable(hook)
    await served.hook("/replace")
    status, headers, body = await served.ask("/q", **with_condition(tag))
    assert (status, body) == (200, b'{"replaced":true}')
    assert headers["etag"] != tag


@pytest.mark.parametrize("hook", ["/unchanged", "/garbage"])
async def test_a_result_that_hooks_left_alone_has_the_gateways_tag_too(origin, serve, hook):
    served = await serve(origin.url)
    await served.hook(hook)
    _, headers, body = await served.ask("/q")
    assert body == UNCHANGED
    assert headers["etag"].startswith('W/"qhg1-')
    assert "last-modified" not in headers
    assert (await served.ask("/q", **with_condition(headers["etag"])))[0] == 304


async def test_a_date_confirms_nothing_of_a_result_with_hooks(origin, serve):
    served = await serve(origin.url)
    await served.hook("/replace")
    condition = {"if-modified-since": "Tue, 14 Nov 2099 22:13:50 GMT"}
    status, _, body = await served.ask("/q", headers=condition)
    assert (status, body) == (200, b'{"replaced":true}')


@pytest.mark.parametrize(
    "conditions",
    [
        {"range": "bytes=0-1"},
        {"range": "bytes=0-1", "if-range": '"v1"'},
        {"if-match": '"v0"'},
        {"if-none-match": '"v1"'},
        {"if-none-match": '"v1"', "range": "bytes=0-1"},
    ],
)
async def test_no_part_and_no_confirmation_of_the_unchanged_result_is_passed_for_one_with_hooks(
    origin, serve, conditions
):
    served = await serve(origin.url)
    await served.hook("/replace")
    status, headers, body = await served.ask("/q", headers=conditions)
    assert (status, body) == (200, b'{"replaced":true}')
    assert not {"content-range", "accept-ranges"} & {name.lower() for name in headers}
    method, _, asked, _ = origin.asked[-1]
    assert method == "GET"
    assert not conditions.keys() & {name.lower() for name in asked}


async def test_an_upstream_that_does_not_know_head_is_asked_for_the_whole(origin, serve):
    served = await serve(origin.url)
    await served.hook("/replace")
    status, _, body = await served.ask("/no-head", **with_condition('"v1"'))
    assert (status, body) == (200, b'{"replaced":true}')
    assert [method for method, *_ in origin.asked] == ["GET", "HEAD", "GET"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"if-none-match": '"v1"'}, (304, b"")),
        ({"range": "bytes=0-1"}, (206, UNCHANGED[:2])),
        ({"if-match": '"v0"'}, (412, b"")),
        ({}, (200, UNCHANGED)),
    ],
)
async def test_what_is_no_result_keeps_its_parts_and_confirmations_under_the_same_route(
    origin, serve, conditions, expected
):
    served = await serve(origin.url)
    await served.hook("/replace")
    status, headers, body = await served.ask("/picture", headers=conditions)
    assert (status, body) == expected
    assert (headers["etag"], headers["cache-control"]) == ('"v1"', "public, max-age=60")
    assert "gateway-hooks" not in headers


async def test_a_change_of_the_resource_keeps_its_condition_whatever_tag_it_holds(origin, serve):
    served = await serve(origin.url)
    for tag in ('"v0"', 'W/"qhg1-00"'):
        headers = {"if-match": tag, "if-none-match": 'W/"qhg1-00"'}
        assert (await served.ask("/q", "PUT", headers=headers))[0] == 412


async def test_caches_ask_again_before_they_use_a_result_with_hooks(origin, serve):
    served = await serve(origin.url)
    origin.headers |= {"cache-control": "private, max-age=60", "expires": "Tue, 14 Nov 2099 22:13:50 GMT", "age": "7"}
    hook = await served.hook("/garbage")
    _, headers, _ = await served.ask("/q")
    assert (headers["cache-control"], headers["age"]) == ("no-cache, private", "7")
    assert "expires" not in headers
    await served.gateway.registry.disable(hook)
    _, headers, _ = await served.ask("/q")
    assert headers["cache-control"] == "private, max-age=60"


async def test_a_route_may_leave_freshness_to_the_upstream(origin, serve):
    served = await serve(origin.url, {"path": "/*", "caching": "upstream"})
    await served.hook("/replace")
    _, headers, _ = await served.ask("/q")
    assert headers["cache-control"] == "public, max-age=60"
    assert headers["etag"].startswith('W/"qhg1-')


async def test_a_result_that_no_cache_could_ask_about_gets_no_tag(origin, serve):
    served = await serve(origin.url)
    await served.hook("/replace")
    assert "etag" not in (await served.ask("/plain"))[1]
    assert "etag" not in (await served.ask("/q", "POST", json={}))[1]


async def test_the_answer_to_head_tells_nothing_of_a_result_with_hooks(origin, serve):
    served = await serve(origin.url)
    _, plain, _ = await served.ask("/q", "HEAD")
    assert (plain["etag"], plain["content-length"]) == ('"v1"', "16")
    await served.hook("/replace")
    status, headers, body = await served.ask("/q", "HEAD", **with_condition('"v1"'))
    assert (status, body) == (200, b"")
    assert not {"etag", "last-modified", "content-length", "accept-ranges"} & {name.lower() for name in headers}
    assert headers["cache-control"] == "no-cache"
    assert (await served.ask("/picture", "HEAD"))[1]["etag"] == '"v1"'


async def test_caches_keep_apart_what_depends_on_headers(origin, serve):
    routes = (
        {"path": "/q", "headers": {"x-api": "v2"}, "type": "search"},
        {"path": "/q", "tenant": {"header": "x-tenant"}, "params": {"lang": {"header": "accept-language"}}},
        {"path": "/*"},
    )
    served = await serve(origin.url, *routes)
    for with_hooks in (False, True):
        if with_hooks:
            await served.hook("/unchanged")
        assert (await served.ask("/q", headers={"x-api": "v2"}))[1]["vary"] == "x-api"
        assert (await served.ask("/q"))[1]["vary"] == "x-api, accept-language, x-tenant"
        assert "vary" not in (await served.ask("/other"))[1]


async def test_a_result_too_large_for_hooks_keeps_no_validators(origin, serve):
    served = await serve(origin.url, calls={"max_result_bytes": 8})
    await served.hook("/replace")
    status, headers, body = await served.ask("/q")
    assert (status, body) == (200, UNCHANGED)
    assert headers["gateway-hooks"] == "it;skipped;reason=size;ms=0"
    assert "etag" not in headers
    assert headers["content-length"] == "16"


async def test_a_result_in_a_coding_that_cannot_be_undone_passes_and_says_why(origin, serve):
    served = await serve(origin.url)
    await served.hook("/replace")
    status, headers, body = await served.ask("/br", headers={"accept-encoding": "br, gzip;q=0.5"})
    assert (status, gzip.decompress(body)) == (200, UNCHANGED)
    assert headers["content-encoding"] == "br"
    assert headers["gateway-hooks"] == "it;skipped;reason=encoding;ms=0"
    assert origin.asked[-1][2]["accept-encoding"] == "gzip;q=0.5"


async def test_a_compressed_result_is_undone_within_the_limit_only(origin, serve):
    served = await serve(origin.url, calls={"max_result_bytes": 1_000})
    await served.hook("/replace")
    status, headers, body = await served.ask("/gzip")
    assert (status, body) == (200, b'{"replaced":true}')
    assert "content-encoding" not in headers
    origin.body = b'{"rows": [' + b"1," * 10_000 + b"1]}"
    status, headers, body = await served.ask("/gzip")
    assert gzip.decompress(body) == origin.body
    assert headers["gateway-hooks"] == "it;skipped;reason=size;ms=0"


async def test_hooks_that_a_query_must_not_go_on_without_are_not_got_round_by_size_or_coding(origin, serve):
    served = await serve(origin.url, calls={"max_result_bytes": 1_000})
    await served.hook("/replace", failure_policy=FailurePolicy.FAIL)
    assert (await served.ask("/br"))[0] == 502
    origin.body = b" " * 2_000
    status, headers, _ = await served.ask("/q")
    assert (status, headers["content-type"]) == (502, "application/problem+json")
