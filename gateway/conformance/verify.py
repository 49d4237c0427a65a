"""Runs the checks, and sums up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET  # only written here, never read

from gateway.conformance import basics, behaviour, forgery  # the checks  # noqa: F401
from gateway.conformance.check import CHECKS, Broken, Check, Finding, NotAsked, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gateway.conformance.probe import Probe

__all__ = ["Report", "verify"]


@dataclass(frozen=True, slots=True)
class Report:
    """What all checks found."""

    url: str
    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict) -> int:
        """How many checks ended so."""
        return sum(finding.verdict is verdict for finding in self.findings)

    @property
    def conforms(self) -> bool:
        """Whether no check failed."""
        return self.count(Verdict.FAILED) == 0

    def document(self) -> dict[str, Any]:
        """The report as a JSON value."""
        return {
            "url": self.url,
            "conforms": self.conforms,
            **{verdict.value: self.count(verdict) for verdict in Verdict},
            "checks": [
                {
                    "name": finding.check.name,
                    "group": finding.check.group,
                    "sentence": finding.check.sentence,
                    "verdict": finding.verdict.value,
                    "detail": finding.detail,
                    "mend": finding.check.mend if finding.verdict is Verdict.FAILED else None,
                    "ms": round(finding.milliseconds, 1),
                }
                for finding in self.findings
            ],
        }

    def junit(self) -> bytes:
        """The report as a JUnit XML file, as build servers read it."""
        suite = ET.Element(
            "testsuite",
            name="gateway verify",
            tests=str(len(self.findings)),
            failures=str(self.count(Verdict.FAILED)),
            skipped=str(self.count(Verdict.SKIPPED)),
            errors="0",
            time=f"{sum(finding.milliseconds for finding in self.findings) / 1000:.3f}",
        )
        for finding in self.findings:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=f"gateway.verify.{finding.check.group}",
                name=f"{finding.check.name}: {finding.check.sentence}",
                time=f"{finding.milliseconds / 1000:.3f}",
            )
            if finding.verdict is Verdict.FAILED:
                told = ET.SubElement(case, "failure", message=_xml(finding.detail))
                told.text = _xml(finding.check.mend)
            elif finding.verdict is Verdict.SKIPPED:
                ET.SubElement(case, "skipped", message=_xml(finding.detail))
        suites = ET.Element("testsuites")
        suites.append(suite)
        written: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
        return written


def _xml(text: str) -> str:
    """`text` without what XML cannot hold."""
    return "".join(c if c.isprintable() else "�" for c in text)


async def verify(
    probe: Probe,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    told: Callable[[Finding], None] = lambda _: None,
) -> Report:
    """Run the checks one after another; `told` hears of each as it ends.

    `only` and `skip` are names of checks or of groups. Raises `ValueError` for a name that is neither.
    """
    known = {check.name for check in CHECKS} | {check.group for check in CHECKS}
    unknown = sorted({*only, *skip} - known)
    if unknown:
        raise ValueError(f"there is no check and no group {unknown[0]!r}; gateway verify --list shows them all")
    findings = []
    for check in CHECKS:
        if (only and not {check.name, check.group} & {*only}) or {check.name, check.group} & {*skip}:
            continue
        finding = await _run(check, probe)
        findings.append(finding)
        told(finding)
    return Report(probe.target.url, tuple(findings))


async def _run(check: Check, probe: Probe) -> Finding:
    begun = time.perf_counter()
    verdict, detail = Verdict.PASSED, ""
    try:
        await check.run(probe)
    except Broken as broken:
        verdict, detail = Verdict.FAILED, str(broken)
    except NotAsked as why:
        verdict, detail = Verdict.SKIPPED, str(why)
    return Finding(check, verdict, detail, (time.perf_counter() - begun) * 1000)
