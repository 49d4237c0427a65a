"""A configuration that is read again while the gateway runs: all of it is taken, or none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme

from gateway import HookDraft, IntegrationDraft, Settings, open_gateway
from gateway.config import load_settings
from gateway.errors import ConfigError
from gateway.service.parts import ChainPart
from gateway.service.reloading import Change, Reloader
from gateway.service.serving import listening

KEY = "operator-key-for-tests"
OTHER = "another-key-for-tests"
AUTHORITY = trustme.CA()


def plain(**sections):
    """Settings of a gateway in memory, as tables."""
    return {
        "store": {"url": "memory:"},
        "control": {"listen": "127.0.0.1:0", "operator_keys": [KEY]},
        **sections,
    }


class Running:
    """A gateway whose configuration the test can change, and its control API."""

    def __init__(self, control, client):
        self.control = control
        self.client = client
        self.wanted = plain

    async def reload(self, key=KEY):
        headers = {"authorization": f"Bearer {key}"}
        async with self.client.post(f"{self.control}/v1/config/reload", headers=headers) as response:
            return response.status, await response.json()


@asynccontextmanager
async def running(tables):
    """A gateway over `tables`, which it reads anew at each reload."""
    settings = Settings.model_validate(tables)
    async with (
        open_gateway(settings) as gateway,
        listening(gateway, [KEY], read=lambda: Settings.model_validate(tables)) as (control, _),
        aiohttp.ClientSession() as client,
    ):
        yield Running(control, client)


async def test_nothing_has_changed_if_nothing_did():
    async with running(plain()) as gateway:
        assert await gateway.reload() == (200, {"changed": [], "applied": [], "needs_restart": [], "renewed": []})


async def test_operators_keys_are_exchanged_and_the_old_ones_are_not_valid_any_more():
    tables = plain()
    async with running(tables) as gateway:
        tables["control"]["operator_keys"] = [OTHER]
        _, told = await gateway.reload()
        assert told["applied"] == ["control.operator_keys"]
        assert (await gateway.reload(KEY))[0] == 401
        status, told = await gateway.reload(OTHER)
        assert (status, told["changed"]) == (200, [])  # what is in effect is no change any more


async def test_without_any_operators_key_the_ones_in_use_stay():
    tables = plain()
    async with running(tables) as gateway:
        tables["control"]["operator_keys"] = []
        _, told = await gateway.reload()
        assert told["needs_restart"] == ["control.operator_keys"]
        assert (await gateway.reload(KEY))[0] == 200


async def test_what_cannot_change_while_it_runs_waits_for_a_restart_and_is_named_each_time():
    tables = plain()
    async with running(tables) as gateway:
        tables["store"] = {"url": "memory:", "audit_days": 7}
        for _ in range(2):
            _, told = await gateway.reload()
            assert (told["changed"], told["applied"], told["needs_restart"]) == (
                ["store.audit_days"],
                [],
                ["store.audit_days"],
            )
        del tables["store"]["audit_days"]
        assert (await gateway.reload())[1]["changed"] == []


async def test_only_an_operator_may_reload():
    async with running(plain()) as gateway:
        headers = {"authorization": f"Bearer {KEY}"}
        body = {"name": "prices", "base_url": "https://hooks.example.com"}
        async with gateway.client.post(f"{gateway.control}/v1/integrations", json=body, headers=headers) as made:
            key = (await made.json())["api_key"]
        assert (await gateway.reload(key))[0] == 403
        assert (await gateway.reload("gwk_unknown-key"))[0] == 401


async def test_a_configuration_that_cannot_be_used_changes_nothing_and_the_answer_names_the_fields(tmp_path):
    file = tmp_path / "gateway.toml"
    good = f'[store]\nurl = "memory:"\n[control]\nlisten = "127.0.0.1:0"\noperator_keys = ["{KEY}"]\n'
    file.write_text(good)
    variables: dict[str, str] = {}
    settings = load_settings(file, {})
    async with (
        open_gateway(settings) as gateway,
        listening(gateway, [KEY], read=lambda: load_settings(file, variables)) as (control, _),
        aiohttp.ClientSession() as client,
    ):
        here = Running(control, client)
        file.write_text(good.replace(KEY, OTHER) + '[calls]\nbudget_ms = "soon"\n[[routes]]\npath = "nowhere"\n')
        variables["GATEWAY_SERVER__DRAIN_SECONDS"] = "-1"
        status, problem = await here.reload()
        assert (status, problem["title"]) == (422, "Unprocessable Content")
        assert {error["field"] for error in problem["errors"]} >= {
            "/calls/budget_ms",
            "/routes/0/path",
            "/server/drain_seconds",
        }
        assert all(OTHER not in error["detail"] for error in problem["errors"])
        assert (await here.reload(KEY))[0] == 422  # the key of before is still the operator's
        file.write_text("=")
        assert (await here.reload())[1]["errors"][0]["detail"].startswith(f"{file}: is not valid TOML")
        file.write_text(good)
        variables.clear()
        assert (await here.reload())[1]["changed"] == []


async def test_a_broken_certificate_keeps_all_of_the_new_configuration_out(tmp_path):
    made = AUTHORITY.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    tables = plain()
    tables["control"] |= {"tls_certificate": str(certificate), "tls_key": str(key)}
    async with running(tables) as gateway:
        assert gateway.control.startswith("https://")
        trusting = aiohttp.TCPConnector(ssl=_trusting())
        async with aiohttp.ClientSession(connector=trusting) as client:
            here = Running(gateway.control, client)
            assert (await here.reload())[1]["renewed"] == []
            tables["control"]["operator_keys"] = [OTHER]
            right = key.read_bytes()
            key.write_bytes(AUTHORITY.issue_cert("127.0.0.1").private_key_pem.bytes())
            status, problem = await here.reload()
            assert status == 422
            assert problem["errors"][0]["field"] == "/control/tls_key"
            assert "does not fit the certificate" in problem["errors"][0]["detail"]
            key.write_bytes(right)
            assert (await here.reload(KEY))[1] == {
                "changed": ["control.operator_keys"],
                "applied": ["control.operator_keys"],
                "needs_restart": [],
                "renewed": [str(certificate)],
            }


def _trusting():
    import ssl

    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def test_from_no_tls_to_tls_is_for_a_restart(tmp_path):
    made = AUTHORITY.issue_cert("127.0.0.1")
    both = tmp_path / "both.pem"
    both.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    tables = plain()
    async with running(tables) as gateway:
        tables["control"]["tls_certificate"] = str(both)
        assert (await gateway.reload())[1]["needs_restart"] == ["control.tls_certificate"]


class Refusing:
    """A part of the gateway that can be told to refuse, and says what was done with it."""

    def __init__(self):
        self.refuses = False
        self.done: list[str] = []

    async def prepare(self, settings, changed):
        if self.refuses:
            raise ConfigError("it is refused")

        async def apply():
            self.done.append("applied")

        async def discard():
            self.done.append("discarded")

        return Change(changed, apply, discard)


async def test_if_one_part_refuses_no_part_changes():
    first, second = Refusing(), Refusing()
    told: list[str] = []
    reloader = Reloader(
        Settings(), lambda: Settings(upstream="http://a"), begun=lambda: told.append("begun"),
        ended=lambda: told.append("ended"),
    )  # fmt: skip
    reloader.parts += [first, second]
    second.refuses = True
    with pytest.raises(ConfigError):
        await reloader.reload()
    assert (first.done, second.done, reloader.settings.upstream) == (["discarded"], [], None)
    second.refuses = False
    assert (await reloader.reload()).applied == ("upstream",)
    assert (first.done, second.done, reloader.settings.upstream) == (["discarded", "applied"], ["applied"], "http://a")
    assert told == ["begun", "ended"] * 2


async def test_reloads_are_taken_one_after_another():
    under_way = [0, 0]

    class Slow:
        async def prepare(self, settings, changed):
            under_way[0] += 1
            under_way[1] = max(under_way)
            await asyncio.sleep(0)
            under_way[0] -= 1
            return Change()

    reloader = Reloader(Settings(), Settings)
    reloader.parts.append(Slow())
    await asyncio.gather(*(reloader.reload() for _ in range(5)))
    assert under_way == [0, 1]


async def test_what_holds_for_chains_changes_for_the_next_query():
    tables = plain(data_source={"url": "http://127.0.0.1:9"})
    async with running(tables) as gateway:
        tables["calls"] = {"budget_ms": 345, "max_depth": 5, "max_result_bytes": 678, "source": "/elsewhere"}
        _, told = await gateway.reload()
        assert told["applied"] == ["calls.budget_ms", "calls.max_result_bytes", "calls.max_depth", "calls.source"]
        headers = {"authorization": f"Bearer {KEY}"}
        query = {"query": {"type": "search"}}
        async with gateway.client.post(f"{gateway.control}/v1/explain", json=query, headers=headers) as response:
            explained = await response.json()
        assert explained["budget_ms"] == 345


async def test_a_hook_has_no_more_time_than_the_new_budget():
    settings = Settings.model_validate({"store": {"url": "memory:"}, "calls": {"require_ownership": False}})
    async with open_gateway(settings) as gateway:
        made = await gateway.registry.register(IntegrationDraft("prices", "https://hooks.example.com"))
        hook = await gateway.registry.create_hook(made.integration.id, HookDraft("h", "/h"))
        await gateway.registry.enable(hook.id)
        bound = gateway.registry.snapshot.get(hook.id)
        assert gateway.protections.of(bound).limit == 1.0
        new = Settings.model_validate({"calls": {"budget_ms": 250}})
        change = await ChainPart(gateway).prepare(new, frozenset({"calls.budget_ms", "calls.timeout_ms"}))
        assert change.applied == {"calls.budget_ms"}
        await change.apply()
        assert (gateway.chain.settings.budget, gateway.protections.of(bound).limit) == (0.25, 0.25)
