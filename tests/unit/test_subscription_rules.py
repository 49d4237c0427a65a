"""What may be subscribed with, and what a change makes of a subscription."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import InvalidInput
from gateway.model import SigningSecret
from gateway.model.subscription import Pause, Subscription, SubscriptionState
from gateway.relay import subscription_changes as changes
from gateway.relay.drafts import SubscriptionDraft
from gateway.relay.subscription_rules import SubscriptionRules
from gateway.transport.address import AddressGuard

NOW = 1_790_000_000.0


def compiles(text):
    if text.count("(") != text.count(")"):
        raise ValueError("line 1, column 5: it ends too early")


def rules(**more):
    return SubscriptionRules(AddressGuard(["127.0.0.0/8"]), check_filter=compiles, **more)


GOOD: dict[str, list[Any]] = {
    "name": ["a", "audit trail", "x" * 100, "a.b:c@d+e-f_g", "Zürich"],
    "events": [("*",), ("order.created",), ("order.*", "*.created", "a.*.c"), ("Order_1-x",), tuple("abc") * 33],
    "url": ["https://example.com", "https://example.com/a?b=c", "https://[2606:4700::1]:8443/x", "https://127.0.0.1/x"],
    "secret": ["whsec_" + "A" * 43 + "=", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    "insecure_ssl": [False],
    "filter": ["data.total > 1.0", "x" * 2000],
    "headers": [{}, {"x-team": "billing"}, {"Authorization": "Bearer abc def"}, {f"x-{n}": "1" for n in range(20)}],
    "max_concurrency": [1, 100],
}

BAD = [
    ("name", "", "/name"),
    ("name", " x", "/name"),
    ("name", "x" * 101, "/name"),
    ("name", "a\nb", "/name"),
    ("events", (), "/events"),
    ("events", tuple(f"a{n}" for n in range(101)), "/events"),
    ("events", ("order.created", "order."), "/events/1"),
    ("events", ("",), "/events/0"),
    ("events", ("order.cre*",), "/events/0"),
    ("events", ("**",), "/events/0"),
    ("events", ("order created",), "/events/0"),
    ("events", ("x" * 201,), "/events/0"),
    ("url", "http://example.com", "/config/url"),
    ("url", "https://10.0.0.1/x", "/config/url"),
    ("url", "https://169.254.169.254/latest/meta-data", "/config/url"),
    ("url", "https://user:pass@example.com", "/config/url"),
    ("url", "https://localhost/x", None),  # 127.0.0.0/8 is allowed here
    ("url", "https://2130706433/x", "/config/url"),
    ("url", "ftp://example.com", "/config/url"),
    ("url", "example.com", "/config/url"),
    ("url", "https://example.com/#x", "/config/url"),
    ("url", "https://example.com/" + "x" * 2000, "/config/url"),
    ("url", "https://example.com/\r\nx: y", "/config/url"),
    ("secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "/config/secret"),
    ("secret", "whsec_", "/config/secret"),
    ("secret", "whsec_!!!", "/config/secret"),
    ("secret", "whsec_YWJj", "/config/secret"),
    ("insecure_ssl", True, "/config/insecure_ssl"),
    ("filter", "", "/filter"),
    ("filter", "size(data", "/filter"),
    ("filter", "x" * 2001, "/filter"),
    ("headers", {"x-team": "a\r\nx-evil: b"}, "/headers/x-team"),
    ("headers", {"x-team": "a\nb"}, "/headers/x-team"),
    ("headers", {"x-team": " a"}, "/headers/x-team"),
    ("headers", {"x-team": ""}, "/headers/x-team"),
    ("headers", {"x-team": "é"}, "/headers/x-team"),
    ("headers", {"x-team": "x" * 1001}, "/headers/x-team"),
    ("headers", {"x team": "a"}, "/headers/x team"),
    ("headers", {"x/team\n": "a"}, "/headers/x~1team\n"),
    ("headers", {"": "a"}, "/headers/"),
    ("headers", {"X-A": "1", "x-a": "2"}, "/headers/x-a"),
    ("headers", {f"x-{n}": "1" for n in range(21)}, "/headers"),
    *(
        ("headers", {name: "a"}, f"/headers/{name}")
        for name in (
            "Host", "Connection", "Keep-Alive", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
            "Content-Length", "Content-Type", "webhook-id", "Webhook-Signature", "webhook-anything", "gateway-event",
            "ce-type", "X-Hub-Signature-256", "traceparent", "User-Agent", "Accept", "Expect",
        )
    ),
    ("max_concurrency", 0, "/max_concurrency"),
    ("max_concurrency", 101, "/max_concurrency"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in GOOD.items() for value in values])
def test_what_may_be_subscribed_with(field, value):
    rules().check({field: value})


@pytest.mark.parametrize(("field", "value", "at"), BAD)
def test_what_may_not_be_subscribed_with_is_refused_where_it_stands(field, value, at):
    if at is None:
        rules().check({field: value})
        return
    with pytest.raises(InvalidInput) as caught:
        rules().check({field: value})
    assert [error.field for error in caught.value.errors] == [at]
    if field == "secret":
        assert value.removeprefix("whsec_") == "" or value.removeprefix("whsec_") not in caught.value.detail


def test_all_wrong_fields_are_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        rules().check({"name": "", "events": ("?", "!"), "url": "x", "headers": {"host": "a", "te": "b"}})
    assert [error.field for error in caught.value.errors] == [
        "/name", "/events/0", "/events/1", "/config/url", "/headers/host", "/headers/te",
    ]  # fmt: skip


def test_any_certificate_will_do_only_where_the_operator_allows_it():
    rules(allow_insecure_ssl=True).check({"insecure_ssl": True})


def subscription(**more):
    return Subscription(
        "sub_1", None, "one", ("*",), "https://example.com", secrets=(SigningSecret("whsec_old", 1.0),), **more
    )


def test_a_new_subscription_is_as_it_was_asked_for():
    draft = SubscriptionDraft("one", ("a", "b", "a"), "https://example.com", headers={"x-a": "1"}, ordered=True)
    made = changes.created("sub_1", "int_1", draft, "whsec_new", NOW)
    assert (made.owner, made.events, made.headers, made.ordered) == ("int_1", ("a", "b"), (("x-a", "1"),), True)
    assert made.secrets == (SigningSecret("whsec_new", NOW),)
    assert (made.state, changes.is_on(made)) == (SubscriptionState.ACTIVE, True)


def test_a_new_subscription_that_is_not_active_keeps_what_happens():
    made = changes.created("sub_1", None, SubscriptionDraft("one", ("*",), "https://x", active=False), "whsec_", NOW)
    assert (made.state, made.active, changes.is_on(made)) == (SubscriptionState.PAUSED, True, False)


def test_switching_off_is_a_pause_that_does_not_end_by_itself_and_switching_on_ends_it():
    off = changes.changed(subscription(), {"active": False}, NOW)
    assert (off.active, off.paused) == (True, Pause(NOW, changes.BY_OWNER))
    assert changes.changed(off, {"active": False}, NOW + 1) == off
    assert changes.changed(off, {"active": True}, NOW + 1) == subscription()


def test_a_pause_of_the_gateway_s_own_leaves_the_owner_s_switch_as_it_is():
    paused = subscription(paused=Pause(NOW, "it answered with status 500", NOW + 60))
    assert changes.is_on(paused)
    assert changes.changed(paused, {"name": "two"}, NOW).paused == paused.paused
    assert changes.changed(paused, {"active": True}, NOW).paused is None
    assert changes.changed(paused, {"active": False}, NOW).paused == Pause(NOW, changes.BY_OWNER)


def test_a_subscription_whose_address_was_gone_is_switched_on_again():
    gone = subscription(active=False)
    assert not changes.is_on(gone)
    assert changes.changed(gone, {"active": True}, NOW) == subscription()


def test_headers_are_merged_without_regard_to_case_and_null_takes_one_away():
    old = subscription(headers=(("X-A", "1"), ("x-b", "2"), ("x-c", "3")))
    new = changes.changed(old, {"headers": {"x-a": "9", "X-B": None, "x-d": "4"}}, NOW)
    assert new.headers == (("x-c", "3"), ("x-a", "9"), ("x-d", "4"))
    assert changes.changed(old, {"headers": None}, NOW).headers == ()


def test_merged_headers_are_counted_together():
    old = subscription(headers=tuple((f"x-{n}", "1") for n in range(20)))
    with pytest.raises(InvalidInput) as caught:
        rules().check_whole(changes.changed(old, {"headers": {"x-more": "1"}}, NOW))
    assert [error.field for error in caught.value.errors] == ["/headers"]


def test_a_new_secret_signs_beside_the_old_one_for_the_grace():
    new = changes.rotated(subscription(), "whsec_new", 60, NOW)
    assert new.secrets == (SigningSecret("whsec_new", NOW), SigningSecret("whsec_old", 1.0, NOW + 60))
    assert changes.rotated(subscription(), "whsec_new", 0, NOW).secrets == (SigningSecret("whsec_new", NOW),)


def test_old_secrets_do_not_pile_up_and_none_holds_longer_than_it_was_to():
    kept = subscription()
    for n in range(8):
        kept = changes.rotated(kept, f"whsec_{n}", 1_000, NOW + n)
    assert [each.secret for each in kept.secrets] == ["whsec_7", "whsec_6", "whsec_5", "whsec_4", "whsec_3"]
    last = changes.rotated(kept, "whsec_8", 1, NOW + 8)
    assert {each.expires_at for each in last.secrets[1:]} == {NOW + 9}
    later = changes.rotated(replace(kept), "whsec_9", 10_000, NOW + 1_006.5)
    assert [each.secret for each in later.secrets] == ["whsec_9", "whsec_7", "whsec_6"]
