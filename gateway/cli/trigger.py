"""`gateway trigger`: a realistic sample, signed, straight to a URL."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.failures import FAILED, Failure, Misuse
from gateway.cli.options import LocalCommand, Session, examples, pass_session
from gateway.cli.output import printable, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.wire.keyring import KeyRing

_QUERY: Final = "query.result."
_VARIABLE: Final = "HOOK_SECRET"
_SOURCE: Final = "/trigger"
_PARAMS: Final[Mapping[str, Any]] = {
    "question": {"text": "When does the library open on Sunday?", "language": "en"},
    "search": {"q": "keflavik", "country": "IS"},
    "form": {"form": "contact", "fields": {"email": "a.reader@example.com"}},
}
_RESULTS: Final[Mapping[str, Any]] = {
    "question": {"answers": [{"text": "At ten o'clock.", "score": 0.82}, {"text": "It is closed.", "score": 0.11}]},
    "search": {"rows": [["KEF", "Keflavik", "IS"], ["RKV", "Reykjavik", "IS"]], "count": 2},
    "form": {"accepted": True, "errors": []},
}
_ROWS: Final = {"rows": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]}


@dataclass(frozen=True, slots=True)
class _Sample:
    """A request that is ready to be sent."""

    event: str
    ident: str
    headers: list[tuple[str, str]]
    body: bytes


@click.command(
    cls=LocalCommand,
    epilog=examples(
        "HOOK_SECRET=whsec_… gateway trigger query.result.question --to http://localhost:3000/hook",
        "gateway trigger gateway.hook.disabled --to http://localhost:3000/inbox --secret-file secret.txt",
        "gateway trigger order.created --data '{\"order\": 4711}' --to http://localhost:3000/inbox",
    ),
)
@click.argument("event")
@click.option("--to", metavar="URL", required=True, help="Where to send it; your own machine is fine.")
@click.option("--secret-file", type=click.Path(path_type=Path), help=f"A file with the signing secret; or {_VARIABLE}.")
@click.option(
    "--data", metavar="JSON", help="The event's data, or a call's result, instead of a sample; @FILE reads a file."
)
@click.option("--capability", help="The capability of a query.")
@click.option("--tenant", help="The tenant of a query.")
@click.option("--cloudevents", is_flag=True, help="Send a notification as a CloudEvent.")
@click.option("--timeout-ms", type=click.IntRange(50, 60_000), default=10_000, show_default=True, help="How long.")
@pass_session
def trigger(
    session: Session,
    /,
    event: str,
    to: str,
    secret_file: Path | None,
    data: str | None,
    capability: str | None,
    tenant: str | None,
    *,
    cloudevents: bool,
    timeout_ms: int,
) -> None:
    """Send a realistic sample to a URL, signed as a gateway signs.

    EVENT is query.result.TYPE for the call of a hook, a name from `gateway events types` for a notification with the
    example that is documented, or any other name with --data. It goes from this machine straight to the URL, and
    through no gateway. Exit code 0 if the answer's status is 2xx, 1 otherwise.
    """
    import asyncio

    keys = _keys(secret_file)
    given = _json(data)
    if event.startswith(_QUERY) and event != _QUERY:
        sample = _call(event, keys, given, capability, tenant, timeout_ms)
    else:
        sample = _notification(event, keys, given, timeout_ms, cloudevents=cloudevents)
    told = asyncio.run(_send(sample, to, timeout_ms / 1000))
    write(told, as_json=session.as_json, otherwise=lambda: _write(told))
    if not 200 <= told["reply"]["status"] < 300:
        click.get_current_context().exit(FAILED)


def _keys(file: Path | None) -> KeyRing:
    from gateway.wire.keyring import KeyRing

    secret = os.environ.get(_VARIABLE, "")
    if file is not None:
        try:
            secret = file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise Misuse(f"The secret could not be read from {file}.") from None
    if not secret:
        raise Misuse(f"A sample is signed with a secret: --secret-file FILE, or the variable {_VARIABLE}.")
    try:
        return KeyRing([(secret, None)])
    except ValueError as error:
        raise Misuse(f"The secret cannot be used: {error}.") from None


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError:
        raise Misuse(f"--data: the file {text[1:]} could not be read.") from None
    except (ValueError, RecursionError):
        raise Misuse("--data is not JSON. Quote it for the shell, or give a file: --data @file.json") from None


def _call(
    event: str, keys: KeyRing, result: Any, capability: str | None, tenant: str | None, timeout_ms: int
) -> _Sample:
    from gateway.model import Query, Result
    from gateway.model.ids import message_id
    from gateway.wire import cloudevents, nesting, reply

    kind = event.removeprefix(_QUERY)
    query = Query(kind, capability, tenant, params=_PARAMS.get(kind))
    told = cloudevents.QueryEvent(query, _SOURCE)
    ident, now = message_id(), time.time()
    document = Result.of(_RESULTS.get(kind, _ROWS) if result is None else result)
    body = told.structured(ident, "hk_trigger", now, document)
    headers = [
        ("content-type", cloudevents.STRUCTURED_TYPE),
        ("accept", reply.ACCEPT_WITH_REJECT),
        *_signed(keys, ident, body, now),
        ("gateway-timeout-ms", str(timeout_ms)),
        (nesting.DEPTH, "1"),
        ("traceparent", told.traceparent()),
    ]
    return _Sample(event, ident, headers, body)


def _notification(event: str, keys: KeyRing, data: Any, timeout_ms: int, *, cloudevents: bool) -> _Sample:
    from gateway.model.ids import event_id
    from gateway.relay import delivery, message
    from gateway.relay.catalogue import CATALOGUE

    if data is None:
        known = CATALOGUE.get(event)
        if known is None:
            raise Misuse(
                f"{event!r} is not an event that there is an example of: write query.result.TYPE, a name from "
                "`gateway events types`, or give its data with --data."
            )
        data = dict(known.example)
    ident, now = event_id(), time.time()
    kind = message.STRUCTURED_TYPE if cloudevents else message.JSON_TYPE
    body = message.payload(
        kind, ident=ident, name=event, source=_SOURCE, at=now, data=json.dumps(data, ensure_ascii=False).encode()
    )
    headers = [
        ("content-type", kind),
        ("accept", "*/*"),
        *_signed(keys, ident, body, now),
        (delivery.EVENT, event),
        (delivery.DELIVERY, "dl_trigger"),
        (delivery.ATTEMPT, "1"),
        ("gateway-timeout-ms", str(timeout_ms)),
    ]
    return _Sample(event, ident, headers, body)


def _signed(keys: KeyRing, ident: str, body: bytes, now: float) -> list[tuple[str, str]]:
    from gateway.wire import signature

    return [
        ("user-agent", "query-hook-gateway-trigger"),
        (signature.ID, ident),
        (signature.TIMESTAMP, str(int(now))),
        (signature.SIGNATURE, keys.sign(ident, int(now), body, now)),
    ]


async def _send(sample: _Sample, to: str, seconds: float) -> dict[str, Any]:
    """What was sent and what came back. Raises `Failure` without an answer."""
    import asyncio

    from gateway.errors import CallError
    from gateway.transport import AddressGuard
    from gateway.transport.client import HttpTransport
    from gateway.transport.endpoint import parse_endpoint
    from gateway.transport.protocol import Limits

    try:
        endpoint = parse_endpoint(to, pool="trigger")
    except ValueError as error:
        raise Misuse(f"--to: {error}") from None
    transport = HttpTransport(AddressGuard(["0.0.0.0/0", "::/0"], allow_http=True))
    began = time.perf_counter()
    try:
        deadline = asyncio.get_running_loop().time() + seconds
        response = await transport.exchange(
            endpoint, "POST", sample.headers, sample.body, deadline=deadline, limits=Limits()
        )
    except CallError as error:
        raise Failure(f"{to} gave no answer ({error.reason}): {error.detail}") from None
    finally:
        await transport.aclose()
    ms = round((time.perf_counter() - began) * 1000, 1)
    return {
        "request": {
            "event": sample.event,
            "id": sample.ident,
            "url": endpoint.url,
            "headers": dict(sample.headers),
            "body": sample.body.decode("utf-8", "replace"),
        },
        "reply": {
            "status": response.status,
            "milliseconds": ms,
            "headers": {name: response.header(name) for name, _ in response.headers},
            "body": response.body.decode("utf-8", "replace"),
        },
    }


def _write(told: Mapping[str, Any]) -> None:
    request, reply = told["request"], told["reply"]
    size = len(request["body"].encode())
    click.echo(f"POST {printable(request['url'])}  {printable(request['event'])}  {request['id']}  {size} bytes")
    color = "green" if 200 <= reply["status"] < 300 else "red"
    click.echo(f"{click.style('status ' + str(reply['status']), fg=color)}, {reply['milliseconds']:.1f} ms\n")
    for name, value in reply["headers"].items():
        click.echo(f"{name}: {printable(value)}")
    if reply["body"]:
        click.echo(f"\n{printable(reply['body'], keep=chr(10))}")
