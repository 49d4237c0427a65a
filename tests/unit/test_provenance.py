"""What is told of a query's hooks, in the headers of its answer."""

from __future__ import annotations

from gateway.model import Outcome, Reason, Result, Status
from gateway.pipeline import Answer, provenance

OUTCOMES = (
    Outcome("price-fx", "it", Status.APPLIED, milliseconds=3.14),
    Outcome("geo", "it", Status.FAILED, Reason.TIMEOUT, milliseconds=1000.0),
    Outcome("rows", "it", Status.APPLIED, milliseconds=0.04, batches=3, batches_failed=1),
)
HOOKS = "price-fx;applied;ms=3.1, geo;failed;reason=timeout;ms=1000, rows;applied;ms=0;batches=3;batches_failed=1"
TIMING = 'hook-price-fx;dur=3.1;desc="applied", hook-geo;dur=1000.0;desc="failed", hook-rows;dur=0.0;desc="applied"'


def test_each_outcome_is_told_with_its_reason_its_time_and_what_failed_of_it():
    answer = Answer(Result(b"{}"), OUTCOMES)
    assert provenance.hooks_header(OUTCOMES) == HOOKS
    assert provenance.headers(answer) == {"gateway-hooks": HOOKS, "Server-Timing": TIMING}


def test_the_same_is_told_over_the_wire_however_often():
    constants = provenance.Constants()
    told = [(b"gateway-hooks", HOOKS.encode()), (b"server-timing", b"query;dur=12.3, " + TIMING.encode())]
    for _ in range(2):
        answer = Answer(Result(b"{}"), OUTCOMES, query_ms=12.34, trace_id="tr_1")
        assert provenance.fields(answer, constants) == [*told, (b"gateway-trace-id", b"tr_1")]


def test_constants_are_remembered_within_bounds():
    constants = provenance.Constants()
    for number in range(5000):
        assert constants[f"h{number}", Status.SKIPPED, Reason.SIZE][0] == b"h%d;skipped;reason=size;ms=" % number
    assert len(constants) <= 1024


def test_nothing_is_told_of_no_hooks():
    answer = Answer(Result(b"{}"))
    assert provenance.headers(answer) == {}
    assert provenance.fields(answer, provenance.Constants()) == []
