"""Bad input by API: each gets its status, a problem document, and a sentence that names the field and the way out."""

from __future__ import annotations

import gzip
import json

import pytest

from gateway.errors import StoreLocked

GOOD = {"name": "prices", "base_url": "https://hooks.example.com"}


def fields(reply):
    """The wrong fields that a 422 names, with what is said of each."""
    assert reply.status == 422, reply.body
    return {each["field"]: each["detail"] for each in reply.json["errors"]}


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({**GOOD, "nam": 1}, "/nam", "'name'"),
        ({**GOOD, "envelope": {"max_timout_ms": 5}}, "/envelope/max_timout_ms", "'max_timeout_ms'"),
        ({**GOOD, "wholly_else": 1}, "/wholly_else", "known are name, base_url"),
        ({**GOOD, "a/b~c": 1}, "/a~1b~0c", "not known"),
        ({**GOOD, "envelope": {"sees": ["/a"]}}, "/envelope/sees", "not known"),
        ({"name": "x"}, "/base_url", "is required"),
        ({**GOOD, "name": 5}, "/name", "must be a string, not an integer"),
        ({**GOOD, "name": None}, "/name", "must be a string, not null"),
        ({**GOOD, "priority": "5"}, "/priority", "must be an integer, not a string"),
        ({**GOOD, "priority": True}, "/priority", "must be an integer, not true"),
        ({**GOOD, "priority": 1.5}, "/priority", "must be an integer, not a number"),
        ({**GOOD, "priority": 2**40}, "/priority", "must be at most 2147483647"),
        ({**GOOD, "enabled": 1}, "/enabled", "must be true or false, not an integer"),
        ({**GOOD, "envelope": []}, "/envelope", "must be an object, not a list"),
        ({**GOOD, "envelope": {"types": "search"}}, "/envelope/types", "must be a list, not a string"),
        ({**GOOD, "envelope": {"types": ["a", {}]}}, "/envelope/types/1", "must be a string, not an object"),
        ({**GOOD, "envelope": {"failure_policy": "Fail"}}, "/envelope/failure_policy", "did you mean 'fail'"),
        ({**GOOD, "envelope": {"failure_policy": 1}}, "/envelope/failure_policy", "'ignore' or 'fail', not an integer"),
        ({**GOOD, "envelope": {"max_timeout_ms": 0}}, "/envelope/max_timeout_ms", "at least 1"),
        ({**GOOD, "envelope": {"max_timeout_ms": 10_001}}, "/envelope/max_timeout_ms", "10000"),
        ({**GOOD, "name": ""}, "/name", "must be"),
        ({**GOOD, "base_url": "http://hooks.example.com"}, "/base_url", "https"),
        ({**GOOD, "base_url": "ftp://hooks.example.com"}, "/base_url", "https"),
        ({**GOOD, "base_url": "https://u:p@hooks.example.com"}, "/base_url", "user name"),
        ({**GOOD, "base_url": "https://127.0.0.1"}, "/base_url", "not public"),
        ({**GOOD, "health_path": "health"}, "/health_path", "absolute"),
        ([], "", "must be an object, not a list"),
        ("prices", "", "must be an object, not a string"),
    ],
)
async def test_a_wrong_field_gets_422_with_its_pointer_and_what_was_expected(api, body, field, said):
    reply = await api("POST", "/v1/integrations", body)
    assert said in fields(reply)[field]
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json["status"], reply.json["title"]) == (422, "Unprocessable Content")


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"timeout_ms": 3000}, "/timeout_ms", "2000"),
        ({"types": ["form"]}, "/types", "allows 'search'"),
        ({"failure_policy": "fail"}, "/failure_policy", "envelope"),
        ({"path": "price"}, "/path", "absolute"),
        ({"name": "Price"}, "/name", "lower-case"),
        ({"mode": "shadw"}, "/mode", "did you mean 'shadow'"),
        ({"filter": "true"}, "/filter", "not known"),
        ({"max_concurrency": 101}, "/max_concurrency", "100"),
        ({"on_overload": "drop"}, "/on_overload", "'wait'"),
        ({"enabled": True}, "/enabled", "not known"),
        ({"delivery": "structred"}, "/delivery", "did you mean 'structured'"),
    ],
)
async def test_a_hook_beyond_the_rules_or_the_envelope_is_refused_naming_field_and_limit(api, change, field, said):
    made = await api.integration(envelope={"types": ["search"], "max_timeout_ms": 2000})
    owner = api.as_(made["api_key"])
    hook = {"name": "a", "path": "/a"}
    assert said in fields(await owner("POST", "/v1/hooks", {**hook, **change}))[field]
    assert said in fields(await owner("PUT", "/v1/hooks", [hook | {"name": "z"}, {**hook, **change}]))[f"/1{field}"]
    path = f"/v1/hooks/{(await owner.hook('b'))['id']}"
    assert said in fields(await owner("PATCH", path, change))[field]


async def test_every_wrong_field_is_named_at_once(api):
    reply = await api("POST", "/v1/integrations", {"name": 1, "priority": "x", "extra": 1})
    assert set(fields(reply)) == {"/name", "/base_url", "/priority", "/extra"}


async def test_a_flood_of_wrong_fields_gets_a_short_answer(api):
    reply = await api("POST", "/v1/integrations", {**GOOD, **{f"x{number}": 1 for number in range(5000)}})
    assert reply.status == 422
    assert len(reply.json["errors"]) == 50
    assert len(reply.json["detail"]) < 500


async def test_a_whole_number_written_with_a_fraction_of_zero_is_an_integer(api):
    data = b'{"name": "prices", "base_url": "https://hooks.example.com", "priority": 3.0}'
    reply = await api("POST", "/v1/integrations", data=data, headers={"content-type": "application/json"})
    assert (reply.status, reply.json["priority"]) == (201, 3)


async def test_a_wrong_value_is_never_repeated_in_an_error(api):
    reply = await api(
        "POST", "/v1/integrations", {**GOOD, "enabled": "s3cret-value", "envelope": {"failure_policy": "s3cret"}}
    )
    assert reply.status == 422
    assert b"s3cret" not in reply.body


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "not JSON"),
        (b"", "missing"),
        (b"nonsense", "not JSON"),
        (b'{"name": "a",}', "not JSON"),
        (b'{"name": NaN}', "not JSON"),
        (b'{"name": "\xff"}', "not JSON"),
        (b'\xef\xbb\xbf{"name": "a"}', "not JSON"),
        (b'{"name": "\\ud800"}', "not JSON"),
        (b"[" * 65 + b"]" * 65, "64 levels"),
        (b"[" * 30_000 + b"]" * 30_000, "64 levels"),
        (b'{"name": "a", "name": "b"}', "'name' twice"),
        (b'{"envelope": {"types": [], "\\u0074ypes": []}}', "'types' twice"),
    ],
    ids=lambda value: repr(value[:24]),
)
async def test_a_body_that_is_not_plain_json_gets_400(api, data, said):
    reply = await api("POST", "/v1/integrations", data=data, headers={"content-type": "application/json"})
    assert reply.status == 400
    assert said in reply.json["detail"]


async def test_json_nested_just_within_the_limit_is_read(api):
    nested = "[" * 63 + "]" * 63
    data = f'{{"name": {nested}}}'.encode()
    reply = await api("POST", "/v1/integrations", data=data, headers={"content-type": "application/json"})
    assert "/name" in fields(reply)


async def test_a_body_past_the_limit_gets_413(api):
    reply = await api("POST", "/v1/integrations", {**GOOD, "name": "x" * 70_000})
    assert reply.status == 413
    assert "control.max_body_bytes" in reply.json["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/merge-patch+json",
        "application/json; charset=latin-1",
    ],
)
async def test_a_body_of_another_media_type_gets_415_that_names_the_right_one(api, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    skip = ["content-type"] if content_type is None else None
    reply = await api(
        "POST", "/v1/integrations", data=json.dumps(GOOD).encode(), headers=headers, skip_auto_headers=skip
    )
    assert reply.status == 415
    assert "application/json" in reply.json["detail"] or "UTF-8" in reply.json["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "compress", "gzip, gzip"])
async def test_a_compressed_body_gets_415_that_says_to_send_it_plain(api, encoding):
    data = gzip.compress(json.dumps(GOOD).encode())
    headers = {"content-type": "application/json", "content-encoding": encoding}
    reply = await api("POST", "/v1/integrations", data=data, headers=headers)
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "identity")


async def test_a_body_with_the_encoding_identity_is_read(api):
    headers = {"content-type": "application/json", "content-encoding": "identity"}
    assert (await api("POST", "/v1/integrations", data=json.dumps(GOOD).encode(), headers=headers)).status == 201


@pytest.mark.parametrize(
    ("path", "field", "said"),
    [
        ("/v1/integrations?limits=5", "?limits", "did you mean 'limit'"),
        ("/v1/integrations?limit=5&limit=5", "?limit", "once"),
        ("/v1/hooks?integration=a&integration=a", "?integration", "once"),
        ("/v1/hooks/hk_1?cursor=x", "?cursor", "not known"),
        ("/v1/integrations/int_1?integration=int_1", "?integration", "not known here; nothing is"),
        ("/healthz?verbose", "?verbose", "not known here; nothing is"),
    ],
)
async def test_a_wrong_query_parameter_gets_422_naming_it(api, path, field, said):
    assert said in fields(await api("GET", path))[field]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/integrations", "GET, HEAD, POST"),
        ("PUT", "/v1/integrations/int_1", "DELETE, GET, HEAD, PATCH"),
        ("PATCH", "/v1/hooks", "GET, HEAD, POST, PUT"),
        ("GET", "/v1/hooks:enable", "POST"),
        ("OPTIONS", "/v1/hooks", "GET, HEAD, POST, PUT"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_another_method_gets_405_that_says_which_there_are(api, method, path, allow):
    reply = await api(method, path)
    assert reply.status == 405
    assert reply.headers["allow"] == allow
    assert reply.json["status"] == 405


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/hooks", "/v1/hooks/", "/v1/hooks/a/b", "/v1/hooks:burn", "/v1/hooks/hk_1/outcomes", "/v1/query"],
)
async def test_an_unknown_path_gets_404_as_a_problem(api, path):
    reply = await api("GET", path)
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["title"] == "Not Found"


async def test_each_problem_names_its_request(api):
    first, second = await api("GET", "/v1/hooks/a"), await api("GET", "/v1/hooks/a")
    assert first.json["instance"].startswith("urn:gateway:request:")
    assert first.json["instance"] != second.json["instance"]


async def test_a_store_that_fails_gets_503_and_nothing_is_changed(api, monkeypatch):
    async def locked(change):
        raise StoreLocked

    monkeypatch.setattr(api.store, "commit", locked)
    reply = await api("POST", "/v1/integrations", GOOD)
    assert reply.status == 503
    assert reply.headers["retry-after"] == "1"
    assert reply.json["detail"] == "The database is in use by another process."
    assert (await api("GET", "/v1/integrations")).json["items"] == []


async def test_a_defect_gets_500_that_shows_nothing_but_the_name_of_the_request_in_the_log(api, monkeypatch, caplog):
    def broken(integration_id=None):
        raise RuntimeError("the insides")

    monkeypatch.setattr(api.registry, "hooks", broken)
    reply = await api("GET", "/v1/hooks")
    assert reply.status == 500
    assert set(reply.json) == {"type", "title", "status", "detail", "instance"}
    assert b"insides" not in reply.body
    assert b"Traceback" not in reply.body
    assert reply.json["instance"] in caplog.text
    assert "RuntimeError: the insides" in caplog.text


async def test_what_is_changed_is_logged_with_who_did_it_and_without_any_credential(api, caplog):
    caplog.set_level("INFO")
    made = await api.integration()
    await api.as_(made["api_key"]).hook()
    await api.as_("gwk_wrong")("GET", "/v1/hooks")
    assert "control.called operation=registerIntegration caller=operator" in caplog.text
    assert f"control.called operation=createHook caller={made['id']}" in caplog.text
    assert "auth.failed remote=127.0.0.1" in caplog.text
    for secret in ("operator-key", "gwk_wrong", made["api_key"], made["secret"]):
        assert secret not in caplog.text
