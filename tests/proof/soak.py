"""Proof that a gateway under mixed faults stays as it is: memory, descriptors and tasks flat, no wrong answer.

    python tests/proof/soak.py --minutes 10

Starts a whole gateway in a process of its own, on an SQLite file, in front of a query API, with four integrations:
one that is well, one that signs its replies (and sometimes wrongly), one that answers a third of its calls with one
of many faults, and one that comes and goes, is enabled under leases and gets new credentials. A bounded load goes
through the standalone gateway. What a hook does to a query follows from the query's number alone, so that each
answer can be checked by a naive rule. Prints a table and a verdict; exits with 1 if anything was wrong or grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.config import Settings
from gateway.errors import WebhookRefused
from gateway.runtime import run
from gateway.service.serving import serve
from gateway.testing.hook_messages import Reply, Request
from gateway.testing.hook_routes import standard_route
from gateway.testing.hook_server import HookServer
from gateway.wire import signature

OPERATOR = "soak-operator-key-0123456789"
LEASE_SECONDS = 6
SLACK_SECONDS = 2.0  # how long after its end, counted from when it was asked for, a lease may still show
GRACE_SECONDS = 60
CHANGE_SECONDS = 0.5  # between two changes of the registry
REST_SECONDS = 3.0  # without load, before the last sample
MERGE, PATCH = "application/merge-patch+json", "application/json-patch+json"

# What a hook may do to a query that must leave the result as it was.
FAULTS = (
    "/hang-up", "/cut-head", "/cut-body", "/cut-chunk", "/no-last-chunk", "/garbage", "/http09", "/http2",
    "/status-999", "/nul-header", "/two-lengths", "/length-negative", "/chunk-garbage", "/unknown-encoding",
    "/encoded-twice", "/gzip-bomb", "/gzip-cut", "/gzip-garbage", "/upgrade", "/continue-flood", "/long-header",
    "/many-headers", "/bad-json", "/wrong-type", "/empty-200", "/status/500", "/status/404", "/redirect", "/drip",
    "/endless-body", "/endless-header", "/endless-trailers",
)  # fmt: skip
CHAOS = ("chaos-1", "chaos-2", "chaos-3")


def deed(seed: int, hook: str, number: int) -> str:
    """What `hook` does to the query `number`: `good`, `unchanged`, `forged`, or the path of a fault."""
    chance = random.Random(f"{seed} {hook} {number}")
    if hook == "hung":
        return "/hang"
    if hook == "seal":
        return "forged" if chance.random() < 0.1 else "good"
    if hook not in CHAOS or chance.random() < 0.5:
        return "good"
    if chance.random() < 0.34:
        return "/pipelined" if chance.random() < 0.1 else "unchanged"
    return chance.choice(FAULTS)


def judge(seed: int, number: int, data: bytes, outcomes: list[tuple[str, str, str]], answer: bytes) -> str | None:
    """What is wrong with `answer` to the query `number`, whose data was `data`; `None` if nothing is."""
    expected = json.loads(data)
    for hook, status, reason in outcomes:
        does = deed(seed, hook, number)
        if status == "applied":
            if does != "good":
                return f"{hook} was applied although it did {does}"
            expected[hook] = number
        elif status == "unchanged":
            if does not in {"unchanged", "/pipelined"}:
                return f"{hook} was taken as unchanged although it did {does}"
        elif status == "failed":
            # A good call may come too late on a busy machine, or find its breaker open: the answer stays right.
            if does in {"good", "unchanged", "/pipelined"} and reason not in {"timeout", "breaker_open", "overload"}:
                return f"{hook} failed ({reason}) although it did {does}"
        elif (status, reason) != ("skipped", "budget"):
            return f"{hook} is {status} ({reason})"
    if not outcomes and answer != data:
        return "no hook was called, and the answer is not the data byte for byte"
    if json.loads(answer) != expected:
        return f"the answer is {answer[:200]!r}"
    return None


def outcomes_of(header: str) -> list[tuple[str, str, str]]:
    """The hooks of a `gateway-hooks` header: name, status, reason (empty without one)."""
    found = []
    for item in filter(None, header.split(", ")):
        hook, status, *rest = item.split(";")
        found.append((hook, status, next((part[7:] for part in rest if part.startswith("reason=")), "")))
    return found


# ------------------------------------------------------------------ figures


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway at one moment. `second` since the start; `rss` in KiB."""

    second: float
    rss: int
    descriptors: int
    sockets: int
    tasks: int
    answers: int


@dataclass(frozen=True, slots=True)
class Bound:
    """How much more the last quarter's median may be than that of the second."""

    name: str
    share: float
    more: float


BOUNDS = (Bound("rss", 0.05, 4096), Bound("descriptors", 0.1, 12), Bound("sockets", 0.1, 12), Bound("tasks", 0.1, 12))


def growth(samples: list[Sample]) -> list[tuple[Bound, float, float, bool]]:
    """For each figure: the medians of the second and of the last quarter, and whether it is flat."""
    quarter = max(1, len(samples) // 4)
    second, last = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    found = []
    for bound in BOUNDS:
        before = statistics.median(getattr(each, bound.name) for each in second)
        after = statistics.median(getattr(each, bound.name) for each in last)
        found.append((bound, before, after, after <= before * (1 + bound.share) + bound.more))
    return found


# ------------------------------------------------------------------ the gateway, in a process of its own


async def child(settings: dict[str, Any]) -> None:
    """Serve until standard input ends; each line that comes is answered with the number of tasks."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def tell_tasks() -> None:
        print(json.dumps({"tasks": len(asyncio.all_tasks())}), flush=True)

    def listen() -> None:
        for _ in sys.stdin:
            loop.call_soon_threadsafe(tell_tasks)
        loop.call_soon_threadsafe(stop.set)

    def announce(listening: Any) -> None:
        told = {"control": listening.control_url, "gateway": listening.gateway_url}
        print(json.dumps(told), flush=True)
        threading.Thread(target=listen, daemon=True).start()

    await serve(Settings.model_validate(settings), announce=announce, stop=stop)


@dataclass
class Process:
    """The gateway's process, seen from outside."""

    process: asyncio.subprocess.Process
    control: str
    gateway: str

    async def sample(self, second: float, answers: int) -> Sample:
        """How it is now."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        tasks = (await self._line())["tasks"]
        proc = Path(f"/proc/{self.process.pid}")
        rss = next(int(line.split()[1]) for line in (proc / "status").read_text().splitlines() if "VmRSS" in line)
        links = []
        for each in (proc / "fd").iterdir():
            try:
                links.append(str(each.readlink()))
            except OSError:  # closed in the meantime
                continue
        sockets = sum(link.startswith("socket:") for link in links)
        return Sample(second, rss, len(links), sockets, tasks, answers)

    async def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("the gateway is gone; its log is above")
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def gateway_process(folder: Path, upstream: str) -> Any:
    """A gateway in front of `upstream`; its log goes into `folder`."""
    settings = {
        "listen": "127.0.0.1:0",
        "upstream": upstream,
        "control": {"listen": "127.0.0.1:0", "operator_keys": [OPERATOR]},
        "store": {"url": f"sqlite:///{folder / 'gateway.db'}"},
        "calls": {
            "allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False,
            "timeout_ms": 400, "budget_ms": 1500, "max_reply_bytes": 256 * 1024,
        },
        "breaker": {"open_ms": 2000, "max_open_ms": 4000},
    }  # fmt: skip
    with (folder / "gateway.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--child", json.dumps(settings),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        try:
            found = Process(process, "", "")
            told = await found._line()
            found.control, found.gateway = told["control"], told["gateway"]
            yield found
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()


# ------------------------------------------------------------------ what the load and the hooks do


@dataclass
class Soak:
    """One run: the integrations it registered, what it knows of them, what it has seen."""

    seed: int
    http: aiohttp.ClientSession
    gateway: Process
    hooks: HookServer
    random: random.Random
    ids: dict[str, str] = field(default_factory=dict)  # integration or hook -> id
    keys: dict[str, str] = field(default_factory=dict)  # integration -> API key
    secrets: dict[str, list[str]] = field(default_factory=dict)  # integration -> its secrets, newest first
    certain: dict[str, tuple[bool, int]] = field(default_factory=dict)  # hook -> whether it is called, count of changes
    lease_ends: float = 0.0  # monotonic; infinite while it is being changed
    answers: int = 0
    changes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    rotating: bool = False

    async def ask(self, method: str, path: str, key: str, body: Any = None) -> Any:
        """A call of the control API."""
        headers = {"authorization": f"Bearer {key}"}
        async with self.http.request(method, self.gateway.control + path, headers=headers, json=body) as response:
            text = await response.text()
            if response.status >= 400:
                self.wrong.append(f"{method} {path} was answered with {response.status}: {text[:200]}")
                return {}
            return json.loads(text) if text else {}

    async def set_up(self) -> None:
        """Register everything and enable it."""
        wanted: dict[str, dict[str, dict[str, Any]]] = {
            "steady": {"stamp": {}, "tag": {"delivery": "binary"}},
            "signed": {"seal": {}},
            "chaos": {**{name: {} for name in CHAOS}, "hung": {"timeout_ms": 100}},
            "moving": {"flip": {}, "leased": {}},
        }
        for name, hooks in wanted.items():
            draft = {"name": name, "base_url": f"{self.hooks.url}", "envelope": {"signed_replies": name == "signed"}}
            made = await self.ask("POST", "/v1/integrations", OPERATOR, draft)
            self.ids[name], self.keys[name], self.secrets[name] = made["id"], made["api_key"], [made["secret"]]
            for hook, more in hooks.items():
                self.hooks.on(f"/{name}/{hook}", self._answering(name, hook))
                about = {"name": hook, "path": f"/{name}/{hook}", **more}
                self.ids[hook] = (await self.ask("POST", "/v1/hooks", self.keys[name], about))["id"]
                if hook != "leased":
                    await self.ask("POST", f"/v1/hooks/{self.ids[hook]}/enable", self.keys[name], {})
                    self.certain[hook] = (True, 0)

    def _answering(self, integration: str, hook: str) -> Any:
        async def answer(request: Request) -> Any:
            body = json.loads(request.body)
            data = body if hook == "tag" else body["data"]["result"]
            number = data["number"]
            self._check_signature(integration, request)
            match deed(self.seed, hook, number):
                case "good" | "forged" as does if hook == "seal":
                    return self._signed(request, number, forged=does == "forged")
                case "good" if hook == "tag":
                    return Reply.json(json.dumps({**data, "tag": number}).encode())
                case "good":
                    return Reply.json(json.dumps({hook: number}).encode(), MERGE)
                case "unchanged":
                    return Reply(204)
                case path:
                    return await standard_route(self.hooks, Request("POST", path, request.headers, request.body))

        return answer

    def _check_signature(self, integration: str, request: Request) -> None:
        message = {name: request.header(f"webhook-{name}") for name in ("id", "timestamp", "signature")}
        keys = [signature.key_of(secret) for secret in self.secrets[integration]]
        try:
            signature.verify(
                keys, message_id=message["id"], timestamp=message["timestamp"], signature=message["signature"],
                body=request.body, now=time.time(),
            )  # fmt: skip
        except WebhookRefused as refused:
            # During a rotation the first call with the new secret may come before the answer that tells it.
            if not self.rotating:
                self.wrong.append(f"a call to {integration} is not signed as it should be: {refused.detail}")

    def _signed(self, request: Request, number: int, *, forged: bool) -> Reply:
        body = json.dumps([{"op": "add", "path": "/seal", "value": number}]).encode()
        ident, stamp = request.header("webhook-id") or "", int(time.time())
        keys = [signature.key_of(secret) for secret in self.secrets["signed"]]
        value = signature.sign(keys, "msg_of_another_call" if forged else ident, stamp, body)
        head = [("webhook-id", ident), ("webhook-timestamp", str(stamp)), ("webhook-signature", value)]
        return Reply(200, [("content-type", PATCH), *head], body)

    async def query(self, number: int) -> None:
        """Send the query `number` and judge the answer."""
        before, at, lease = dict(self.certain), time.monotonic(), self.lease_ends
        async with self.http.get(f"{self.gateway.gateway}/search?number={number}") as response:
            body = await response.read()
            outcomes = outcomes_of(response.headers.get("gateway-hooks", ""))
        self.answers += 1
        if response.status != 200:
            self.wrong.append(f"query {number} was answered with {response.status}: {body[:200]!r}")
            return
        self.outcomes.update(f"{status} {reason}".strip() for _, status, reason in outcomes)
        if error := judge(self.seed, number, data_of(number), outcomes, body):
            self.wrong.append(f"query {number}: {error}")
        called = {hook for hook, _, _ in outcomes}
        for hook, (on, change) in before.items():
            if self.certain.get(hook) == (on, change) and (hook in called) != on:
                self.wrong.append(f"query {number}: {hook} was {'not ' if on else ''}called, unlike what was confirmed")
        settled = at > lease + SLACK_SECONDS or time.monotonic() < lease < float("inf")
        if lease == self.lease_ends and settled and (at < lease) != ("leased" in called):
            self.wrong.append(f"query {number}: {at - lease:.1f} s after the end of the lease, called were {called}")

    async def change(self) -> None:
        """One change of the registry."""
        match self.random.choice(("flip", "flip", "lease", "secret", "api_key", "order")):
            case "flip":
                on, count = self.certain.pop("flip")
                order = {"drain": True} if on else {}
                verb = "disable" if on else "enable"
                await self.ask("POST", f"/v1/hooks/{self.ids['flip']}/{verb}", self.keys["moving"], order)
                self.certain["flip"] = (not on, count + 1)
            case "lease":
                path = f"/v1/hooks/{self.ids['leased']}/enable"
                asked, self.lease_ends = time.monotonic(), float("inf")
                await self.ask("POST", path, self.keys["moving"], {"lease_seconds": LEASE_SECONDS})
                self.lease_ends = asked + LEASE_SECONDS
            case "secret" | "api_key" as what:
                name = self.random.choice(("moving", "signed", "chaos"))
                self.rotating = True
                path = f"/v1/integrations/{self.ids[name]}/credentials"
                about = {"what": what, "grace_seconds": GRACE_SECONDS}
                told = await self.ask("POST", path, OPERATOR, about)
                if what == "secret" and told:
                    self.secrets[name] = [told["secret"], *self.secrets[name][:1]]
                elif told:
                    self.keys[name] = told["api_key"]
                self.rotating = False
            case _:
                path = f"/v1/hooks/{self.ids['stamp']}"
                await self.ask("PATCH", path, self.keys["steady"], {"order": self.random.randrange(10)})
        self.changes += 1
        self.hooks.requests.clear()  # the server remembers every request


def data_of(number: int) -> bytes:
    """What the query API answers to the query `number`."""
    rows = [[number, f"row {i}", i * 1.25] for i in range(number % 50)]
    return json.dumps({"number": number, "rows": rows}).encode()


async def _data(request: Request) -> Reply:
    return Reply.json(data_of(int(request.query["number"])))


async def soak(seconds: float, *, seed: int, rate: float, folder: Path) -> tuple[Soak, list[Sample]]:
    """Run the load for so long; what was seen, and the samples. The last sample is taken without load."""
    async with AsyncExitStack() as stack:
        hooks = await stack.enter_async_context(HookServer())
        api = await stack.enter_async_context(HookServer())
        api.on("/search", _data)
        gateway = await stack.enter_async_context(gateway_process(folder, api.url))
        connector = aiohttp.TCPConnector(limit=64)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        run_ = Soak(seed, http, gateway, hooks, random.Random(seed))
        await run_.set_up()
        started = time.monotonic()
        samples = []
        running: set[asyncio.Task[None]] = set()
        places = asyncio.Semaphore(8)  # a busy machine makes fewer queries, not more at once

        async def one(number: int) -> None:
            async with places:
                await run_.query(number)

        async def changes() -> None:
            while True:
                await asyncio.sleep(CHANGE_SECONDS)
                await run_.change()
                api.requests.clear()

        changing = asyncio.create_task(changes())
        pause, interval, due, number = 1 / rate, max(1.0, min(5.0, seconds / 40)), 0.0, 0
        while (passed := time.monotonic() - started) < seconds:
            if passed >= due:
                samples.append(await gateway.sample(passed, run_.answers))
                due += interval
            if changing.done():
                changing.result()
            if len(running) < 16:
                number += 1
                task = asyncio.create_task(one(number))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(pause)
        changing.cancel()
        await asyncio.wait([changing, *running])
        await http.close()
        await asyncio.sleep(REST_SECONDS)
        samples.append(await gateway.sample(time.monotonic() - started, run_.answers))
        return run_, samples


def report(run_: Soak, samples: list[Sample]) -> bool:
    """Print the table and the verdict; whether all is well."""
    shown = samples[:: max(1, len(samples) // 12)]
    print(f"{'second':>8}{'RSS MiB':>10}{'descriptors':>13}{'sockets':>9}{'tasks':>7}{'answers':>9}")
    for each in shown if shown[-1] is samples[-1] else [*shown, samples[-1]]:
        print(
            f"{each.second:>8.0f}{each.rss / 1024:>10.1f}{each.descriptors:>13}{each.sockets:>9}{each.tasks:>7}"
            f"{each.answers:>9}"
        )
    print()
    flat = True
    for bound, before, after, held in growth(samples[:-1]):
        flat &= held
        allowed = f"may grow by {bound.share:.0%} + {bound.more:g}"
        print(f"{bound.name}: median {before:g} -> {after:g} ({allowed}): {'flat' if held else 'GROWS'}")
    idle = samples[-1].tasks <= samples[0].tasks + 4
    print(f"tasks without load: {samples[0].tasks} at first, {samples[-1].tasks} at last: {'back' if idle else 'LEFT'}")
    print("outcomes: " + ", ".join(f"{name} {count}" for name, count in run_.outcomes.most_common()))
    print(f"{run_.answers} answers, {run_.changes} changes of the registry, {len(run_.wrong)} wrong; seed {run_.seed}")
    for wrong in run_.wrong[:20]:
        print(f"  WRONG: {wrong}")
    return flat and idle and not run_.wrong


def main() -> int:
    """Run the proof; 0 if nothing was wrong and nothing grew."""
    parser = argparse.ArgumentParser(description="Memory, descriptors and tasks stay flat, and no answer is wrong.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the load lasts (10)")
    parser.add_argument("--rate", type=float, default=50.0, help="queries per second at most (50)")
    parser.add_argument("--seed", type=int, default=None, help="for the same choices again")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run(child(json.loads(options.child)))
        return 0
    seed = random.randrange(2**32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory() as folder:
        found, samples = run(soak(options.minutes * 60, seed=seed, rate=options.rate, folder=Path(folder)))
        well = report(found, samples)
        log = (Path(folder) / "gateway.log").read_text(errors="replace")
        broke = [line for line in log.splitlines() if "broke_the_gateway" in line or "Traceback" in line]
        for line in broke[:5]:
            print(f"  LOG: {line[:300]}")
    return 0 if well and not broke else 1


if __name__ == "__main__":
    sys.exit(main())
