"""The code of "Verify signatures" accepts what the gateway signs, and nothing else."""

import re
import time
from pathlib import Path

import pytest

from gateway.wire.ed25519 import new_signing_key, public_key_of
from gateway.wire.keyring import KeyRing
from gateway.wire.signature import new_secret

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "verify-signatures.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("scheme", ["v1", "v1a"])
def test_the_code_tells_what_is_authentic(scheme):
    names = {}
    exec(compile(BLOCKS[scheme == "v1a"], "example.py", "exec"), names)
    is_authentic = names["is_authentic"]
    secret, private, at = new_secret(), new_signing_key(), int(time.time())
    ours, other = (secret, new_secret()) if scheme == "v1" else map(public_key_of, (private, new_signing_key()))
    signed = KeyRing([(new_secret(), None), (secret, None)], [(private, None)]).sign("msg_1", at, b"{}", at)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v9,x {signed}"}
    assert is_authentic(headers, b"{}", ours)
    assert not is_authentic(headers, b"{ }", ours)
    assert not is_authentic(headers, b"{}", other)
    for change in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(at - 400)}, {"webhook-signature": f"{scheme},ä"}):
        assert not is_authentic({**headers, **change}, b"{}", ours)
