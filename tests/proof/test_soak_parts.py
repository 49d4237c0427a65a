"""The soak's judgement, without the soak: `python tests/proof/soak.py --minutes 10` is the whole of it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from gateway.testing.hook_messages import Raw, Reply, Request
from gateway.testing.hook_routes import standard_route
from gateway.testing.hook_server import HookServer


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", Path(__file__).with_name("soak.py"))
    module = sys.modules["soak"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["soak"]


def number_of(soak, hook, wanted):
    """The first query to which `hook` does what is wanted."""
    return next(n for n in range(1, 10_000) if wanted(soak.deed(1, hook, n)))


def answered(soak, number, hooks):
    return json.dumps({**json.loads(soak.data_of(number)), **dict.fromkeys(hooks, number)}).encode()


def test_an_answer_is_right_if_it_holds_what_the_applied_hooks_added_and_nothing_else(soak):
    outcomes = soak.outcomes_of("stamp;applied;ms=1.2, tag;failed;reason=timeout;ms=400")
    assert soak.judge(1, 7, soak.data_of(7), outcomes, answered(soak, 7, ["stamp"])) is None
    assert soak.judge(1, 7, soak.data_of(7), outcomes, answered(soak, 7, ["stamp", "tag"])) is not None
    assert soak.judge(1, 7, soak.data_of(7), outcomes, soak.data_of(7)) is not None


def test_without_hooks_the_answer_must_be_the_data_byte_for_byte(soak):
    assert soak.judge(1, 7, soak.data_of(7), [], soak.data_of(7)) is None
    assert soak.judge(1, 7, soak.data_of(7), [], soak.data_of(7) + b" ") is not None


@pytest.mark.parametrize("status", ["applied", "unchanged"])
def test_a_fault_that_counts_as_a_reply_is_wrong(soak, status):
    number = number_of(soak, "chaos-1", lambda does: does in soak.FAULTS)
    keys = ["chaos-1"] if status == "applied" else []
    outcomes = [("chaos-1", status, "")]
    assert soak.judge(1, number, soak.data_of(number), outcomes, answered(soak, number, keys)) is not None


def test_a_good_reply_that_is_discarded_for_another_reason_than_lateness_is_wrong(soak):
    outcomes = [("stamp", "failed", "bad_json")]
    assert soak.judge(1, 7, soak.data_of(7), outcomes, soak.data_of(7)) is not None


def samples(soak, grown):
    return [soak.Sample(n, 70_000 + grown * n, 40, 30, 10, n) for n in range(100)]


def test_figures_that_grow_all_the_time_are_not_flat_and_figures_that_stay_are(soak):
    assert [held for *_, held in soak.growth(samples(soak, 0))] == [True] * 4
    assert [held for *_, held in soak.growth(samples(soak, 300))] == [False, True, True, True]


async def test_the_server_knows_every_fault_of_the_soak(soak):
    async with HookServer() as server:
        for path in soak.FAULTS:
            answer = await standard_route(server, Request("POST", path, (), b"{}"))
            known = isinstance(answer, (Raw, bytes)) or answer.status != 404 or path == "/status/404"
            assert known, path
            assert isinstance(answer, (Raw, Reply, bytes))
            if isinstance(answer, Raw) and not isinstance(answer.data, bytes):
                await answer.data.aclose()
