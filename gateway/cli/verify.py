"""`gateway verify`: does a hook endpoint behave?"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.failures import FAILED, Misuse
from gateway.cli.options import LocalCommand, Session, examples, pass_session
from gateway.cli.output import printable, write_json

if TYPE_CHECKING:
    from gateway.conformance import Finding, Report, Target

_MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("–", "yellow")}
VARIABLE = "HOOK_SECRET"


@click.command(
    cls=LocalCommand,
    epilog=examples(
        "gateway verify https://hooks.example.com/price --secret-file secret.txt --type search",
        "HOOK_SECRET=whsec_… gateway verify http://127.0.0.1:3000/hook",
        "gateway verify http://127.0.0.1:3000/hook --only signature --skip old",
        "gateway verify http://127.0.0.1:3000/hook --junit report.xml",
        "gateway verify --list",
    ),
)
@click.argument("url", required=False)
@click.option(
    "--secret",
    envvar=VARIABLE,
    help=f"The signing secret, whsec_…; rather by the variable {VARIABLE} or a file.",
)
@click.option("--secret-file", type=click.Path(path_type=Path), help="A file that holds the signing secret.")
@click.option("--type", "query_type", default="question", show_default=True, help="A type of query that it serves.")
@click.option("--capability", help="A capability that it serves.")
@click.option("--tenant", help="A tenant that it serves.")
@click.option("--params", metavar="JSON", help="The query's params; @FILE reads a file.")
@click.option("--context", metavar="JSON", help="The query's context; @FILE reads a file.")
@click.option("--result", metavar="JSON", help="The result to send; @FILE reads a file. A small table by default.")
@click.option("--timeout-ms", type=click.IntRange(50, 60_000), default=1_000, show_default=True, help="Its time limit.")
@click.option("--health-path", metavar="PATH", help="Its health path, such as /health.")
@click.option("--signed-replies", is_flag=True, help="Its replies are signed.")
@click.option("--binary", is_flag=True, help="Call it in binary mode.")
@click.option(
    "--claims",
    multiple=True,
    type=click.Choice(["replace", "json-patch", "merge-patch", "unchanged"]),
    help="A reply form that must be seen; may be given several times.",
)
@click.option("--origin", default="gateway.example", show_default=True, help="The origin in the ownership handshake.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this check or group; may be given several times.")
@click.option("--skip", multiple=True, metavar="NAME", help="Not this check or group; may be given several times.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit report to this file, too.")
@click.option("--public-only", is_flag=True, help="Only call public addresses, by https: as a gateway would.")
@click.option("--list", "listed", is_flag=True, help="List the checks, and call nothing.")
@pass_session
def verify(
    session: Session,
    /,
    url: str | None,
    secret: str | None,
    secret_file: Path | None,
    health_path: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    junit: Path | None,
    *,
    public_only: bool,
    listed: bool,
    **about: Any,
) -> None:
    """Check that a hook behaves as the gateway expects.

    Calls the URL some hundred times: signed rightly and wrongly, again, too late, with odd, broken and large
    input, many at once. Says for each check what must hold, what was seen and how to mend it. The hook is called
    for real, so use one that is meant for trying out. Exit code 0 if nothing failed, 1 otherwise.
    """
    import asyncio

    if listed:
        _list(as_json=session.as_json)
        return
    if url is None:
        raise Misuse("Name the URL of the hook, such as http://127.0.0.1:3000/hook; --list shows the checks.")
    target = _target(url, _secret(secret, secret_file), health_path, about)
    report = asyncio.run(_verify(target, only, skip, public_only=public_only, live=not session.as_json))
    if junit is not None:
        try:
            junit.write_bytes(report.junit())
        except OSError as error:
            raise Misuse(
                f"The report could not be written to {junit}: {(error.strerror or 'unknown').lower()}."
            ) from None
    if session.as_json:
        write_json(report.document())
    else:
        _sum_up(report)
    if not report.conforms:
        sys.stdout.flush()
        click.get_current_context().exit(FAILED)


def _target(url: str, secret: str, health_path: str | None, about: dict[str, Any]) -> Target:
    from gateway.conformance import Target

    for name in ("params", "context", "result"):
        about[name] = _json(name, about[name])
    if about["result"] is None:
        del about["result"]
    if health_path is not None and not health_path.startswith("/"):
        raise Misuse("--health-path must begin with '/'.")
    about["claims"] = frozenset(about["claims"])
    health = None if health_path is None else "/".join(url.split("/")[:3]) + health_path
    return Target(url, secret, health_url=health, **about)


def _secret(secret: str | None, file: Path | None) -> str:
    from gateway.wire.signature import key_of

    if file is not None:
        try:
            secret = file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise Misuse(f"The secret could not be read from {file}.") from None
    if not secret:
        raise Misuse(f"The checks need the signing secret: --secret-file FILE, or the variable {VARIABLE}.")
    try:
        key_of(secret)
    except ValueError as error:
        raise Misuse(f"The secret cannot be used: {error}.") from None
    return secret


def _json(name: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError:
        raise Misuse(f"--{name}: the file {text[1:]} could not be read.") from None
    except ValueError:
        raise Misuse(f"--{name} is not JSON. Quote it for the shell, or give a file: --{name} @file.json") from None


async def _verify(
    target: Target, only: tuple[str, ...], skip: tuple[str, ...], *, public_only: bool, live: bool
) -> Report:
    from gateway.conformance import Probe
    from gateway.conformance import verify as run_checks
    from gateway.transport import AddressGuard
    from gateway.transport.client import HttpTransport

    guard = AddressGuard() if public_only else AddressGuard(["0.0.0.0/0", "::/0"], allow_http=True)
    transport = HttpTransport(guard)
    try:
        try:
            probe = Probe(target, transport)
            return await run_checks(probe, only=only, skip=skip, told=_Live() if live else lambda _: None)
        except ValueError as error:
            raise Misuse(f"{str(error)[:1].upper()}{str(error)[1:]}") from None
    finally:
        await transport.aclose()


class _Live:
    """Tells of each check as it ends, under the name of its group."""

    def __init__(self) -> None:
        self._group = ""

    def __call__(self, finding: Finding) -> None:
        check = finding.check
        if check.group != self._group:
            self._group = check.group
            click.echo(f"\n{click.style(check.group, bold=True)}")
        mark, colour = _MARKS[finding.verdict.value]
        click.echo(f"  {click.style(mark, fg=colour)} {check.sentence}  {click.style(check.name, dim=True)}")
        if finding.detail:
            click.echo(f"      {printable(finding.detail)}")
        if finding.verdict.value == "failed":
            click.echo(f"      → {check.mend}")


def _sum_up(report: Report) -> None:
    from gateway.conformance import Verdict

    counts = ", ".join(f"{report.count(verdict)} {verdict.value}" for verdict in Verdict)
    click.echo(f"\n{counts}: {printable(report.url)} {'conforms' if report.conforms else 'does not conform'}.")


def _list(*, as_json: bool) -> None:
    import gateway.conformance.verify  # noqa: F401  # brings the checks with it
    from gateway.conformance import CHECKS

    if as_json:
        write_json([{"name": each.name, "group": each.group, "sentence": each.sentence} for each in CHECKS])
        return
    group = ""
    for each in CHECKS:
        if each.group != group:
            group = each.group
            click.echo(f"{os.linesep if group != CHECKS[0].group else ''}{click.style(group, bold=True)}")
        click.echo(f"  {each.name.ljust(22)} {each.sentence}")
