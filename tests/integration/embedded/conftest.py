"""Real servers for the applications that the gateway is embedded in."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import uvicorn
from werkzeug.serving import make_server


@contextlib.asynccontextmanager
async def wsgi(app):
    """A WSGI application behind a server with a thread for each request; yields its address."""
    running = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.port}"
    finally:
        await asyncio.to_thread(running.shutdown)
        await asyncio.to_thread(thread.join)
        running.server_close()


@contextlib.asynccontextmanager
async def asgi(app, lifespan="auto"):
    """An ASGI application behind uvicorn; yields its address."""
    config = uvicorn.Config(app, port=0, lifespan=lifespan, log_config=None, ws="none")
    config.load()
    running = uvicorn.Server(config)
    running.lifespan = config.lifespan_class(config)
    await running.startup()
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await running.shutdown()
