"""Which subscriptions an event goes to."""

from __future__ import annotations

import pytest

from gateway.model.event import Event
from gateway.model.subscription import Subscription
from gateway.relay.matching import Subscribers, matches, reaches
from gateway.stores.events import SubscriptionChanges


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "order.created", True),
        ("order.created", "order.created", True),
        ("order.created", "order.createdx", False),
        ("order.*", "order.created", True),
        ("order.*", "order.item.added", True),
        ("order.*", "order", False),
        ("order.*", "orders.created", False),
        ("*.created", "order.created", True),
        ("*.created", "order.item.created", False),
        ("order.*.added", "order.item.added", True),
        ("order.*.added", "order.item.old.added", False),
        ("a.b", "axb", False),
    ],
)
def test_a_pattern_names_events_part_by_part(pattern, name, fits):
    assert matches(pattern, name) is fits


def event(name="order.created", **fields):
    return Event("evt_1", name, b'{"total":7}', 0.0, **fields)


@pytest.mark.parametrize(
    ("about", "name", "owner", "told"),
    [
        (None, "order.created", None, True),
        (None, "order.created", "int_a", True),
        ("int_a", "order.created", "int_a", True),
        ("int_b", "order.created", "int_a", False),
        ("int_b", "gateway.hook.enabled", "int_a", False),
        ("int_a", "gateway.hook.enabled", "int_a", True),
        (None, "gateway.subscription.paused", "int_a", False),
        ("int_b", "gateway.hook.enabled", None, True),
        (None, "gateway.subscription.paused", None, True),
    ],
)
def test_an_integration_learns_nothing_about_another(about, name, owner, told):
    assert reaches(event(name, integration_id=about), owner) is told


def subscribers(*subscriptions, **parts):
    made = Subscribers(parts.pop("compiled", _total_above_five), **parts)
    made.take(SubscriptionChanges(1, subscriptions))
    return made


def _total_above_five(expression):
    if expression == "nonsense":
        raise ValueError("no expression")

    def asked(event):
        if event.data == b"{}":
            raise ValueError("no such key")
        return int(event.data[9:-1]) > int(expression)

    return asked


def subscription(key, **fields):
    return Subscription(key, None, key, fields.pop("events", ("*",)), "https://hooks.example/", **fields)


def test_only_active_ones_with_a_fitting_name_and_filter_get_it():
    found = subscribers(
        subscription("all"),
        subscription("off", active=False),
        subscription("other", events=("invoice.*",)),
        subscription("below", filter="9"),
        subscription("above", filter="5"),
        subscription("broken", filter="nonsense"),
    )
    assert set(found.of(event())) == {"all", "above"}


def test_an_event_that_a_filter_says_nothing_about_is_not_wanted():
    found = subscribers(subscription("above", filter="5"))
    assert found.of(Event("evt_1", "order.created", b"{}", 0.0)) == ()


def test_whoever_knows_the_integrations_may_narrow_it_further():
    mine = Subscription("mine", "int_a", "mine", ("*",), "https://hooks.example/")
    found = subscribers(mine, subscription("all"), may_know=lambda owner, event: event.tenant != "secret")
    assert found.of(event(tenant="secret")) == ("all",)
    assert set(found.of(event())) == {"all", "mine"}


def test_changes_and_removals_hold_from_the_next_version_on():
    found = subscribers(subscription("one"), subscription("two"))
    assert set(found.of(event())) == {"one", "two"}
    found.take(SubscriptionChanges(2, (subscription("two", events=("x",)),), ("one",)))
    assert found.of(event()) == ()
    assert found.version == 2
