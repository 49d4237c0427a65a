"""`gateway listen`: a hook's calls, brought to a server on one's own machine."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import click

from gateway.cli.failures import Misuse, Unreachable
from gateway.cli.lookup import find_hook_id, find_integration
from gateway.cli.options import ControlCommand, Session, examples, pass_session
from gateway.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.client import ControlClient

_WAIT_SECONDS = 20.0
_AT_ONCE = 16
_LONGEST_PAUSE_SECONDS = 15.0
_MOST_BYTES = 8 * 1024 * 1024
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer"}
_COLOURS = {2: "green", 4: "yellow", 5: "red"}


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway listen --hook price-fx --forward http://localhost:3000",
        "gateway listen --hook price-fx --forward http://localhost:3000/hook --mode shadow",
        "gateway listen --hook hk_3f8k2m9q4r7t1v5x --forward http://localhost:3000 --mode replayed --json",
    ),
)
@click.option("--hook", "wanted", required=True, help="The hook, by name or id.")
@click.option("--forward", required=True, metavar="URL", help="The server to send its calls to, on this machine.")
@click.option(
    "--mode",
    type=click.Choice(["live", "shadow", "replayed"]),
    default="live",
    show_default=True,
    help="live: its answers count. shadow: it gets copies. replayed: it gets only what `gateway replay` sends.",
)
@click.option("--integration", "-i", help="On behalf of this integration, by name or id.")
@pass_session
def listen(session: Session, /, wanted: str, forward: str, mode: str, integration: str | None) -> None:
    """Bring the calls of a hook to a server on this machine, live.

    Needs no public address: it asks the gateway for calls, sends them on with the same headers and the same body, so
    that signatures hold, and gives the answers back. Without a path in the URL, that of the hook is taken. While
    it listens in mode live, the hook's own URL is not called. Ctrl-C ends it, and calls go where they went before.
    """
    base = _server(forward)
    client = session.client()
    query = {"integration": None if integration is None else str(find_integration(client, integration)["id"])}
    hook = find_hook_id(client, wanted, integration_id=query["integration"])
    listening = _Listening(client, f"/v1/hooks/{quote(hook, safe='')}/listen", query, mode, base)
    if not session.as_json:
        click.echo(f"Listening to {printable(wanted)} ({mode}); its calls go to {forward}. Ctrl-C ends it.")
    listening.run(as_json=session.as_json)


def _server(url: str) -> str:
    parts = urlsplit(url)
    try:
        valid = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        valid = False
    if not valid or "@" in parts.netloc or parts.query or parts.fragment:
        raise Misuse("--forward must be the URL of a server, such as http://localhost:3000.")
    return url.rstrip("/")


class _Listening:
    """Asks for calls, and has each answered in a thread."""

    def __init__(self, client: ControlClient, path: str, query: Mapping[str, str | None], mode: str, base: str) -> None:
        self._client = client
        self._path = path
        self._query = query
        self._mode = mode
        self._base = base
        self._listener: str | None = None
        self._says = threading.Lock()

    def run(self, *, as_json: bool) -> None:
        """Until Ctrl-C."""
        from concurrent.futures import ThreadPoolExecutor

        pause = 0.5
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            try:
                while True:
                    try:
                        answer = self._ask({"wait_seconds": _WAIT_SECONDS})
                        pause = 0.5
                    except Unreachable as error:
                        click.echo(f"{error.message} Trying again in {pause:g} s.", err=True)
                        time.sleep(pause)
                        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                        continue
                    self._listener = answer["listener"]
                    for call in answer["calls"]:
                        threads.submit(self._forward, call, as_json=as_json)
            finally:
                if self._listener is not None:
                    self._ask({"end": True})

    def _ask(self, asked: dict[str, Any]) -> Any:
        body = {"listener": self._listener, "mode": self._mode, **asked}
        wait = asked.get("wait_seconds", 0.0)
        return self._client.call("POST", self._path, query=self._query, body=body, timeout_seconds=wait + 15.0)

    def _forward(self, call: dict[str, Any], *, as_json: bool) -> None:
        begun = time.perf_counter()
        reply, error = self._reply(call)
        ms = (time.perf_counter() - begun) * 1000
        late = False
        if call["answers"]:
            try:
                late = bool(self._ask({"replies": [{"id": call["id"], **reply}]})["late"])
            except click.ClickException as refused:
                error = refused.message
        with self._says:
            self._tell(call, reply, error, ms, late=late, as_json=as_json)

    def _reply(self, call: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """The local server's answer; where there is none, 502, and why."""
        from http.client import HTTPConnection, HTTPException, HTTPSConnection

        parts = urlsplit(self._base if urlsplit(self._base).path else self._base + urlsplit(call["url"]).path)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=max(1.0, call["timeout_ms"] / 1000))
        headers = {name: value for name, value in call["headers"] if name.lower() not in _HOP_BY_HOP}
        try:
            connection.request("POST", parts.path or "/", base64.b64decode(call["body"]), headers)
            answer = connection.getresponse()
            body = answer.read(_MOST_BYTES)
            kept = [[name, value] for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
        except (OSError, HTTPException) as error:
            return {"status": 502, "headers": [], "body": ""}, str(error) or type(error).__name__
        finally:
            connection.close()
        return {"status": answer.status, "headers": kept, "body": base64.b64encode(body).decode()}, None

    def _tell(
        self, call: dict[str, Any], reply: dict[str, Any], error: str | None, ms: float, *, late: bool, as_json: bool
    ) -> None:
        sent = base64.b64decode(call["body"])
        kind = _event_type(call, sent)
        told = {
            "at": call["at"], "type": kind, "status": reply["status"], "ms": round(ms, 1), "bytes_out": len(sent),
            "bytes_in": len(base64.b64decode(reply["body"])), "counts": call["answers"] and not late, "error": error,
        }  # fmt: skip
        if as_json:
            click.echo(json.dumps(told))
            return
        status = click.style(str(reply["status"]), fg=_COLOURS.get(reply["status"] // 100, "yellow"))
        note = f"  {printable(error)}" if error else "  too late" if late else "" if call["answers"] else "  (a copy)"
        size = f"{told['bytes_out']} → {told['bytes_in']} bytes"
        click.echo(f"{call['at'][11:19]}  {printable(kind):28}  {status}  {ms:7.1f} ms  {size}{note}")


def _event_type(call: dict[str, Any], body: bytes) -> str:
    header = next((value for name, value in call["headers"] if name.lower() == "ce-type"), None)
    if header is not None:
        return str(header)
    try:
        event = json.loads(body)
    except ValueError:
        return "-"
    return str(event.get("type", "-")) if isinstance(event, dict) else "-"
