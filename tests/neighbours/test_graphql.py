"""In front of a GraphQL server: what the public may not see, as its how-to page says; everything else as it was."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

PAGE = "hooks-for-graphql.md"
PROGRAM = Path(__file__).parents[2] / ".venv-neighbours" / "bin" / "datasette"
SYSTEM_PROGRAMS = {"datasette": (PROGRAM, "call .ci/neighbours")}
FIELDS = "name access mail telephone"
JSON = {"content_type": "application/json"}
STAFF = {"x_audience": "staff"}


def operation(query, **more):
    return {"method": "POST", "body": json.dumps({"query": query, **more}), **JSON}


DESKS = operation(
    f"query Desks($n: Int) {{ desks(first: $n) {{ nodes {{ {FIELDS} }} }} }}", variables={"n": 4}, operationName="Desks"
)


def nodes(answer):
    return answer.json["data"]["desks"]["nodes"]


def test_the_public_sees_no_address_and_no_number_under_whatever_name(standing):
    standing.answering("/graphql", **DESKS)
    shown = standing.ask(
        "/graphql", **operation("{ desks { totalCount nodes { a: mail, mail, name, t: telephone } } }")
    )
    assert shown.json["data"]["desks"]["totalCount"] == 4
    for node in nodes(shown):
        assert (node["a"], node["mail"], node["t"]) == ("[e-mail]", "[e-mail]", "[telephone]")
    fragments = "query F { desks { edges { node { ...who } } } } fragment who on desks { name mail }"
    found = standing.ask("/graphql", **operation(fragments))
    assert b"[e-mail]" in found.body
    assert b"@" not in found.body


def test_a_named_operation_gets_what_is_only_known_today(standing):
    found = nodes(standing.answering("/graphql", **DESKS, **STAFF))
    assert [node["access"] for node in found] == [
        "open until 16:00 today",
        "open",
        "closed for repairs",
        "staff only",
    ]
    assert found[3] == nodes(standing.own("/graphql", **DESKS))[3]
    assert {node["mail"] for node in nodes(standing.answering("/graphql", **DESKS))} == {"[e-mail]"}


def test_a_query_in_the_url_is_one_too(standing):
    path = "/graphql?" + urlencode({"query": f"{{ desks {{ nodes {{ {FIELDS} }} }} }}"})
    standing.answering("/graphql", **DESKS)
    assert {node["telephone"] for node in nodes(standing.ask(path))} == {"[telephone]"}
    named = f"query Desks($n: Int) {{ desks(first: $n) {{ nodes {{ {FIELDS} }} }} }}"
    path = "/graphql?" + urlencode({"query": named, "variables": '{"n": 1}', "operationName": "Desks"})
    (desk,) = nodes(standing.answering(path))
    assert (desk["access"], desk["mail"]) == ("open until 16:00 today", "[e-mail]")
    (desk,) = nodes(standing.answering(path, **STAFF))
    assert (desk["access"], desk["mail"]) == ("open until 16:00 today", "reading-room@library.example")


def test_the_staff_gets_the_servers_own_answer_to_operations_without_a_hook(standing, same):
    asked = operation("{ desks { nodes { mail } } }")
    answer, own = standing.ask("/graphql", **asked, **STAFF), standing.own("/graphql", **asked)
    assert (same(answer, own), answer.body) == ([], own.body)
    assert "discretion;skipped;reason=condition" in answer.hooks


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (operation("{ nothing }"), 500),
        (operation("{ desks { nodes { name "), 500),
        (operation("query A { desks { totalCount } } query B { desks { totalCount } }"), 500),
        ({"method": "POST", "body": '{"query": 1', **JSON}, 500),
        ({"method": "GET"}, 400),
        ({"method": "OPTIONS"}, 200),
        ({"method": "HEAD"}, 400),
    ],
)
def test_errors_of_the_server_are_its_own(standing, same, asked, status):
    answer, own = standing.ask("/graphql", **asked), standing.own("/graphql", **asked)
    assert same(answer, own) == []
    assert answer.status == status, answer.body[:300]


def test_graphiql_and_its_scripts_are_as_they_were_and_nothing_else_gets_through(standing, same):
    script = "/-/static-plugins/datasette_graphql/graphiql.1.5.1.min.css"
    assert same(standing.ask(script), standing.own(script)) == []
    assert same(standing.ask(script, "HEAD"), standing.own(script, "HEAD")) == []
    page, own = (ask("/graphql", accept="text/html") for ask in (standing.ask, standing.own))
    assert b"GraphiQL" in page.body
    token = {"set-cookie"}  # against forged requests; a new one each time
    page.headers, own.headers = ({k: v for k, v in it.headers.items() if k not in token} for it in (page, own))
    assert same(page, own, rb"csrftoken.*") == []
    for path in ("/", "/directory/desks.json", "/directory/desks.csv"):
        assert (standing.ask(path).status, standing.own(path).status) == (404, 200)


def test_there_is_no_way_around_the_hooks(standing):
    standing.answering("/graphql", **DESKS)
    path = "/graphql?" + urlencode({"query": "{ desks { nodes { mail } } }"})
    for method in ("PUT", "DELETE", "PATCH", "QUERY"):
        assert b"@" in standing.own(path, method).body
        refused = standing.ask(path, method)
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    for headers in ({"sec_websocket_key": "x3JJHMbDL1EzLkh9GBhXDw=="} | upgrade, {"range": "bytes=0-9999"}):
        assert standing.own(path, **headers).status == 200
        assert standing.ask(path, **headers).json["data"]["desks"]["nodes"][0] == {"mail": "[e-mail]"}
    partly = operation('{ desks { nodes { mail } } other: desks(filter: {access: {regexp: "("}}) { totalCount } }')
    assert b"@" not in standing.ask("/graphql", **partly).body


def test_a_browser_that_takes_gzip_gets_the_changed_result(standing):
    answer = standing.answering("/graphql", **DESKS, accept_encoding="gzip, br", if_none_match="*")
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    assert b"open until 16:00 today" in body
    assert b"@" not in body


def test_a_result_beyond_the_limit_is_not_shown_to_the_public_and_passes_to_the_staff(standing, same):
    aliases = " ".join(f"a{number}: mail" for number in range(1000))
    asked = operation(f"{{ desks {{ nodes {{ {aliases} }} }} }}")
    own = standing.own("/graphql", **asked)
    assert len(own.body) > 100_000
    staff = standing.ask("/graphql", **asked, **STAFF)
    assert (same(staff, own), staff.body) == ([], own.body)
    public = standing.ask("/graphql", **asked)
    assert (public.status, public.json["hook"], public.json["reason"]) == (502, "discretion", "size")
    assert b"@" not in public.body


def test_a_client_that_says_that_it_is_a_hook_itself_sees_no_more_than_others(standing):
    refused = standing.ask("/graphql", **DESKS, gateway_depth="9")
    assert (refused.status, refused.json["hook"], refused.json["reason"]) == (502, "discretion", "depth")


def test_without_its_hooks_the_public_gets_an_error_and_the_staff_the_servers_own_answer(standing, same):
    standing.answering("/graphql", **DESKS)
    own = standing.own("/graphql", **DESKS)
    with standing.hanging_hook():
        refused = standing.ask("/graphql", **DESKS)
        assert (refused.status, refused.json["hook"]) == (504, "discretion")
        staff = standing.ask("/graphql", **DESKS, **STAFF)
        assert (same(staff, own), staff.body) == ([], own.body)
    with standing.dead_hook():
        refused = standing.ask("/graphql", **DESKS)
        assert (refused.status, refused.headers["content-type"]) == (502, "application/problem+json")
        assert b"@" not in refused.body
    standing.answering("/graphql", **DESKS, **STAFF)


def test_the_operator_may_decide_that_the_servers_own_answer_is_better_than_none(standing, same):
    standing.answering("/graphql", **DESKS)
    own = standing.own("/graphql", **DESKS)
    standing.run("gateway hooks change desks/discretion --failure-policy ignore")
    with standing.dead_hook():  # which declares its hooks anew when it comes back
        answer = standing.ask("/graphql", **DESKS)
        assert (same(answer, own), answer.body) == ([], own.body)
        assert "closures;failed" in answer.hooks
        assert "discretion;failed" in answer.hooks
    standing.answering("/graphql", **DESKS)
