"""FastAPI with httpx: what many reach for.

usage: fastapi_proxy.py PORT UPSTREAM_PORT HOOK_PORT
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PORT, UPSTREAM, HOOK = (int(word) for word in sys.argv[1:4])
clients: list[httpx.AsyncClient] = []


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """The client, as long as the application runs."""
    async with httpx.AsyncClient(timeout=1.0) as client:
        clients.append(client)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/pass/{rest:path}")
async def passed(rest: str) -> StreamingResponse:
    """Stream the upstream's answer through."""
    client = clients[0]
    found = await client.send(client.build_request("GET", f"http://127.0.0.1:{UPSTREAM}/{rest}"), stream=True)
    head = {"content-length": found.headers["content-length"]}
    return StreamingResponse(
        found.aiter_raw(), found.status_code, head, "application/json", BackgroundTask(found.aclose)
    )


@app.get("/{rest:path}")
async def hooked(rest: str) -> Response:
    """Send the upstream's answer to the hook, and answer with what it says."""
    client = clients[0]
    found = await client.get(f"http://127.0.0.1:{UPSTREAM}/{rest}")
    body = found.content
    try:
        said = await client.post(
            f"http://127.0.0.1:{HOOK}/echo", content=body, headers={"content-type": "application/json"}
        )
        if said.status_code == 200:
            body = said.content
    except httpx.HTTPError:
        pass
    return Response(body, found.status_code, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="critical", access_log=False, loop="uvloop")
