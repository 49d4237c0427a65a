"""Proof that SIGKILL loses no message that an inbox acknowledged.

    python tests/proof/inbox_kill_loop.py --kills 60

Starts an inbox as a process, which writes down in a file of its own, synced, each message that its handler came to the
end of; sends it signed messages over HTTP, kills it at a random moment (also while it starts, or within a handler) and
starts it again. Messages that were not acknowledged are sent again, as their sender would. At the end it is left to
work off what is there. Each acknowledged message must then have been handled, and be `processed` in the file; none may
be `failed`. Prints one summary line; exits with 1 if anything is lost.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gateway.receiver.inbox.sqlite import SqliteInboxStore
from gateway.wire import signature

SECRET = "whsec_" + "A" * 43 + "="
KEY = signature.key_of(SECRET)
START_SECONDS = 60.0
SERVER = """
import os, sys
from gateway.receiver import Inbox
from gateway.receiver.inbox import WorkerSettings

inbox = Inbox("inbox.db", [os.environ["SECRET"]], settings=WorkerSettings(
    timeout=0.2, max_attempts=1_000_000, first_wait=0.01, longest_wait=0.05, poll=0.02))
# A lease is the time limit and half a minute: here it has to end soon.
import gateway.receiver.inbox.worker as worker
worker._MARGIN = 0.3
count = 0

@inbox.on()
def handle(message):
    global count
    count += 1
    if count % 7 == 0:
        raise RuntimeError("now and then a handler crashes")
    handle = os.open("handled.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (message.id + "\\n").encode())
    os.fsync(handle)
    os.close(handle)

inbox.run(port=int(sys.argv[1]))
"""


class Lost(Exception):
    """A message that was acknowledged is gone, or the inbox does not start."""


class Loop:
    """Sends, kills, starts again, compares."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._count = 0
        self._unsure: list[str] = []
        self.acknowledged: set[str] = set()
        self.killed_starting = 0

    def life(self, *, kill: bool) -> None:
        """One life of the inbox; the last one is not killed before everything has been worked off."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        with (self._folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(port)],
                cwd=self._folder, stdout=log, stderr=log, env={**os.environ, "SECRET": SECRET},
            )  # fmt: skip
        try:
            early = kill and self._random.random() < 0.2
            if early:
                self._kill_after(process, self._random.uniform(0.0, 0.6))
            if not self._reached(process, port):
                if not early:
                    raise Lost(f"the inbox did not start; its log ends with:\n{self._log_end()}")
                self.killed_starting += 1
                return
            if kill and not early:
                self._kill_after(process, self._random.uniform(0.0, 0.4))
            if kill:
                while self._send(port):
                    pass
            else:
                while self._unsure and self._send(port):
                    pass
                self._wait_until_done()
        finally:
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            process.wait()
        if not kill and process.returncode != 0:
            raise Lost(f"the inbox ended with exit code {process.returncode}:\n{self._log_end()}")

    def compare(self) -> int:
        """Raise `Lost` unless everything acknowledged was handled; how many were handled more than once."""
        handled = (self._folder / "handled.txt").read_text().split()
        if missing := self.acknowledged - set(handled):
            raise Lost(f"{len(missing)} of {len(self.acknowledged)} messages were acknowledged and not handled")
        store = SqliteInboxStore(self._folder / "inbox.db")
        counts = store.counts()
        store.close()
        if counts.new or counts.failed or counts.processed < len(self.acknowledged):
            raise Lost(f"the file says {counts} for {len(self.acknowledged)} acknowledged messages")
        return len(handled) - len(set(handled))

    def _send(self, port: int) -> bool:
        """Send one message: one that got no answer before, or a new one. False if the inbox is gone."""
        again = bool(self._unsure)
        if again:
            ident = self._unsure[0]
        else:
            self._count += 1
            ident = f"evt_{self._count}"
            self._unsure.append(ident)
        body = b'{"type": "order.created", "data": "%b"}' % (b"x" * self._random.randrange(3000))
        now = int(time.time())
        headers = {
            "webhook-id": ident,
            "webhook-timestamp": str(now),
            "webhook-signature": signature.sign([KEY], ident, now, body),
        }
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/", body, headers)
            status = connection.getresponse().status
            connection.close()
        except (OSError, http.client.HTTPException):
            return False
        if status != 202:
            raise Lost(f"a message was answered with {status}")
        self._unsure.remove(ident)
        self.acknowledged.add(ident)
        return True

    def _wait_until_done(self) -> None:
        end = time.monotonic() + START_SECONDS
        store = SqliteInboxStore(self._folder / "inbox.db")
        try:
            while store.counts().new:
                if time.monotonic() > end:
                    raise Lost(f"after {START_SECONDS:g} s there is still {store.counts()}; {self._log_end()}")
                time.sleep(0.02)
        finally:
            store.close()

    def _kill_after(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()

    def _reached(self, process: subprocess.Popen[bytes], port: int) -> bool:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return True
            except OSError:
                time.sleep(0.005)
        return False

    def _log_end(self) -> str:
        return (self._folder / "log.txt").read_text(errors="replace")[-1500:]


def main() -> int:
    """Run the proof; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description="SIGKILL loses no message that an inbox acknowledged.")
    parser.add_argument("--kills", type=int, default=60, help="how often to kill the inbox (60)")
    parser.add_argument("--seed", type=int, default=None, help="for the same choices again")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(Path(folder), seed)
        done = 0
        try:
            for _ in range(options.kills):
                loop.life(kill=True)
                done += 1
            loop.life(kill=False)
            repeated = loop.compare()
        except Lost as lost:
            sys.stdout.write(f"LOST after {done} kills (seed {seed}): {lost}\n")
            return 1
    sys.stdout.write(
        f"{done} kills ({loop.killed_starting} of them while starting), {len(loop.acknowledged)} messages acknowledged "
        f"and handled, {repeated} handlings repeated, nothing lost; {time.monotonic() - started:.0f} s, seed {seed}\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
