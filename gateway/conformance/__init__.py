"""The conformance kit: does a hook endpoint behave as the gateway, and the Standard Webhooks, expect it to?

`verify` runs `CHECKS` against an endpoint; the command is `gateway verify URL`. May import transport, wire, model and
errors; knows no registry and no store.
"""

from gateway.conformance.check import CHECKS, Check, Finding, Verdict
from gateway.conformance.probe import Probe, Target
from gateway.conformance.verify import Report, verify

__all__ = ["CHECKS", "Check", "Finding", "Probe", "Report", "Target", "Verdict", "verify"]
