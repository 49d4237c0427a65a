"""`gateway inspect`: look at what a gateway sends."""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.failures import Failure, Misuse
from gateway.cli.options import LocalCommand, Session, examples, pass_session
from gateway.cli.output import printable

if TYPE_CHECKING:
    from gateway.cli.inspector.app import Answering
    from gateway.cli.inspector.captures import Capture

_COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}
_WORDS = {"passed": "signature ok", "failed": "signature WRONG", "skipped": "signature not checked"}


@click.command(
    name="inspect",
    cls=LocalCommand,
    epilog=examples(
        "gateway inspect",
        "gateway inspect --listen 127.0.0.1:4000 --secret-file secret.txt",
        "gateway inspect --status 200 --body reply.json --content-type application/merge-patch+json",
    ),
)
@click.option("--listen", default="127.0.0.1:4000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option(
    "--secret-file", type=click.Path(path_type=Path), multiple=True, help="A file with a signing secret; repeatable."
)
@click.option("--status", type=click.IntRange(200, 599), default=None, help="The status of the answers; 204, or 200.")
@click.option("--body", type=click.Path(path_type=Path), help="A file with the body of the answers.")
@click.option("--content-type", default="application/json", show_default=True, help="What that body is.")
@pass_session
def inspect(
    session: Session,
    /,
    listen: str,
    secret_file: tuple[Path, ...],
    status: int | None,
    body: Path | None,
    content_type: str,
) -> None:
    """Capture whatever is sent to an address, and show it in a web page, live.

    The page shows each request with its headers, its body raw and pretty, the check of its signature step by step
    (where a secret is given, also by the variable HOOK_SECRET), and its timing. Answers 204 unless told otherwise, and
    OPTIONS as the ownership handshake wants it. Nothing is kept on disk. Ctrl-C ends it.
    """
    import asyncio

    from gateway.cli.inspector.app import Answering
    from gateway.config.values import parse_address

    try:
        address = parse_address(listen)
    except ValueError as error:
        raise Misuse(f"--listen {error}.") from None
    content = b"" if body is None else _read(body)
    answering = Answering(
        status if status is not None else (200 if content else 204), content_type, content, _secrets(secret_file)
    )
    asyncio.run(_serve(answering, address.host, address.port, as_json=session.as_json))


def _secrets(files: tuple[Path, ...]) -> tuple[str, ...]:
    from gateway.wire.signature import key_of

    secrets = [_read(file).decode("utf-8", "replace").strip() for file in files]
    if not files and os.environ.get("HOOK_SECRET"):
        secrets.append(os.environ["HOOK_SECRET"])
    for secret in secrets:
        try:
            key_of(secret)
        except ValueError as error:
            raise Misuse(f"The secret cannot be used: {error}.") from None
    return tuple(secrets)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Misuse(f"The file {file} could not be read: {(error.strerror or 'unknown').lower()}.") from None


async def _serve(answering: Answering, host: str, port: int, *, as_json: bool) -> None:
    import asyncio
    import json

    from aiohttp import web

    from gateway.cli.inspector.app import PAGE, inspector_app
    from gateway.cli.inspector.captures import Captures

    def told(capture: Capture) -> None:
        click.echo(json.dumps(capture.document()) if as_json else _line(capture))

    runner = web.AppRunner(inspector_app(answering, Captures(), told=told), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            raise Failure(f"Cannot listen on {host}:{port}: {why}. Choose another address with --listen.") from None
        at = runner.addresses[0][1]
        url = f"http://[{host}]:{at}" if ":" in host else f"http://{host}:{at}"
        if not as_json:
            click.echo(f"Captures what is sent to {url}/ (any path). The page: {url}{PAGE}\n")
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # what event loops without signals raise
                loop.add_signal_handler(number, stop.set)
        await stop.wait()
    finally:
        await runner.cleanup()


def _line(capture: Capture) -> str:
    summary = capture.summary()
    at = time.strftime("%H:%M:%S", time.localtime(capture.at))
    state = click.style(_WORDS[summary["signature"]], fg=_COLOURS[summary["signature"]]) if capture.steps else ""
    what = f"{capture.method} {printable(capture.target)}"
    return f"{at}  {what:32}  {len(capture.body):>9} bytes  {printable(summary['type']):24}  {state}".rstrip()
