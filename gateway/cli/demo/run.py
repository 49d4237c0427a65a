"""The demo from start to end: everything it needs, in the order in which it starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from aiohttp import ClientSession, ClientTimeout, web
from rich.text import Text

from gateway.cli.demo.child import integration_server
from gateway.cli.demo.data import open_database
from gateway.cli.demo.query_api import query_api
from gateway.cli.demo.show import Place, Story, playground
from gateway.cli.invocation import program_name
from gateway.config import CallSettings, Settings, StoreSettings
from gateway.errors import ListenFailed
from gateway.runtime import open_gateway
from gateway.service.control import control_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rich.console import Console

_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says. A port of 0 is any free one. `once`: end after the story."""

    once: bool = False
    port: int = 0
    control_port: int = 0


async def run_demo(console: Console, options: DemoOptions, announce: Callable[[str], None] | None = None) -> bool:
    """Tell the story on `console`, then stay up until a signal comes, unless `options.once`.

    `announce` gets one line of JSON after the story. Returns whether everything went as promised; stopped
    by a signal, it did. Raises `GatewayError` where something could not start.
    """
    _keep_quiet()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    telling = asyncio.create_task(_tell_and_stay(console, options, announce))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({telling, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not telling.done():
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        console.print(Text("\nStopped; nothing is left behind."))
        return True
    return telling.result()


async def _tell_and_stay(console: Console, options: DemoOptions, announce: Callable[[str], None] | None) -> bool:
    """The story, and then what is there to play with, until it is cancelled."""
    console.print(Text("Loading the airports of the world, starting the gateway and an integration server …"))
    timeout = ClientTimeout(total=15)
    async with _everything(console, options) as place, ClientSession(timeout=timeout) as session:
        story = Story(console, session, place)
        await story.tell()
        _conclude(console, story)
        if announce is not None:
            announce(json.dumps({**asdict(place), "broken": story.broken}))
        if not options.once:
            _invite(console, place)
            await asyncio.Event().wait()
        return not story.broken


@asynccontextmanager
async def _everything(console: Console, options: DemoOptions) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        database = stack.enter_context(contextlib.closing(await asyncio.to_thread(open_database)))
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="gateway-demo-")))
        settings = Settings(
            store=StoreSettings(url=f"sqlite:///{directory / 'gateway.db'}"),
            calls=CallSettings(allow=("127.0.0.0/8", "::1/128"), allow_http=True),
        )
        gateway = await stack.enter_async_context(open_gateway(settings))
        key = secrets.token_urlsafe(24)
        control = control_app(
            gateway.registry, operator_keys=[key], metrics=gateway.metrics, protections=gateway.protections
        )
        control_url = await stack.enter_async_context(_served(control, options.control_port))
        query_url = await stack.enter_async_context(_served(query_api(database, gateway.chain), options.port))
        child = await stack.enter_async_context(integration_server())
        integration_url = f"http://{_HOST}:{child.port}"
        credentials = await _register(control_url, key, integration_url)
        hooks = await child.introduce({"control_url": control_url, **credentials})
        place = Place(query_url, control_url, integration_url, key, {hook["name"]: hook["id"] for hook in hooks})
        (airports,) = database.execute("select count(*) from airport").fetchone()
        (countries,) = database.execute("select count(*) from country").fetchone()
        for line in (
            f"query API           {query_url}   {airports:,} airports, {countries} countries and territories",
            f"control API         {control_url}   an SQLite database of its own",
            f"integration server  {integration_url}   process {child.pid}, {len(hooks)} hooks enabled",
        ):
            console.print(Text(line))
        yield place


@asynccontextmanager
async def _served(application: web.Application, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, _HOST, port).start()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            raise ListenFailed(
                f"The demo cannot listen on {_HOST}:{port} ({why.lower()}); choose another port."
            ) from None
        yield f"http://{_HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _register(control_url: str, key: str, base_url: str) -> dict[str, str]:
    """Tier one, as an operator does it. Returns the integration's credentials."""
    headers = {"authorization": f"Bearer {key}"}
    body = {"name": "demo", "base_url": base_url}
    async with (
        ClientSession(headers=headers, raise_for_status=True) as session,
        session.post(f"{control_url}/v1/integrations", json=body) as response,
    ):
        made = await response.json()
        return {"api_key": made["api_key"], "secret": made["secret"]}


def _conclude(console: Console, story: Story) -> None:
    console.print()
    console.rule(style="dim")
    if story.broken:
        console.print(Text("Not everything went as promised:", style="bold red"))
        for sentence in story.broken:
            console.print(Text(f"  {sentence}", style="red"))
    else:
        console.print(Text("Everything went as promised.", style="bold green"))


def _invite(console: Console, place: Place) -> None:
    console.print(Text("\nIt all stays up until you press Ctrl-C. Things to try in another terminal:"))
    for heading, lines in playground(place, program_name()):
        console.print(Text(f"\n{heading}", style="bold"))
        for line in lines:
            # Not wrapped: a line is there to be copied whole.
            console.print(Text(f"  {line}"), soft_wrap=True)


def _keep_quiet() -> None:
    """The story itself tells what became of each hook; the log of it would come in between."""
    log = logging.getLogger("gateway")
    log.addHandler(logging.NullHandler())
    log.propagate = False
