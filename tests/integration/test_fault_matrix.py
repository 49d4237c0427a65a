"""Each fault of the catalogue gives the expected result and outcome, in time, and leaves nothing open.

A representative part of the matrix; `python tests/proof/fault_matrix.py` runs all of it, with times and memory.
"""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import TYPE_CHECKING

import pytest
import uvloop

from gateway.model import FailurePolicy, Reason
from gateway.testing.fault_matrix import FaultMatrix, Place, merged
from gateway.testing.fault_process import FaultServerProcess
from gateway.testing.fault_server import FAULTS, FaultServer, Site, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.testing.fault_server import Fault

BUT_STATUSES = [fault for fault in FAULTS if not fault.path.startswith("/status/")]
# One for each way in which a call ends.
MANY_AT_ONCE = (
    "rebinding",
    "tls-expired",
    "hang",
    "drip",
    "cut-body",
    "endless-body",
    "gzip-bomb",
    "bad-json",
    "patch-missing-path",
    "replayed",
    "pipelined",
)


def sweep(
    loop_factory, cells: Iterable[tuple[Fault, FailurePolicy, Place, int]], server: FaultServerProcess | None = None
) -> dict[str, tuple[str, ...]]:
    """What is wrong, by fault: empty, if all is well."""

    async def run() -> dict[str, tuple[str, ...]]:
        wrong = {}
        async with FaultMatrix.open(server) as matrix:
            for fault, policy, place, concurrency in cells:
                cell = await matrix.run(fault, policy, place, concurrency)
                if cell.wrong:
                    wrong[f"{fault.name} {policy} {place} {concurrency}"] = cell.wrong[:2]
        return wrong

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run())


@pytest.mark.parametrize(
    ("loop_factory", "faults"), [(uvloop.new_event_loop, FAULTS), (asyncio.new_event_loop, BUT_STATUSES)]
)
def test_no_fault_changes_the_answer_where_failures_are_ignored(loop_factory, faults):
    assert sweep(loop_factory, zip(faults, cycle([FailurePolicy.IGNORE]), cycle(Place), cycle([1]))) == {}


def test_every_fault_is_an_error_and_never_a_wrong_answer_where_failures_are_not_ignored():
    places = cycle([Place.LAST, Place.FIRST, Place.MIDDLE])
    cells = zip(BUT_STATUSES, cycle([FailurePolicy.FAIL]), places, cycle([1]))
    assert sweep(uvloop.new_event_loop, cells) == {}


def test_fifty_queries_at_once_into_a_fault_get_the_right_answers_and_leave_nothing_open():
    some = [fault for fault in FAULTS if fault.name in MANY_AT_ONCE]
    cells = zip(some, cycle([FailurePolicy.IGNORE, FailurePolicy.FAIL]), cycle(Place), cycle([50]))
    with FaultServerProcess() as server:
        assert sweep(uvloop.new_event_loop, cells, server) == {}


def test_every_fault_has_a_name_of_its_own_and_every_site_a_fault():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {fault.site for fault in FAULTS} == set(Site)
    possible = {
        Reason.TIMEOUT,
        Reason.CONNECT,
        Reason.TLS,
        Reason.DNS,
        Reason.BLOCKED_ADDRESS,
        Reason.STATUS,
        Reason.CONTENT_TYPE,
        Reason.TOO_LARGE,
        Reason.BAD_JSON,
        Reason.BAD_PATCH,
        Reason.SIGNATURE,
        Reason.REJECTED_NOT_ALLOWED,
        Reason.GONE,
        Reason.PROTOCOL,
    }
    assert {fault.expected.reason for fault in FAULTS} == {None, *possible}


async def test_the_catalogue_says_where_each_fault_is():
    async with FaultServer() as server:
        lines = catalogue(server).splitlines()
        assert [line.split()[0] for line in lines] == [fault.name for fault in FAULTS]
        assert f"http://127.0.0.1:{server.port}/hang-up" in "\n".join(lines)
        assert "BEGIN CERTIFICATE" in server.authority_pem


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"rows":[1,2]}', b'{"rows":[1,2],"x":true}'),
        (b"5", b'{"x":true}'),
        (b'{"a":1,"a":2}', b'{"a":2,"x":true}'),
        (b'{"a":123456789012345678901234567890,"b":1e400}', b'{"a":123456789012345678901234567890,"b":1e400,"x":true}'),
    ],
)
def test_the_model_merges_by_the_book(body, expected):
    assert merged(body, "x") == expected
