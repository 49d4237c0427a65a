"""The conformance kit finds every seeded fault of an example hook, and nothing wrong with one that behaves."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import pytest

from gateway.conformance import CHECKS, Probe, Target, Verdict, verify
from gateway.testing.example_hook import HOOK_FAULTS, ExampleHook
from gateway.testing.hook_server import HookServer
from gateway.transport import AddressGuard
from gateway.transport.client import HttpTransport

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@asynccontextmanager
async def probing(fault=None, *, forms=frozenset(), form="replace", **target):
    """A probe of an example hook with this fault."""
    async with HookServer() as server:
        hook = ExampleHook(SECRET, fault, form=form)
        server.on("/hook", hook)
        server.on("/health", hook)
        transport = HttpTransport(AddressGuard(["127.0.0.1"], allow_http=True))
        asked = {"signed_replies": True, "health_url": f"{server.url}/health", "claims": forms} | target
        asked |= {"capability": "prices", "tenant": "acme", "params": {"q": 1}}
        try:
            yield Probe(Target(f"{server.url}/hook", SECRET, **asked), transport, time.time)
        finally:
            await transport.aclose()


def failed(report):
    return {finding.check.name for finding in report.findings if finding.verdict is Verdict.FAILED}


def test_there_are_at_least_forty_checks_with_names_of_their_own():
    assert len(CHECKS) >= 40
    assert len({check.name for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("form", ["replace", "json-patch", "merge-patch"])
async def test_a_hook_that_behaves_passes_every_check(form):
    async with probing(form=form, forms=frozenset({form, "unchanged"})) as probe:
        report = await verify(probe)
    assert {
        finding.check.name: finding.detail for finding in report.findings if finding.verdict is Verdict.FAILED
    } == {}
    assert report.conforms
    skipped = {finding.check.name for finding in report.findings if finding.verdict is Verdict.SKIPPED}
    assert skipped == {"empty-204", *({"patch-fits"} if form == "replace" else ())}


@pytest.mark.parametrize("fault", HOOK_FAULTS)
async def test_every_seeded_fault_is_found_by_the_checks_that_are_meant_for_it(fault):
    expected = HOOK_FAULTS[fault]
    async with probing(fault) as probe:
        if fault == "slow":  # each of its calls is, and waiting for all of them proves no more
            report = await verify(probe, only={"deadline"})
        else:
            report = await verify(probe, skip={"large", "too-large", "deep"} - expected)
    assert failed(report) == expected - ({"large", "too-large", "deep"} - expected)
    assert not report.conforms


def test_every_check_finds_some_seeded_fault():
    """But these, which no single fault of a hook that still answers sets off."""
    found = frozenset().union(*HOOK_FAULTS.values())
    elsewhere = {"answers", "empty-204", "patch-fits", "claimed-forms", "no-redirect", "not-compressed"}
    assert {check.name for check in CHECKS} - found == elsewhere
