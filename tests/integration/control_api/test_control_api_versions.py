"""ETag, If-Match and If-None-Match on single integrations and hooks."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["integration", "hook"])
async def thing(request, api):
    """The path of something whose version is 2, and a change to it."""
    made = await api.integration()
    if request.param == "integration":
        path, change = f"/v1/integrations/{made['id']}", {"priority": 1}
    else:
        hook = await api.as_(made["api_key"]).hook()
        path, change = f"/v1/hooks/{hook['id']}", {"order": 1}
    assert (await api("PATCH", path, change)).headers["etag"] == '"2"'
    return path, {key: value + 1 for key, value in change.items()}


MATCHES = ['"2"', "*", '"1", "2"', '"1","2" , "x,y"', 'W/"2", "2"']
DIFFERS = ['"1"', '"3"', 'W/"2"', '"1", W/"2"', '""', '"x y"'.replace(" ", "")]
MALFORMED = ["2", "", '"2', 'w/"2"', '"1" "2"', '*, "2"', "'2'"]


@pytest.mark.parametrize("if_match", MATCHES)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_is_made_if_the_present_version_is_named(api, thing, method, if_match):
    path, change = thing
    reply = await api(method, path, change if method == "PATCH" else None, headers={"if-match": if_match})
    assert reply.status == (200 if method == "PATCH" else 204)


@pytest.mark.parametrize("if_match", DIFFERS)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_is_refused_with_412_if_another_version_is_named(api, thing, method, if_match):
    path, change = thing
    reply = await api(method, path, change if method == "PATCH" else None, headers={"if-match": if_match})
    assert reply.status == 412
    assert reply.headers["content-type"] == "application/problem+json"
    assert (await api("GET", path)).headers["etag"] == '"2"'


@pytest.mark.parametrize("if_match", MALFORMED)
async def test_a_malformed_if_match_gets_400_and_changes_nothing(api, thing, if_match):
    path, change = thing
    assert (await api("PATCH", path, change, headers={"if-match": if_match})).status == 400
    assert (await api("GET", path)).headers["etag"] == '"2"'


async def test_several_if_match_headers_are_one_list(api, thing):
    path, change = thing
    headers = [("authorization", "Bearer operator-key"), ("if-match", '"1"'), ("if-match", '"2"')]
    response = await api.client.patch(path, json=change, headers=headers)
    assert response.status == 200


async def test_of_two_changes_that_saw_the_same_version_one_wins(api, thing):
    path, change = thing
    first = await api("PATCH", path, change, headers={"if-match": '"2"'})
    second = await api("PATCH", path, change, headers={"if-match": '"2"'})
    assert (first.status, second.status) == (200, 412)


@pytest.mark.parametrize("if_none_match", ['"2"', 'W/"2"', '"1", "2"', "*"])
async def test_reading_again_what_did_not_change_gets_304_without_a_body(api, thing, if_none_match):
    reply = await api("GET", thing[0], headers={"if-none-match": if_none_match})
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", '"2"')


@pytest.mark.parametrize("if_none_match", ['"1"', '"1", W/"3"'])
async def test_reading_again_what_changed_gets_it_whole(api, thing, if_none_match):
    reply = await api("GET", thing[0], headers={"if-none-match": if_none_match})
    assert (reply.status, reply.headers["etag"]) == (200, '"2"')


async def test_if_match_on_what_is_not_there_is_404(api):
    assert (await api("PATCH", "/v1/hooks/hk_none", {"order": 1}, headers={"if-match": "*"})).status == 404
