"""The code of the how-to pages for people who write hooks works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.receiver import HookReceiver
from gateway.testing.hook_server import HookServer, Reply

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "A" * 43 + "="


def blocks(page):
    """The Python of a page, each block without its margin."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{margin}", "", code, flags=re.MULTILINE) for margin, code in found]


def test_a_hook_can_be_tested_as_a_function():
    names: dict = {}
    exec(compile(blocks("test-a-hook.md")[0], "test_hook.py", "exec"), names)
    names["test_rows_are_counted"]()
    names["test_other_queries_are_left_alone"]()


async def test_a_hook_can_be_tested_through_a_real_gateway():
    names: dict = {}
    exec(compile(blocks("test-a-hook.md")[1], "test_hook.py", "exec"), names)
    served = {}

    def know(secret):
        served["receiver"] = receiver = HookReceiver([secret])
        receiver.default(lambda call: {**call.value, "seen": True})

    async with HookServer() as server:

        async def hook(request):
            reply = await served["receiver"].reply(dict(request.headers), request.body)
            return Reply(reply.status, list(reply.headers), reply.body)

        server.on("/hook", hook)
        found = await names["result_through"](server.url, know, {"rows": []})
    assert found == ({"rows": [], "seen": True}, "applied")


def test_a_receiver_takes_both_secrets_while_they_are_rotated():
    names: dict = {}
    exec(compile(blocks("rotate-secrets.md")[0], "rotation.py", "exec"), names)
    assert isinstance(names["receiver_with"](SECRET), HookReceiver)
    assert isinstance(names["receiver_with"](OTHER, SECRET), HookReceiver)
