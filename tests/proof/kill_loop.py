"""Proof that SIGKILL loses nothing that was acknowledged.

    python tests/proof/kill_loop.py --kills 60

Starts `gateway serve` on an SQLite file, changes the registry through its HTTP API, kills the process at a
random moment (also while it starts), starts it again, and compares what the API then says with what it had
acknowledged. The one request that was under way may have happened or not; everything else must be as
acknowledged, and the database must open each time. Prints one summary line; exits with 1 if anything is lost.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPERATOR = "kill-loop-operator-key"
START_SECONDS = 60.0
MOST_INTEGRATIONS = 12


class Lost(Exception):
    """Something acknowledged is gone, or the gateway does not start."""


class Gone(Exception):
    """The gateway was killed before it answered."""


@dataclass
class Acknowledged:
    """What the gateway said it has done. `pending` is the request that got no answer: it may have happened."""

    keys: dict[str, str | None] = field(default_factory=dict)  # integration id -> API key, None if never seen
    names: dict[str, str] = field(default_factory=dict)  # integration id -> name
    hooks: dict[str, tuple[str, str, bool]] = field(default_factory=dict)  # id -> integration id, name, enabled
    pending: tuple[str, str] | None = None  # what, and the id or name it is about
    changes: int = 0

    def forget_integration(self, key: str) -> None:
        """Removed, with its hooks."""
        del self.keys[key], self.names[key]
        self.hooks = {hook: about for hook, about in self.hooks.items() if about[0] != key}

    def compare(self, names: dict[str, str], hooks: dict[str, tuple[str, str, bool]]) -> None:
        """Raise `Lost` unless what is there is what was acknowledged, give or take the pending request."""
        what, about = self.pending or ("", "")
        if what == "remove integration" and about not in names and about in self.names:
            self.forget_integration(about)
        for key in names.keys() - self.names.keys():
            if (what, about) != ("register", names[key]):
                raise Lost(f"an integration is there that was removed: {names[key]}")
            self.names[key], self.keys[key] = names[key], None
        if gone := self.names.keys() - names.keys():
            raise Lost(f"registrations are lost: {sorted(self.names[key] for key in gone)}")
        for key in hooks.keys() - self.hooks.keys():
            if (what, about) != ("create hook", hooks[key][1]):
                raise Lost(f"a hook is there that was removed: {hooks[key][1]}")
            self.hooks[key] = hooks[key]
        for key in self.hooks.keys() - hooks.keys():
            if (what, about) != ("remove hook", key):
                raise Lost(f"a hook is lost: {self.hooks[key][1]}")
            del self.hooks[key]
        for key, (_, name, enabled) in self.hooks.items():
            if hooks[key][2] != enabled and (what, about) not in {("enable", key), ("disable", key)}:
                raise Lost(f"the hook {name} is {'not ' if enabled else ''}enabled, unlike what was acknowledged")
        self.hooks = dict(hooks)
        self.pending = None


class Api:
    """The control API of one running gateway, over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method: str, path: str, key: str, body: Any = None) -> Any:
        """The JSON answer; `Gone` if the gateway went away; `Lost` if it answers with an error."""
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise Gone from None
        if response.status >= 400:
            raise Lost(f"{method} {path} was answered with {response.status}: {text.decode(errors='replace')[:300]}")
        return json.loads(text) if text else None

    def all(self, path: str, key: str) -> list[dict[str, Any]]:
        """All items of a list, page by page."""
        items, cursor = [], None
        while True:
            page = self.ask("GET", path + (f"&cursor={cursor}" if cursor else ""), key)
            items += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return items


class Loop:
    """Starts, changes, kills, compares."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._count = 0
        self.said = Acknowledged()
        self.compared = 0
        self.killed_starting = 0

    def round(self, *, kill: bool) -> None:
        """One life of the gateway. Without `kill` it ends by SIGTERM, right after the comparison."""
        port = _free_port(self._random)
        with (self._folder / "gateway.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"], env=self._env(port), stderr=log, stdout=log
            )
        early = kill and self._random.random() < 0.25
        try:
            if early:
                self._kill_after(process, self._random.uniform(0.0, 1.0))
            self._work(process, port, kill=kill, early=early)
        except Gone:
            if not kill:
                raise Lost("the gateway went away by itself") from None
        finally:
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            process.wait()
        if not kill and process.returncode != 0:
            raise Lost(f"the gateway ended with exit code {process.returncode}")

    def _work(self, process: subprocess.Popen[bytes], port: int, *, kill: bool, early: bool) -> None:
        try:
            api = self._reach(process, port)
        except Gone:
            if not early:
                raise Lost(f"the gateway did not start again; its log ends with:\n{self._log_end()}") from None
            self.killed_starting += 1
            raise
        if kill and not early:
            self._kill_after(process, self._random.uniform(0.0, 0.3))
        self._compare(api)
        while kill:
            self._change(api)

    def _env(self, port: int) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        return others | {
            "GATEWAY_CONTROL__LISTEN": f"127.0.0.1:{port}",
            "GATEWAY_CONTROL__OPERATOR_KEYS": OPERATOR,
            "GATEWAY_CALLS__REQUIRE_OWNERSHIP": "false",
            "GATEWAY_STORE__URL": f"sqlite:///{self._folder / 'gateway.db'}",
        }

    def _kill_after(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()

    def _reach(self, process: subprocess.Popen[bytes], port: int) -> Api:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return Api(port)
            except OSError:
                if process.poll() is not None:
                    raise Gone from None
                time.sleep(0.005)
        raise Lost(f"the gateway did not listen within {START_SECONDS:g} s; its log ends with:\n{self._log_end()}")

    def _log_end(self) -> str:
        return (self._folder / "gateway.log").read_text(errors="replace")[-1500:]

    def _compare(self, api: Api) -> None:
        names = {item["id"]: item["name"] for item in api.all("/v1/integrations?limit=100", OPERATOR)}
        hooks = {}
        for integration_id in names:
            key = self.said.keys.get(integration_id)  # its own key must still open the door
            path = "/v1/hooks?limit=100" + ("" if key else f"&integration={integration_id}")
            for item in api.all(path, key or OPERATOR):
                hooks[item["id"]] = (integration_id, item["name"], item["enabled"])
        self.said.compare(names, hooks)
        self.compared += 1

    def _change(self, api: Api) -> None:
        said, chance = self.said, self._random.random()
        self._count += 1
        if not said.keys or (chance < 0.15 and len(said.keys) < MOST_INTEGRATIONS):
            name = f"integration-{self._count}"
            said.pending = ("register", name)
            made = api.ask("POST", "/v1/integrations", OPERATOR, {"name": name, "base_url": "https://hooks.example"})
            said.keys[made["id"]], said.names[made["id"]] = made["api_key"], name
        elif chance < 0.2:
            key = self._random.choice(sorted(said.keys))
            said.pending = ("remove integration", key)
            api.ask("DELETE", f"/v1/integrations/{key}", OPERATOR)
            said.forget_integration(key)
        elif not said.hooks or chance < 0.4:
            owner, name = self._random.choice(sorted(said.keys)), f"hook-{self._count}"
            said.pending = ("create hook", name)
            query, key = self._as(owner)
            made = api.ask("POST", f"/v1/hooks{query}", key, {"name": name, "path": "/hook"})
            said.hooks[made["id"]] = (owner, name, made["enabled"])
        else:
            hook = self._random.choice(sorted(said.hooks))
            owner, name, enabled = said.hooks[hook]
            query, key = self._as(owner)
            if chance < 0.5:
                said.pending = ("remove hook", hook)
                api.ask("DELETE", f"/v1/hooks/{hook}{query}", key)
                del said.hooks[hook]
            else:
                verb = "disable" if enabled else "enable"
                said.pending = (verb, hook)
                answer = api.ask("POST", f"/v1/hooks/{hook}/{verb}{query}", key, {})
                said.hooks[hook] = (owner, name, answer["enabled"])
        said.pending = None
        said.changes += 1

    def _as(self, owner: str) -> tuple[str, str]:
        key = self.said.keys[owner]
        return ("", key) if key else (f"?integration={owner}", OPERATOR)


def _free_port(chance: random.Random) -> int:
    """A port that nobody listens on, and that no outgoing connection gets by itself: below the ephemeral range."""
    while True:
        port = chance.randrange(10_000, 30_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


def main() -> int:
    """Run the proof; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description="SIGKILL loses nothing that was acknowledged.")
    parser.add_argument("--kills", type=int, default=60, help="how often to kill the gateway (60)")
    parser.add_argument("--seed", type=int, default=None, help="for the same choices again")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(Path(folder), seed)
        done = 0
        try:
            for _ in range(options.kills):
                loop.round(kill=True)
                done += 1
            loop.round(kill=False)
        except Lost as lost:
            sys.stdout.write(f"LOST after {done} kills (seed {seed}): {lost}\n")
            return 1
    sys.stdout.write(
        f"{done} kills ({loop.killed_starting} of them while starting), {loop.said.changes} acknowledged changes, "
        f"{loop.compared} comparisons, nothing lost; {time.monotonic() - started:.0f} s, seed {seed}\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
