"""A receiver without a server: what it answers to which request."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from gateway.errors import ConfigError, WebhookRefused
from gateway.model import Query, Result
from gateway.receiver import (
    HookReceiver,
    HttpReply,
    MemorySeen,
    ReceptionSettings,
    json_patch,
    merge_patch,
    reject,
    replace,
    try_later,
    unchanged,
)
from gateway.testing.clock import ManualClock
from gateway.wire import batch
from gateway.wire import reply as wire
from gateway.wire.cloudevents import STRUCTURED_TYPE, QueryEvent
from gateway.wire.ed25519 import new_signing_key, public_key_of
from gateway.wire.keyring import KeyRing
from gateway.wire.signature import new_secret

SECRET, OTHER = new_secret(), new_secret()
RESULT = {"rows": [[1, "a"], [2, "b"]], "note": None}


class Sender:
    """The gateway's side: signs calls, understands replies."""

    def __init__(self, clock, keys=None):
        self.clock = clock
        self.keys = keys or KeyRing([(SECRET, None)])

    def headers(self, body, ident, **more):
        at = int(self.clock())
        signed = {
            "webhook-id": ident,
            "webhook-timestamp": str(at),
            "webhook-signature": self.keys.sign(ident, at, body, self.clock()),
        }
        return {name: value for name, value in {**signed, **more}.items() if value is not None}

    def structured(self, query, result=RESULT, ident="msg_1", **more):
        event = QueryEvent(query, "/gateway")
        body = event.structured(ident, "hk_1", 1_700_000_000.0, Result.of(result))
        return self.headers(body, ident, **{"content-type": STRUCTURED_TYPE, **more}), body

    def binary(self, query, body, ident="msg_1", content_type="application/json"):
        event = QueryEvent(query, "/gateway")
        return self.headers(
            body, ident, **dict(event.binary(ident, "hk_1", 1_700_000_000.0)), **{"content-type": content_type}
        ), body

    def applied(self, reply, result=RESULT, ident="msg_1"):
        """The result after the reply, whose signature must hold."""
        self.keys.verify(reply.header, reply.body, now=self.clock(), expected_id=ident)
        understood = wire.decode(
            reply.status, reply.header("content-type"), reply.body,
            result_type="application/json", may_reject=True, max_depth=100,
        )  # fmt: skip
        return wire.apply(understood, Result.of(result), max_depth=100).value


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def sender(clock):
    return Sender(clock)


@pytest.fixture
def receiver(clock):
    return HookReceiver([SECRET], now=clock, clock=ManualClock(1.0))


def search(**more):
    return Query("search", id="q_1", **more)


def answer_of(receiver, sender, function, query=None, **more):
    receiver.transform()(function)
    return receiver(*sender.structured(query or search(), **more))


# ---------------------------------------------------------------- what handlers return


@pytest.mark.parametrize(
    ("returned", "status", "content_type", "after"),
    [
        (None, 204, None, RESULT),
        (unchanged(), 204, None, RESULT),
        (wire.UNCHANGED, 204, None, RESULT),
        ({"rows": []}, 200, wire.JSON, {"rows": []}),
        ([], 200, wire.JSON, []),
        (0, 200, wire.JSON, 0),
        ("", 200, wire.JSON, ""),
        (False, 200, wire.JSON, False),
        (replace(None), 200, wire.JSON, None),
        (Result(b'{"a": 1}'), 200, wire.JSON, {"a": 1}),
        (json_patch([{"op": "remove", "path": "/note"}]), 200, wire.JSON_PATCH, {"rows": RESULT["rows"]}),
        (merge_patch({"more": 1}), 200, wire.MERGE_PATCH, {"rows": RESULT["rows"], "note": None, "more": 1}),
    ],
)
def test_what_a_handler_returns_becomes_the_reply_that_means_it(
    receiver, sender, returned, status, content_type, after
):
    reply = answer_of(receiver, sender, lambda call: returned)
    assert (reply.status, reply.header("content-type")) == (status, content_type)
    assert sender.applied(reply) == after


def test_an_edited_copy_becomes_a_patch_of_what_was_edited(receiver, sender):
    def edit(call):
        with call.edit() as result:
            result["rows"][1][1] = "B"
            result["count"] = 2

    reply = answer_of(receiver, sender, edit)
    assert reply.header("content-type") == wire.JSON_PATCH
    assert sender.applied(reply) == {"rows": [[1, "a"], [2, "B"]], "note": None, "count": 2}


def test_two_edits_add_up_and_one_left_by_an_exception_does_not_count(receiver, sender):
    def edit(call):
        with call.edit() as result:
            result["one"] = 1
        try:
            with call.edit() as result:
                result["two"] = 2
                raise KeyError
        except KeyError:
            pass
        with call.edit() as result:
            result["three"] = 3

    assert sender.applied(answer_of(receiver, sender, edit)) == {**RESULT, "one": 1, "three": 3}


def test_what_a_handler_returns_goes_before_what_it_edited(receiver, sender):
    def edit(call):
        with call.edit() as result:
            result["one"] = 1
        return unchanged()

    assert answer_of(receiver, sender, edit).status == 204


def test_an_edit_that_changes_nearly_everything_is_sent_as_the_whole(receiver, sender):
    before = {"rows": [[n, 0] for n in range(500)]}

    def edit(call):
        with call.edit() as result:
            for row in result["rows"]:
                row[1] = 1

    reply = answer_of(receiver, sender, edit, result=before)
    assert reply.header("content-type") == wire.JSON
    assert sender.applied(reply, before) == {"rows": [[n, 1] for n in range(500)]}


def test_numbers_that_an_edit_does_not_touch_keep_every_digit(receiver, sender):
    body = b'{"exact": 0.1000000000000000055511151231257827, "n": 1}'

    @receiver.transform()
    def edit(call):
        with call.edit() as result:
            result["n"] = 2

    event = QueryEvent(search(), "/gateway").structured("msg_1", "hk_1", 1.0, Result(body))
    reply = receiver(sender.headers(event, "msg_1", **{"content-type": STRUCTURED_TYPE}), event)
    understood = wire.decode(
        200, reply.header("content-type"), reply.body, result_type=wire.JSON, may_reject=False, max_depth=9
    )
    assert b"0.1000000000000000055511151231257827" in wire.apply(understood, Result(body), max_depth=9).body


def test_a_rejection_is_a_problem_document_with_status_422(receiver, sender):
    reply = answer_of(receiver, sender, lambda call: reject("Ask for less.", type="https://example.com/less", most=5))
    assert (reply.status, reply.header("content-type")) == (422, wire.PROBLEM)
    problem = json.loads(reply.body)
    assert (problem["detail"], problem["type"], problem["status"], problem["most"]) == (
        "Ask for less.", "https://example.com/less", 422, 5,
    )  # fmt: skip


def test_a_handler_can_ask_not_to_be_called_for_a_while(receiver, sender):
    reply = answer_of(receiver, sender, lambda call: try_later(7))
    assert (reply.status, reply.header("retry-after")) == (503, "7")


@pytest.mark.parametrize(
    ("answer", "on_handler", "header"),
    [
        (unchanged(max_age=5), None, "max-age=5"),
        (replace(1, max_age=0), 60, "max-age=0"),
        (None, 60, "max-age=60"),
        ({"a": 1}, 60, "max-age=60"),
        ({"a": 1}, None, None),
        (reject("no"), 60, None),
    ],
)
def test_answers_say_for_how_long_they_hold(receiver, sender, answer, on_handler, header):
    receiver.transform(max_age=on_handler)(lambda call: answer)
    assert receiver(*sender.structured(search())).header("cache-control") == header


@pytest.mark.parametrize("returned", [object(), 2**70, {"a": float}])
def test_what_is_no_json_is_an_error_of_the_handler_and_not_told_to_the_gateway(receiver, sender, returned):
    reply = answer_of(receiver, sender, lambda call: returned)
    assert reply.status == 500
    assert json.loads(reply.body)["detail"] == "the hook's handler failed"


@dataclass
class Table:
    rows: list[tuple[int, str]]
    note: str | None = None


class Limits(msgspec.Struct):
    most: int


def test_results_and_params_can_be_read_as_types_of_ones_own(receiver, sender):
    def shorten(call):
        table = call.value_as(Table)
        table.rows = table.rows[: call.params_as(Limits).most]
        return table

    reply = answer_of(receiver, sender, shorten, search(params={"most": 1}))
    assert sender.applied(reply) == {"rows": [[1, "a"]], "note": None}


def test_a_result_that_is_not_of_the_type_names_the_place(receiver, sender):
    found = []

    def look(call):
        with pytest.raises(ValueError, match=r"\$\.rows\[0\]\[0\]"):
            call.value_as(Table)
        with pytest.raises(ValueError, match="params"):
            call.params_as(Limits)
        found.append(call)

    answer_of(receiver, sender, look, search(params=None), result={"rows": [["x", "y"]]})
    assert len(found) == 1


def test_a_msgspec_struct_is_a_result_too(receiver, sender):
    assert sender.applied(answer_of(receiver, sender, lambda call: Limits(3))) == {"most": 3}


# ---------------------------------------------------------------- which handler


@pytest.mark.parametrize(
    ("query", "who"),
    [
        (Query("question", "financial-aid"), "type and capability"),
        (Query("question", "housing"), "type"),
        (Query("question"), "type"),
        (Query("search", "financial-aid"), "capability"),
        (Query("search"), "any"),
        (Query("form", "other"), "any"),
    ],
)
def test_the_most_specific_handler_answers(receiver, sender, query, who):
    receiver.default(lambda call: {"who": "any"})
    receiver.transform("question")(lambda call: {"who": "type"})
    receiver.transform(capability="financial-aid")(lambda call: {"who": "capability"})
    receiver.transform("question", capability="financial-aid")(lambda call: {"who": "type and capability"})
    assert sender.applied(receiver(*sender.structured(query))) == {"who": who}


def test_a_query_without_a_handler_stays_as_it_is(receiver, sender):
    receiver.transform("question")(lambda call: {})
    assert receiver(*sender.structured(search())).status == 204


def test_two_handlers_for_the_same_calls_are_refused(receiver):
    receiver.transform("question")(len)
    with pytest.raises(ConfigError, match="two handlers for type 'question'"):
        receiver.transform("search", "question")(len)


def test_each_hook_has_its_own_handlers_and_path(receiver, sender):
    receiver.hook({"name": "fx", "path": "/prices/fx?v=1", "order": 3})
    receiver.transform("search", hook="fx")(lambda call: {"hook": call.hook})
    receiver.transform("search", hook="names")(lambda call: {"hook": call.hook})
    for path, hook in (("/prices/fx", "fx"), ("/base/prices/fx", "fx"), ("/names", "names")):
        reply = receiver(*sender.structured(search(), ident=f"msg_{path}"), path=path)
        assert sender.applied(reply, ident=f"msg_{path}") == {"hook": hook}
    assert receiver(*sender.structured(search()), path="/nothing").status == 404
    assert receiver(*sender.structured(search())).status == 404


def test_the_declarations_follow_from_the_handlers(receiver):
    receiver.hook({"name": "fx", "path": "/prices/fx", "order": 3, "types": ["search"]})
    receiver.transform("search", capability="b", hook="fx")(len)
    receiver.transform("search", capability="a", hook="fx")(len)
    receiver.transform("question", "form")(len)
    assert receiver.declarations() == [
        {"name": "fx", "path": "/prices/fx", "order": 3, "types": ["search"], "capabilities": ["a", "b"]},
        {"name": "hook", "path": "/hook", "types": ["form", "question"]},
    ]
    receiver.hook({"name": "idle", "path": "/idle"})
    with pytest.raises(ConfigError, match="'idle' has no handler"):
        receiver.declarations()


def test_a_handler_sees_all_of_the_call(receiver, sender):
    calls = []
    query = search(capability="c", tenant="ü", params={"p": 1}, context={"c": 2})
    headers, body = sender.structured(
        query, **{"gateway-timeout-ms": "1500", "gateway-depth": "2", "traceparent": "00-1-2-3", "tracestate": "a=b"}
    )
    receiver.transform()(calls.append)
    receiver(headers, body)
    (call,) = calls
    seen = call.query
    assert (seen.type, seen.capability, seen.tenant, seen.params, seen.context, seen.id) == (
        "search", "c", "ü", {"p": 1}, {"c": 2}, "q_1",
    )  # fmt: skip
    assert (seen.depth, seen.traceparent, seen.tracestate) == (2, "00-1-2-3", "a=b")
    assert (call.id, call.hook, call.hook_id, call.body, call.value) == ("msg_1", "hook", "hk_1", body, RESULT)
    assert (call.deadline, call.remaining()) == (2.5, 1.5)


def test_binary_delivery_gives_the_same_but_params_and_context(receiver, sender):
    calls = []
    receiver.transform()(calls.append)
    query = search(capability="c d", tenant="ü", params=1)
    reply = receiver(*sender.binary(query, b'{"a": 1}', content_type="application/vnd.x+json"))
    (call,) = calls
    seen = call.query
    assert (seen.type, seen.capability, seen.tenant, seen.params, seen.id) == ("search", "c d", "ü", None, "q_1")
    assert (call.hook_id, call.value, call.result.content_type) == ("hk_1", {"a": 1}, "application/vnd.x+json")
    assert reply.status == 204


# ---------------------------------------------------------------- coroutines and deadlines


async def test_a_handler_may_be_a_coroutine_and_others_run_in_threads(receiver, sender):
    @receiver.transform("search")
    async def search_handler(call):
        return {"thread": threading.current_thread() is threading.main_thread()}

    @receiver.transform("form")
    def form_handler(call):
        return {"thread": threading.current_thread() is threading.main_thread()}

    async with receiver.living():
        reply = await receiver.reply(*sender.structured(search()))
        assert sender.applied(reply) == {"thread": True}
        reply = await receiver.reply(*sender.structured(Query("form"), ident="msg_2"))
        assert sender.applied(reply, ident="msg_2") == {"thread": False}


def test_a_coroutine_answers_without_an_event_loop_too(receiver, sender):
    @receiver.transform()
    async def handler(call):
        return {"a": 1}

    assert sender.applied(receiver(*sender.structured(search()))) == {"a": 1}


async def test_a_coroutine_in_an_event_loop_has_to_be_awaited(receiver, sender):
    @receiver.transform()
    async def handler(call):
        return {"a": 1}

    with pytest.raises(ConfigError, match="await"):
        receiver(*sender.structured(search()))


async def test_a_coroutine_that_is_not_done_by_the_deadline_is_cancelled_and_answered_with_503(receiver, sender):
    cancelled = []

    @receiver.transform()
    async def handler(call):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(call.id)
            raise

    reply = await receiver.reply(*sender.structured(search(), **{"gateway-timeout-ms": "20"}))
    assert (reply.status, cancelled) == (503, ["msg_1"])
    sender.keys.verify(reply.header, reply.body, now=sender.clock(), expected_id="msg_1")


async def test_a_thread_that_is_not_done_by_the_deadline_is_answered_for_with_503(receiver, sender):
    release = threading.Event()
    receiver.transform()(lambda call: release.wait(10) and None)
    reply = await receiver.reply(*sender.structured(search(), **{"gateway-timeout-ms": "20"}))
    release.set()
    assert reply.status == 503


async def test_an_own_time_out_of_a_handler_is_a_failure_and_not_lateness(receiver, sender):
    @receiver.transform()
    async def handler(call):
        raise TimeoutError

    assert (await receiver.reply(*sender.structured(search()))).status == 500


def test_without_an_event_loop_a_late_answer_is_503(sender, clock):
    steps = ManualClock(1.0)
    receiver = HookReceiver([SECRET], now=clock, clock=steps)
    receiver.transform()(lambda call: steps.advance(2.0))
    assert receiver(*sender.structured(search(), **{"gateway-timeout-ms": "1000"})).status == 503


@pytest.mark.parametrize("given", [None, "", "x", "-5", "1e9", "٣", "99999999999999999999"])
def test_without_a_usable_time_limit_the_receivers_own_holds(clock, sender, given):
    receiver = HookReceiver([SECRET], now=clock, clock=ManualClock(1.0), settings=ReceptionSettings(timeout=4.0))
    calls = []
    receiver.transform()(calls.append)
    receiver(*sender.structured(search(), **{"gateway-timeout-ms": given}))
    assert calls[0].remaining() == 4.0


# ---------------------------------------------------------------- once more


def test_a_call_that_comes_again_is_answered_from_memory_and_signed_for_the_present(receiver, sender, clock):
    calls = []

    @receiver.transform()
    def count(call):
        calls.append(call)
        return {"n": len(calls)}

    first = receiver(*sender.structured(search()))
    clock.advance(100)
    again = receiver(*sender.structured(search()))
    assert (again.body, len(calls)) == (first.body, 1)
    assert again.header("webhook-timestamp") == str(int(clock()))
    assert sender.applied(again) == {"n": 1}


def test_an_id_that_comes_again_with_another_body_is_refused(receiver, sender):
    receiver.default(lambda call: None)
    assert receiver(*sender.structured(search())).status == 204
    assert receiver(*sender.structured(search(), result=[])).status == 409


def test_a_failure_is_not_remembered(receiver, sender):
    answers = [ValueError, None]

    def handler(call):
        error = answers.pop(0)
        if error:
            raise error

    assert answer_of(receiver, sender, handler).status == 500
    assert receiver(*sender.structured(search())).status == 204


async def test_a_call_that_comes_again_while_it_is_under_way_waits_for_the_same_answer(receiver, sender):
    began, release, calls = asyncio.Event(), asyncio.Event(), []

    @receiver.transform()
    async def handler(call):
        calls.append(call)
        began.set()
        await release.wait()
        return {"n": len(calls)}

    first = asyncio.create_task(receiver.reply(*sender.structured(search())))
    await began.wait()
    second = asyncio.create_task(receiver.reply(*sender.structured(search())))
    await asyncio.sleep(0)
    first.cancel()  # its connection broke
    await asyncio.sleep(0)
    release.set()
    assert sender.applied(await second) == {"n": 1}


def test_the_memory_of_messages_is_bounded_by_count_time_and_bytes():
    seen = MemorySeen(seconds=10, max_messages=3, max_bytes=10)
    for n in range(5):
        assert seen.begin(f"m{n}", b"d", now=float(n)) is None
        seen.keep(f"m{n}", HttpReply(200, (), b"12345"))
    assert (len(seen), seen.kept_bytes) == (3, 10)
    assert seen.begin("m2", b"d", now=5.0).reply is None  # its reply made room
    assert seen.begin("m4", b"d", now=5.0).reply.body == b"12345"
    seen.keep("m2", HttpReply(200, (), b"far more than fits"))
    assert seen.begin("m2", b"d", now=5.0).reply is None
    assert seen.begin("m9", b"d", now=100.0) is None
    assert (len(seen), seen.kept_bytes) == (1, 0)


# ---------------------------------------------------------------- who may come in


def test_requests_that_are_not_the_gateways_are_refused_without_a_signature(receiver, sender, clock):
    receiver.default(lambda call: None)
    headers, body = sender.structured(search())
    stranger = Sender(clock, KeyRing([(OTHER, None)])).structured(search())
    refused = [
        stranger,
        (headers, body + b" "),
        ({**headers, "webhook-id": "msg_2"}, body),
        ({**headers, "webhook-timestamp": "+" + headers["webhook-timestamp"]}, body),
        ({**headers, "webhook-timestamp": str(int(clock()) - 301)}, body),
        ({name: value for name, value in headers.items() if name != "webhook-signature"}, body),
        ({}, b""),
    ]
    for given in refused:
        reply = receiver(*given)
        assert reply.status == 401
        assert reply.header("webhook-signature") is None
        with pytest.raises(WebhookRefused):
            receiver.verify(*given)
    assert receiver(headers, body).status == 204
    assert receiver.verify(headers, body) == "msg_1"


def test_a_message_that_is_too_old_is_refused_after_the_window(receiver, sender, clock):
    receiver.default(lambda call: None)
    headers, body = sender.structured(search())
    clock.advance(300)
    assert receiver(headers, body).status == 204
    clock.advance(1)
    assert receiver(headers, body).status == 401


@pytest.mark.parametrize("keys", ["old secret", "new secret", "ed25519", "ed25519 only"])
def test_several_secrets_and_both_schemes_are_accepted(clock, keys):
    private = new_signing_key()
    rings = {
        "old secret": KeyRing([(OTHER, None)]),
        "new secret": KeyRing([(SECRET, None)]),
        "ed25519": KeyRing([(new_secret(), None)], [(private, None)]),
        "ed25519 only": KeyRing([], [(private, None)]),
    }
    secrets = [] if keys == "ed25519 only" else [SECRET, OTHER]
    receiver = HookReceiver(secrets, public_keys=[public_key_of(private)], now=clock)
    receiver.default(lambda call: None)
    assert receiver(*Sender(clock, rings[keys]).structured(search())).status == 204


def test_replies_can_be_signed_with_a_key_of_the_receivers_own(clock):
    private = new_signing_key()
    receiver = HookReceiver([SECRET], signing_keys=[private], now=clock)
    receiver.default(lambda call: None)
    reply = receiver(*Sender(clock).structured(search()))
    KeyRing(public_keys=[public_key_of(private)]).verify(reply.header, reply.body, now=clock(), expected_id="msg_1")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "at least one secret"),
        ({"secrets": ["whsec_x"]}, "a signing secret is 'whsec_'"),
        ({"secrets": [SECRET], "public_keys": ["whpk_x"]}, "a public key is 'whpk_'"),
        ({"secrets": [SECRET], "signing_keys": [SECRET]}, "a private key is 'whsk_'"),
    ],
)
def test_a_receiver_without_keys_that_can_be_used_is_refused_in_a_sentence(keys, sentence):
    with pytest.raises(ConfigError, match=sentence) as told:
        HookReceiver(**keys)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (STRUCTURED_TYPE, b"", 400),
        (STRUCTURED_TYPE, b"\xff\xfe", 400),
        (STRUCTURED_TYPE, b"{}", 400),
        (STRUCTURED_TYPE, b"[" * 200 + b"]" * 200, 400),
        (STRUCTURED_TYPE, b"[" * 100_000, 400),
        (STRUCTURED_TYPE, b'{"specversion":"0.3","id":"a","data":{"query":{"type":"x"},"result":1}}', 400),
        (STRUCTURED_TYPE, b'{"specversion":"1.0","id":"a","data":{"query":{"type":7},"result":1}}', 400),
        (STRUCTURED_TYPE, b'{"specversion":"1.0","id":"a","data":{"query":{"type":"x"}}}', 400),
        (STRUCTURED_TYPE, b'{"specversion":"1.0","id":"a","data":{"query":{"type":"x"},"result":NaN}}', 400),
        ("text/html", b"<p>", 415),
        (None, b"", 415),
        ("application/json", b"[]", 400),
        ("application/json", b'{"id": 5}', 400),
        ("application/json", b"{", 400),
    ],
)
def test_authentic_nonsense_is_answered_with_4xx_and_signed(receiver, sender, content_type, body, status):
    receiver.default(lambda call: None)
    reply = receiver(sender.headers(body, "msg_1", **{"content-type": content_type}), body)
    assert reply.status == status
    assert reply.header("content-type") == wire.PROBLEM


def test_a_body_past_the_limit_is_not_looked_at(clock, sender):
    receiver = HookReceiver([SECRET], now=clock, settings=ReceptionSettings(max_body_bytes=50))
    receiver.default(lambda call: None)
    assert receiver(*sender.structured(search())).status == 413


def test_headers_may_come_as_pairs_of_bytes_in_any_case_and_repeated(receiver, sender):
    receiver.default(lambda call: None)
    headers, body = sender.structured(search())
    pairs = [(name.upper().encode(), value.encode()) for name, value in headers.items()]
    assert receiver(pairs, body).status == 204
    twice = [*pairs, (b"webhook-id", b"msg_1")]
    assert receiver(twice, body).status == 401


# ---------------------------------------------------------------- ownership, health, and those who watch


def test_the_ownership_handshake_is_answered_with_the_origin_and_the_rate():
    receiver = HookReceiver([SECRET], settings=ReceptionSettings(allowed_origins={"gateway"}, allowed_rate=120))
    receiver.default(lambda call: None)
    reply = receiver({"WebHook-Request-Origin": "gateway", "WebHook-Request-Rate": "200"}, b"")
    assert (reply.status, reply.header("webhook-allowed-origin")) == (200, "gateway")
    assert reply.header("webhook-allowed-rate") == "120"
    reply = receiver({"WebHook-Request-Origin": "other"}, b"", method="OPTIONS", path="/hook")
    assert (reply.status, reply.header("webhook-allowed-origin")) == (403, None)
    assert receiver({"WebHook-Request-Origin": "gateway"}, b"", path="/nothing").status == 404


@pytest.mark.parametrize("path", ["/health", None])
def test_a_health_check_is_answered_with_its_id_and_signed(receiver, sender, path):
    receiver.default(lambda call: None)
    body = json.dumps({"id": "msg_h", "name": "prices", "timestamp": 1}).encode()
    reply = receiver(sender.headers(body, "msg_h", **{"content-type": "application/json"}), body, path=path)
    assert (reply.status, json.loads(reply.body)["id"]) == (200, "msg_h")
    sender.keys.verify(reply.header, reply.body, now=sender.clock(), expected_id="msg_h")
    assert receiver({"content-type": "application/json"}, body, path=path).status == 401


def test_whoever_watches_gets_the_state_and_the_metrics(receiver, sender):
    receiver.transform("search")(lambda call: {"a": 1})
    for ident in ("msg_1", "msg_1", "msg_2"):
        receiver(*sender.structured(search(), ident=ident))
    receiver(*sender.structured(Query("form"), ident="msg_3"))
    receiver({}, b"")
    state = json.loads(receiver({}, b"", method="GET", path="/healthz").body)
    assert state == {"status": "ok", "hooks": ["hook"], "enrolment": "not asked for"}
    text = receiver({}, b"", method="GET", path="/metrics").body.decode()
    for line in (
        'hook_calls_total{answer="replaced",hook="hook"} 2.0',
        'hook_calls_total{answer="repeated",hook="hook"} 1.0',
        'hook_calls_total{answer="unhandled",hook="hook"} 1.0',
        'hook_refused_total{why="signature"} 1.0',
        'hook_seconds_count{hook="hook"} 2.0',
        "hook_running 0.0",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/hook", 405), ("PUT", "/hook", 405), ("GET", "/x", 404)]
)
def test_other_methods_and_paths_are_told_so(receiver, method, path, status):
    receiver.default(lambda call: None)
    reply = receiver({}, b"", method=method, path=path)
    assert reply.status == status
    assert (reply.header("allow") is not None) is (status == 405)


def test_the_parts_for_those_who_watch_can_be_turned_off(clock):
    settings = ReceptionSettings(metrics_path=None, alive_path=None, health_path=None)
    receiver = HookReceiver([SECRET], now=clock, settings=settings)
    receiver.default(lambda call: None)
    for path in ("/metrics", "/healthz"):
        assert receiver({}, b"", method="GET", path=path).status == 404


def test_what_a_handler_failed_of_is_logged_without_the_body(receiver, sender, caplog):
    def handler(call: Any):
        raise KeyError("x")

    answer_of(receiver, sender, handler, search(params="personal"))
    (record,) = [record for record in caplog.records if record.name == "gateway.receiver.calls"]
    assert record.getMessage() == "call.failed hook=hook id=msg_1 error=KeyError"
    assert record.exc_info is not None
    assert "personal" not in caplog.text


# ---------------------------------------------------------------- several queries in one call


def batched(sender, *events, ident="msg_b"):
    body = batch.encode(events)
    return sender.headers(body, ident, **{"content-type": batch.CONTENT_TYPE}), body


def event_of(query, ident, result):
    return QueryEvent(query, "/gateway").structured(ident, "hk_1", 1_700_000_000.0, Result.of(result))


@pytest.mark.parametrize("in_loop", [True, False])
async def test_each_event_of_a_batch_is_answered_for_itself(receiver, sender, in_loop):
    receiver.transform("search", max_age=9)(lambda call: {"n": call.value + 1})
    receiver.transform("form")(lambda call: 1 / 0)
    receiver.transform("question")(lambda call: reject("No."))
    request = batched(
        sender,
        event_of(search(), "e1", 1),
        event_of(Query("form"), "e2", 2),
        event_of(Query("other"), "e3", 3),
        event_of(Query("question"), "e4", 4),
        b'{"id": "e5", "specversion": "0.1"}',
    )
    reply = await receiver.reply(*request) if in_loop else await asyncio.to_thread(receiver, *request)
    sender.keys.verify(reply.header, reply.body, now=sender.clock(), expected_id="msg_b")
    answers: Any = batch.decode(reply.body)
    assert {ident: each.status for ident, each in answers.items()} == {
        "e1": 200, "e2": 500, "e3": 204, "e4": 422, "e5": 400,
    }  # fmt: skip
    assert (bytes(answers["e1"].data), answers["e1"].contenttype) == (b'{"n":2}', wire.JSON)
    assert answers["e1"].cachecontrol == "max-age=9"
    assert answers["e4"].contenttype == wire.PROBLEM


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"id": 5}]', b"[" * 300 + b"]" * 300])
def test_what_is_no_batch_is_answered_with_400(receiver, sender, body):
    receiver.default(lambda call: None)
    assert receiver(sender.headers(body, "msg_1", **{"content-type": batch.CONTENT_TYPE}), body).status == 400


def test_a_batch_that_comes_again_is_answered_from_memory(receiver, sender):
    calls = []
    receiver.transform()(calls.append)
    request = batched(sender, event_of(search(), "e1", 1), event_of(search(), "e2", 1))
    assert receiver(*request).body == receiver(*request).body
    assert [call.id for call in calls] == ["e1", "e2"]
