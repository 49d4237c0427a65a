"""mitmproxy's addon: sends each answer to the hook. The hook's port is in the environment variable HOOK."""

from __future__ import annotations

import os
from typing import Any

import aiohttp


class Hooks:
    """Calls the hook after each answer that is not below /pass/."""

    session: aiohttp.ClientSession | None = None

    async def response(self, flow: Any) -> None:
        """Replace the answer by what the hook says of it."""
        if flow.request.path.startswith("/pass/"):
            return
        if self.session is None:
            limit = aiohttp.ClientTimeout(total=1)
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limit)
        try:
            async with self.session.post(
                f"http://127.0.0.1:{os.environ['HOOK']}/echo",
                data=flow.response.raw_content,
                headers={"content-type": "application/json"},
            ) as said:
                if said.status == 200:
                    flow.response.content = await said.read()
        except (aiohttp.ClientError, TimeoutError):
            pass

    def responseheaders(self, flow: Any) -> None:
        """Stream what no hook is for."""
        if flow.request.path.startswith("/pass/"):
            flow.response.stream = True


addons = [Hooks()]
