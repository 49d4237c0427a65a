"""The lines of the access log: what is in them, and what never is."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from gateway.model import Outcome, Reason, Status
from gateway.observe.log import LinesWritten
from gateway.service.access_log import AccessLog
from gateway.service.front import Access

OUTCOMES = (Outcome("price-fx", "prices", Status.APPLIED), Outcome("geo", "maps", Status.FAILED, Reason.TIMEOUT))
NOTES = {"upstream_ms": 8.126, "outcomes": OUTCOMES, "trace": "0af7651916cd43dd8448eb211c80319c"}


def access(**changes):
    return Access("GET", "/query?q=secret", 200, 3, 5120, 0.0124, "10.0.3.9", 1, "http", True, NOTES)._replace(
        **changes
    )


async def lines(*requests, as_json=True, query=False, always=None):
    """What is written for these requests."""
    stream = io.StringIO()
    log = AccessLog(
        query=query, written=lambda: LinesWritten(stream, as_json, always or {}), now=lambda: 1_790_000_000.0625
    )
    for request in requests:
        log.write(request)
    assert stream.getvalue() == ""  # not before the turn of the event loop is over
    await asyncio.sleep(0)
    return stream.getvalue().splitlines()


async def test_a_line_of_json_has_these_fields_in_this_order():
    (line,) = await lines(access())
    assert list(json.loads(line).items()) == [
        ("time", "2026-09-21T14:13:20.062Z"),
        ("level", "info"),
        ("event", "request.answered"),
        ("logger", "gateway.access"),
        ("method", "GET"),
        ("target", "/query?…"),
        ("status", 200),
        ("bytes_in", 3),
        ("bytes_out", 5120),
        ("ms", 12.4),
        ("upstream_ms", 8.13),
        ("hooks", "price-fx:applied,geo:failed:timeout"),
        ("trace", "0af7651916cd43dd8448eb211c80319c"),
        ("client", "10.0.3.9"),
    ]


async def test_a_line_of_text_has_the_same_fields():
    (line,) = await lines(access(), as_json=False)
    assert " info    request.answered " in line
    assert " status=200 bytes_in=3 bytes_out=5120 ms=12.4 upstream_ms=8.13 hooks=price-fx:applied," in line


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"target": "/query"}, "target", "/query"),
        ({"target": "/" + "a" * 300}, "target", "/" + "a" * 198 + "…"),
        ({"client": None}, "client", "unix"),
        ({"scheme": "https"}, "scheme", "https"),
        ({"complete": False}, "complete", False),
        ({"notes": {"outcomes": OUTCOMES * 20}}, "hooks", ("price-fx:applied,geo:failed:timeout," * 20)[:199] + "…"),
        ({"status": 499}, "status", 499),
    ],
)
async def test_what_is_special_is_said(change, field, value):
    (line,) = await lines(access(**change))
    assert json.loads(line)[field] == value


async def test_a_query_string_is_written_only_if_that_is_wanted():
    (line,) = await lines(access(), query=True)
    assert json.loads(line)["target"] == "/query?q=secret"


async def test_requests_of_one_turn_are_written_together_each_with_the_fields_of_the_process():
    written = await lines(*[access(status=status) for status in (200, 404, 502)], always={"worker": 2})
    assert [(json.loads(line)["status"], json.loads(line)["worker"]) for line in written] == [
        (200, 2),
        (404, 2),
        (502, 2),
    ]


async def test_nothing_in_a_request_can_begin_a_line_of_its_own():
    for as_json in (True, False):
        assert len(await lines(access(target="/a\n\x1b[31m"), as_json=as_json)) == 1


async def test_a_log_that_nobody_reads_any_more_does_not_matter():
    stream = io.StringIO()
    log = AccessLog(query=False, written=lambda: LinesWritten(stream, True, {}))
    log.write(access())
    stream.close()
    await asyncio.sleep(0)
    log.write(access())
    await asyncio.sleep(0)
