"""Who may speak for an integration: keys both ways, replies bound to their request, TLS of an integration's own."""

from __future__ import annotations

import base64
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway import Envelope, HookDraft, IntegrationDraft, Query, Result, Settings, open_gateway
from gateway.errors import OwnershipRefused
from gateway.model import TlsSettings
from gateway.testing.clock import ManualClock
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire import signature

BEFORE = b'{"rows": [1.50]}'
AFTER = b'{"rows":[]}'


class Side:
    """An integration server that signs its replies by the program `cryptography`, and a gateway that wants that."""

    def __init__(self, gateway, clock, server):
        self.gateway = gateway
        self.clock = clock
        self.server = server
        self.key = Ed25519PrivateKey.generate()
        self.public = "whpk_" + base64.b64encode(self.key.public_key().public_bytes_raw()).decode()
        self.made = None

    async def integration(self, **fields):
        given = {"envelope": Envelope(signed_replies=True), "reply_public_keys": (self.public,), **fields}
        self.made = await self.gateway.registry.register(IntegrationDraft("prices", self.server.url, **given))
        return self.made.integration

    async def hook(self, handler, name="hook"):
        self.server.on(f"/{name}", handler)
        hook = await self.gateway.registry.create_hook(self.made.integration.id, HookDraft(name, f"/{name}"))
        return await self.gateway.registry.enable(hook.id)

    async def ask(self):
        answer = await self.gateway.chain.run(Query(type="search"), Result(BEFORE))
        (outcome,) = answer.outcomes
        return answer.result.body, outcome.reason and outcome.reason.value

    def signed(self, request, *, ident=None, at=None, body=AFTER, key=None):
        """A reply that is signed as the standard says, without any code of the gateway."""
        ident = ident or request.header("webhook-id")
        at = str(int(self.clock())) if at is None else at
        raw = (key or self.key).sign(f"{ident}.{at}.".encode() + body)
        return Reply(
            200,
            [
                ("content-type", "application/json"),
                ("webhook-id", ident),
                ("webhook-timestamp", at),
                ("webhook-signature", f"v1a,{base64.b64encode(raw).decode()}"),
            ],
            body,
        )


@asynccontextmanager
async def sides(tls=None, **calls):
    given = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, **calls}
    clock = ManualClock()
    settings = Settings(store={"url": "memory:"}, calls=given)
    async with HookServer(ssl=tls) as server, open_gateway(settings, now=clock) as gateway:
        yield Side(gateway, clock, server)


@pytest.fixture
async def side():
    async with sides() as it:
        yield it


def answering(make):
    async def handler(request):
        if request.method == "OPTIONS":
            return Reply(200, [("webhook-allowed-origin", "*")])
        return make(request)

    return handler


async def test_a_reply_signed_with_a_registered_key_is_taken(side):
    await side.integration()
    await side.hook(answering(side.signed))
    assert await side.ask() == (AFTER, None)


@pytest.mark.parametrize(
    ("why", "make"),
    [
        ("another key", lambda side, request: side.signed(request, key=Ed25519PrivateKey.generate())),
        ("the id of another call", lambda side, request: side.signed(request, ident="msg_other")),
        ("an old timestamp", lambda side, request: side.signed(request, at=str(int(side.clock()) - 301))),
        ("a timestamp of the future", lambda side, request: side.signed(request, at=str(int(side.clock()) + 301))),
        ("a timestamp that is no whole number", lambda side, request: side.signed(request, at=f"{side.clock():.1f}")),
        ("a body that was not signed", lambda side, request: Reply(200, side.signed(request).headers, b"[]")),
        ("no signature", lambda _, __: Reply.json(AFTER)),
        ("an unsigned 204", lambda _, __: Reply(204)),
    ],
)
async def test_a_reply_is_refused_with(side, why, make):
    await side.integration()
    await side.hook(answering(lambda request: make(side, request)))
    assert await side.ask() == (BEFORE, "signature")


async def test_an_old_reply_is_refused_when_it_is_played_again(side):
    kept = []

    def replayed(request):
        kept.append(side.signed(request))
        return kept[0]

    await side.integration()
    await side.hook(answering(replayed))
    assert await side.ask() == (AFTER, None)
    for _ in range(3):  # well within the time that a timestamp is good for
        side.clock.advance(1)
        assert await side.ask() == (BEFORE, "signature")
    idents = [request.header("webhook-id") for request in side.server.requests]
    assert len(set(idents)) == 4  # an id is never used for another call


async def test_the_request_played_back_is_no_reply(side):
    """The request's own signature is by the shared secret and for its id, but over another body."""

    def echoed(request):
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        headers = [("content-type", "application/json"), *((name, request.header(name)) for name in names)]
        return Reply(200, headers, AFTER)

    await side.integration()
    await side.hook(answering(echoed))
    assert await side.ask() == (BEFORE, "signature")


async def test_a_key_that_was_taken_away_no_longer_signs_replies(side):
    integration = await side.integration()
    await side.hook(answering(side.signed))
    assert await side.ask() == (AFTER, None)
    await side.gateway.registry.change_integration(integration.id, {"reply_public_keys": ()})
    assert await side.ask() == (BEFORE, "signature")


async def test_calls_carry_v1_and_v1a_and_during_a_rotation_both_keys_hold(side):
    integration = await side.integration(envelope=Envelope())
    await side.hook(answering(lambda _: Reply(204)))
    first = await side.gateway.registry.rotate(integration.id, "signing_key", grace_seconds=60)
    second = await side.gateway.registry.rotate(integration.id, "signing_key", grace_seconds=60)
    for wait, publics in ((0, [second, first]), (61, [second])):
        side.clock.advance(wait)
        await side.ask()
        request = side.server.requests[-1]
        parts = [part.split(",") for part in request.header("webhook-signature").split(" ")]
        assert [scheme for scheme, _ in parts] == ["v1"] + ["v1a"] * len(publics)
        content = f"{request.header('webhook-id')}.{request.header('webhook-timestamp')}.".encode() + request.body
        for (_, value), public in zip(parts[1:], publics, strict=True):
            other = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.value.removeprefix("whpk_")))
            other.verify(base64.b64decode(value), content)


async def test_a_large_reply_is_verified_too(side):
    body = b'"' + b"x" * 2_000_000 + b'"'
    await side.integration()
    key = signature.key_of(side.made.secret)

    def signed(request):
        at = int(side.clock())
        header = signature.sign([key], request.header("webhook-id"), at, body)
        names = [("webhook-id", request.header("webhook-id")), ("webhook-timestamp", str(at))]
        return Reply(200, [("content-type", "application/json"), *names, ("webhook-signature", header)], body)

    await side.hook(answering(signed))
    assert await side.ask() == (body, None)


# ---------------------------------------------------------------- TLS


def server_context(authority, clients=None):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def pem(blob):
    return blob.bytes().decode()


async def test_with_its_own_authority_and_certificate_an_integration_is_owned_and_called():
    authority, clients = trustme.CA(), trustme.CA()
    ours = clients.issue_cert("gateway.example")
    private = {
        "tls": TlsSettings(pem(authority.cert_pem), "".join(map(pem, ours.cert_chain_pems))),
        "client_key_pem": pem(ours.private_key_pem),
    }
    async with sides(server_context(authority, clients), require_ownership=True) as side:
        integration = await side.integration(envelope=Envelope(), **private)
        await side.hook(answering(lambda _: Reply.json(AFTER)))
        assert [request.method for request in side.server.requests] == ["OPTIONS"]
        assert await side.ask() == (AFTER, None)
        wrong = trustme.CA().issue_cert("gateway.example")
        await side.gateway.registry.change_integration(
            integration.id,
            {
                "tls": {
                    "client_certificate_pem": pem(wrong.cert_chain_pems[0]),
                    "client_key_pem": pem(wrong.private_key_pem),
                }
            },
        )
        assert await side.ask() == (BEFORE, "tls")
        await side.gateway.registry.change_integration(integration.id, {"tls": None})
        assert await side.ask() == (BEFORE, "tls")


async def test_without_the_private_authority_the_ownership_check_fails():
    async with sides(server_context(trustme.CA()), require_ownership=True) as side:
        await side.integration(envelope=Envelope())
        with pytest.raises(OwnershipRefused, match="tls"):
            await side.hook(answering(lambda _: Reply.json(AFTER)))
