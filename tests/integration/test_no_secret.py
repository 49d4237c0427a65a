"""No secret is anywhere but where it has to be: a whole gateway is driven, then everything it said is searched."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest
import trustme

from gateway.config import CallSettings, ControlSettings, Settings, StoreSettings
from gateway.model import Query
from gateway.runtime import open_gateway
from gateway.service.serving import listening
from gateway.stores import AuditQuery, new_encryption_key, parse_encryption_key
from gateway.testing.hook_server import HookServer, Reply

ROOT = Path(__file__).parents[2]
SHOWN_ONCE = ("api_key", "secret")


class Said:
    """Everything that was said, by where, and every secret that must not be in it."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, bytes]] = []
        self.once: list[bytes] = []
        self.secrets: dict[str, bytes] = {}

    def add(self, where: str, text: str | bytes) -> None:
        self.texts.append((where, text.encode() if isinstance(text, str) else text))

    def secret(self, name: str, text: str) -> str:
        """Remember a secret; of a key with parts, the part that is secret."""
        kept = text.rsplit("_", 1)[1] if re.fullmatch(r"(whsec|whsk|gwe)_[^_]+", text) else text
        if text.startswith("gwk_"):
            kept = text.split("_", 2)[2]
        self.secrets[name] = kept.encode()
        return text

    def found(self) -> list[str]:
        return [f"{name} in {where}" for where, text in self.texts for name, s in self.secrets.items() if s in text]


@pytest.fixture
def said():
    return Said()


@pytest.fixture
def settings(tmp_path, said):
    return Settings(
        listen="127.0.0.1:0",
        upstream="http://127.0.0.1:1",
        control=ControlSettings(
            listen="127.0.0.1:0",
            operator_keys=[said.secret("operator key", "gwo_" + secrets.token_urlsafe(24))],
            max_failed_auth=5,
        ),
        store=StoreSettings(
            url=f"sqlite:///{tmp_path}/gateway.db",
            encryption_key=said.secret("encryption key", new_encryption_key()),
            previous_encryption_keys=[said.secret("previous encryption key", new_encryption_key())],
        ),
        calls=CallSettings(allow=["127.0.0.0/8"], allow_http=True),
    )


class Client:
    """Calls the control API and keeps every answer but those that show a credential once."""

    def __init__(self, session, url, key, said):
        self.session, self.url, self.key, self.said = session, url, key, said

    async def __call__(self, method, path, body=None, *, key=None, raw=None, shows_once=False):
        headers = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        async with self.session.request(method, self.url + path, json=body, data=raw, headers=headers) as response:
            text = await response.text()
            if shows_once:
                self.said.once.append(text.encode())
            else:
                self.said.add(f"{method} {path} ({response.status})", text)
            self.said.add(f"the headers of {method} {path}", str(response.headers))
            return response.status, await response.json(content_type=None) if "json" in response.content_type else text


async def credentials(call, said, hooks_url):
    """An integration with every kind of credential, old and new ones."""
    status, made = await call("POST", "/v1/integrations", {"name": "one", "base_url": hooks_url}, shows_once=True)
    assert status == 201, made
    for name in SHOWN_ONCE:
        said.secret(f"first {name}", made[name])
    for what in SHOWN_ONCE:
        path = f"/v1/integrations/{made['id']}/credentials"
        status, new = await call("POST", path, {"what": what, "grace_seconds": 600}, shows_once=True)
        assert status == 200
        made[what] = said.secret(f"second {what}", new[what])
    status, _ = await call("POST", f"/v1/integrations/{made['id']}/credentials", {"what": "signing_key"})
    assert status == 200
    certificate = trustme.CA().issue_cert("gateway.example")
    pem = certificate.private_key_pem.bytes().decode()
    said.secret("client key", pem.splitlines()[1])
    tls = {
        "client_certificate_pem": b"".join(c.bytes() for c in certificate.cert_chain_pems).decode(),
        "client_key_pem": pem,
    }
    body = {"name": "two", "base_url": "https://hooks.example.com", "tls": tls}
    status, two = await call("POST", "/v1/integrations", body, shows_once=True)
    assert status == 201, two
    for name in SHOWN_ONCE:
        said.secret(f"other {name}", two[name])
    return made, two


async def subscription(call, said, hooks_url, key):
    """A subscription with a secret that was made, one that was given, and a header that is a credential."""
    token = said.secret("subscription's header", "t0k" + secrets.token_hex(16))
    given = said.secret("given subscription secret", "whsec_" + b64encode(secrets.token_bytes(32)).decode())
    body = {
        "name": "s", "events": ["*"], "config": {"url": f"{hooks_url}/events"}, "headers": {"x-token": token},
        "github_signature": True,
    }  # fmt: skip
    status, made = await call("POST", "/v1/subscriptions", body, key=key, shows_once=True)
    assert status == 201, made
    said.secret("subscription secret", made["secret"])
    path = f"/v1/subscriptions/{made['id']}"
    status, new = await call("POST", f"{path}/secret", {"grace_seconds": 600}, key=key, shows_once=True)
    assert status == 200
    said.secret("new subscription secret", new["secret"])
    status, ping = await call("POST", f"{path}/ping", key=key)
    assert status == 202
    while ping["state"] != "delivered":
        _, ping = await call("GET", f"/v1/deliveries/{ping['id']}", key=key)
    assert ping["attempts"][0]["request_headers"]["x-token"] == "(hidden)"
    for method, there, changes in (
        ("PATCH", path, {"config": {"secret": given}, "name": "t"}),
        ("PATCH", path, {"config": {"secret": given[:-4]}, "headers": {"x-token": token + "\n"}}),
        ("GET", path, None),
        ("GET", "/v1/subscriptions", None),
        ("GET", f"{path}/deliveries", None),
        ("GET", "/v1/events", None),
    ):
        assert (await call(method, there, changes, key=key))[0] in (200, 422)
    return token


async def bad_inputs(call, said, made):
    """Requests that are refused and have secrets in wrong places."""
    leaked = said.secret("secret in a wrong place", "whsec_" + secrets.token_hex(24))
    for body in (
        {"name": "x", "base_url": f"https://user:{leaked}@hooks.example.com"},
        {"name": "x", "base_url": "https://hooks.example.com", "secret": leaked},
        {"name": "x", "base_url": "https://hooks.example.com", "tls": {"client_key_pem": leaked}},
        {"name": {"secret": leaked}, "base_url": "https://hooks.example.com"},
        {"name": "x", "base_url": "https://hooks.example.com", "priority": leaked},
    ):
        status, answer = await call("POST", "/v1/integrations", body)
        assert status == 422, answer
    assert (await call("POST", "/v1/integrations", raw=f'{{"secret": "{leaked}"'))[0] == 400
    path = f"/v1/integrations/{made['id']}/credentials"
    assert (await call("POST", path, {"what": leaked}))[0] == 422
    assert (await call("POST", path, {"what": "secret", "value": leaked}))[0] == 422
    for n in range(8):
        wrong = said.secret(f"wrong key {n}", f"gwk_{n:016x}_{secrets.token_urlsafe(32)}")
        assert (await call("GET", "/v1/hooks", key=wrong))[0] in (401, 429)


def run_program(directory, url, key, said):
    """The command line, with keys in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    environment |= {"PYTHONPATH": str(ROOT), "GATEWAY_URL": url, "GATEWAY_KEY": key}
    setting = {"GATEWAY_CONTROL__OPERATOR_KEYS": key, "GATEWAY_STORE__ENCRYPTION_KEY": "gwe_" + "A" * 43}
    for arguments, more in (
        (("integrations", "list", "--json"), {}),
        (("integrations", "show", "one"), {}),
        (("audit", "--json"), {}),
        (("config", "check", "--json"), setting),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=directory, env=environment | more, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.add(f"gateway {' '.join(arguments)}", done.stdout + done.stderr)
        assert b"A" * 43 not in done.stdout + done.stderr


async def test_no_secret_is_said_anywhere(settings, said, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    operator = settings.control.operator_keys[0].get_secret_value()
    async with HookServer() as server, aiohttp.ClientSession() as session:

        async def answer(request):
            return Reply(200, [("content-type", "application/json")], b'{"changed": true}')

        async def nonsense(request):
            return Reply(200, [("content-type", "application/json")], b"{")

        for path, handler in (("/good", answer), ("/bad", nonsense), ("/events", answer)):
            server.on(path, handler)
        for path in ("/good", "/bad", "/gone", "/events"):
            server.on(path, owned(server, path))
        async with open_gateway(settings) as gateway, listening(gateway, [operator]) as (url, _):
            call = Client(session, url, operator, said)
            made, two = await credentials(call, said, server.url)
            own = made["api_key"]
            for name in ("good", "bad", "gone"):
                body = {"name": name, "path": f"/{name}", "timeout_ms": 2000}
                status, hook = await call("POST", "/v1/hooks", body, key=own)
                assert status == 201
                status, told = await call("POST", f"/v1/hooks/{hook['id']}/enable", {"lease_seconds": 600}, key=own)
                assert status == 200, told
            said.add("an answer", repr(await gateway.pipeline(lambda _: {"n": 1}).run(Query(type="search"))))
            said.add("an answer", repr(await gateway.pipeline(lambda _: {"n": 2}).run(Query(type="search"))))
            for path in ("/v1/integrations", "/v1/hooks", f"/v1/integrations/{made['id']}", "/v1/audit", "/readyz"):
                assert (await call("GET", path))[0] == 200
            assert (await call("PATCH", f"/v1/integrations/{two['id']}", {"priority": 3}))[0] == 200
            token = await subscription(call, said, server.url, own)
            await asyncio.to_thread(run_program, tmp_path, url, operator, said)
            await bad_inputs(call, said, made)
            for path in ("/metrics", "/openapi.json"):
                assert (await call("GET", path))[0] == 200

            registry = gateway.registry
            for integration in registry.integrations():
                for n, key in enumerate(integration.signing_keys):
                    said.secret(f"signing key {n}", key.secret)
            shown = (
                gateway, settings, registry.integrations(), registry.hooks(), registry.snapshot,
                registry.snapshot.select("search", None, None), await registry.audit(AuditQuery()),
                await gateway.desk.subscriptions.list(None),
            )  # fmt: skip
            said.add("a repr", "\n".join(map(repr, shown)))
            said.add("the file", stored(tmp_path))
            pepper = await registry._store.pepper()
        said.add("the closed file", stored(tmp_path))
        # A hook gets signatures, and nothing that they are made with.
        for request in server.requests:
            told = [header for header in request.headers if header != ("x-token", token)]  # which is meant to be sent
            said.add("a call", repr(told).encode() + request.body)
        assert any(request.path == "/good" and request.method == "POST" for request in server.requests)
    said.add(
        "the log", "\n".join(f"{record.getMessage()} {record.exc_text} {vars(record)}" for record in caplog.records)
    )
    assert "auth.failed" in caplog.text
    assert "hook.failing" in caplog.text

    assert len(said.secrets) >= 20
    shown_once = [name for name, secret in said.secrets.items() if any(secret in text for text in said.once)]
    assert len(shown_once) == 8, shown_once  # so the search finds what is there
    assert said.found() == []
    for raw in (
        pepper,
        pepper.hex().encode(),
        parse_encryption_key(settings.store.encryption_key.get_secret_value()),
    ):
        assert not [where for where, text in said.texts if raw in text]


def owned(server, path):
    """The handler of `path`, which agrees to be called."""
    inner = server._routes.get(path)

    async def handler(request):
        if request.method == "OPTIONS":
            return Reply(200, [("webhook-allowed-origin", "*")])
        return await inner(request) if inner is not None else Reply(410)

    return handler


def stored(directory):
    kept = ("gateway.db", "gateway-events.db")
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()) if path.name.startswith(kept))
