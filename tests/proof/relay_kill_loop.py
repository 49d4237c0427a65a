"""Proof that SIGKILL loses no event that was acknowledged, and leaves no attempt unrecorded.

    python tests/proof/relay_kill_loop.py --kills 200

A publisher and two relays (`gateway relay`) work on one SQLite file, each in a process of its own; so does a receiver,
which writes down every request before it answers, and answers some of them with 500. One of the three is killed at a
random moment, also while it starts, and started again, as often as asked for. In the end the backlog must drain, and
the receiver's notes and the store's records are compared:

1. Every event that was acknowledged (`publish` returned, and its id came out of the process) arrived at each of the
   subscriptions: the receiver answered 2xx to it, and the store says `delivered`. So did every other event that the
   store knows: there is none without its deliveries.
2. Every request that the receiver saw is on record as an attempt with the same number: with the status that the
   receiver gave, or as `lost`, where no relay was left to say. Every 2xx on record was given by the receiver.
3. A delivery was answered with 2xx more than once only if one of its attempts is `lost`; and an attempt is `lost` only
   if a relay was killed between its start and the end of its lease.
4. Of the ordered subscription, the events of one key arrived first in the order of their publication.

Prints one summary line; exits with 1 if any of it is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.model.delivery import LOST, DeliveryState
from gateway.model.subscription import Subscription
from gateway.relay import NewEvent, Publisher
from gateway.stores import open_event_store
from gateway.stores.events import DeliveryQuery
from gateway.testing.hook_server import HookServer, Reply

KEYS = 4
PACE_SECONDS = 0.05  # between publications
LOOK_SECONDS = 0.05
DRAIN_SECONDS = 120.0
TIMEOUT_MS, MARGIN_SECONDS = 1_000, 1
LEASE_SECONDS = TIMEOUT_MS / 1000 + MARGIN_SECONDS
# Which share of requests the receiver answers with 500.
SUBSCRIPTIONS = {"plain": 0.0, "ordered": 0.05, "flaky": 0.3}


class Broken(Exception):
    """Something that is promised is not so."""


# ---------------------------------------------------------------- in processes of their own


async def receive(notes: Path, seed: int) -> None:
    """Answer requests until standard input ends; each is noted before it is answered. Prints the port."""
    chance = random.Random(seed)
    with notes.open("a", buffering=1) as file:
        async with HookServer() as server:
            for name, share in SUBSCRIPTIONS.items():

                async def answer(request: Any, share: float = share) -> Reply:
                    status = 500 if chance.random() < share else 204
                    note = [
                        request.path[1:],
                        request.header("webhook-id"),
                        request.header("gateway-delivery"),
                        int(request.header("gateway-attempt")),
                        status,
                        json.loads(request.body)["data"],
                    ]
                    file.write(json.dumps(note) + "\n")
                    server.requests.clear()
                    return Reply(status)

                server.on(f"/{name}", answer)
            print(server.port, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def publish(url: str, life: int) -> None:
    """Publish until standard input ends, one or a few at once; prints the ids once they are acknowledged."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with open_event_store(url) as store:
        publisher = Publisher(store)
        number = 0
        while not ended.done():
            several = []
            for _ in range(5 if number % 7 == 0 else 1):
                number += 1
                several.append(NewEvent("count", [life, number], key=str(number % KEYS)))
            published = await publisher.publish_many(several)
            print(*(each.event.id for each in published), flush=True)
            await asyncio.sleep(PACE_SECONDS)


# ---------------------------------------------------------------- the loop


@dataclass
class Note:
    """What the receiver saw of one delivery: the attempts' numbers with the status it gave, in order."""

    seen: list[tuple[int, int]] = field(default_factory=list)

    @property
    def arrived(self) -> int:
        return sum(status < 300 for _, status in self.seen)


@dataclass(frozen=True)
class Begun:
    """A process, and the file that it prints to."""

    popen: subprocess.Popen[str]
    said: Path

    def lines(self) -> list[str]:
        """The whole lines that it has printed; what was cut off was not told."""
        whole, _, _ = self.said.read_text().rpartition("\n")
        return whole.split("\n") if whole else []


class Loop:
    """Starts, kills, compares."""

    def __init__(self, folder: Path, seed: int, stack: ExitStack) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._seed = seed
        self._stack = stack
        self.url = f"sqlite:///{folder / 'gateway.db'}"
        self._notes = folder / "notes"
        self._lives = 0
        self._publisher: Begun
        self._relays: list[Begun] = []
        self.acknowledged: list[str] = []
        self.relay_kills: list[float] = []
        self.publisher_kills = self.killed_starting = 0
        self.attempts = self.lost = self.twice = 0

    def run(self, kills: int) -> None:
        """All of it. Raises `Broken`."""
        receiver = self._python("--receive", str(self._notes), "--seed", str(self._seed))
        self._wait_until_begun(receiver)
        asyncio.run(self._subscribe(int(receiver.lines()[0])))
        self._start_publisher()
        self._relays = [self._start_relay(), self._start_relay()]
        for _ in range(kills):
            victim = self._random.choice((self._publisher, *self._relays))
            if self._random.random() < 0.8:
                self._wait_until_begun(victim)
                time.sleep(self._random.uniform(0.0, 0.5))
            else:
                time.sleep(self._random.uniform(0.0, 1.0))
                self.killed_starting += not victim.lines()
            if victim is self._publisher:
                self._end_publisher(kill=True)
                self._start_publisher()
            else:
                self._kill_relay(self._relays.index(victim))
        self._wait_until_begun(self._publisher)
        self._end_publisher(kill=False)
        asyncio.run(self._drained())
        for relay in self._relays:
            self._wait_until_begun(relay)
            relay.popen.terminate()
            if relay.popen.wait(timeout=60) != 0:
                raise Broken(f"a relay ended with exit code {relay.popen.returncode}:\n{self._log_end()}")
        receiver.popen.communicate("")
        asyncio.run(self._compare())

    def _wait_until_begun(self, process: Begun) -> None:
        """The first line of a publisher are ids that it has published; that of a relay says that it works."""
        while not process.lines():
            if process.popen.poll() is not None:
                raise Broken(f"a process ended by itself while it started:\n{self._log_end()}")
            time.sleep(LOOK_SECONDS)

    def _python(self, *arguments: str) -> Begun:
        return self._started([sys.executable, __file__, *arguments])

    def _started(self, command: list[str]) -> Begun:
        self._lives += 1
        said = self._folder / f"said-{self._lives}"
        with (self._folder / "log").open("ab") as log, said.open("wb") as out:
            popen = subprocess.Popen(command, env=self._env(), stdin=subprocess.PIPE, stdout=out, stderr=log, text=True)
        self._stack.callback(popen.kill)
        return Begun(popen, said)

    def _env(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        return others | {
            "GATEWAY_STORE__URL": self.url,
            "GATEWAY_CALLS__ALLOW_HTTP": "true",
            "GATEWAY_CALLS__ALLOW": "127.0.0.0/8",
            "GATEWAY_RELAY__SCHEDULE_SECONDS": ",".join(["0", *["1"] * 60]),
            "GATEWAY_RELAY__TIMEOUT_MS": str(TIMEOUT_MS),
            "GATEWAY_RELAY__LEASE_MARGIN_SECONDS": str(MARGIN_SECONDS),
            "GATEWAY_RELAY__PAUSE_AFTER_FAILURES": "1000000",
            "GATEWAY_RELAY__POLL_MS": "50",
        }

    async def _subscribe(self, port: int) -> None:
        async with open_event_store(self.url) as store:
            for name in SUBSCRIPTIONS:
                made = Subscription(
                    f"sub_{name}",
                    None,
                    name,
                    ("count",),
                    f"http://127.0.0.1:{port}/{name}",
                    ordered=name == "ordered",
                    max_concurrency=50,
                )
                await store.add_subscription(made)

    def _start_publisher(self) -> None:
        self._publisher = self._python("--publish", self.url, "--life", str(self._lives))

    def _end_publisher(self, *, kill: bool) -> None:
        process = self._publisher.popen
        if kill:
            process.kill()
            self.publisher_kills += 1
        process.communicate("")
        if not kill and process.returncode != 0:
            raise Broken(f"the publisher ended with exit code {process.returncode}:\n{self._log_end()}")
        self.acknowledged += [event for line in self._publisher.lines() for event in line.split()]

    def _start_relay(self) -> Begun:
        return self._started([sys.executable, "-m", "gateway", "relay"])

    def _kill_relay(self, number: int) -> None:
        process = self._relays[number].popen
        if process.poll() is not None:
            raise Broken(f"a relay ended by itself, with exit code {process.returncode}:\n{self._log_end()}")
        process.kill()
        self.relay_kills.append(time.time())
        process.communicate("")
        self._relays[number] = self._start_relay()

    def _log_end(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-1500:]

    # ------------------------------------------------------------ in the end

    async def _drained(self) -> None:
        end = time.monotonic() + DRAIN_SECONDS
        async with open_event_store(self.url) as store:
            while any(each.waiting or each.claimed for each in await store.backlog()):
                if time.monotonic() > end:
                    raise Broken(f"the backlog does not drain: {await store.backlog()}\n{self._log_end()}")
                await asyncio.sleep(LOOK_SECONDS)

    def _seen(self) -> tuple[dict[str, Note], dict[str, list[list[int]]], dict[str, set[str]]]:
        """The receiver's notes: by delivery; of the ordered subscription by key; which ids each subscription got."""
        notes: dict[str, Note] = defaultdict(Note)
        order: dict[str, list[list[int]]] = defaultdict(list)
        got: dict[str, set[str]] = defaultdict(set)
        for line in self._notes.read_text().splitlines():
            name, event, delivery, attempt, status, data = json.loads(line)
            notes[delivery].seen.append((attempt, status))
            if status < 300:
                if name == "ordered" and event not in got[name]:
                    order[str(data[1] % KEYS)].append(data)
                got[name].add(event)
        return notes, order, got

    async def _compare(self) -> None:
        notes, order, got = self._seen()
        for name in SUBSCRIPTIONS:
            if missing := set(self.acknowledged) - got[name]:
                raise Broken(f"{len(missing)} acknowledged events never arrived at {name}: {sorted(missing)[:5]}")
        for key, arrived in order.items():
            if arrived != sorted(arrived):
                raise Broken(f"the events of the key {key} arrived out of order")
        async with open_event_store(self.url) as store:
            before, known = None, 0
            while page := await store.deliveries(DeliveryQuery(before=before, limit=500)):
                for delivery in page:
                    known += 1
                    if delivery.state is not DeliveryState.DELIVERED:
                        raise Broken(f"{delivery.id} is {delivery.state}, not delivered")
                    self._check(delivery.id, await store.attempts(delivery.id), notes[delivery.id])
                before = page[-1].sequence
            if len(notes) != known:
                raise Broken("the receiver was sent a delivery that the store does not know")
            for event_id in self.acknowledged:
                if len(await store.deliveries(DeliveryQuery(event_id=event_id))) != len(SUBSCRIPTIONS):
                    raise Broken(f"the acknowledged event {event_id} has not all its deliveries")

    def _check(self, delivery_id: str, attempts: list[Any], note: Note) -> None:
        recorded = {attempt.number: attempt for attempt in attempts}
        for number, status in note.seen:
            attempt = recorded.get(number)
            if attempt is None:
                raise Broken(f"{delivery_id}: the receiver saw attempt {number}, which is not on record")
            if attempt.reason != LOST and attempt.status not in (status, None):
                raise Broken(f"{delivery_id}: attempt {number} got {status}, and {attempt.status} is on record")
        lost = [attempt for attempt in attempts if attempt.reason == LOST]
        given = {number for number, status in note.seen if status < 300}
        if unseen := [a.number for a in attempts if a.reason is None and a.number not in given]:
            raise Broken(f"{delivery_id}: attempts {unseen} are on record as arrived, and the receiver knows nothing")
        if note.arrived > 1 + len(lost):
            raise Broken(f"{delivery_id} arrived {note.arrived} times, with {len(lost)} lost attempts")
        for attempt in lost:
            at = attempt.started_at
            if not any(at - 1 <= kill <= at + LEASE_SECONDS + 1 for kill in self.relay_kills):
                raise Broken(f"{delivery_id}: attempt {attempt.number} is lost, and no relay was killed then")
        self.attempts += len(attempts)
        self.lost += len(lost)
        self.twice += note.arrived > 1


def main() -> int:
    """Run the proof; 0 if all of it is so."""
    parser = argparse.ArgumentParser(description="SIGKILL loses no acknowledged event.")
    parser.add_argument("--kills", type=int, default=200, help="how often to kill one of them (200)")
    parser.add_argument("--seed", type=int, default=None, help="for the same choices again")
    parser.add_argument("--receive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--publish", help=argparse.SUPPRESS)
    parser.add_argument("--life", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    if options.receive is not None:
        asyncio.run(receive(options.receive, seed))
        return 0
    if options.publish is not None:
        asyncio.run(publish(options.publish, options.life))
        return 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        loop = Loop(Path(folder), seed, stack)
        try:
            loop.run(options.kills)
        except Broken as broken:
            sys.stdout.write(
                f"BROKEN after {len(loop.relay_kills) + loop.publisher_kills} kills (seed {seed}): {broken}\n"
            )
            return 1
    sys.stdout.write(
        f"{options.kills} kills ({len(loop.relay_kills)} of relays, {loop.publisher_kills} of publishers; "
        f"{loop.killed_starting} while they started), "
        f"{len(loop.acknowledged)} acknowledged events to {len(SUBSCRIPTIONS)} subscriptions, {loop.attempts} attempts "
        f"on record ({loop.lost} lost), {loop.twice} deliveries arrived twice, all arrived, backlog drained; "
        f"{time.monotonic() - started:.0f} s, seed {seed}\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
